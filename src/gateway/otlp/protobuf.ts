import type { Attributes } from '@opentelemetry/api'
import protobuf from 'protobufjs/minimal.js'
import { asAttributes, doubleAttribute, NO_ATTRIBUTES, setFirst, type Value, type Values } from './attributes.ts'
import { UndecodableError } from './errors.ts'
import type { KnownAttributes } from './known-attributes.ts'
import {
  attributesTooLarge,
  MAX_ATTRIBUTES_SIZE,
  MAX_ENTRIES,
  MAX_NAME_SIZE,
  MAX_NESTING,
  nameTooLong,
  nestedTooDeeply,
  tooManyEntries,
} from './limits.ts'
import type { OtlpMetric, OtlpPoint, OtlpRequest, OtlpResourceMetrics, OtlpScopeMetrics } from './metrics.ts'

/**
 * Decodes an `ExportMetricsServiceRequest`. A metric that is not `wanted` is skipped once its name was read: what is in
 * it costs nothing, and is not checked.
 *
 * In a string, bytes that are no UTF-8 become U+FFFD: refusing them would lose a request for one broken attribute.
 *
 * @param known attributes of requests before this one, which are not read again
 * @throws {UndecodableError} for a message that is cut off, malformed, nested too deeply, has too many points or larger
 * attributes or names than there may be
 */
export function decodeProtobuf(
  bytes: Uint8Array,
  wanted: (metricName: string) => boolean,
  known?: KnownAttributes,
): OtlpRequest {
  const decoder = new Decoder(bytes, wanted, known)
  try {
    return { resourceMetrics: decoder.request() }
  } catch (error) {
    // These are what the reader throws. Anything else is a fault of our own.
    if (!(error instanceof RangeError) && (error as Error).constructor !== Error) throw error
    const problem = `expected an ExportMetricsServiceRequest in protobuf, got one that is cut off or malformed`
    throw new UndecodableError(decoder.where, `${problem} (${(error as Error).message})`, { cause: error })
  }
}

type MetricType = OtlpMetric['type']
type Temporality = OtlpMetric['temporality']
type Writable<T> = { -readonly [Key in keyof T]: T[Key] }
/** A metric while its data is being read. */
type Data = Pick<Writable<OtlpMetric>, 'type' | 'temporality' | 'monotonic'> & { points: OtlpPoint[] }

/** A string, and where its bytes are. */
interface KnownString {
  readonly start: number
  readonly length: number
  readonly text: string
}

/** How many strings of a request are known at a time. */
const STRINGS = 256

const TEMPORALITIES: readonly Temporality[] = ['unspecified', 'delta', 'cumulative']
const NO_RECORDED_VALUE = 1

// Wire types: what a tag has in its low three bits, below the field's number.
const VARINT = 0
const FIXED64 = 1
const BYTES = 2

/** Goes through one request. Fields and their numbers are those of opentelemetry-proto; what is unknown is skipped. */
class Decoder {
  readonly #reader: protobuf.Reader
  /** Over the reader's bytes: reads 64 bits at once, where the reader would make objects of two halves. */
  readonly #view: DataView
  readonly #bytes: Buffer
  readonly #wanted: (metricName: string) => boolean
  readonly #known: KnownAttributes | undefined
  /** Strings that were read, by a cheap hash: most come again in each point, and to make one takes longer than this. */
  readonly #strings: (KnownString | undefined)[] = new Array(STRINGS)
  #entries = 0
  /** Bytes of the attributes that are being read: a resource's, a scope's or a point's. */
  #size = 0

  constructor(bytes: Uint8Array, wanted: (metricName: string) => boolean, known: KnownAttributes | undefined) {
    this.#reader = protobuf.Reader.create(bytes)
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#wanted = wanted
    this.#known = known
  }

  get where(): string {
    return `byte ${this.#reader.pos}`
  }

  request(): OtlpResourceMetrics[] {
    const reader = this.#reader
    const resourceMetrics: OtlpResourceMetrics[] = []
    while (reader.pos < reader.len) {
      const tag = reader.tag()
      if (tag === ((1 << 3) | BYTES)) this.#resourceMetrics(resourceMetrics)
      else this.#skip(tag)
    }
    return resourceMetrics
  }

