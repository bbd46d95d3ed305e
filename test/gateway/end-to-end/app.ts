import type { Counter, Histogram } from '@opentelemetry/api'
import { OTLPMetricExporter as GrpcExporter } from '@opentelemetry/exporter-metrics-otlp-grpc'
import {
  AggregationTemporalityPreference,
  OTLPMetricExporter as JsonExporter,
} from '@opentelemetry/exporter-metrics-otlp-http'
import { OTLPMetricExporter as ProtoExporter } from '@opentelemetry/exporter-metrics-otlp-proto'
import { CompressionAlgorithm } from '@opentelemetry/otlp-exporter-base'
import { defaultResource, resourceFromAttributes } from '@opentelemetry/resources'
import {
  AggregationType,
  MeterProvider,
  PeriodicExportingMetricReader,
  type PushMetricExporter,
} from '@opentelemetry/sdk-metrics'
import type { Random } from '../../../src/simulator/random.ts'
import { CUSTOMER, CUSTOMERS, type Measured } from './world.ts'

export const TRANSPORTS = ['proto', 'json', 'grpc'] as const
export const TEMPORALITIES = ['delta', 'cumulative'] as const
export const COMPRESSIONS = ['gzip', 'none'] as const

export interface AppOptions {
  readonly transport: (typeof TRANSPORTS)[number]
  readonly temporality: (typeof TEMPORALITIES)[number]
  readonly compression: (typeof COMPRESSIONS)[number]
  /** Where its exporter sends to. */
  readonly url: string
  readonly measured: Measured
  readonly random: Random
}

/** An application with OpenTelemetry's own SDK and exporter, that counts what it does for customers. */
export class App {
  readonly name: string
  /** Exports of which the exporter said that they failed. */
  failures = 0
  readonly #options: AppOptions
  #provider: MeterProvider
  #tokens: Counter
  #requests: Histogram
  #queue: Histogram
  #failed = false

  constructor(options: AppOptions) {
    this.#options = options
    this.name = [options.transport, options.temporality, options.compression].join(' ')
    ;[this.#provider, this.#tokens, this.#requests, this.#queue] = this.#begin()
  }

  /** Some requests of each customer. Durations are 64ths of a second, which add up exactly as floating point numbers. */
  work(): void {
    const { measured, random } = this.#options
    const integer = (most: number) => 1 + Math.floor(random() * most)
    for (const customer of CUSTOMERS) {
      for (let requests = integer(5); requests > 0; requests--) {
        const attributes = { [CUSTOMER]: customer, model: `model-${integer(2)}` }
        const tokens = integer(2000)
        const [duration, wait] = [integer(6400), integer(640)]
        this.#tokens.add(tokens, attributes)
        this.#requests.record(duration / 64, attributes)
        this.#queue.record(wait / 64, attributes)
        measured.add(customer, 'tokens-1k', BigInt(tokens) * 1_000_000n)
        measured.add(customer, 'requests', 1_000_000n)
        measured.add(customer, 'compute-minutes', BigInt(duration) * 15_625n)
        measured.add(customer, 'queue-seconds', BigInt(wait) * 15_625n)
      }
    }
  }

  /** Exports, and says whether that succeeded. */
  async flush(): Promise<boolean> {
    this.#failed = false
    await this.#provider.forceFlush()
    return !this.#failed
  }

  /** Ends, as an application should, and begins anew. */
  async restart(): Promise<void> {
    await this.end()
    ;[this.#provider, this.#tokens, this.#requests, this.#queue] = this.#begin()
  }

  async end(): Promise<void> {
    await this.#provider.shutdown()
  }

  #begin(): [MeterProvider, Counter, Histogram, Histogram] {
    const exporter = this.#noting(exporterOf(this.#options))
    const provider = new MeterProvider({
      // With what SDKs say of themselves, as they do by default.
      resource: defaultResource().merge(resourceFromAttributes({ 'service.name': this.name })),
      readers: [new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 })],
      views: [{ instrumentName: 'app.queue.duration', aggregation: { type: AggregationType.EXPONENTIAL_HISTOGRAM } }],
    })
    const meter = provider.getMeter('app', '1.0.0')
    return [
      provider,
      meter.createCounter('app.tokens', { unit: '{token}' }),
      meter.createHistogram('app.request.duration', { unit: 's' }),
      meter.createHistogram('app.queue.duration', { unit: 's' }),
    ]
  }

  /** The reader tells nobody whether an export failed. */
  #noting(exporter: PushMetricExporter): PushMetricExporter {
    const send = exporter.export.bind(exporter)
    exporter.export = (metrics, done) =>
      send(metrics, result => {
        if (result.code !== 0) {
          this.#failed = true
          this.failures += 1
        }
        done(result)
      })
    return exporter
  }
}

function exporterOf({ transport, temporality, compression, url }: AppOptions): PushMetricExporter {
  const { DELTA, CUMULATIVE } = AggregationTemporalityPreference
  const options = {
    temporalityPreference: temporality === 'delta' ? DELTA : CUMULATIVE,
    compression: compression === 'gzip' ? CompressionAlgorithm.GZIP : CompressionAlgorithm.NONE,
  }
  switch (transport) {
    case 'proto':
      return new ProtoExporter({ ...options, url: `${url}/v1/metrics` })
    case 'json':
      return new JsonExporter({ ...options, url: `${url}/v1/metrics` })
    case 'grpc':
      return new GrpcExporter({ ...options, url })
  }
}
