import type { HrTime } from '@opentelemetry/api'
import { ProtobufMetricsSerializer } from '@opentelemetry/otlp-transformer'
import { defaultResource, resourceFromAttributes } from '@opentelemetry/resources'
import {
  AggregationTemporality,
  type DataPoint,
  MeterProvider,
  type MetricData,
  MetricReader,
  type ResourceMetrics,
} from '@opentelemetry/sdk-metrics'
import { SECOND } from '../../src/ledger/hours.ts'
import type { Random } from '../../src/simulator/random.ts'
import { Traffic } from './traffic.ts'

export interface OtlpAppOptions {
  /** Its `service.instance.id`. */
  readonly instance: string
  readonly temporality: 'cumulative' | 'delta'
  readonly customers: readonly string[]
  readonly random: Random
  /** The virtual time that a real one stands for, both in milliseconds since the epoch. */
  readonly time: (real: number) => number
}

/** An application that counts with the OpenTelemetry SDK, and exports by OTLP, in virtual time. */
export class OtlpApp {
  readonly traffic: Traffic
  readonly #reader: ManualReader
  readonly #provider: MeterProvider
  readonly #time: (real: number) => number

  constructor({ instance, temporality, customers, random, time }: OtlpAppOptions) {
    const { DELTA, CUMULATIVE } = AggregationTemporality
    const attributes = { 'service.name': 'fleet', 'service.instance.id': instance }
    this.#time = time
    this.#reader = new ManualReader({
      aggregationTemporalitySelector: () => (temporality === 'delta' ? DELTA : CUMULATIVE),
    })
    this.#provider = new MeterProvider({
      resource: defaultResource().merge(resourceFromAttributes(attributes)),
      readers: [this.#reader],
    })
    this.traffic = new Traffic(this.#provider, customers, random)
  }

  /** A request, as protobuf. */
  async collect(): Promise<Uint8Array> {
    const { resourceMetrics } = await this.#reader.collect()
    return ProtobufMetricsSerializer.serializeRequest(this.#inVirtualTime(resourceMetrics)) as Uint8Array
  }

  end(): Promise<void> {
    return this.#provider.shutdown()
  }

  #inVirtualTime({ resource, scopeMetrics }: ResourceMetrics): ResourceMetrics {
    const point = ({ startTime, endTime, ...rest }: DataPoint<unknown>) => ({
      ...rest,
      startTime: this.#virtual(startTime),
      endTime: this.#virtual(endTime),
    })
    const timed = (metric: MetricData) => ({ ...metric, dataPoints: metric.dataPoints.map(point) }) as MetricData
    return {
      resource,
      scopeMetrics: scopeMetrics.map(({ scope, metrics }) => ({ scope, metrics: metrics.map(timed) })),
    }
  }

  #virtual([seconds, nanoseconds]: HrTime): HrTime {
    const time = Math.round(this.#time(seconds * SECOND + nanoseconds / 1_000_000))
    return [Math.floor(time / SECOND), (time % SECOND) * 1_000_000]
  }
}

class ManualReader extends MetricReader {
  protected override async onForceFlush() {}
  protected override async onShutdown() {}
}