  #resourceMetrics(into: OtlpResourceMetrics[]): void {
    const reader = this.#reader
    const outer = this.#enter()
    const resource = { attributes: {} as Values, size: 0 }
    const scopes: OtlpScopeMetrics[] = []
    while (reader.pos < reader.len) {
      const tag = reader.tag()
      switch (tag) {
        case (1 << 3) | BYTES:
          this.#resource(resource)
          break
        case (2 << 3) | BYTES:
          this.#scopeMetrics(scopes)
          break
        default:
          this.#skip(tag)
      }
    }
    reader.len = outer
    if (scopes.length === 0) return
    this.#count()
    into.push({ resource: asAttributes(resource.attributes), scopes })
  }

  #resource(resource: { readonly attributes: Values; size: number }): void {
    const reader = this.#reader
    const outer = this.#enter()
    this.#size = resource.size
    while (reader.pos < reader.len) {
      const tag = reader.tag()
      if (tag === ((1 << 3) | BYTES)) this.#attribute(resource.attributes)
      else this.#skip(tag)
    }
    resource.size = this.#size
    reader.len = outer
  }

  #scopeMetrics(into: OtlpScopeMetrics[]): void {
    const reader = this.#reader
    const outer = this.#enter()
    const scope = { name: '', version: '', attributes: {} as Values, size: 0 }
    const metrics: OtlpMetric[] = []
    while (reader.pos < reader.len) {
      const tag = reader.tag()
      switch (tag) {
        case (1 << 3) | BYTES:
          this.#scope(scope)
          break
        case (2 << 3) | BYTES:
          this.#metric(metrics)
          break
        default:
          this.#skip(tag)
      }
    }
    reader.len = outer
    if (metrics.length === 0) return
    this.#count()
    into.push({ name: scope.name, version: scope.version, attributes: asAttributes(scope.attributes), metrics })
  }

  #scope(scope: { name: string; version: string; readonly attributes: Values; size: number }): void {
    const reader = this.#reader
    const outer = this.#enter()
    this.#size = scope.size
    while (reader.pos < reader.len) {
      const tag = reader.tag()
      switch (tag) {
        case (1 << 3) | BYTES:
          scope.name = this.#name()
          break
        case (2 << 3) | BYTES:
          scope.version = this.#name()
          break
        case (3 << 3) | BYTES:
          this.#attribute(scope.attributes)
          break
        default:
          this.#skip(tag)
      }
    }
    scope.size = this.#size
    reader.len = outer
  }

  #metric(into: OtlpMetric[]): void {
    const reader = this.#reader
    const outer = this.#enter()
    const begin = reader.pos
    let name = ''
    while (reader.pos < reader.len) {
      const tag = reader.tag()
      if (tag === ((1 << 3) | BYTES)) name = this.#string()
      else this.#skip(tag)
    }
    if (this.#wanted(name)) {
      this.#checkName(name.length)
      this.#count()
      reader.pos = begin
      into.push(this.#wantedMetric(name))
    }
    reader.len = outer
  }

  /** What is left of a metric whose name is known, from its beginning. */
  #wantedMetric(name: string): OtlpMetric {
    const reader = this.#reader
    let unit = ''
    let data = noData('none')
    while (reader.pos < reader.len) {
      const tag = reader.tag()
      const type = DATA.get(tag)
      if (type !== undefined) {
        // One of them: the last kind wins, and the same one again adds to it.
        if (data.type !== type) data = noData(type)
        this.#data(data)
      } else if (tag === ((3 << 3) | BYTES)) {
        unit = this.#name()
      } else {
        this.#skip(tag)
      }
    }
    return { name, unit, ...data }
  }

  /** Gauge, Sum, Histogram, ExponentialHistogram and Summary number their fields alike; each leaves some out. */
  #data(data: Data): void {
    const reader = this.#reader
    const outer = this.#enter()
    const { type, points } = data
    const hasTemporality = type !== 'gauge' && type !== 'summary'
    while (reader.pos < reader.len) {
      const tag = reader.tag()
      if (tag === ((1 << 3) | BYTES)) {
        this.#count()
        points.push(type === 'sum' || type === 'gauge' ? this.#numberPoint() : this.#distributionPoint(type))
      } else if (hasTemporality && tag === ((2 << 3) | VARINT)) {
        data.temporality = TEMPORALITIES[reader.uint32()] ?? 'unspecified'
      } else if (type === 'sum' && tag === ((3 << 3) | VARINT)) {
        data.monotonic = reader.bool()
      } else {
        this.#skip(tag)
      }
    }
    reader.len = outer
  }

  #numberPoint(): OtlpPoint {
    const reader = this.#reader
    const outer = this.#enter()
    this.#size = 0
    let attributes: Attributes | undefined
    let startTime = 0n
    let time = 0n
    let sum: number | bigint | undefined
    let flags = 0
    while (reader.pos < reader.len) {
      const tag = reader.tag()
      switch (tag) {
        case (7 << 3) | BYTES:
          attributes = this.#attributes(tag, attributes)
          break
        case (2 << 3) | FIXED64:
          startTime = this.#fixed64()
          break
        case (3 << 3) | FIXED64:
          time = this.#fixed64()
          break
        case (4 << 3) | FIXED64:
          sum = this.#double()
          break
        case (6 << 3) | FIXED64:
          sum = this.#sfixed64()
          break
        case (8 << 3) | VARINT:
          flags = reader.uint32()
          break
        default:
          this.#skip(tag)
      }
    }
    reader.len = outer
    return {
      attributes: attributes ?? NO_ATTRIBUTES,
      startTime,
      time,
      sum,
      count: undefined,
      noRecordedValue: (flags & NO_RECORDED_VALUE) !== 0,
    }
  }

  /** A point of a histogram of either kind or of a summary. They differ in two numbers. */
  #distributionPoint(type: MetricType): OtlpPoint {
    const reader = this.#reader
    const outer = this.#enter()
    const attributesTag = ((type === 'histogram' ? 9 : type === 'summary' ? 7 : 1) << 3) | BYTES
    const flagsTag = ((type === 'summary' ? 8 : 10) << 3) | VARINT
    this.#size = 0
    let attributes: Attributes | undefined
    let startTime = 0n
    let time = 0n
    // A summary's sum cannot be told from 0 where it is left out.
    let sum = type === 'summary' ? 0 : undefined
    let count = 0n
    let flags = 0
    while (reader.pos < reader.len) {
      const tag = reader.tag()
      if (tag === attributesTag) attributes = this.#attributes(tag, attributes)
      else if (tag === ((2 << 3) | FIXED64)) startTime = this.#fixed64()
      else if (tag === ((3 << 3) | FIXED64)) time = this.#fixed64()
      else if (tag === ((4 << 3) | FIXED64)) count = this.#fixed64()
      else if (tag === ((5 << 3) | FIXED64)) sum = this.#double()
      else if (tag === flagsTag) flags = reader.uint32()
      else this.#skip(tag)
    }
    reader.len = outer
    return {
      attributes: attributes ?? NO_ATTRIBUTES,
      startTime,
      time,
      sum,
      count,
      noRecordedValue: (flags & NO_RECORDED_VALUE) !== 0,
    }
  }

  /** Attributes that follow each other, which are all that a point has but for strange ones. */
  #attributes(tag: number, before: Attributes | undefined): Attributes {
    const reader = this.#reader
    const begin = reader.pos
    reader.skip(reader.size())
    while (reader.pos < reader.len && reader.buf[reader.pos] === tag) {
      reader.pos += 1
      reader.skip(reader.size())
    }
    const end = reader.pos
    this.#grow(end - begin)
    if (this.#known === undefined || before !== undefined) return this.#keyValues(before, begin, end)
    const written = this.#bytes.toString('latin1', begin, end)
    let attributes = this.#known.get(written)
    if (attributes === undefined) {
      attributes = Object.freeze(this.#keyValues(undefined, begin, end))
      this.#known.set(written, attributes)
    }
    return attributes
  }

  /** What is between two places, under one tag that has been read. */
  #keyValues(before: Attributes | undefined, begin: number, end: number): Attributes {
    const reader = this.#reader
    // Those that stand apart are added to what is here, and not copied each time: there may be thousands.
    const values = (before === undefined || Object.isFrozen(before) ? { ...before } : before) as Values
    reader.pos = begin
    this.#keyValue(values, 0)
    while (reader.pos < end) {
      reader.pos += 1
      this.#keyValue(values, 0)
    }
    return asAttributes(values)
  }

  /** An attribute of a resource or a scope. */
  #attribute(into: Values): void {
    const reader = this.#reader
    const begin = reader.pos
    this.#grow(reader.size())
    reader.pos = begin
    this.#keyValue(into, 0)
  }

  #grow(bytes: number): void {
    this.#size += bytes
    if (this.#size > MAX_ATTRIBUTES_SIZE) throw attributesTooLarge(this.where, this.#size)
  }

  #keyValue(into: Values, nesting: number): void {
    const reader = this.#reader
    const outer = this.#enter()
    let key = ''
    let value: Value = null
    while (reader.pos < reader.len) {
      const tag = reader.tag()
      switch (tag) {
        case (1 << 3) | BYTES:
          key = this.#string()
          break
        case (2 << 3) | BYTES:
          value = this.#anyValue(value, nesting)
          break
        default:
          this.#skip(tag)
      }
    }
    reader.len = outer
    setFirst(into, key, value)
  }

  /** The last kind of value wins. A list or an object that comes again adds to the one before. */
  #anyValue(before: Value, nesting: number): Value {
    const reader = this.#reader
    const outer = this.#enter()
    let value = before
    while (reader.pos < reader.len) {
      const tag = reader.tag()
      switch (tag) {
        case (1 << 3) | BYTES:
          value = this.#string()
          break
        case (2 << 3) | VARINT:
          value = reader.bool()
          break
        case (3 << 3) | VARINT: {
          const { high, low } = reader.int64()
          const number = high * 2 ** 32 + (low >>> 0)
          value = Number.isSafeInteger(number) ? number : String((BigInt(high) << 32n) + BigInt(low >>> 0))
          break
        }
        case (4 << 3) | FIXED64:
          value = doubleAttribute(this.#double())
          break
        case (5 << 3) | BYTES:
          value = this.#list(Array.isArray(value) ? value : [], nesting + 1)
          break
        case (6 << 3) | BYTES:
          value = this.#object(isObject(value) ? value : {}, nesting + 1)
          break
        case (7 << 3) | BYTES:
          value = Buffer.from(reader.bytes()).toString('base64')
          break
        default:
          this.#skip(tag)
      }
    }
    reader.len = outer
    return value
  }

  #list(values: Value[], nesting: number): Value[] {
    const reader = this.#reader
    const outer = this.#enter()
    this.#checkNesting(nesting)
    while (reader.pos < reader.len) {
      const tag = reader.tag()
      if (tag === ((1 << 3) | BYTES)) values.push(this.#anyValue(null, nesting))
      else this.#skip(tag)
    }
    reader.len = outer
    return values
  }

  #object(values: Values, nesting: number): Values {
    const reader = this.#reader
    const outer = this.#enter()
    this.#checkNesting(nesting)
    while (reader.pos < reader.len) {
      const tag = reader.tag()
      if (tag === ((1 << 3) | BYTES)) this.#keyValue(values, nesting)
      else this.#skip(tag)
    }
    reader.len = outer
    return values
  }

  /** Begins an embedded message: nothing is read past its end. Returns the end of what it is embedded in. */
  #enter(): number {
    const reader = this.#reader
    const length = reader.size()
    const outer = reader.len
    const end = reader.pos + length
    if (end > outer) throw new RangeError(`${length} bytes announced, ${outer - reader.pos} there`)
    reader.len = end
    return outer
  }

  #skip(tag: number): void {
    this.#reader.skipType(tag & 7, 0, tag >>> 3)
  }

  /** The name or version of a scope, or a metric's unit. */
  #name(): string {
    const text = this.#string()
    this.#checkName(text.length)
    return text
  }

  #checkName(size: number): void {
    if (size > MAX_NAME_SIZE) throw nameTooLong(this.where, size)
  }

  #string(): string {
    const reader = this.#reader
    const { buf } = reader
    const length = reader.size()
    const start = reader.pos
    reader.skip(length)
    if (length === 0) return ''
    const slot = (length + (buf[start] as number) * 31 + (buf[start + length - 1] as number) * 17) % STRINGS
    const known = this.#strings[slot]
    if (known?.length === length && sameBytes(buf, known.start, start, length)) return known.text
    const text = protobuf.util.utf8.read(buf, start, start + length)
    this.#strings[slot] = { start, length, text }
    return text
  }

  #fixed64(): bigint {
    return this.#view.getBigUint64(this.#take8(), true)
  }

  #sfixed64(): bigint {
    return this.#view.getBigInt64(this.#take8(), true)
  }

  #double(): number {
    return this.#view.getFloat64(this.#take8(), true)
  }

  #take8(): number {
    const at = this.#reader.pos
    this.#reader.skip(8)
    return at
  }

  #count(): void {
    this.#entries += 1
    if (this.#entries > MAX_ENTRIES) throw tooManyEntries(this.where)
  }

  #checkNesting(nesting: number): void {
    if (nesting > MAX_NESTING) throw nestedTooDeeply(this.where)
  }
}

function sameBytes(bytes: Uint8Array, a: number, b: number, length: number): boolean {
  for (let at = 0; at < length; at++) {
    if (bytes[a + at] !== bytes[b + at]) return false
  }
  return true
}

const DATA: ReadonlyMap<number, MetricType> = new Map([
  [(5 << 3) | BYTES, 'gauge'],
  [(7 << 3) | BYTES, 'sum'],
  [(9 << 3) | BYTES, 'histogram'],
  [(10 << 3) | BYTES, 'exponential-histogram'],
  [(11 << 3) | BYTES, 'summary'],
])

function noData(type: MetricType): Data {
  const monotonic = type === 'histogram' || type === 'exponential-histogram'
  return { type, temporality: 'unspecified', monotonic, points: [] }
}

function isObject(value: Value): value is Values {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
