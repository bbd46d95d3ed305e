import type { Attributes, HrTime } from '@opentelemetry/api'
import { ProtobufMetricsSerializer } from '@opentelemetry/otlp-transformer'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { AggregationTemporality, DataPointType, type MetricData } from '@opentelemetry/sdk-metrics'
import { SECOND } from '../../../src/ledger/hours.ts'
import { CUSTOMER, CUSTOMERS, type Measured } from './world.ts'

/** How a Collector names what its Prometheus receiver has scraped. */
const SCRAPED = 'github.com/open-telemetry/opentelemetry-collector-contrib/receiver/prometheusreceiver'

export type Kind = 'scraped' | 'cumulative' | 'delta' | 'gauge'

const METRICS: Record<Kind, { readonly scope: string; readonly metric: string }> = {
  scraped: { scope: SCRAPED, metric: 'vllm:generation_tokens' },
  cumulative: { scope: 'app', metric: 'app.tokens' },
  delta: { scope: 'app', metric: 'app.tokens' },
  gauge: { scope: SCRAPED, metric: 'app.gpus' },
}

/** A process whose counters, one for each customer, a Collector forwards as requests of their own. */
export class Process {
  readonly kind: Kind
  readonly #name: string
  readonly #measured: Measured
  readonly #values = new Map<string, number>()
  #start: number
  #time: number

  /** @param counted what its counters said before anybody looked at them */
  constructor(kind: Kind, name: string, measured: Measured, start: number, counted = 0) {
    this.kind = kind
    this.#name = name
    this.#measured = measured
    this.#start = start
    this.#time = start
    for (const customer of CUSTOMERS) this.#values.set(customer, counted)
  }

  /** It counts so much for each customer, or has so many GPUs from now on; and what it says of that at `time`. */
  work(time: number, amount: () => number): Uint8Array {
    const since = this.#time
    this.#time = time
    for (const customer of CUSTOMERS) {
      const before = this.#values.get(customer) as number
      const added = amount()
      if (this.kind === 'gauge') {
        this.#measured.add(customer, 'gpu-minutes', BigInt(before * (time - since)) * 1000n)
        this.#values.set(customer, added)
      } else {
        this.#measured.add(customer, 'tokens-1k', BigInt(added) * 1_000_000n)
        this.#values.set(customer, this.kind === 'delta' ? added : before + added)
      }
    }
    return this.#request(this.kind === 'delta' ? since : this.kind === 'cumulative' ? this.#start : 0, time)
  }

  /** What it counts begins with 0 again. */
  restart(time: number): void {
    this.#start = time
    this.#time = time
    for (const customer of CUSTOMERS) this.#values.set(customer, 0)
  }

  #request(start: number, time: number): Uint8Array {
    const { scope, metric } = METRICS[this.kind]
    const points = CUSTOMERS.map(customer => ({
      attributes: { [CUSTOMER]: customer } satisfies Attributes,
      startTime: hrTime(start),
      endTime: hrTime(time),
      value: this.#values.get(customer) as number,
    }))
    const common = { descriptor: { name: metric, description: '', unit: '', valueType: 1 }, dataPoints: points }
    const { DELTA, CUMULATIVE } = AggregationTemporality
    const data =
      this.kind === 'gauge'
        ? { ...common, dataPointType: DataPointType.GAUGE, aggregationTemporality: CUMULATIVE }
        : {
            ...{ ...common, dataPointType: DataPointType.SUM, isMonotonic: true },
            aggregationTemporality: this.kind === 'delta' ? DELTA : CUMULATIVE,
          }
    return ProtobufMetricsSerializer.serializeRequest({
      resource: resourceFromAttributes({ 'service.name': this.#name }),
      scopeMetrics: [{ scope: { name: scope, version: '0.159.0' }, metrics: [data as MetricData] }],
    }) as Uint8Array
  }
}

const hrTime = (milliseconds: number): HrTime => [
  Math.floor(milliseconds / SECOND),
  (milliseconds % SECOND) * 1_000_000,
]
