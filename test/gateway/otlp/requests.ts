import type { OtlpRequest } from '../../../src/gateway/otlp/metrics.ts'

/** Requests with the names of OTLP/JSON, and what has to become of them. */

const START = '1700000000000000000'
const TIME = '1700000060000000000'

const times = { startTimeUnixNano: START, timeUnixNano: TIME }
const decodedTimes = { startTime: 1_700_000_000_000_000_000n, time: 1_700_000_060_000_000_000n }

export const everyKind = {
  resourceMetrics: [
    {
      resource: {
        attributes: [
          { key: 'text', value: { stringValue: 'vLLM – 推論' } },
          { key: 'flag', value: { boolValue: true } },
          { key: 'integer', value: { intValue: '-42' } },
          { key: 'large', value: { intValue: '9007199254740993' } },
          { key: 'smallest', value: { intValue: '-9223372036854775808' } },
          { key: 'double', value: { doubleValue: 0.5 } },
          { key: 'not a number', value: { doubleValue: 'NaN' } },
          { key: 'infinite', value: { doubleValue: '-Infinity' } },
          { key: 'bytes', value: { bytesValue: 'AP/+' } },
          { key: 'empty', value: {} },
          { key: 'left out' },
          { key: 'list', value: { arrayValue: { values: [{ stringValue: 'a' }, { intValue: '1' }, {}] } } },
          { key: 'object', value: { kvlistValue: { values: [{ key: 'inner', value: { boolValue: false } }] } } },
        ],
        droppedAttributesCount: 3,
      },
      scopeMetrics: [
        {
          scope: { name: 'meter', version: '1.2.3', attributes: [{ key: 'scope', value: { stringValue: 'yes' } }] },
          metrics: [
            {
              name: 'tokens',
              description: 'Tokens.',
              unit: '{token}',
              sum: {
                aggregationTemporality: 2,
                isMonotonic: true,
                dataPoints: [
                  { ...times, asInt: '9223372036854775807', attributes: [{ key: 'a', value: { stringValue: '1' } }] },
                  { ...times, asInt: '0', exemplars: [{ asDouble: 1, spanId: 'AAAAAAAAAAA=' }] },
                  { ...times, asDouble: -0.25 },
                  { ...times, flags: 1 },
                  {},
                ],
              },
            },
            { name: 'delta', sum: { aggregationTemporality: 1, dataPoints: [{ asDouble: 'Infinity' }] } },
            { name: 'load', unit: '1', gauge: { dataPoints: [{ ...times, asDouble: 0.75 }] } },
            {
              name: 'duration',
              unit: 's',
              histogram: {
                aggregationTemporality: 1,
                dataPoints: [
                  {
                    ...times,
                    count: '3',
                    sum: 1.5,
                    bucketCounts: ['1', '2'],
                    explicitBounds: [1],
                    min: 0.25,
                    max: 1,
                    attributes: [{ key: 'a', value: { stringValue: '1' } }],
                  },
                  { ...times, count: '3' },
                  { ...times, flags: 1 },
                ],
              },
            },
            {
              name: 'size',
              exponentialHistogram: {
                aggregationTemporality: 2,
                dataPoints: [
                  {
                    ...times,
                    count: '18446744073709551615',
                    sum: 0,
                    scale: -3,
                    zeroCount: '1',
                    positive: { offset: -1, bucketCounts: ['1'] },
                    attributes: [{ key: 'a', value: { stringValue: '1' } }],
                  },
                ],
              },
            },
            {
              name: 'quantiles',
              summary: {
                dataPoints: [
                  {
                    ...times,
                    count: '2',
                    sum: 4.5,
                    quantileValues: [{ quantile: 0.5, value: 2 }],
                    attributes: [{ key: 'a', value: { stringValue: '1' } }],
                  },
                  { ...times, flags: 1 },
                ],
              },
            },
            { name: 'nothing' },
          ],
        },
        { scope: { name: 'empty' }, metrics: [] },
      ],
    },
    { scopeMetrics: [{ metrics: [{ name: 'alone' }] }] },
    { resource: { attributes: [{ key: 'nobody', value: { stringValue: 'sees me' } }] }, scopeMetrics: [{}] },
  ],
}

