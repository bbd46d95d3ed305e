import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { parse } from 'csv-parse/sync'
import { HOUR, MINUTE } from '../../src/ledger/hours.ts'
import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import { startSimulator } from '../../src/simulator/index.ts'
import { customerAccount } from '../../src/usage/account.ts'
import { Metered } from '../reconcile/metered.ts'
import { type Call, eventOf, lookupOutput, METER, otherEvent } from '../reconcile/trail.ts'
import { folder, LATEST, MILLION, REQUESTS, run, seededLedger } from './support.ts'

const EARLIER = LATEST - 25 * HOUR
const AT = ['--now', '2026-11-23T09:40Z']
const [ACME, BOLT] = ['111122223333', '444455556666']

/** What AWS has taken of the seeded ledger's records: the one in doubt, too; and what somebody else has sent. */
function calls(): Call[] {
  const sent = { product: 'prod', at: EARLIER + HOUR + 10 * MINUTE }
  const timestamp = EARLIER + HOUR - 1000
  const success = { timestamp, said: 'Success' }
  const intruder = { ...sent, role: 'intruder', session: 'x', address: '203.0.113.66', userAgent: 'curl/8' }
  return [
    {
      ...{ ...sent, eventID: 'ours-1' },
      records: [
        { ...success, accountId: ACME, dimension: 'tokens-processed', quantity: 12, meteringRecordId: 'id-1' },
        {
          ...{ ...success, accountId: ACME, dimension: 'inference-requests', quantity: 90 },
          meteringRecordId: 'a1b2c3d4-0000-4000-8000-000000000002',
        },
        { timestamp, said: 'DuplicateRecord', accountId: BOLT, dimension: 'tokens-processed', quantity: 7 },
      ],
    },
    {
      ...{ ...intruder, eventID: 'theirs-1', at: sent.at - 30 * MINUTE },
      records: [
        { ...success, accountId: BOLT, dimension: 'tokens-processed', quantity: 5, meteringRecordId: 'id-2' },
        { ...success, accountId: '777788889999', dimension: 'tokens-processed', quantity: 6, meteringRecordId: 'id-3' },
        {
          ...{ ...success, accountId: ACME, dimension: 'inference-requests', quantity: 90 },
          meteringRecordId: 'a1b2c3d4-0000-4000-8000-000000000002',
        },
      ],
    },
  ]
}

async function seeded(t: TestContext, events: Record<string, unknown>[]) {
  const directory = folder(t)
  const path = await seededLedger(join(directory, 'ledger.sqlite'))
  const file = join(directory, 'events.json')
  writeFileSync(file, lookupOutput(events))
  const command = (...args: string[]) => run(['reconcile', file, ...args, '--ledger', path, ...AT])
  return { directory, path, command }
}

/** Other services' events in each hour, so that a search is complete. */
const covered = () => Array.from({ length: 80 }, (_, n) => otherEvent(EARLIER + (n - 4) * HOUR + 20 * MINUTE))

