import fc from 'fast-check'

/** Arbitrary requests with the names of OTLP/JSON, as a sender may write them: any field left out, any of its extremes. */

const int64 = fc.oneof(
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.constantFrom(0n, 1n, -1n, 2n ** 53n - 1n, 2n ** 53n, -(2n ** 53n)),
)
const uint64 = fc.oneof(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.constantFrom(0n, 1_700_000_000_000_000_000n))
const digits = (value: fc.Arbitrary<bigint>) => value.map(String)
const text = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 12 }),
  fc.constantFrom('', 'a', 'service.name', 'toString', '__proto__', 'constructor', '1', '"\\', 'x'.repeat(200)),
)
const double = fc.double()
const temporality = fc.constantFrom(0, 1, 2, 3, -1)
const optional = { requiredKeys: [] }

const { keyValues } = fc.letrec<{ anyValue: object; keyValues: object[] }>(tie => ({
  anyValue: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.record({ stringValue: text }),
    fc.record({ boolValue: fc.boolean() }),
    fc.record({ intValue: digits(int64) }),
    fc.record({ doubleValue: double }),
    fc.record({ bytesValue: fc.uint8Array({ maxLength: 9 }).map(bytes => Buffer.from(bytes).toString('base64')) }),
    fc.constant({}),
    fc.record({ arrayValue: fc.record({ values: fc.array(tie('anyValue'), { maxLength: 3 }) }, optional) }),
    fc.record({ kvlistValue: fc.record({ values: tie('keyValues') }, optional) }),
  ),
  keyValues: fc.array(fc.record({ key: text, value: tie('anyValue') }, optional), { maxLength: 4 }),
}))

const common = {
  attributes: keyValues,
  startTimeUnixNano: digits(uint64),
  timeUnixNano: digits(uint64),
  flags: fc.constantFrom(0, 1, 2, 3, 0xffff_ffff),
}
const exemplars = fc.array(fc.record({ filteredAttributes: keyValues, asDouble: double }, optional), { maxLength: 2 })
const number = fc
  .tuple(
    fc.record({ ...common, exemplars }, optional),
    fc.oneof(fc.record({ asInt: digits(int64) }), fc.record({ asDouble: double }), fc.constant({})),
  )
  .map(([point, value]) => ({ ...point, ...value }))
const distribution = { ...common, count: digits(uint64), sum: double }
const histogram = fc.record(
  { ...distribution, exemplars, bucketCounts: fc.array(digits(uint64), { maxLength: 3 }), min: double },
  optional,
)
const buckets = fc.record({ offset: fc.integer(), bucketCounts: fc.array(digits(uint64), { maxLength: 3 }) }, optional)
const exponential = fc.record({ ...distribution, scale: fc.integer(), positive: buckets }, optional)
const summary = fc.record(
  { ...distribution, quantileValues: fc.array(fc.record({ quantile: double, value: double }), { maxLength: 2 }) },
  optional,
)
const points = <Point>(point: fc.Arbitrary<Point>) => fc.array(point, { maxLength: 4 })
const metric = fc
  .tuple(
    fc.record({ name: text, description: text, unit: text, metadata: keyValues }, optional),
    fc.oneof(
      fc.constant({}),
      fc.record({ gauge: fc.record({ dataPoints: points(number) }, optional) }),
      fc.record({
        sum: fc.record(
          { dataPoints: points(number), aggregationTemporality: temporality, isMonotonic: fc.boolean() },
          optional,
        ),
      }),
      fc.record({
        histogram: fc.record({ dataPoints: points(histogram), aggregationTemporality: temporality }, optional),
      }),
      fc.record({
        exponentialHistogram: fc.record(
          { dataPoints: points(exponential), aggregationTemporality: temporality },
          optional,
        ),
      }),
      fc.record({ summary: fc.record({ dataPoints: points(summary) }, optional) }),
    ),
  )
  .map(([own, data]) => ({ ...own, ...data }))

const scopeMetrics = fc.record(
  {
    scope: fc.record({ name: text, version: text, attributes: keyValues }, optional),
    metrics: fc.array(metric, { maxLength: 3 }),
    schemaUrl: text,
  },
  optional,
)
const resourceMetrics = fc.record(
  {
    resource: fc.record({ attributes: keyValues, droppedAttributesCount: fc.nat() }, optional),
    scopeMetrics: fc.array(scopeMetrics, { maxLength: 3 }),
    schemaUrl: text,
  },
  optional,
)

export const requests: fc.Arbitrary<object> = fc.record(
  { resourceMetrics: fc.array(resourceMetrics, { maxLength: 3 }) },
  optional,
)

/** How often a fuzzing test tries. FUZZ_RUNS=1000000 takes some minutes. */
export const FUZZ_RUNS = Number(process.env.FUZZ_RUNS ?? 2000)

/** A failure is not made smaller, which takes minutes here. To have it made so, use its seed without `endOnFailure`. */
export const FUZZING = { numRuns: FUZZ_RUNS, endOnFailure: true }
