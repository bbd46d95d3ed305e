import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { CloudTrail } from '@aws-sdk/client-cloudtrail'
import { HOUR, MINUTE } from '../../src/ledger/hours.ts'
import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import { SearchError } from '../../src/reconcile/errors.ts'
import { reconciledRegions } from '../../src/reconcile/notes.ts'
import { reconciledLines } from '../../src/reconcile/reconciled-text.ts'
import { type RunOptions, runReconciliation } from '../../src/reconcile/run.ts'
import type { SettledFinding } from '../../src/reconcile/settling.ts'
import { taggedAccount } from '../../src/usage/tagged-account.ts'
import { ACME, type Fate, Metered, START } from './metered.ts'
import { METER } from './trail.ts'

const heard = (hours: number): Fate[] => Array.from({ length: hours }, () => 'heard')
/** With records in doubt of each kind: the third is billed, the fourth never arrived, the fifth was refused. */
const DOUBTS: Fate[] = ['heard', 'heard', 'lost', 'never-arrives', 'refused-and-lost', ...heard(3)]

async function metered(t: TestContext, ...options: Parameters<typeof Metered.begin>): Promise<Metered> {
  const made = await Metered.begin(...options)
  t.after(() => made[Symbol.asyncDispose]())
  return made
}

/** Asks with the AWS SDK's own client, paced by the simulator's clock. */
async function ask(
  t: TestContext,
  { ledger, aws, clock, now }: Pick<Metered, 'ledger' | 'aws' | 'clock' | 'now'>,
  options: Partial<RunOptions> = {},
  at = aws.url,
) {
  const findings: SettledFinding[] = []
  const credentials = { accessKeyId: 'AKIDASKING', secretAccessKey: 'any' }
  const clientFor = (region: string) => {
    const client = new CloudTrail({ endpoint: at, region, credentials, maxAttempts: 1 })
    t.after(() => client.destroy())
    return client
  }
  const run = await runReconciliation(ledger, {
    events: { clientFor, clock },
    ...{ callers: [METER], now, from: START, onFinding: finding => findings.push(finding), ...options },
  })
  // What is settled is told when it is, some hundred at once.
  findings.sort((one, other) => Number(one.record?.id) - Number(other.record?.id))
  const told = findings.map(({ verdict, record, settled }) => `${verdict} ${record?.id ?? '-'} ${settled ?? ''}`.trim())
  return { run, findings, told }
}

test('CloudTrail is asked of what no run has reconciled, and what it proves is settled', async t => {
  await using at = await Metered.begin()
  await at.meter(DOUBTS)
  await at.later()
  const asked = await ask(t, at, { settle: true, from: undefined } as never)
  assert.deepEqual(asked.told, ['billed 3 billed', 'absent 4', 'absent 5'])
  assert.deepEqual([asked.run.unread.count, asked.run.noted, asked.run.otherRegions], [0, 'noted', []])
  const [region] = await reconciledRegions(at.ledger)
  const until = Math.floor((at.now - HOUR) / HOUR) * HOUR - 25 * HOUR
  assert.deepEqual([region?.hours.at(-1)?.to, region?.open.size], [until + HOUR, 0])
  const [entry] = await at.ledger.audit({ actions: ['reconcile'] })
  const { regions } = JSON.parse(entry?.detail ?? '')
  assert.deepEqual(regions['us-east-1'].settled, { billed: 1 })
  assert.deepEqual(regions['us-east-1'].verdicts, { agreed: 5, billed: 1, absent: 2 })
  assert.equal(regions['us-east-1'].held, 2)
  // The next one begins with what is still in doubt; and once a person has decided that, where this one ended.
  const before = at.aws.simulator.clock.now()
  const absent = await ask(t, at, { settle: true, settleAbsent: true, from: undefined } as never)
  assert.deepEqual(
    [absent.told, absent.run.asked?.from],
    [['absent 4 not-billed', 'absent 5 not-billed'], START + 3 * HOUR],
  )
  const next = await ask(t, at, { from: undefined } as never)
  assert.deepEqual([next.told, next.run.asked?.from], [[], until + HOUR])
  // A dry run leaves no note, and neither does one that has searched no hour whole.
  assert.equal(next.run.noted, 'nothing')
  assert.equal((await ask(t, at, { dryRun: true, settle: true })).run.noted, 'dry-run')
  assert.ok(at.now - before < 5 * MINUTE)
  assert.equal((await at.ledger.audit({ actions: ['reconcile'] })).length, 2)
})

