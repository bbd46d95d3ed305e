import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { parse } from 'yaml'
import { createProgram } from '../../src/cli/program.ts'
import { DAY, HOUR, MINUTE } from '../../src/ledger/hours.ts'
import { ALARM_VERDICTS } from '../../src/metering/counter-alarms.ts'
import { nanoseconds } from '../counters/otlp.ts'
import { ALICE, BOB, CAROL, type Alert as Fired, MonitoringWorld } from './monitoring-world.ts'

const ROOT = join(import.meta.dirname, '../..')
const FOLDER = join(ROOT, 'examples/monitoring')
const RULES = join(FOLDER, 'rules.yaml')
const textOf = (path: string) => readFileSync(join(ROOT, path), 'utf8')

interface Alert {
  readonly alert: string
  readonly expr: string
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<'summary' | 'description' | 'command' | 'runbook', string>>
}

const alerts: readonly Alert[] = parse(readFileSync(RULES, 'utf8')).groups[0].rules
const runbook = textOf('examples/monitoring/README.md')
const dashboard = JSON.parse(textOf('examples/monitoring/dashboard.json'))
const queries: string[] = dashboard.panels.flatMap(({ targets = [] }: { targets?: { expr: string }[] }) =>
  targets.map(({ expr }) => expr),
)

const missing = ['promtool', 'prometheus'].filter(name => spawnSync(name, ['--version']).error !== undefined)
const skip = missing.length > 0 && `${missing.join(' and ')} not found: apt-get install prometheus`

test('promtool takes the rules, and they do what their tests say', { skip }, () => {
  for (const command of ['check rules rules.yaml', 'test rules rules.test.yaml']) {
    const { status, stdout, stderr } = spawnSync('promtool', command.split(' '), { cwd: FOLDER, encoding: 'utf8' })
    assert.equal(status, 0, stdout + stderr)
  }
})

test('each alert has its entry in the runbook, and each entry says what it is, how long one has, what to do and when it is over', () => {
  const entries = [...runbook.matchAll(/^### (Marketplace\w+)\n([\s\S]*?)(?=^##|(?![\s\S]))/gm)]
  assert.deepEqual(
    entries.map(([, name]) => name),
    alerts.map(({ alert }) => alert),
  )
  for (const [, name, text = ''] of entries) {
    const parts = [...text.matchAll(/^- \*\*(.+?)\*\*/gm)].map(([, part]) => part)
    assert.deepEqual(parts, ['Means', 'Time', 'Do', 'Over'], name)
  }
  for (const { alert, labels, annotations } of alerts) {
    assert.match(labels.severity ?? '', /^(critical|warning)$/, alert)
    assert.deepEqual(Object.keys(annotations), ['summary', 'description', 'command', 'runbook'], alert)
    assert.equal(annotations.runbook, `examples/monitoring/README.md#${alert.toLowerCase()}`)
  }
})

test('the rules are an object of the Prometheus Operator as the README makes it', () => {
  const [, command = ''] = /^(\{ printf [\s\S]*?\}) \| kubectl/m.exec(runbook) ?? []
  const { stdout } = spawnSync('bash', ['-c', command], { cwd: FOLDER, encoding: 'utf8' })
  const { kind, metadata, spec } = parse(stdout)
  assert.deepEqual([kind, metadata.name], ['PrometheusRule', 'marketplace-metering'])
  assert.deepEqual(spec.groups[0].rules, alerts)
})

test('the commands that alerts and runbook name are there, with their options', () => {
  const commands = new Map(createProgram().commands.map(command => [command.name(), command]))
  const named = [
    ...alerts.map(({ annotations }) => annotations.command),
    ...[...runbook.matchAll(/`(marketplace-meter [^`]+)`/g)].map(([, text]) => text as string),
    ...[...runbook.matchAll(/^(?:\w+=\S+ )?(marketplace-meter .*)$/gm)].map(([, text]) => text as string),
  ]
  assert.ok(named.length > 40)
  for (const text of named) {
    const [, name = '', ...words] = text.replace(/\{\{.*?\}\}/g, 'x').split(' ')
    const command = commands.get(name)
    assert.ok(command, text)
    const options = new Set(command.options.map(({ long }) => long))
    for (const word of words) if (word.startsWith('--')) assert.ok(options.has(word.split('=')[0] ?? ''), text)
  }
})

test("each metric has an alert or a place on the dashboard, and each alarm of the operator's manual an alert", () => {
  const shown = (name: string, texts: readonly string[]) =>
    texts.some(text =>
      new RegExp(`\\b${name.replaceAll('.', '_')}(_seconds|_ratio|_total)?(_count|_bucket)?\\b`).test(text),
    )
  const sources = ['src/metering/reporter.ts', 'src/gateway/gateway.ts'].map(textOf).join()
  const instruments = [...sources.matchAll(/\.create(?:Observable)?(?:Gauge|Counter|Histogram)\('([\w.]+)'/g)]
  assert.ok(instruments.length > 25)
  const expressions = alerts.map(({ expr }) => expr)
  for (const [, name = ''] of instruments) assert.ok(shown(name, [...expressions, ...queries]), name)

  const rows = [...textOf('src/cli/README.md').matchAll(/^\| (`(?:marketplace|otel)\.[^|]*) \| (.*) \|$/gm)]
  assert.ok(rows.length > 20)
  for (const [, names = '', when = ''] of rows) {
    if (when.startsWith('for the dashboard')) continue
    for (const [, name = ''] of names.matchAll(/`((?:marketplace|otel)\.[\w.]+)`/g))
      assert.ok(shown(name, expressions), `${name}: ${when}`)
  }
})