test('reconcile says of each record what AWS has, and settles what an event proves', async t => {
  const { path, command, directory } = await seeded(t, calls().map(eventOf))
  const looked = await command()
  assert.equal(looked.status, 1)
  assert.match(
    looked.stdout,
    /^2 calls of BatchMeterUsage in 1 file\nREGION .*\nus-east-1 +2026-11-20T07:40Z +2026-11-20T08:10Z +2 /,
  )
  assert.match(looked.stdout, /^arn:aws:iam::999900001111:role\/intruder +\? +3 +3 +0 +203\.0\.113\.66 +curl\/8$/m)
  for (const title of [
    ...['sent by two with equal quantities +1 +90 inference-requests', 'billed by AWS, and not by this ledger +1 +6'],
    ...['billed by AWS with another quantity +1 +5', 'billed by AWS, and not metered in the ledger +1 +12 tokens'],
  ]) {
    assert.match(looked.stdout, new RegExp(`^${title}`, 'm'))
  }
  assert.match(
    looked.stdout,
    /^ +3 +2026-11-20T07Z +us-east-1 +444455556666 +prod .* +7 +held: conflict +5 +arn:.*intruder\/x/m,
  )
  assert.match(
    looked.stdout,
    /^ +1 +2026-11-20T07Z .* 12 +held: in-doubt +12 +arn:aws:sts::999900001111:assumed-role\/meter\/m1/m,
  )
  assert.match(
    ONE_LINE(looked.stdout),
    /Record 1: It is not known whose calls are this ledger's: name them by --caller/,
  )
  assert.match(
    ONE_LINE(looked.stdout),
    /Record 3: A conflict: no event tells whether what AWS has was the same usage\./,
  )
  const named = ONE_LINE((await command('--caller', METER)).stdout)
  assert.match(named, /Record 1: Events prove that AWS has billed it: --settle settles it\./)
  // The ledger's other records are of an hour of which there is no event.
  assert.doesNotMatch(looked.stdout, /metered, and not billed/)

  assert.match((await command('--settle')).stderr, /Expected --caller with --settle/)
  assert.equal((await command('--dry-run', '--caller', METER)).status, 2)
  const dry = await command('--settle', '--dry-run', '--caller', METER)
  assert.match(
    dry.stdout,
    /^Would settle as billed record 1: 12 tokens-processed of 111122223333, 2026-11-20T07Z\n {2}CloudTrail event ours-1: Success, quantity 12, called by arn:/m,
  )
  const read = async () => {
    const ledger = new SqliteLedger({ path, readOnly: true })
    const records = new Map((await ledger.records()).map(record => [record.id, record.state]))
    const [entry] = await ledger.audit({ limit: 1 })
    await ledger.close()
    return { records, entry }
  }
  assert.deepEqual([dry.status, (await read()).records.get('1')], [1, 'held'])
  const wrong = await command('--settle', '--dry-run', '--caller', METER.replace('meter', 'metre'))
  assert.match(wrong.stdout, /^None of these calls is by --caller: nothing is settled by them\.$/m)
  // What this ledger has sent is not told to be somebody else's, to be billed again.
  assert.doesNotMatch(wrong.stdout, /Somebody else has metered|settle <id> --not-billed --why/)
  const typo = await command('--settle', '--dry-run', '--caller', 'meter')
  assert.deepEqual([typo.status, typo.stdout], [2, ''])
  assert.match(typo.stderr, /Expected an ARN/)
  // The same role sends another quantity of an hour: it is not this ledger's alone, and another of its sessions is not.
  const [ours, theirs] = calls().map(eventOf) as [object, object]
  const second = { ...calls()[1], role: 'meter', session: 'm2', eventID: 'second-1' } as Call
  writeFileSync(join(directory, 'events.json'), lookupOutput([ours, theirs, eventOf(second)] as never))
  const shared = await command('--settle', '--dry-run', '--caller', METER)
  assert.doesNotMatch(shared.stdout, /Would settle/)
  assert.match(shared.stdout, /^Nothing is settled by calls of arn:aws:iam::999900001111:role\/meter:\nit also sends/m)
  const session = await command('--settle', '--dry-run', '--caller', 'arn:aws:sts::999900001111:assumed-role/meter/m1')
  assert.match(session.stdout, /^Would settle as billed record 1: /m)
  writeFileSync(join(directory, 'events.json'), lookupOutput([ours, theirs] as never))
  const settled = await command('--settle', '--caller', METER, '--who', 'ops')
  assert.match(settled.stdout, /^Settled as billed record 1: /m)
  const { records, entry } = await read()
  assert.deepEqual([records.get('1'), records.get('3'), records.get('4')], ['metered', 'held', 'held'])
  assert.deepEqual([entry?.action, entry?.who, entry?.recordId], ['settle', 'ops', '1'])
  assert.match(entry?.detail ?? '', /^billed; group [0-9a-f]{10}$/)
  assert.match(
    entry?.why ?? '',
    /^CloudTrail event ours-1: Success, quantity 12, called by arn:aws:sts::999900001111:assumed-role\/meter\/m1$/,
  )
  // What is settled is as the ledger has it.
  const again = JSON.parse((await command('--settle', '--caller', METER, '--format', 'json')).stdout)
  assert.deepEqual(again.verdicts.agreed, { records: 1, quantities: { 'tokens-processed': 12 } })
  const foreign = again.findings.find(({ verdict }: { verdict: string }) => verdict === 'foreign')
  assert.deepEqual(
    [
      foreign.accountId,
      foreign.record,
      foreign.events[0].quantity,
      foreign.events[0].caller,
      foreign.events[0].address,
    ],
    ['777788889999', null, 6, 'arn:aws:sts::999900001111:assumed-role/intruder/x', '203.0.113.66'],
  )
  assert.deepEqual(
    again.callers.map(({ principal, ours }: { principal: string; ours: boolean }) => [principal.split('/')[1], ours]),
    [
      ['intruder', false],
      ['meter', true],
    ],
  )
  const csv = (await command('--format', 'csv')).stdout.split('\r\n')
  assert.match(csv[0] ?? '', /^verdict,record,state,reason,hour,region,product,account_id,.*,left$/)
  assert.ok(
    csv.some(line =>
      line.startsWith("other-quantity,3,held,conflict,2026-11-20T07:00:00.000Z,us-east-1,prod,'444455556666,"),
    ),
  )
})