test('after a restore it is asked of all since the backup, reconciled or not', async t => {
  await using at = await Metered.begin()
  await at.meter(heard(3))
  const entry = { account: ACME, dimension: 'tokens', hour: START + 3 * HOUR, amount: 5_000_000n }
  await at.ledger.append({ writer: 'b'.repeat(32), sequence: 1, entries: [entry] })
  await at.later()
  assert.equal((await ask(t, at, { from: undefined } as never)).run.noted, 'noted')
  await at.ledger.declareRestored({ who: 'a test', why: 'the disk died', now: at.now })
  const { told, run } = await ask(t, at, { from: undefined } as never)
  assert.deepEqual([told, run.asked?.from], [['restored 4'], START + 2 * HOUR])
})

test('whatever CloudTrail does with its events, it is asked at its pace, and nothing is decided wrongly', async t => {
  const kinds = ['trail-duplicate', 'trail-shuffled', 'trail-late', 'trail-gap', 'trail-left-out'] as const
  for (const kind of kinds) {
    const at = await metered(t, ':memory:', { faults: [{ kind, rate: 0.5 }] })
    await at.meter([...DOUBTS, ...DOUBTS])
    await at.later()
    const { told, run } = await ask(t, at, {
      settle: true,
      settleAbsent: kind !== 'trail-gap' && kind !== 'trail-late',
    })
    assert.equal(run.unread.count, 0, kind)
    for (const one of told) {
      const [verdict, id, settled] = one.split(' ') as [string, string, string?]
      const fate = DOUBTS[(Number(id) - 1) % DOUBTS.length]
      if (settled === 'billed') assert.equal(fate, 'lost', `${kind}: ${one}`)
      if (settled === 'not-billed') assert.notEqual(fate, 'lost', `${kind}: ${one}`)
      // What never came looks as if AWS had not got it: so a person decides of what is in no event.
      if (verdict === 'missing') assert.equal(kind, 'trail-gap', one)
    }
    if (kind === 'trail-left-out') {
      assert.ok(told.some(one => one.startsWith('undecided')))
      assert.ok((run.reconciled[0]?.leftOut ?? 0) > 0)
    }
  }
})

test('records with so many allocations that CloudTrail leaves them out are none that AWS lacks, and that is said', async t => {
  const at = await metered(t)
  await at.meter(heard(1))
  const entries = Array.from({ length: 1500 }, (_, n) => {
    const account = taggedAccount(ACME, [['gen_ai.request.model', `model-${n}`]])
    return { account, dimension: 'tokens', hour: START + HOUR, amount: 1_000_000n }
  })
  await at.ledger.append({ writer: 'b'.repeat(32), sequence: 1, entries })
  await at.meter(['heard', 'lost'])
  const more = entries.map(entry => ({ ...entry, hour: START + 3 * HOUR }))
  await at.ledger.append({ writer: 'b'.repeat(32), sequence: 2, entries: more })
  await at.meter(['lost', 'heard'])
  await at.later()
  const { told, run } = await ask(t, at, { settle: true, settleAbsent: true })
  // The third hour's is in an event; the fourth's may be in the call that CloudTrail has left out.
  assert.deepEqual(told, ['billed 3 billed', 'undecided 4'])
  assert.equal(run.reconciled[0]?.leftOut, 2)
  const lines = reconciledLines(await reconciledRegions(at.ledger))
  assert.ok(lines.includes('  2 calls of which CloudTrail has left out the records'), lines.join('\n'))
})

test('who may only read a ledger sees the same, and that it is not noted', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'reader-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'ledger.sqlite')
  const at = await metered(t, path)
  await at.meter(DOUBTS)
  await at.later()
  const reader = new SqliteLedger({ path, readOnly: true })
  const { told, run } = await ask(t, { clock: at.clock, now: at.now, aws: at.aws, ledger: reader })
  await reader.close()
  assert.deepEqual([told, run.noted], [['billed 3', 'absent 4', 'absent 5'], 'refused'])
  assert.match(run.refusal ?? '', /read/)
})

test('regions are asked by themselves, a page at a time', async t => {
  const at = await metered(t)
  await at.meter(heard(2))
  await at.meter(heard(2), 'eu-central-1')
  const other = at.client('eu-central-1', 'AKIAOTHERTOOL')
  for (let n = 0; n < 120; n++) {
    const record = {
      CustomerAWSAccountId: '777788889999',
      Dimension: `d${n}`,
      Timestamp: new Date(at.now),
      Quantity: n,
    }
    await other.batchMeterUsage({ ProductCode: 'prod', UsageRecords: [record] })
  }
  await at.later()
  const { run, findings } = await ask(t, at)
  assert.deepEqual(
    run.regions.map(({ region, calls }) => [region, calls]),
    [
      ['eu-central-1', 122],
      ['us-east-1', 2],
    ],
  )
  assert.deepEqual([findings.length, new Set(findings.map(({ verdict }) => verdict))], [120, new Set(['foreign'])])
  const [eu, us] = await reconciledRegions(at.ledger)
  assert.deepEqual([eu?.open, us?.open], [new Map([['foreign', 120]]), new Map()])
  const alone = await ask(t, at, { events: { regions: [] } }).then(
    () => undefined,
    error => error,
  )
  assert.match(alone.message, /regions: expected one to ask in/)
})