const none = { sum: undefined, count: undefined, noRecordedValue: false, attributes: {} }
const unknownTimes = { startTime: 0n, time: 0n }
const attributes = { a: '1' }

export const everyKindDecoded: OtlpRequest = {
  resourceMetrics: [
    {
      resource: {
        text: 'vLLM – 推論',
        flag: true,
        integer: -42,
        large: '9007199254740993',
        smallest: '-9223372036854775808',
        double: 0.5,
        'not a number': 'NaN',
        infinite: '-Infinity',
        bytes: 'AP/+',
        // The API's type has neither null nor mixed lists nor objects.
        ...({ empty: null, 'left out': null, list: ['a', 1, null], object: { inner: false } } as object),
      },
      scopes: [
        {
          name: 'meter',
          version: '1.2.3',
          attributes: { scope: 'yes' },
          metrics: [
            {
              name: 'tokens',
              unit: '{token}',
              type: 'sum',
              temporality: 'cumulative',
              monotonic: true,
              points: [
                { ...none, ...decodedTimes, sum: 9_223_372_036_854_775_807n, attributes },
                { ...none, ...decodedTimes, sum: 0n },
                { ...none, ...decodedTimes, sum: -0.25 },
                { ...none, ...decodedTimes, noRecordedValue: true },
                { ...none, ...unknownTimes },
              ],
            },
            {
              name: 'delta',
              unit: '',
              type: 'sum',
              temporality: 'delta',
              monotonic: false,
              points: [{ ...none, ...unknownTimes, sum: Number.POSITIVE_INFINITY }],
            },
            {
              name: 'load',
              unit: '1',
              type: 'gauge',
              temporality: 'unspecified',
              monotonic: false,
              points: [{ ...none, ...decodedTimes, sum: 0.75 }],
            },
            {
              name: 'duration',
              unit: 's',
              type: 'histogram',
              temporality: 'delta',
              monotonic: true,
              points: [
                { ...none, ...decodedTimes, sum: 1.5, count: 3n, attributes },
                { ...none, ...decodedTimes, count: 3n },
                { ...none, ...decodedTimes, count: 0n, noRecordedValue: true },
              ],
            },
            {
              name: 'size',
              unit: '',
              type: 'exponential-histogram',
              temporality: 'cumulative',
              monotonic: true,
              points: [{ ...none, ...decodedTimes, sum: 0, count: 18_446_744_073_709_551_615n, attributes }],
            },
            {
              name: 'quantiles',
              unit: '',
              type: 'summary',
              temporality: 'unspecified',
              monotonic: false,
              points: [
                { ...none, ...decodedTimes, sum: 4.5, count: 2n, attributes },
                { ...none, ...decodedTimes, sum: 0, count: 0n, noRecordedValue: true },
              ],
            },
            { name: 'nothing', unit: '', type: 'none', temporality: 'unspecified', monotonic: false, points: [] },
          ],
        },
      ],
    },
    {
      resource: {},
      scopes: [
        {
          name: '',
          version: '',
          attributes: {},
          metrics: [
            { name: 'alone', unit: '', type: 'none', temporality: 'unspecified', monotonic: false, points: [] },
          ],
        },
      ],
    },
  ],
}

/** A request with one metric of one point, and this resource. */
export function requestWith(resource: object, point: object = { asInt: '1' }): object {
  const metric = { name: 'tokens', sum: { aggregationTemporality: 1, isMonotonic: true, dataPoints: [point] } }
  return { resourceMetrics: [{ resource, scopeMetrics: [{ metrics: [metric] }] }] }
}
