import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RecordEntry } from '../../src/ledger/ledger.ts'
import type { Sighting } from '../../src/reconcile/evidence.ts'
import { type JudgeOptions, judge } from '../../src/reconcile/judgement.ts'
import { customerAccount } from '../../src/usage/account.ts'
import { METER } from './trail.ts'

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
  const isOurs = ({ principal }: { principal: string }) => principal === METER
  const all = { isOurs, complete: false, attemptsKnown: true, ...options }
  const { verdict, proof } = judge({ ...IN_DOUBT, ...record }, sightings, all)
  return proof === undefined ? verdict : `${verdict}: ${proof.decision}`
}

test('what is in doubt is settled by what proves it alone', () => {
  assert.equal(judged({}, [seen('success')]), 'billed: billed')
  assert.equal(judged({}, [seen('success'), seen('unclear')]), 'billed: billed')
  assert.equal(judged({ reason: 'conflict' }, [seen('success'), seen('duplicate')]), 'billed: billed')
  // Nobody has said whose calls are ours.
  assert.equal(judged({}, [seen('success')], { isOurs: undefined }), 'billed')
  assert.equal(judged({}, [seen('success', 5, 'theirs')], { isOurs: undefined }), 'other-quantity')
  assert.equal(judged({}, [seen('success', 5, 'theirs')]), 'other-quantity: not-billed')
  // A ledger that lost commits has sent it; or a second one under the same role.
  assert.equal(judged({}, [seen('success', 5)]), 'other-quantity')
  assert.equal(judged({}, [seen('success', 5, 'theirs'), seen('success')]), 'other-quantity')
  // Whether what somebody else sent was this usage no event tells.
  assert.equal(judged({ reason: 'conflict' }, [seen('success', 5, 'theirs'), seen('duplicate')]), 'other-quantity')
  assert.equal(judged({}, [seen('refused'), seen('not-subscribed')]), 'not-billed: not-billed')
  assert.equal(judged({}, [seen('unprocessed'), seen('duplicate')]), 'not-billed: not-billed')
  // One attempt is not seen, or it is not clear what became of it, or it was somebody else's.
  assert.equal(judged({}, [seen('refused')]), 'undecided')
  assert.equal(judged({}, [seen('refused'), seen('unclear')]), 'undecided')
  assert.equal(judged({}, [seen('refused'), seen('refused', 400, 'theirs')]), 'undecided')
  assert.equal(judged({}, [seen('refused'), seen('refused', 5)]), 'undecided')
  const once = seen('refused')
  assert.equal(judged({}, [once, { ...once, eventId: 'the same call' }]), 'undecided')
  // The lost ledger has made others.
  assert.equal(judged({}, [seen('refused'), seen('refused')], { attemptsKnown: false }), 'undecided')
  assert.equal(judged({}, [seen('refused')], { complete: true }), 'absent')
  assert.equal(judged({}, [seen('unclear')], { complete: true }), 'undecided')
})

test('what was held at a backup is billed where its own hour is, and else for a person', () => {
  const reason = 'restored'
  assert.equal(judged({ reason }, [seen('success')]), 'billed: billed')
  assert.equal(judged({ reason }, [seen('success')], { isOurs: undefined }), 'restored')
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
  const three = [seen('success'), seen('success'), seen('success', 400, METER, '203.0.113.66')]
  assert.equal(judged(metered, three), 'two-senders')
  // A client that repeats by itself.
  assert.equal(judged(metered, [seen('success'), seen('success'), seen('success')]), 'agreed')
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
  assert.equal(judged(metered, [seen('success', 5, 'theirs')]), 'other-quantity')
  assert.equal(judged(metered, [{ ...seen('success'), meteringRecordId: 'another' }]), 'other-id')
  // A person has said that this usage was what somebody else sent.
  assert.equal(judged({ state: 'metered', reason: 'conflict' }, [seen('success', 5, 'theirs')]), 'agreed')
  assert.equal(judged({ state: 'returned', reason: 'conflict' }, [seen('success', 5, 'theirs')]), 'foreign')
  // It was billed, and goes out again.
  assert.equal(judged({ state: 'returned', reason: 'in-doubt' }, [seen('success')]), 'billed')
  assert.equal(judged({ state: 'returned', reason: 'expired', attempts: 0 }, []), 'agreed')
  assert.equal(judged({ state: 'pending', reason: undefined } as never, [seen('success')]), 'billed')
  assert.equal(judged({ reason: 'not-subscribed' }, [seen('success')]), 'billed')
})
