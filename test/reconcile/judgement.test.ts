import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import type { RecordEntry } from '../../src/ledger/ledger.ts'
import { Callers } from '../../src/reconcile/callers.ts'
import { fileSource } from '../../src/reconcile/event-files.ts'
import type { Sighting } from '../../src/reconcile/evidence.ts'
import { type JudgeOptions, judge } from '../../src/reconcile/judgement.ts'
import { type Finding, reconcile } from '../../src/reconcile/reconcile.ts'
import { customerAccount } from '../../src/usage/account.ts'
import { eventOf, LICENCE, METER } from './trail.ts'

const HOUR = Date.parse('2026-11-03T10:00:00Z')
const account = customerAccount({ product: 'prod', accountId: '111122223333' })
const IN_DOUBT: RecordEntry = {
  ...{ id: '1', account, dimension: 'tokens', hour: HOUR, timestamp: HOUR, deadline: HOUR, region: 'us-east-1' },
  ...{ quantity: 400, size: 1_000_000n, state: 'held', reason: 'in-doubt', attempts: 2, inDoubt: true },
}
const series = { region: 'us-east-1', product: 'prod', accountId: '111122223333', dimension: 'tokens' }
let calls = 0

function seen(outcome: Sighting['outcome'], quantity = 400, principal = METER, address = '192.0.2.7'): Sighting {
  const id = `call ${++calls}`
  const caller = { principal, arn: `${principal}/session`, address, userAgent: 'x' }
  const meteringRecordId = outcome === 'success' ? 'id' : undefined
  return { series, hour: HOUR, quantity, outcome, meteringRecordId, eventId: id, requestId: id, time: HOUR, caller }
}

function judged(record: Partial<RecordEntry>, sightings: Sighting[], options: Partial<JudgeOptions> = {}): string {
  const callers = new Callers([METER], [seen('success').caller])
  const all = { callers, complete: false, known: true, attemptsKnown: true, ...options }
  const { verdict, proof } = judge({ ...IN_DOUBT, ...record }, sightings, all)
  return proof === undefined ? verdict : `${verdict}: ${proof.decision}`
}

test('what is in doubt is settled by what proves it alone', () => {
  assert.equal(judged({}, [seen('success')]), 'billed: billed')
  assert.equal(judged({}, [seen('success'), seen('unclear')]), 'billed: billed')
  // DuplicateRecord was the answer to this ledger's: it was not the one that got Success.
  assert.equal(judged({ reason: 'conflict' }, [seen('success'), seen('duplicate')]), 'billed')
  // Nobody has said whose calls are ours.
  assert.equal(judged({}, [seen('success')], { callers: undefined }), 'billed')
  assert.equal(judged({}, [seen('success', 5, 'theirs')], { callers: undefined }), 'other-quantity')
  assert.equal(judged({}, [seen('success', 5, 'theirs')]), 'other-quantity: not-billed')
  // A ledger that lost commits has sent it; or a second one under the same role.
  assert.equal(judged({}, [seen('success', 5)]), 'other-quantity')
  assert.equal(judged({}, [seen('success', 5, 'theirs'), seen('success')]), 'other-quantity')
  // Whether what somebody else sent was this usage no event tells.
  assert.equal(judged({ reason: 'conflict' }, [seen('success', 5, 'theirs'), seen('duplicate')]), 'other-quantity')
  // Of each attempt one call is seen, and was refused: there may have been more, of an attempt that was halved.
  const refused = [seen('refused'), seen('not-subscribed')]
  assert.equal(judged({}, refused), 'undecided')
  assert.equal(judged({}, refused, { complete: true }), 'absent')
  assert.equal(judged({}, [...refused, seen('unclear')], { complete: true }), 'undecided')
  // There is a Success that is not seen: of this record perhaps, where an identical resend is a DuplicateRecord.
  assert.equal(judged({}, [seen('unprocessed'), seen('duplicate')], { complete: true }), 'undecided')
  // The lost ledger has billed this usage with another hour, perhaps.
  assert.equal(judged({}, [seen('success', 5, 'theirs')], { known: false }), 'other-quantity')
  assert.equal(judged({}, [], { known: false, complete: true }), 'undecided')
  assert.equal(judged({}, [seen('success')], { known: false }), 'billed: billed')
})