test('what is younger than events take, or older than the history, is not relied on, and named', async t => {
  const at = await metered(t)
  await at.meter(['heard', 'never-arrives'])
  await at.later(24 * HOUR + 30 * MINUTE)
  // The window has closed, and its last event may still come.
  const young = await ask(t, at)
  assert.deepEqual([young.told, young.run.noted], [['undecided 2'], 'noted'])
  assert.deepEqual(
    young.run.reconciled.map(({ to }) => to),
    [START + HOUR],
  )
  at.aws.simulator.clock.advance(91 * 24 * HOUR)
  const old = await ask(t, at)
  assert.deepEqual([old.told, old.run.inDoubtElsewhere], [[], 1])
  const [{ searched } = { searched: [] }] = old.run.regions
  assert.deepEqual([searched.length, (searched[0]?.from ?? 0) > (old.run.asked?.from ?? 0)], [1, true])
})

/** In front of a simulator: the answers that are given come first, as AWS's errors. */
async function failing(t: TestContext, { aws }: Metered, answers: (string | undefined)[]): Promise<string> {
  const server = createServer(async (request, response) => {
    const body = Buffer.concat(await request.toArray())
    const name = answers.shift()
    if (name !== undefined) {
      const status = name.startsWith('Internal') ? 500 : 400
      response.writeHead(status, { 'content-type': 'application/x-amz-json-1.1' })
      response.end(JSON.stringify({ __type: name, message: `${name} it is` }))
      return
    }
    const headers = Object.entries(request.headers).filter(
      ([key]) => !['host', 'connection', 'content-length'].includes(key),
    )
    const answer = await fetch(aws.url, { method: 'POST', headers: Object.fromEntries(headers) as never, body })
    response.writeHead(answer.status, { 'content-type': 'application/x-amz-json-1.1' })
    response.end(await answer.text())
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close().closeAllConnections())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

test('what CloudTrail does not answer is asked again while that helps, and else says what to do', async t => {
  const at = await metered(t)
  await at.meter(DOUBTS)
  await at.later(74 * HOUR)
  const times = (count: number, name: string) => Array.from({ length: count }, () => name)
  const patient = await failing(t, at, [...times(5, 'ThrottlingException'), 'InternalFailure', 'ServiceUnavailable'])
  assert.deepEqual((await ask(t, at, {}, patient)).told, ['billed 3', 'absent 4', 'absent 5'])
  for (const [answer, means] of [
    ['AccessDeniedException', /was not searched .*Allow their role cloudtrail:LookupEvents, on "\*"\. AWS .* it is/],
    ['UnrecognizedClientException', /does not know these credentials there.* is the region us-east-1 enabled/],
    ['ExpiredTokenException', /these credentials have expired: renew them/],
    ['ThrottlingException', /AWS throttles, 10 times on end.* ask again later/],
    ['InvalidTimeRangeException', /AWS fails: ask again later.* InvalidTimeRangeException/],
  ] as const) {
    const url = await failing(t, at, times(10, answer))
    await assert.rejects(
      ask(t, at, {}, url),
      error => error instanceof SearchError && means.test(error.message),
      answer,
    )
  }
  await assert.rejects(ask(t, at, {}, 'http://127.0.0.1:1'), /it cannot be reached\. Is the region right/)
  // Of another account there is nothing of this ledger, which proves nothing.
  const another = await metered(t, ':memory:', { cloudTrail: { lookupsPerSecond: null } })
  const wrong = await ask(t, at, { settle: true, settleAbsent: true }, another.aws.url)
  assert.deepEqual([wrong.told, wrong.run.noted], [['undecided 3', 'undecided 4', 'undecided 5'], 'nothing'])
  assert.match(wrong.run.unread.first[0] ?? '', /^The events of us-east-1 show no call of this ledger/)
  // What was answered before is good: two days are, and the third is not.
  const half = await failing(t, at, [undefined, undefined, 'AccessDeniedException'])
  const { run } = await ask(t, at, {}, half)
  assert.deepEqual([run.unread.count, run.noted], [1, 'noted'])
  assert.match(run.unread.first[0] ?? '', /^CloudTrail in us-east-1 was not searched from 2026-11-05T00Z to /)
  assert.deepEqual(
    run.reconciled.map(({ from, to }) => [from, to]),
    [[START, START + 24 * HOUR]],
  )
})