/** The metrics that an expression takes. */
const metricsIn = (expression: string) => new Set(expression.match(/\b(?:marketplace|otel)_\w+/g))

test('each alert fires on a real gateway in which it is so, and the dashboard shows something', { skip }, async () => {
  await using world = await MonitoringWorld.open()
  const fired = new Map<string, Fired[]>()
  const fires = async (...names: string[]) => {
    for (const alert of await world.firing(...names)) {
      const { alertname } = alert.labels
      fired.set(alertname, [...(fired.get(alertname) ?? []), alert])
    }
  }
  await world.dayBefore()
  const events = { queue: world.aws.queueUrl.replace('http:', 'sqs:'), client: world.sqs }
  await world.startGateway({ reconcile: world.cloudTrail, events })
  const application = await world.startExporter()
  await world.startPrometheus(RULES, [application.port])
  await fires('MarketplaceMeteringSilent')

  // An hour in which usage is of every kind.
  const metric = (name: string, unit = '{token}') => ({ name, unit, type: 'sum', temporality: 'delta' }) as const
  await world.send([
    [ALICE, 700],
    [BOB, 9000],
    [CAROL, 50],
    [undefined, 3],
    [ALICE, 5e12, { metric: metric('app.characters') }],
    [ALICE, 1, { metric: { name: 'app.tokens', unit: '{token}', type: 'gauge' } }],
    [ALICE, 1, { metric: metric('app.requests', '{request}'), attributes: { customer: ALICE, tier: 'free' } }],
    [ALICE, 1, { metric: metric('app.words', '{word}') }],
    [ALICE, 1, { metric: metric('proxy.words', '{word}') }],
    // The same delta with another value.
    [BOB, 1],
  ])
  // A counter that began long ago, and one beside it that is new.
  const total = { name: 'app.tokens', unit: '{token}', type: 'sum', temporality: 'cumulative' } as const
  const old = { metric: total, start: nanoseconds(world.now - 9 * DAY), resource: { 'service.name': 'old' } }
  await world.send([[ALICE, 100, old]])
  world.now += MINUTE
  await world.send([
    [ALICE, 101, old],
    [CAROL, 5, old],
  ])
  await world.shown(/^marketplace_usage_waiting\{/m)
  for (let attempt = 0; attempt < 6; attempt++) await world.send([], 'token-of-nobody-at-all')
  await world.sendGarbage()
  world.aws.simulator.queue.send('no event')
  world.foreign(CAROL, 5)
  await application.export()
  await fires('MarketplaceUnmatchedPoints', 'MarketplaceUsageUnattributed', 'MarketplaceReconciliationFinding')
  await fires('MarketplaceAgreementEventFailed', 'MarketplaceTwoSources', 'MarketplaceUnbillable')
  // Of what there is from the first scrape on, increase() sees what comes then.
  for (let attempt = 0; attempt < 6; attempt++) await world.send([], 'token-of-nobody-at-all')
  await fires('MarketplaceRequestsRefused', 'MarketplaceNotCounted')

  // AWS takes no usage at first.
  const { faults } = world.aws.simulator
  faults.add({ kind: 'throttling', operation: 'BatchMeterUsage', rate: 1 })
  world.now += HOUR
  await world.scraped('marketplace_metering_request_duration_seconds_count{error_type!=""}')
  world.now += 10 * MINUTE
  await fires('MarketplaceSendingFails', 'MarketplaceEndpointRefused')
  faults.clear()
  world.now += 10 * MINUTE
  await fires('MarketplaceConflict', 'MarketplaceUsageHeld', 'MarketplaceAboveAlert', 'MarketplaceOverflow')
  // The contract includes two words, which are used.
  await world.scraped('marketplace_entitlements_customers{dimension="words",state="used-up"} == 1')

  // It fails in all for a day, and nobody sends any more.
  faults.add({ kind: 'throttling', rate: 1 })
  await world.send([[ALICE, 70]])
  world.now += 5 * HOUR
  await fires('MarketplacePendingLate', 'MarketplaceEntitlementsUnknown', 'MarketplaceSenderSilent')
  world.now += 16 * HOUR
  await fires('MarketplacePendingNearDeadline')
  for (const query of queries) await world.scraped(query)

  // It is found out that the ledger has lost commits; then its file is not there any more.
  await world.ledger.note({ action: 'lost', detail: 'a batch', who: 'test', why: 'it is gone', now: world.now })
  await fires('MarketplaceLedgerLost')
  world.now += 4 * DAY
  await fires('MarketplaceHoursNotClosed', 'MarketplaceMetricSilent', 'MarketplaceReconciliationLate')
  world.move(true)
  let refusing = true
  const refused = (async () => {
    while (refusing) {
      assert.equal(await world.send([[ALICE, 1]]), 503)
      // What a check has found is good for a second.
      world.now += 1000
      await application.export()
      await new Promise(resolve => setTimeout(resolve, 100))
    }
  })()
  await fires('MarketplaceLedgerNotWritten', 'MarketplaceNotReady')
  refusing = false
  await refused
  world.move(false)

  const never = alerts.filter(({ alert }) => !fired.has(alert)).map(({ alert }) => alert)
  // That takes 8,000 customers; its metrics are there.
  assert.deepEqual(never, ['MarketplaceSenderLimit'])
  for (const { annotations } of [...fired.values()].flat()) {
    for (const text of Object.values(annotations)) assert.doesNotMatch(text, /<no value>|\{\{|(?:of|for) {2}| {2}/)
  }
  const counters = new Set(fired.get('MarketplaceNotCounted')?.map(({ labels }) => labels.reason))
  assert.deepEqual([...counters], ['conflict'])
  assert.ok(ALARM_VERDICTS.includes('conflict'))

  // Each metric and label of an expression is there.
  for (const expression of [...alerts.map(({ expr }) => expr), ...queries]) {
    for (const name of metricsIn(expression)) {
      const series: Record<string, string>[] = await world.prometheus('series', { 'match[]': name })
      assert.ok(series.length > 0, `${name} in ${expression}`)
      const labels = new Set(series.flatMap(Object.keys))
      const used = [...expression.matchAll(new RegExp(`${name}\\{([^}]*)\\}`, 'g'))].flatMap(([, matchers = '']) =>
        [...matchers.matchAll(/(\w+)(?:=|!=|=~|!~)"/g)].map(([, label]) => label as string),
      )
      for (const label of used) assert.ok(labels.has(label), `${label} of ${name} in ${expression}`)
    }
  }
})