test('where events prove nothing, it is said why', () => {
  const whole = { complete: true }
  const lackOf = (record: Partial<RecordEntry>, sightings: Sighting[], options: Partial<JudgeOptions> = {}) => {
    const callers = new Callers([METER], [seen('success').caller])
    return judge({ ...IN_DOUBT, ...record }, sightings, {
      callers,
      known: true,
      attemptsKnown: true,
      ...whole,
      ...options,
    }).lack
  }
  const theirs = seen('success', 400, 'theirs')
  for (const [lack, ...judged] of [
    [undefined, {}, [seen('success')]],
    ['callers', {}, [seen('success')], { callers: undefined }],
    ['caller', {}, [theirs], { callers: new Callers([`${METER}s`], [theirs.caller]) }],
    ['two-senders', {}, [theirs]],
    ['own', {}, [seen('success', 5)]],
    ['unknown', {}, [seen('success', 5, 'theirs')], { known: false }],
    ['unclear', {}, [seen('refused'), seen('unclear'), seen('duplicate')]],
    ['gap', {}, [seen('unclear')], { complete: false }],
    ['duplicate', {}, [seen('duplicate')]],
    ['unknown', {}, [], { known: false }],
    ['absence', {}, [seen('refused')]],
    ['conflict', { reason: 'conflict' }, [seen('success', 5, 'theirs')]],
    ['held-before', { reason: 'restored' }, []],
    [undefined, { reason: 'not-subscribed' }, [seen('success')]],
    [undefined, { state: 'pending', reason: undefined } as never, [seen('success')]],
  ] as [string | undefined, ...Parameters<typeof lackOf>][]) {
    assert.equal(lackOf(...judged), lack, JSON.stringify(judged))
  }
})

test('what was held at a backup is billed where its own hour is, and else for a person', () => {
  const reason = 'restored'
  assert.equal(judged({ reason }, [seen('success')]), 'billed: billed')
  assert.equal(judged({ reason }, [seen('success')], { callers: undefined }), 'restored')
  for (const others of [[], [seen('refused')], [seen('success', 5)], [seen('success', 400, 'theirs')]]) {
    assert.equal(judged({ reason }, others, { complete: true }), 'restored')
  }
  assert.equal(judged({ reason }, [seen('success'), seen('success', 400, 'theirs')]), 'restored')
})

test('two who sent the same are told by who they are, and by how often it was sent', () => {
  const metered = { state: 'metered', reason: undefined, meteringRecordId: 'id', inDoubt: false } as never
  assert.equal(judged(metered, [seen('success'), seen('success')]), 'agreed')
  assert.equal(judged(metered, [seen('success'), seen('success', 400, 'theirs')]), 'two-senders')
  // What is ours is missing in the trail; the ledger knows that it was billed.
  assert.equal(judged(metered, [seen('success', 400, 'theirs')]), 'two-senders')
  assert.equal(judged({}, [seen('success', 400, 'theirs')]), 'two-senders')
  // A call of theirs that failed may have been the one that AWS took.
  assert.equal(judged(metered, [seen('success'), seen('unclear', 400, 'theirs')]), 'two-senders')
  assert.equal(judged({}, [seen('success'), seen('unclear', 400, 'theirs')]), 'two-senders')
  assert.equal(judged(metered, [seen('success'), seen('refused', 400, 'theirs')]), 'agreed')
  // Two attempts were not made from three places; from one there are as many calls as it takes.
  const three = ['192.0.2.7', '192.0.2.7', '203.0.113.66'].map(address => seen('success', 400, METER, address))
  assert.equal(judged(metered, three), 'agreed')
  assert.equal(judged(metered, [...three, seen('success', 400, METER, '192.0.2.9')]), 'two-senders')
  assert.equal(
    judged(metered, [...three, seen('success', 400, METER, '192.0.2.9')], { attemptsKnown: false }),
    'agreed',
  )
  // This ledger has never sent it.
  assert.equal(judged({ reason: 'over-maximum', attempts: 0 }, [seen('success')]), 'two-senders')
  // Of nothing nothing is gone.
  assert.equal(
    judged({ ...(metered as object), quantity: 0 }, [seen('success', 0), seen('success', 0, 'theirs')]),
    'agreed',
  )
})

