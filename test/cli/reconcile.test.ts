import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { HOUR, MINUTE } from '../../src/ledger/hours.ts'
import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import { type Call, eventOf, lookupOutput, METER, otherEvent } from '../reconcile/trail.ts'
import { folder, LATEST, run, seededLedger } from './support.ts'

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
  assert.deepEqual([entry?.action, entry?.who, entry?.recordId, entry?.detail], ['settle', 'ops', '1', 'billed'])
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
  assert.match(csv[0] ?? '', /^verdict,record,state,reason,hour,region,product,account_id,/)
  assert.ok(
    csv.some(line =>
      line.startsWith('other-quantity,3,held,conflict,2026-11-20T07:00:00.000Z,us-east-1,prod,444455556666,'),
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
  const { directory, path, command } = await seeded(t, covered())
  const verdicts = async (...args: string[]) => {
    const { stdout, status } = await command('--format', 'json', ...args)
    const { findings, regions } = JSON.parse(stdout)
    const told = findings.map(
      (finding: Record<string, string>) => `${finding.verdict} ${finding.record} ${finding.settled}`,
    )
    return { status, told, gaps: regions[0].gaps }
  }
  // Records 2 and 5 are metered, and in no event, so that events are missing; record 1 is in doubt.
  const missing = await verdicts('--settle-absent', '--caller', METER)
  assert.deepEqual([missing.status, missing.gaps], [1, []])
  assert.deepEqual(missing.told.sort(), ['missing 2 null', 'missing 5 null', 'undecided 1 null'])
  writeFileSync(join(directory, 'events.json'), lookupOutput(whole))
  const all = await verdicts('--settle', '--caller', METER)
  assert.deepEqual([all.status, all.told], [1, ['absent 1 null']])
  const early = await run([
    ...['reconcile', join(directory, 'events.json'), '--settle-absent', '--caller', METER, '--ledger', path],
    ...['--now', '2026-11-22T06:00Z', '--format', 'json'],
  ])
  assert.equal(
    JSON.parse(early.stdout).findings.some(({ settled }: { settled: string | null }) => settled),
    false,
  )
  // What was looked up too early may lack events that came later.
  writeFileSync(
    join(directory, 'events.json'),
    lookupOutput(whole.filter(({ eventTime }) => Date.parse(String(eventTime)) < EARLIER + 47 * HOUR)),
  )
  assert.deepEqual((await verdicts('--settle-absent', '--caller', METER)).told, ['absent 1 null'])
  writeFileSync(join(directory, 'events.json'), lookupOutput(whole.filter(gap)))
  const partial = await verdicts('--settle-absent', '--settle', '--caller', METER)
  assert.deepEqual(partial.told, ['undecided 1 null'])
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
  const [entry] = await ledger.audit({ limit: 1 })
  assert.match(entry?.why ?? '', /^no event of CloudTrail shows it as billed, in a search of us-east-1 without a gap/)
})
