import { ACCOUNT_ID_ATTRIBUTE, TOKEN_TYPE_ATTRIBUTE, TOKENS_METRIC } from '../../src/usage/instruments.ts'
import { encode, Request } from '../gateway/otlp/proto.ts'

/** When the counters of the points began, in milliseconds since the epoch. */
export const BEGAN = Date.UTC(2026, 5, 10, 12)

/** Between two exports, in milliseconds. So short that no round of a benchmark is ahead of the gateway's clock. */
const INTERVAL = 5_000

export interface PointsOptions {
  readonly points: number
  /** The n-th export of the counters: each has counted more. */
  readonly round: number
  /** In how many metrics the points are, of which only the first is billable. 1 by default. */
  readonly metrics?: number
  /** Sets senders apart that export the like. */
  readonly sender?: number
}

/** What an SDK sends of cumulative counters: an ExportMetricsServiceRequest in protobuf, four attributes a point. */
export function requestOf({ points, round, metrics = 1, sender = 0 }: PointsOptions): Buffer {
  const time = String(BigInt(BEGAN + (round + 1) * INTERVAL) * 1_000_000n)
  // No two processes begin at the same instant.
  const startTime = String(BigInt(BEGAN + sender) * 1_000_000n)
  const of = (metric: number) =>
    Array.from({ length: points / metrics }, (_, number) => ({
      attributes: [
        text(ACCOUNT_ID_ATTRIBUTE, String(100_000_000_000 + (number % 1_000) * 7_919)),
        text(TOKEN_TYPE_ATTRIBUTE, number % 2 === 0 ? 'input' : 'output'),
        text('gen_ai.request.model', `llama-3.${Math.floor(number / 1_000) % 10}-70b-instruct`),
        text('server.address', `inference-${Math.floor(number / 10_000)}.example.com`),
      ],
      startTimeUnixNano: startTime,
      timeUnixNano: time,
      asInt: String((round + 1) * (1 + ((number * 37 + metric) % 4_000))),
    }))
  return encode({
    resourceMetrics: [
      {
        resource: {
          attributes: [text('service.name', 'inference'), text('service.instance.id', `instance-${sender}`)],
        },
        scopeMetrics: [
          {
            scope: { name: 'inference', version: '1.0.0' },
            metrics: Array.from({ length: metrics }, (_, metric) => ({
              name: metric === 0 ? TOKENS_METRIC : `inference.other.${metric}`,
              unit: '{token}',
              sum: { aggregationTemporality: 2, isMonotonic: true, dataPoints: of(metric) },
            })),
          },
        ],
      },
    ],
  })
}

/** The same in JSON, as an SDK writes it: integers of 64 bits are strings. */
export function jsonOf(request: Uint8Array): Buffer {
  return Buffer.from(JSON.stringify(Request.toObject(Request.decode(request), { longs: String })))
}

const text = (key: string, stringValue: string) => ({ key, value: { stringValue } })
