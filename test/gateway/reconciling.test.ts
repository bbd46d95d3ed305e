import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { CloudTrail } from '@aws-sdk/client-cloudtrail'
import { Gateway } from '../../src/gateway/gateway.ts'
import type { StatusReport } from '../../src/gateway/operations/report.ts'
import { type ReconcileOptions, Reconciling } from '../../src/gateway/reconciling.ts'
import { HOUR } from '../../src/ledger/hours.ts'
import type { ReconciliationReport } from '../../src/metering/reporter.ts'
import { reconciledRegions } from '../../src/reconcile/notes.ts'
import { Metered } from '../reconcile/metered.ts'
import { METER } from '../reconcile/trail.ts'

const DAY = 24 * HOUR

function optionsOf(t: TestContext, { aws, clock }: Metered, url = () => aws.url): ReconcileOptions {
  const credentials = { accessKeyId: 'AKIDASKING', secretAccessKey: 'any' }
  const clientFor = (region: string) => {
    const client = new CloudTrail({ endpoint: url(), region, credentials, maxAttempts: 1 })
    t.after(() => client.destroy())
    return client
  }
  return { every: DAY, callers: [METER], settle: true, clientFor, clock }
}

/** Hours in which some records came to be in doubt, and somebody else has metered. */
async function business(): Promise<Metered> {
  const at = await Metered.begin()
  await at.meter(['heard', 'lost', 'never-arrives', 'heard'])
  const other = { CustomerAWSAccountId: '777788889999', Dimension: 'tokens', Timestamp: new Date(at.now), Quantity: 7 }
  await at.client('us-east-1', 'AKIAOTHERTOOL').batchMeterUsage({ ProductCode: 'prod', UsageRecords: [other] })
  await at.later()
  return at
}

test('of several replicas one holds the ledger against CloudTrail, each hour once, and settles what is proven', async t => {
  await using at = await business()
  const reports: ReconciliationReport[] = []
  const options = { ...optionsOf(t, at), ledger: at.ledger, now: () => at.now }
  const replicas = [1, 2, 3].map(() => new Reconciling({ ...options, report: report => reports.push(report) }))
  const look = async () => {
    reports.length = 0
    await Promise.all(replicas.map(replica => replica.look()))
    assert.deepEqual(
      replicas.map(({ fault }) => fault),
      [undefined, undefined, undefined],
    )
    return reports.flatMap(report => (report.type === 'reconciled' ? [report] : []))
  }
  const days = await look()
  const until = days.at(-1)?.to as number
  assert.deepEqual([days.length, days[0]?.from], [7, until - 7 * DAY])
  const sum = (of: 'agreed' | 'settled') => days.reduce((total, day) => total + day[of], 0)
  assert.deepEqual([sum('agreed'), sum('settled')], [2, 1])
  const found = days.flatMap(day => day.found)
  const [absent, foreign] = ['absent', 'foreign'].map(kind => found.find(one => one.kind === kind))
  assert.deepEqual([found.length, absent?.count], [2, 1])
  assert.match(
    foreign?.message ?? '',
    /^AWS does not have .* us-east-1: 1 billed by AWS, and not by this ledger\. .*: marketplace-meter reconcile --cloudtrail --region us-east-1 --from 2026-11-0\dT\d\d --to 2026-11-0\dT\d\d$/,
  )
  assert.deepEqual([(await at.record('2')).state, (await at.record('3')).state], ['metered', 'held'])
  assert.deepEqual((await reconciledRegions(at.ledger))[0]?.hours, [{ from: until - 7 * DAY, to: until }])
  assert.deepEqual(await look(), [])

  // A day later the next day, and only that.
  at.aws.simulator.clock.advance(DAY)
  const next = await look()
  assert.deepEqual(
    next.map(({ from, to }) => [from, to]),
    [[until, until + DAY]],
  )
  const entries = await at.ledger.audit({ actions: ['reconcile'], who: 'gateway' })
  const begun = entries.filter(({ detail }) => detail?.includes('begun'))
  // Who came second has said so, too, and has left it to the first.
  assert.ok(entries.length - begun.length === 8 && begun.length <= 6, `${begun.length} of ${entries.length}`)
})

test('what fails is told, tried again later, and over when any replica has done it', async t => {
  await using at = await business()
  const reports: ReconciliationReport[] = []
  let url = 'http://127.0.0.1:1'
  const parts = { ...optionsOf(t, at, () => url), ledger: at.ledger, now: () => at.now }
  const [one, two] = [1, 2].map(() => new Reconciling({ ...parts, report: report => reports.push(report) }))
  await one?.look()
  assert.match(one?.fault ?? '', /^CloudTrail in us-east-1 was not searched .* it cannot be reached/)
  url = at.aws.url
  await two?.look()
  assert.deepEqual(
    reports.map(({ type }) => type),
    ['fault', 'until', 'until'],
  )
  at.aws.simulator.clock.advance(6 * HOUR)
  await two?.look()
  assert.equal(reports.filter(({ type }) => type === 'reconciled').length, 7)
  assert.match(one?.fault ?? '', /cannot be reached/)
  await one?.look()
  assert.equal(one?.fault, undefined)
})

test('a gateway shows up to when it is reconciled, and what that found', async t => {
  await using at = await business()
  const gateway = await Gateway.start({
    ...{ productCode: 'prod', region: 'us-east-1', ledger: at.ledger, now: () => at.now, consoleWarnings: false },
    ...{ http: { host: '127.0.0.1', port: 0 }, client: at.client(), reconcile: optionsOf(t, at) },
  })
  const get = async (path: string) => (await fetch(`http://${gateway.addresses.http}${path}`)).text()
  try {
    let metrics = ''
    while (!metrics.includes('marketplace_reconciliation_age')) metrics = await get('/metrics')
    const until = Math.floor((at.now - HOUR) / HOUR) * HOUR - DAY
    assert.match(metrics, /marketplace_reconciliation_findings_total\{[^}]*verdict="foreign"[^}]*\} 1$/m)
    const age = Number(/marketplace_reconciliation_age_seconds\{[^}]*us-east-1[^}]*\} ([\d.]+)/.exec(metrics)?.[1])
    assert.ok(Math.abs(age - (at.now - until) / 1000) < 3600, `${age}`)
    const report = JSON.parse(await get('/status.json')) as StatusReport
    assert.deepEqual([report.reconciled[0]?.region, report.reconciled[0]?.open], ['us-east-1', { foreign: 1 }])
    const found = report.headline.details.find(detail => detail.startsWith('Reconciled with AWS in us-east-1'))
    assert.match(found ?? '', /: 1 billed by AWS, and not by this ledger\.$/)
    const command = /^marketplace-meter reconcile --cloudtrail --region us-east-1 --from \S+ --to \S+$/
    assert.match(report.headline.commands.at(-1)?.command ?? '', command)
    assert.match(report.reconciled[0]?.command ?? '', command)
  } finally {
    await gateway.close()
  }
})
