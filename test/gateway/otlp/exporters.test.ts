import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { type DiagLogger, DiagLogLevel, diag, ValueType } from '@opentelemetry/api'
import { OTLPMetricExporter as GrpcExporter } from '@opentelemetry/exporter-metrics-otlp-grpc'
import { OTLPMetricExporter as JsonExporter } from '@opentelemetry/exporter-metrics-otlp-http'
import { OTLPMetricExporter as ProtobufExporter } from '@opentelemetry/exporter-metrics-otlp-proto'
import { resourceFromAttributes } from '@opentelemetry/resources'
import {
  AggregationType,
  MeterProvider,
  PeriodicExportingMetricReader,
  type PushMetricExporter,
} from '@opentelemetry/sdk-metrics'
import type { OtlpPoint } from '../../../src/gateway/otlp/metrics.ts'
import type { ReceiverOptions } from '../../../src/gateway/otlp/options.ts'
import { UnavailableError } from '../../../src/gateway/otlp/sink.ts'
import { type Received, receiveGrpc, receiveHttp } from './support.ts'

/** The enumeration of a package that exporters depend on, by its values. */
type Compression = NonNullable<NonNullable<ConstructorParameters<typeof ProtobufExporter>[0]>['compression']>
const [NONE, GZIP] = ['none', 'gzip'] as Compression[] as [Compression, Compression]

interface Transport {
  readonly name: string
  receive(t: TestContext, options?: Partial<ReceiverOptions>): Promise<Received>
  exporter(port: number, compression: Compression): PushMetricExporter
}

const url = (port: number) => `http://127.0.0.1:${port}/v1/metrics`

const TRANSPORTS: readonly Transport[] = [
  {
    name: 'protobuf over HTTP',
    receive: receiveHttp,
    exporter: (port, compression) => new ProtobufExporter({ url: url(port), compression }),
  },
  {
    name: 'JSON over HTTP',
    receive: receiveHttp,
    exporter: (port, compression) => new JsonExporter({ url: url(port), compression }),
  },
  {
    name: 'gRPC',
    receive: receiveGrpc,
    exporter: (port, compression) => new GrpcExporter({ url: `http://127.0.0.1:${port}`, compression }),
  },
]

for (const { name, receive, exporter } of TRANSPORTS) {
  for (const compression of [NONE, GZIP]) {
    test(`${name}, compression ${compression}: everything arrives`, async t => {
      const { receiver, sink, errors } = await receive(t)
      const began = BigInt(Date.now()) * 1_000_000n
      await measure(exporter(receiver.port, compression))
      assert.deepEqual(errors, [])
      const [resource, ...others] = sink.accepted.flatMap(({ resourceMetrics }) => resourceMetrics)
      assert.deepEqual(others, [])
      assert.equal(resource?.resource['service.name'], 'inference')
      const [scope] = resource?.scopes ?? []
      assert.deepEqual([scope?.name, scope?.version], ['meter', '1.2.3'])
      const metrics = new Map(scope?.metrics.map(metric => [metric.name, metric]))
      const about = (name: string) => {
        const { unit, type, temporality, monotonic } = metrics.get(name) ?? {}
        return [unit, type, temporality, monotonic]
      }
      assert.deepEqual(about('tokens'), ['{token}', 'sum', 'cumulative', true])
      assert.deepEqual(about('active'), ['', 'sum', 'cumulative', false])
      assert.deepEqual(about('load'), ['1', 'gauge', 'unspecified', false])
      assert.deepEqual(about('duration'), ['s', 'histogram', 'cumulative', true])
      assert.deepEqual(about('size'), ['By', 'exponential-histogram', 'cumulative', true])
      const values = (name: string) =>
        metrics.get(name)?.points.map(({ attributes, sum, count }: OtlpPoint) => [attributes, sum, count])
      assert.deepEqual(values('tokens'), [
        [{ customer: 'a', list: ['x', 'y'] }, 7n, undefined],
        [{ customer: 'b' }, 5n, undefined],
      ])
      assert.deepEqual(values('active'), [[{}, -1n, undefined]])
      assert.deepEqual(values('load'), [[{}, 0.25, undefined]])
      assert.deepEqual(values('duration'), [[{}, 2, 2n]])
      assert.deepEqual(values('size'), [[{}, 100, 1n]])
      for (const { startTime, time } of metrics.get('tokens')?.points ?? []) {
        assert.ok(began <= startTime + 1_000_000n && startTime <= time, `${began} ${startTime} ${time}`)
        assert.ok(time <= BigInt(Date.now() + 1) * 1_000_000n)
      }
    })
  }

  test(`${name}: a partial success is a success with a warning`, async t => {
    const { receiver, sink } = await receive(t)
    const warnings: string[] = []
    const listen = (...args: unknown[]) => warnings.push(args.join(' '))
    const logger: DiagLogger = { error: listen, warn: listen, info: listen, debug() {}, verbose() {} }
    diag.setLogger(logger, DiagLogLevel.ALL)
    t.after(() => diag.disable())
    sink.answer = () => ({ rejectedDataPoints: 2, message: 'two points have a customer whom nobody knows' })
    await measure(exporter(receiver.port, NONE))
    assert.equal(sink.accepted.length, 1, 'it is not sent again')
    const [warning = ''] = warnings.filter(text => /partial success/i.test(text))
    assert.match(warning, /two points have a customer whom nobody knows/)
    assert.match(warning, /"rejectedDataPoints":"?2/)
  })
}

for (const { name, receive, exporter } of TRANSPORTS.slice(0, 2)) {
  test(`${name}: what was not taken comes again when it was told to`, async t => {
    const { receiver, sink } = await receive(t)
    let asked = 0
    sink.answer = () => {
      asked += 1
      if (asked === 1) throw new UnavailableError('not now', { retryAfterSeconds: 1 })
      return { rejectedDataPoints: 0, message: '' }
    }
    await measure(exporter(receiver.port, GZIP))
    assert.equal(asked, 2)
    assert.equal(sink.accepted.length, 1)
  })
}

/** Measures something of each kind and exports it once. */
async function measure(exporter: PushMetricExporter): Promise<void> {
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 })
  const provider = new MeterProvider({
    resource: resourceFromAttributes({ 'service.name': 'inference' }),
    readers: [reader],
    views: [{ instrumentName: 'size', aggregation: { type: AggregationType.EXPONENTIAL_HISTOGRAM } }],
  })
  const meter = provider.getMeter('meter', '1.2.3')
  const tokens = meter.createCounter('tokens', { unit: '{token}', valueType: ValueType.INT })
  tokens.add(3, { customer: 'a', list: ['x', 'y'] })
  tokens.add(4, { customer: 'a', list: ['x', 'y'] })
  tokens.add(5, { customer: 'b' })
  meter.createUpDownCounter('active', { valueType: ValueType.INT }).add(-1)
  meter.createObservableGauge('load', { unit: '1' }).addCallback(result => result.observe(0.25))
  const duration = meter.createHistogram('duration', { unit: 's' })
  duration.record(0.5)
  duration.record(1.5)
  meter.createHistogram('size', { unit: 'By' }).record(100)
  await provider.shutdown()
}
