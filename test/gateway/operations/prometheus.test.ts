import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MeterProvider } from '@opentelemetry/sdk-metrics'
import { PrometheusReader } from '../../../src/gateway/operations/prometheus.ts'
import { customer, licenceArn } from '../../metering/support.ts'
import { MeterProvider as MeterProvider2 } from '../../sdk-metrics-2/sdk.ts'
import { PROMETHEUS_LINE } from './prometheus-line.ts'
import { trouble } from './support.ts'

for (const [name, Provider] of Object.entries({ 'sdk-metrics 3': MeterProvider, 'sdk-metrics 2.7': MeterProvider2 })) {
  test(`each kind of instrument has its type, its unit and its escapes (${name})`, async t => {
    const reader = new PrometheusReader()
    const provider = new Provider({ readers: [reader as never] })
    t.after(() => provider.shutdown())
    const meter = provider.getMeter('a "scope"')
    meter.createCounter('app.points', { unit: '{point}', description: 'Points,\nand a \\' }).add(3, {
      'a.b': 'say "hi"\n\\o/',
      'a-b': 'again',
      list: ['x', 'y'],
      '1st': true,
    })
    meter.createCounter('app.used.bytes.total', { unit: 'By' }).add(2)
    meter.createUpDownCounter('app.queue', { unit: '1' }).add(-2)
    meter.createObservableGauge('app.age', { unit: 's' }).addCallback(result => result.observe(Number.NaN))
    meter.createObservableGauge('app.free', { unit: '1' }).addCallback(result => result.observe(0.5))
    meter.createObservableGauge('app.limit').addCallback(result => result.observe(Number.POSITIVE_INFINITY))
    const advice = { explicitBucketBoundaries: [0.1, 1, 10] }
    const histogram = meter.createHistogram('app.duration', { unit: 's', description: 'How long.', advice })
    for (const value of [0.05, 0.5, 0.6, 50]) histogram.record(value, { region: 'us-east-1' })
    const scope = 'otel_scope_name="a \\"scope\\""'
    const text = await reader.text()
    assert.equal(
      text,
      `# HELP app_points_total Points,\\nand a \\\\
# TYPE app_points_total counter
app_points_total{${scope},_1st="true",a_b="again;say \\"hi\\"\\n\\\\o/",list="[\\"x\\",\\"y\\"]"} 3
# TYPE app_used_bytes_total counter
app_used_bytes_total{${scope}} 2
# TYPE app_queue gauge
app_queue{${scope}} -2
# TYPE app_age_seconds gauge
app_age_seconds{${scope}} NaN
# TYPE app_free_ratio gauge
app_free_ratio{${scope}} 0.5
# TYPE app_limit gauge
app_limit{${scope}} +Inf
# HELP app_duration_seconds How long.
# TYPE app_duration_seconds histogram
app_duration_seconds_bucket{${scope},region="us-east-1",le="0.1"} 1
app_duration_seconds_bucket{${scope},region="us-east-1",le="1"} 3
app_duration_seconds_bucket{${scope},region="us-east-1",le="10"} 3
app_duration_seconds_bucket{${scope},region="us-east-1",le="+Inf"} 4
app_duration_seconds_sum{${scope},region="us-east-1"} 51.15
app_duration_seconds_count{${scope},region="us-east-1"} 4
`,
    )
  })
}

test("the gateway's metrics are a well-formed answer that names no customer", async t => {
  const scene = await trouble(t)
  const response = await scene.get('/metrics')
  assert.equal(response.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8')
  const text = await response.text()
  for (const line of text.trimEnd().split('\n')) assert.match(line, PROMETHEUS_LINE)
  assert.match(text, /^marketplace_metering_held\{.*dimension="requests",reason="over-maximum"\} 2000129$/m)
  assert.match(text, /^marketplace_metering_oldest_pending_age_seconds\{.*\} [1-9]/m)
  assert.match(text, /^marketplace_metering_records_total\{.*outcome="metered"\} [1-9]/m)
  for (const secret of [customer(1).accountId as string, licenceArn(5)]) assert.ok(!text.includes(secret))
})