test('what the ledger has as metered, returned or pending is held against what AWS has', () => {
  const metered = { state: 'metered', reason: undefined, meteringRecordId: 'id' } as never
  assert.equal(judged(metered, []), 'not-seen')
  assert.equal(judged(metered, [], { complete: true }), 'missing')
  assert.equal(judged(metered, [seen('unclear')], { complete: true }), 'not-seen')
  assert.equal(judged(metered, [seen('success', 5, 'theirs')]), 'other-quantity')
  assert.equal(judged(metered, [{ ...seen('success'), meteringRecordId: 'another' }]), 'other-id')
  // A person has said that this usage was what somebody else sent.
  assert.equal(judged({ state: 'metered', reason: 'conflict' }, [seen('success', 5, 'theirs')]), 'agreed')
  assert.equal(judged({ state: 'returned', reason: 'conflict' }, [seen('success', 5, 'theirs')]), 'foreign')
  // An idle hour's record of nothing: what somebody else has billed of the hour is no less billed.
  const idle = { state: 'returned', reason: 'conflict', quantity: 0 } as const
  assert.equal(judged(idle, [seen('success', 5, 'theirs')]), 'foreign')
  assert.equal(judged({ ...idle, quantity: 4 }, [seen('success', 0, 'theirs')]), 'agreed')
  // It was billed, and goes out again.
  assert.equal(judged({ state: 'returned', reason: 'in-doubt' }, [seen('success')]), 'billed')
  assert.equal(judged({ state: 'returned', reason: 'expired', attempts: 0 }, []), 'agreed')
  assert.equal(judged({ state: 'pending', reason: undefined } as never, [seen('success')]), 'billed')
  assert.equal(judged({ reason: 'not-subscribed' }, [seen('success')]), 'billed')
})

test('whose a call is goes by the role, however its ARN is written; what is not sure proves nothing', () => {
  const role = 'arn:aws:iam::012345678901:role/team/Meter'
  const session = 'arn:aws:sts::012345678901:assumed-role/Meter/m1'
  const at = (arn: string, principal = arn) => ({ arn, principal, address: '', userAgent: '' })
  const by = (arns: string[], caller: ReturnType<typeof at>, all = [caller]) => new Callers(arns, all).surely(caller)
  for (const name of [role, 'arn:aws:iam::012345678901:role/meter', 'arn:aws:sts::012345678901:assumed-role/Meter']) {
    assert.equal(by([name], at(session, role)), 'ours')
    // An event may not have the session's issuer.
    assert.equal(by([name], at(session)), 'ours')
    for (const other of [
      ...['arn:aws:iam::12345678901:role/Meter', 'arn:aws-cn:iam::012345678901:role/Meter'],
      ...['arn:aws:iam::012345678901:role/Meter/x', 'arn:aws:iam::012345678901:user/Meter', 'Meter'],
    ]) {
      assert.equal(by([name], at(other), [at(other), at(session, role)]), 'theirs', other)
    }
  }
  // Another session of the role may be a replica's.
  const another = at('arn:aws:sts::012345678901:assumed-role/Meter/m2', role)
  assert.equal(by([session], at(session, role)), 'ours')
  assert.equal(by([session], another, [another, at(session, role)]), undefined)
  assert.equal(by([role, session], another), 'ours')
  // Nobody has called by that name: it is wrong.
  assert.equal(by(['arn:aws:iam::012345678901:role/team/meters'], at(session, role)), undefined)
  const user = at('arn:aws-us-gov:iam::012345678901:user/a/b')
  assert.equal(by([user.arn], user), 'ours')
  const callers = new Callers([role], [at(session, role)])
  callers.share(another)
  assert.deepEqual([callers.isOurs(another), callers.surely(at(session, role))], [true, undefined])
})

test('of two accounts that AWS takes for one, a licence in its two forms, no event tells which it shows', async () => {
  const forms = [LICENCE, LICENCE.replace('license-manager:', 'license-manager:us-east-1')]
  const [one, other] = forms.map((licenseArn, n) => {
    const named = customerAccount({ product: 'mine', accountId: '111122223333', licenseArn })
    return { ...IN_DOUBT, id: String(n), account: named, attempts: 1 }
  }) as [RecordEntry, RecordEntry]
  const record = { accountId: '111122223333', licenseArn: LICENCE, dimension: 'tokens', quantity: 400, timestamp: HOUR }
  const event = eventOf({ at: HOUR + 3_600_000, records: [{ ...record, said: 'Success', meteringRecordId: 'id' }] })
  const decided = async (...records: RecordEntry[]) => {
    const found: Finding[] = []
    await reconcile(
      {
        records: async ({ state } = {}) => (state === undefined ? records : []),
        ...{ audit: async () => [], dimensions: async () => [] },
      },
      {
        events: [
          fileSource({
            name: 'events',
            open: () => Readable.from([Buffer.from(JSON.stringify({ Records: [event] }))]),
          }),
        ],
        ...{ callers: [METER], from: HOUR, to: HOUR + 1, onFinding: finding => void found.push(finding) },
      },
    )
    return found.map(({ record, verdict, proof }) => `${record?.id} ${verdict} ${proof?.decision}`)
  }
  assert.deepEqual(await decided(one), ['0 billed billed'])
  assert.deepEqual(await decided(one, other), ['0 billed undefined', '1 billed undefined'])
})