test('no event proves nothing: with a gap, or where it is not said, nothing is settled by it', async t => {
  const gap = (event: Record<string, unknown>) => !String(event.eventTime).startsWith('2026-11-20T13')
  const success = (at: number, dimension: string, quantity: number, number: number) =>
    eventOf({
      ...{ product: 'prod', at: at + HOUR + 10 * MINUTE, eventID: `metered-${number}` },
      records: [
        {
          ...{ timestamp: at + HOUR - 1000, said: 'Success', accountId: ACME, dimension, quantity },
          meteringRecordId: `a1b2c3d4-0000-4000-8000-00000000000${number}`,
        },
      ],
    })
  const metered = [success(EARLIER, 'inference-requests', 90, 2), success(LATEST, 'tokens-processed', 3001, 5)]
  const whole = [...covered(), ...metered]
  const { directory, path, command } = await seeded(t, [...covered(), ...metered.slice(0, 1)])
  const verdicts = async (...args: string[]) => {
    const { stdout, status } = await command('--format', 'json', ...args)
    const { findings, regions } = JSON.parse(stdout)
    const left = findings.map((finding: Record<string, string>) => finding.left)
    const told = findings.map(
      (finding: Record<string, string>) => `${finding.verdict} ${finding.record} ${finding.settled}`,
    )
    return { status, told, left, gaps: regions[0].gaps }
  }
  // Record 5 is metered, and in no event, so that events are missing; record 1 is in doubt.
  const missing = await verdicts('--settle-absent', '--caller', METER)
  assert.deepEqual([missing.status, missing.gaps], [1, []])
  assert.match(missing.left.join(), /^,?Events are missing of what AWS has taken .* a day later.*usage report/)
  assert.deepEqual(missing.told.sort(), ['missing 5 null', 'undecided 1 null'])
  // Of another account there is no call of this ledger, which proves nothing.
  writeFileSync(join(directory, 'events.json'), lookupOutput(covered()))
  const strange = await command('--settle-absent', '--caller', METER)
  assert.match(strange.stdout, /in doubt, and no event proves anything +1 /)
  assert.match(strange.stdout, /events of us-east-1 show no call of this ledger, .* of the AWS account that meters/)
  writeFileSync(join(directory, 'events.json'), lookupOutput(whole))
  const all = await verdicts('--settle', '--caller', METER)
  assert.deepEqual([all.status, all.told], [1, ['absent 1 null']])
  assert.match(
    all.left[0],
    /^No event shows it as billed, and one may come late\. --settle-absent settles it as not billed\.$/,
  )
  const early = await run([
    ...['reconcile', join(directory, 'events.json'), '--settle-absent', '--caller', METER, '--ledger', path],
    ...['--now', '2026-11-22T06:00Z', '--format', 'json'],
  ])
  assert.equal(
    JSON.parse(early.stdout).findings.some(({ settled }: { settled: string | null }) => settled),
    false,
  )
  const wait = /^Not settled yet: no event shows .*: after 2026-11-22T08Z --settle-absent settles it as not billed\.$/
  assert.match(JSON.parse(early.stdout).findings[0].left, wait)
  // What was looked up too early may lack events that came later.
  writeFileSync(
    join(directory, 'events.json'),
    lookupOutput(whole.filter(({ eventTime }) => Date.parse(String(eventTime)) < EARLIER + 47 * HOUR)),
  )
  const short = await verdicts('--settle-absent', '--caller', METER)
  assert.deepEqual(short.told, ['absent 1 null'])
  assert.match(
    short.left[0],
    /^Not settled: .* Where events go on until 2026-11-22T07Z \(with a later --to, or none\) --settle-/,
  )
  writeFileSync(join(directory, 'events.json'), lookupOutput(whole.filter(gap)))
  const partial = await verdicts('--settle-absent', '--settle', '--caller', METER)
  assert.deepEqual(partial.told, ['undecided 1 null'])
  assert.match(partial.left[0], /^Events may be missing from 2026-11-20T07Z to 2026-11-21T08Z: read more of them/)
  assert.deepEqual(partial.gaps, [{ from: '2026-11-20T13:00:00.000Z', to: '2026-11-20T14:00:00.000Z' }])
  // Something that cannot be read may be what is missing.
  writeFileSync(join(directory, 'events.json'), `${lookupOutput(whole)}{"Events":[{`)
  const cut = await command('--settle-absent', '--caller', METER)
  assert.equal(cut.status, 1)
  assert.match(
    cut.stdout,
    /^not read, so nothing is taken for complete:\n {2}\S+events\.json, after event 82: it ends in the middle/m,
  )
  writeFileSync(join(directory, 'events.json'), lookupOutput(whole))
  const settled = await verdicts('--settle-absent', '--caller', METER)
  assert.deepEqual(settled.told, ['absent 1 not-billed'])
  const ledger = new SqliteLedger({ path, readOnly: true })
  t.after(() => ledger.close())
  const [entry] = await ledger.audit({ actions: ['settle'], limit: 1 })
  assert.match(entry?.why ?? '', /^no event of CloudTrail shows it as billed, in a search of us-east-1 without a gap/)
})

