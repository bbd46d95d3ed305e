import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics'
import { EmbeddedMetricExporter, NAMESPACE } from '../../examples/aws/embedded-metric-exporter.ts'

test("metrics are printed as CloudWatch's embedded metric format, added up for alarms", async () => {
  const lines: string[] = []
  const exporter = new EmbeddedMetricExporter({ Service: 'stack' }, line => lines.push(line))
  const provider = new MeterProvider({ readers: [new PeriodicExportingMetricReader({ exporter })] })
  const meter = provider.getMeter('test')
  const counter = meter.createCounter('points', { unit: '{data_point}' })
  meter.createObservableGauge('held').addCallback(result => {
    result.observe(3, { dimension: 'tokens', reason: 'refused' })
    result.observe(4, { dimension: 'tokens', reason: 'conflict' })
  })
  meter.createObservableGauge('age', { unit: 's' }).addCallback(result => {
    result.observe(7, { dimension: 'tokens' })
    result.observe(9, { dimension: 'requests' })
    result.observe(8, { dimension: 'gpu' })
  })
  meter.createHistogram('duration', { unit: 's' }).record(1)
  counter.add(5, { ok: true })
  counter.add(2, { 'error.type': 'busy' })
  await provider.forceFlush()
  counter.add(1)
  await provider.shutdown()

  const [first, second] = lines.map(line => JSON.parse(line))
  const { Timestamp, CloudWatchMetrics } = first._aws
  assert.ok(Math.abs(Date.now() - Timestamp) < 60_000)
  assert.deepEqual(CloudWatchMetrics, [
    {
      Namespace: NAMESPACE,
      Dimensions: [['Service']],
      Metrics: [
        { Name: 'points', Unit: 'Count' },
        { Name: 'points.failed', Unit: 'Count' },
        { Name: 'held', Unit: 'None' },
        { Name: 'age', Unit: 'Seconds' },
      ],
    },
  ])
  const values = { Service: first.Service, points: first.points, held: first.held, age: first.age }
  assert.deepEqual(values, { Service: 'stack', points: 5, held: 7, age: 9 })
  assert.equal(first['points.failed'], 2)
  assert.equal(first.details.length, 7)
  assert.equal(second.points, 1, 'a sum is what happened since the last line')
})