test('reconcile asks CloudTrail itself, and what shows the ledger says up to when it did', async t => {
  const path = join(folder(t), 'ledger.sqlite')
  await using at = await Metered.begin(path)
  await at.meter(['heard', 'lost', 'never-arrives', 'heard'])
  const other = { CustomerAWSAccountId: BOLT, Dimension: 'tokens', Timestamp: new Date(at.now), Quantity: 77 }
  await at.client('us-east-1', 'AKIAOTHERTOOL').batchMeterUsage({ ProductCode: 'prod', UsageRecords: [other] })
  await at.later()
  const env = {
    ...{ AWS_ENDPOINT_URL_CLOUDTRAIL: at.aws.url, AWS_ACCESS_KEY_ID: 'any', AWS_SECRET_ACCESS_KEY: 'any' },
    ...{ AWS_CONFIG_FILE: '/dev/null', AWS_SHARED_CREDENTIALS_FILE: '/dev/null', AWS_EC2_METADATA_DISABLED: 'true' },
  }
  const command = (args: string[], more: NodeJS.ProcessEnv = {}) =>
    run([...args, '--ledger', path], { ...env, ...more })
  const now = ['--now', new Date(at.now).toISOString()]
  const ask = ['reconcile', '--cloudtrail', '--from', '2026-11-03', '--to', '2026-11-03T04', ...now]
  assert.match(
    (await command(['verify'])).stdout,
    /^us-east-1: not reconciled with AWS yet \(reconcile --cloudtrail\)$/m,
  )
  const dry = await command([...ask, '--settle', '--caller', METER, '--dry-run', '--region', 'us-east-1'])
  assert.match(dry.stdout, /^Would settle as billed record 2: 11 tokens/m)
  assert.match((await command(['verify'])).stdout, /^us-east-1: not reconciled/m)
  const asked = await command([...ask, '--settle', '--caller', METER])
  assert.match(asked.stdout, /^4 calls of BatchMeterUsage in CloudTrail's event history\nREGION .* SEARCHED$/m)
  assert.match(asked.stdout, /^us-east-1 .* 2026-11-03T00Z to 2026-11-04T05Z$/m)
  assert.match(asked.stdout, /^Settled as billed record 2: 11 tokens/m)
  assert.match(
    asked.stdout,
    /^Reconciled, and noted in the audit trail:\n {2}us-east-1 from 2026-11-03T00Z to 2026-11-03T05Z$/m,
  )
  assert.equal(asked.status, 1)

  const lines = [
    'us-east-1: reconciled with AWS from 2026-11-03T00Z to 2026-11-03T05Z',
    '  left open: 1 billed by AWS, and not by this ledger',
    '  marketplace-meter reconcile --cloudtrail --region us-east-1 \\',
    '    --from 2026-11-03T00 --to 2026-11-03T04',
  ].join('\n')
  assert.ok((await command(['verify'])).stdout.endsWith(`${lines}\n`))
  assert.ok((await command(['statement', ...now])).stdout.endsWith(`${lines}\n`))
  const hours = { from: '2026-11-03T00:00:00.000Z', to: '2026-11-03T05:00:00.000Z' }
  const reconciled = [{ region: 'us-east-1', until: hours.to, hours: [hours], open: { foreign: 1 }, leftOut: 0 }]
  for (const name of ['verify', 'statement', 'status']) {
    const { stdout } = await command([name, '--format', 'json', ...(name === 'verify' ? [] : now)])
    assert.deepEqual(JSON.parse(stdout).reconciled, reconciled, name)
  }
  const check = await command(['status', '--check', ...now])
  assert.match(
    check.stdout,
    /^WARNING: Reconciled with AWS in us-east-1: 1 billed by AWS, and not by this ledger: mark/m,
  )
  const later = ['--now', new Date(at.now + 8 * 24 * HOUR).toISOString()]
  assert.doesNotMatch((await command(['status', '--check', ...later])).stdout, /Reconciled/)

  const poor = { AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '' }
  const { stderr, status } = await command(ask, poor)
  assert.match(
    stderr,
    /^error: CloudTrail in us-east-1 was not searched .*: no AWS credentials were found\. Set AWS_PROFILE,/,
  )
  assert.equal(status, 2)
  const wrongRegion = await command([...ask, '--region', 'Frankfurt'])
  assert.match(wrongRegion.stderr, /regions: expected regions such as us-east-1, got "Frankfurt"/)
  for (const [args, told] of [
    [['reconcile', '--cloudtrail', path], /Expected files of events, or --cloudtrail\./],
    [['reconcile', path, '--region', 'us-east-1'], /Expected --region with --cloudtrail\./],
  ] as const) {
    const wrong = await command([...args])
    assert.deepEqual([wrong.status, told.test(wrong.stderr)], [2, true], wrong.stderr)
  }
})

/** Asks the simulator's CloudTrail from its first day on, and says what is printed for a person and for a program. */
function trailOf(at: Metered) {
  const env = {
    ...{ AWS_ENDPOINT_URL_CLOUDTRAIL: at.aws.url, AWS_ACCESS_KEY_ID: 'any', AWS_SECRET_ACCESS_KEY: 'any' },
    ...{ AWS_CONFIG_FILE: '/dev/null', AWS_SHARED_CREDENTIALS_FILE: '/dev/null', AWS_EC2_METADATA_DISABLED: 'true' },
  }
  return async (path: string, args: string[], now = at.now) => {
    const asked = [
      'reconcile',
      '--cloudtrail',
      '--ledger',
      path,
      ...FROM,
      '--now',
      new Date(now).toISOString(),
      ...args,
    ]
    // A dry run first: what is settled is settled once.
    const program = args.includes('--settle') ? await run([...asked, '--dry-run', '--format', 'json'], env) : undefined
    const findings: { verdict: string; left: string | null; events: { outcome: string }[] }[] =
      program === undefined ? [] : JSON.parse(program.stdout).findings
    return { findings, left: findings.map(({ left }) => left), stdout: (await run(asked, env)).stdout }
  }
}

const FROM = ['--from', '2026-11-03']
const ONE_LINE = (text: string) => text.replaceAll(/\s+/g, ' ')

test('right after a restore nothing is settled, and it is said when the same command does it', async t => {
  const directory = folder(t)
  const path = (name: string) => join(directory, `${name}.sqlite`)
  await using at = await Metered.begin(path('lost'))
  await at.meter(['heard', 'heard'])
  const entry = { account: customerAccount({ product: 'prod', accountId: ACME }), dimension: 'tokens' }
  const used = { ...entry, hour: Date.parse('2026-11-03T02:00Z'), amount: 5n * MILLION }
  await at.ledger.append({ writer: 'b'.repeat(32), sequence: 1, entries: [used] })
  await at.ledger.backup(path('backup'))
  await at.meter(['heard'])
  const restored = at.now + 2 * MINUTE
  const why = ['--why', 'disk died', '--now', new Date(restored).toISOString()]
  assert.equal((await run(['restore', path('backup'), path('restored'), ...why])).status, 0)
  const ask = trailOf(at)
  at.aws.simulator.clock.set(restored + 20 * MINUTE)
  const settle = ['--settle', '--caller', METER]
  const early = await ask(path('restored'), settle)
  const left =
    'Not settled yet: the search has to reach the restore (2026-11-03T03:08Z). Wait, it loses nothing: after ' +
    '2026-11-03T04:08Z the same command settles what AWS has billed.'
  assert.deepEqual(early.left, [left])
  assert.ok(ONE_LINE(early.stdout).includes(`Record 3: ${left}`), early.stdout)
  const [paragraph = ''] = early.stdout.slice(early.stdout.indexOf('Record 3')).split('\n\n')
  for (const line of paragraph.split('\n')) assert.ok(line.length <= 80, line)
  // Hours that end before it never reach it.
  const short = await ask(path('restored'), [...settle, '--to', '2026-11-03T01'], restored + 2 * HOUR)
  assert.match(
    short.left[0] ?? '',
    /^Not settled: the hours that are looked at end before the restore .* a later --to, or none/,
  )
  const late = await ask(path('restored'), settle, restored + HOUR)
  assert.match(late.stdout, /^Settled as billed record 3: 5 tokens/m)
  // What was pending at a backup, and is in doubt when that is restored days later, waits for the same.
  await at.meter(['never-arrives'])
  await at.ledger.backup(path('older'))
  await at.later()
  const days = ['--why', 'disk died', '--now', new Date(at.now).toISOString()]
  assert.equal((await run(['restore', path('older'), path('again'), ...days])).status, 0)
  const again = new SqliteLedger({ path: path('again') })
  at.aws.simulator.clock.advance(20 * MINUTE)
  await again.expire(at.now)
  await again.close()
  const doubted = await ask(path('again'), settle)
  assert.deepEqual(
    doubted.findings.map(({ left }) => left?.slice(0, 54)),
    [left.slice(0, 54)],
  )
})

test('of calls that AWS answered with an error it is said that no event will decide, and what does', async t => {
  const path = join(folder(t), 'ledger.sqlite')
  await using at = await Metered.begin(path)
  await at.meter(['heard', 'fails', 'fails', 'never-arrives', 'heard'])
  const ask = trailOf(at)
  const settle = ['--settle', '--caller', METER]
  await at.later(22 * HOUR)
  const early = (await ask(path, settle)).left.map(left => left?.slice(0, 105))
  assert.deepEqual(early.slice(1), [
    'Not settled yet: AWS could take it until 2026-11-04T03Z. Wait, it loses nothing: after 2026-11-04T04Z rec',
    'Not settled yet: AWS could take it until 2026-11-04T04Z. Wait, it loses nothing: after 2026-11-04T05Z rec',
  ])
  await at.later(8 * HOUR)
  const whole = await ask(path, settle)
  const outcomes = whole.findings.map(({ events }) => events[0]?.outcome)
  assert.deepEqual(outcomes.sort(), ['unclear', 'unclear', undefined])
  assert.doesNotMatch(whole.stdout, /Read more events|gaps above/)
  const said = ONE_LINE(whole.stdout)
  assert.match(said, /Records 2 and 3: AWS itself answered .* does not say whether it billed\. No event will\./)
  assert.match(
    said,
    /usage report \(reconcile --usage-report\) tells only the sum of a customer and day, .* request ids/,
  )
  assert.match(said, /Until then leave it held: nothing is lost\./)
  assert.match(
    said,
    /Record 4: Not settled yet: no event shows it .*: after 2026-11-05T04Z --settle-absent settles it as not billed\./,
  )
  assert.match(whole.findings.find(({ verdict }) => verdict === 'undecided')?.left ?? '', /^AWS itself answered/)
})

test('what is held comes before what is not, however much that is', async t => {
  const path = join(folder(t), 'ledger.sqlite')
  await using at = await Metered.begin(path)
  const other = at.client('us-east-1', 'AKIAOTHERTOOL')
  t.after(() => other.destroy())
  await at.meter(['heard', 'lost'])
  const record = (CustomerAWSAccountId: string, Dimension: string, Quantity: number, Timestamp: Date) => {
    const UsageRecords = [{ CustomerAWSAccountId, Dimension, Quantity, Timestamp }]
    return other.batchMeterUsage({ ProductCode: 'prod', UsageRecords })
  }
  for (let n = 0; n < 3; n++) await record(BOLT, `d${n}`, n + 1, new Date(at.now))
  await at.later()
  const { stdout } = await trailOf(at)(path, ['--limit', '2'])
  const held = stdout.indexOf('held: in-doubt')
  assert.ok(held > 0 && held < stdout.indexOf('CALLER, FROM and WITH say'), stdout)
})

/** A simulator that has what AWS could have of the seeded ledger's days, and its reports over HTTP as files. */
async function reported(t: TestContext) {
  let now = EARLIER + 2 * HOUR
  const aws = await startSimulator({ now: () => now, quota: null })
  t.after(() => aws.close())
  const meter = (CustomerAWSAccountId: string, Dimension: string, Quantity: number, ProductCode = 'prod') => {
    const record = { Timestamp: new Date(now - HOUR - MINUTE), CustomerAWSAccountId, Dimension, Quantity }
    aws.simulator.meterForeign({ ProductCode, UsageRecords: [record] })
  }
  meter(ACME, 'inference-requests', 90)
  meter(ACME, 'tokens-processed', 12)
  meter(BOLT, 'tokens-processed', 5)
  meter('777788889999', 'tokens-processed', 6)
  meter(ACME, 'seats', 3)
  meter(ACME, 'tokens-processed', 1000, 'elsewhere')
  now = LATEST + 2 * HOUR
  meter(ACME, 'tokens-processed', 1000)
  now += 48 * HOUR
  meter(ACME, 'inference-requests', 1)
  now += 48 * HOUR
  const directory = folder(t)
  const save = async (name: string, content: (text: string) => string | Buffer = text => text) => {
    const answer = await fetch(`${aws.url}/_simulator/usage-report/${name}.csv?revisions=1`)
    const path = join(directory, `${name}.csv`)
    writeFileSync(path, content(await answer.text()))
    return path
  }
  const ids = new Map((await products(aws.url)).map(([id, code]) => [code, id]))
  return { directory, save, product: ids.get('prod') as string, other: ids.get('elsewhere') as string }
}

/** AWS's ids of products and its codes: of both reports, which without revisions have the same lines in the same order. */
async function products(url: string): Promise<[string, string][]> {
  const read = async (name: string, column: string): Promise<string[]> =>
    parse(await (await fetch(`${url}/_simulator/usage-report/${name}.csv`)).text(), { columns: true }).map(
      (row: unknown) => (row as Record<string, string>)[column] as string,
    )
  const codes = await read('dataset', 'product_code')
  return (await read('usage', 'product_id')).map((id, index) => [id, codes[index] as string])
}

test('reconcile --usage-report says by day and customer what AWS has billed beside the ledger', async t => {
  const { directory, save, product, other } = await reported(t)
  const path = await seededLedger(join(directory, 'ledger.sqlite'))
  const [usage, accounts, dataset] = [await save('usage', gzipSync), await save('accounts'), await save('dataset')]
  const command = (...args: string[]) => run(['reconcile', '--usage-report', ...args, '--ledger', path])
  const joined = ['--account-feed', accounts, '--product', `${product}=prod`]
  const { stdout, status } = await command(usage, ...joined)
  assert.equal(status, 1)
  assert.match(stdout, /^AWS’s Daily Usage feed: \d+ rows in 1 file, the newest written 2026-11-24T02:10Z\.\n/)
  assert.match(stdout, /^Compared: 2026-11-20 to 2026-11-23 \(UTC\)\.$/m)
  assert.match(stdout, /^tokens-processed +us-east-1 +3,001 +1,023 +-1,978$/m)
  assert.match(
    stdout,
    /^metered, and not billed by AWS\n(.*\n)+?.* 2026-11-21 .* 111122223333 .* 3,001 +1,000 +-2,001 /m,
  )
  assert.match(
    stdout,
    /^billed by AWS, and not metered in the ledger\n(.*\n)+?.* 2026-11-20 .* 777788889999 .* 0 +6 +\+6 /m,
  )
  assert.match(stdout, /2026-11-23 .* 111122223333 .* inference-requests +0 +1 +\+1 /)
  assert.match(stdout, /^with records in doubt.*\n(.*\n)+?.* 111122223333 .* 0 +12 +\+12 +12 +0 /m)
  assert.match(stdout, / 444455556666 .* 0 +5 +\+5 +0 +1 /)
  assert.match(
    ONE_LINE(stdout),
    /where nobody else meters: of a difference of 0 none is billed; of as much as is IN DOUBT, all/,
  )
  assert.match(stdout, new RegExp(`^Not compared, since these products.*\\n {2}${other}: 1,000$`, 'm'))
  assert.match(stdout, /^Not compared, since the ledger has no such dimension.*\n {2}seats: 3$/m)
  // The dataset has accounts and codes, and says the same.
  const verdicts = async (...args: string[]) => {
    const report = JSON.parse((await command(...args, '--format', 'json')).stdout)
    return { ...report, findings: report.findings.map((finding: object) => JSON.stringify(finding)).sort() }
  }
  const [feed, plain] = [await verdicts(usage, ...joined), await verdicts(dataset)]
  assert.deepEqual(plain.findings, feed.findings)
  assert.deepEqual(plain.notCompared, { ...feed.notCompared, otherProducts: { elsewhere: 1000 } })
  // Without the accounts and the product the sums are compared, and it is said what is missing.
  const together = await command(usage)
  assert.match(together.stdout, /hashes in the place of their AWS\naccounts\. Give AWS’s Account feed/)
  assert.match(together.stdout, /2026-11-20 +us-east-1 +\(together\) +.* tokens-processed +0 +1,023 +\+1,023 /)
  assert.match(together.stdout, /^Where they are one: --product prod-abc123=samplecode01$/m)
  const csv = (await command(usage, ...joined, '--format', 'csv')).stdout.split('\r\n')
  assert.match(csv[0] ?? '', /^verdict,day,region,product,customer,dimension,metered,billed,difference,in_doubt,/)
  assert.ok(
    csv.some(line => line.startsWith("less,2026-11-21,us-east-1,prod,'111122223333,tokens-processed,3001,1000,-2001")),
  )
  // What can be compared is right, and nothing of what could not be read is silent.
  const one = ['--from', '2026-11-22', '--to', '2026-11-22']
  assert.deepEqual([(await command(dataset, ...one)).status, (await command(usage, ...joined, ...one)).status], [0, 0])
  writeFileSync(join(directory, 'json.csv'), '{"Events": []}')
  const json = await command(join(directory, 'json.csv'), ...one)
  assert.equal(json.status, 1)
  assert.match(json.stdout, /json\.csv, after row 0: Invalid Opening Quote/)
  assert.doesNotMatch(json.stderr, / at /)
  writeFileSync(join(directory, 'cut.csv'), readFileSync(dataset, 'utf8').slice(0, -40))
  const cut = await command(join(directory, 'cut.csv'), ...one)
  assert.equal(cut.status, 1)
  assert.match(cut.stdout, /^not read, so sums may be wrong:\n {2}\S+cut\.csv, after row \d+: /m)
})

test('reconcile --usage-report refuses what is none of AWS’s reports', async t => {
  const { directory, save } = await reported(t)
  const path = await seededLedger(join(directory, 'ledger.sqlite'))
  const [usage, accounts, dataset] = [await save('usage'), await save('accounts'), await save('dataset')]
  const says = async (args: string[], message: RegExp) => {
    const { stderr, status } = await run(['reconcile', ...args, '--ledger', path])
    assert.notEqual(status, 0)
    assert.match(stderr, message)
  }
  await says(
    ['--usage-report', accounts],
    /Daily Usage feed .* in \S+accounts\.csv, got a header with valid_from, insert/,
  )
  await says(['--usage-report', usage, dataset], /Expected files of one report/)
  await says(['--usage-report', folder(t)], /There is no \.csv or \.csv\.gz file in/)
  await says(['--usage-report', directory], /Expected AWS's Daily Usage feed/)
  await says(['--usage-report', usage, '--account-feed', usage], /Expected a column account_id in the header of/)
  await says(['--usage-report', usage, '--settle'], /Expected --usage-report without/)
  await says(['--usage-report', join(directory, 'none.csv')], /There is no file or folder/)
  await says(['--usage-report', usage, '--product', 'prod-1'], /Expected --product as AWS's id or code/)
  await says(['--account-feed', accounts, '--dry-run'], /with --settle|with --usage-report/)
  await says([], /Expected files of CloudTrail's events, or --usage-report/)
  writeFileSync(usage, readFileSync(usage, 'utf8').replace('usage_quantity', 'quantity'))
  await says(['--usage-report', usage], /Expected a column usage_quantity in the header of \S+usage\.csv/)
})

test('after a restore two commands settle what is held: by what AWS billed since, all, a part, or nothing', async t => {
  const directory = folder(t)
  const path = (name: string) => join(directory, `${name}.sqlite`)
  const dimension = REQUESTS.name
  const accounts = ['111111111111', '222222222222', '333333333333', '444444444444']
  const ledger = new SqliteLedger({ path: path('lost') })
  await ledger.register([REQUESTS])
  const closed = { region: 'us-east-1', closeDelay: 5 * MINUTE, deadlineMargin: 5 * MINUTE }
  await ledger.closeHours({ ...closed, now: LATEST + 10 * MINUTE })
  const entries = accounts.map(accountId => {
    const account = customerAccount({ product: 'prod', accountId })
    return { account, dimension, hour: LATEST, amount: 10n * MILLION }
  })
  await ledger.append({ writer: 'a'.repeat(32), sequence: 1, entries })
  await ledger.backup(path('backup'))
  await ledger.close()
  const at = ['--now', new Date(LATEST + 2 * HOUR).toISOString(), '--why', 'disk died']
  assert.equal((await run(['restore', path('backup'), path('restored'), ...at])).status, 0)

  // The lost ledger has billed what came after the backup with it; half of that, then nothing; and once it is not clear.
  const timestamp = LATEST + HOUR - 1000
  const sent = (accountId: string, quantity: number, said?: string) => {
    return { accountId, dimension, quantity, timestamp, ...(said && { said }) }
  }
  const [one = '', two = '', , four = ''] = accounts
  const call = { at: LATEST + HOUR + 6 * MINUTE, product: 'prod' }
  const calls = [
    eventOf({ ...call, eventID: 'all', records: [sent(one, 12, 'Success')] }),
    eventOf({ ...call, eventID: 'part', records: [sent(two, 4, 'Success')] }),
    eventOf({ ...call, errorCode: 'InternalServiceErrorException', records: [sent(four, 9)] }),
  ]
  const others = Array.from({ length: 60 }, (_, n) => otherEvent(LATEST + (n - 4) * HOUR))
  const trail = (name: string, events: object[]) => {
    writeFileSync(join(directory, name), JSON.stringify({ Records: events }))
    return join(directory, name)
  }
  const reconcile = (file: string, days: number, ...args: string[]) => {
    const now = ['--now', new Date(LATEST + days * 24 * HOUR).toISOString()]
    return run(['reconcile', file, '--ledger', path('restored'), '--caller', METER, ...now, ...args])
  }
  const states = async () => {
    const restored = new SqliteLedger({ path: path('restored'), readOnly: true })
    const lines = await restored.statement()
    await restored.close()
    return lines.map(({ metered, held, balance }) => [metered, held, balance].map(amount => Number(amount / MILLION)))
  }
  const all = trail('all.json', [...calls, ...others])
  const gap = trail('gap.json', [...calls, ...others.filter((_, n) => n !== 30)])
  const looked = await reconcile(all, 3)
  assert.match(looked.stdout, /^billed by the ledger that was lost +2 +16 inference-requests$/m)
  assert.match(looked.stdout, /^of before a restore, and may be billed +4 +40 inference-requests$/m)
  assert.match(looked.stdout, /^ +2 +\S+ +restored +222222222222 +prod +inference-requests +10 +held: restored +4 /m)

  assert.match(
    (await reconcile(all, 3, '--settle')).stdout,
    /^Settled as billed record 1: 10 .*\n {2}CloudTrail event all:/m,
  )
  assert.deepEqual(await states(), [[10, 0, 0], ...Array(3).fill([0, 10, 0])])
  // Not where an hour is without events, nor before all may have come.
  const lefts = async (...args: Parameters<typeof reconcile>) => {
    const { findings } = JSON.parse((await reconcile(...args, '--format', 'json')).stdout)
    const sorted = findings.toSorted((one: { record: string }, other: { record: string }) =>
      one.record < other.record ? -1 : 1,
    )
    return sorted.map(({ left }: { left: string | null }) => left)
  }
  const calls4 = /^Calls that are not by --caller, or have no clear answer, may have billed of it, too\./
  const [part, none, unclear] = await lefts(gap, 3, '--settle-absent')
  assert.match(part, /^Events may be missing from 2026-11-21T07Z to 2026-11-22T11Z: read more of them/)
  assert.deepEqual([none, calls4.test(unclear)], [part, true])
  const [soon] = await lefts(all, 1, '--settle-absent')
  assert.match(soon, /^Not settled yet: AWS has billed less than is held, .* after 2026-11-23T11Z --settle-absent/)
  assert.match(
    (await lefts(all, 3, '--settle'))[0],
    /^AWS has billed less than is held.* --settle-absent settles it as billed/,
  )
  const later = await lefts(all, 3, '--settle', '--from', '2026-11-21T09')
  assert.match(later[0], /^Not settled: all hours from the backup on .* --from 2026-11-21T07Z, or without it/)
  assert.deepEqual(await states(), [[10, 0, 0], ...Array(3).fill([0, 10, 0])])
  const absent = await reconcile(all, 3, '--settle-absent')
  assert.match(
    absent.stdout,
    /^Settled as billed, up to a quantity of 4, record 2: 10 .*\n {2}4 units are billed that/m,
  )
  assert.match(absent.stdout, /^Settled as not billed record 3: 10 /m)
  const settled = [
    [10, 0, 0],
    [4, 0, 6],
    [0, 0, 10],
    [0, 10, 0],
  ]
  assert.deepEqual(await states(), settled)
  // Done again, nothing is counted twice.
  const again = JSON.parse((await reconcile(all, 3, '--settle-absent', '--settle', '--format', 'json')).stdout)
  assert.deepEqual(await states(), settled)
  const found = again.findings.map(({ record, verdict, quantity, billedSinceBackup }: Record<string, unknown>) => {
    return [record, verdict, quantity, billedSinceBackup]
  })
  assert.deepEqual(found, [['4', 'restored', 10, 0]])
  const csv = (await reconcile(all, 3, '--format', 'csv')).stdout
  assert.match(csv, /^restored,4,held,restored,.*,inference-requests,10,0,/m)
})
