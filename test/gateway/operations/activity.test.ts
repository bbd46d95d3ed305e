import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Activity } from '../../../src/gateway/operations/activity.ts'
import type { Lane, SettledRecord } from '../../../src/ledger/ledger.ts'

const MINUTE = 60_000
const LANE: Lane = { id: '1', product: 'prod', identity: 'product-code', region: 'us-east-1' }

function started() {
  const clock = { now: 1_700_000_000_000 - (1_700_000_000_000 % MINUTE) }
  return { clock, activity: new Activity(() => clock.now) }
}

test('points and records are counted by the minute, for an hour', () => {
  const { clock, activity } = started()
  activity.received(100, clock.now - 2500)
  activity.received(50)
  clock.now += 3 * MINUTE
  activity.received(7, clock.now + 1000)
  const settled = (state: SettledRecord['state']) => ({ state }) as SettledRecord
  activity.cycle({ type: 'settled', records: [settled('metered'), settled('held'), settled('metered')] })
  const figures = activity.figures()
  assert.deepEqual(figures.points.slice(-5), [0, 150, 0, 0, 7])
  assert.deepEqual(figures.records.slice(-2), [0, 2])
  assert.equal(figures.points.length, 60)
  // A point from the future came at once.
  assert.deepEqual(figures.lastReceived, { at: clock.now, lag: 0 })
  clock.now += 58 * MINUTE
  assert.equal(activity.figures().points[1], 7)
  clock.now += 1000 * MINUTE
  assert.deepEqual(new Set(activity.figures().points), new Set([0]))
  clock.now -= 3 * MINUTE
  activity.received(9)
  assert.equal(activity.figures().points.at(-1), 9)
})

test('a product and region is in trouble from its first fault until a request succeeds', () => {
  const { clock, activity } = started()
  const since = clock.now
  activity.cycle({ type: 'fault', lane: LANE, fault: 'not-sent', message: 'ECONNREFUSED' })
  clock.now += MINUTE
  activity.cycle({ type: 'request', lane: LANE, records: 1, seconds: 1, fault: 'throttled' })
  activity.cycle({ type: 'fault', lane: LANE, fault: 'throttled', message: 'Rate exceeded' })
  activity.cycle({ type: 'no-client', lane: { ...LANE, id: '2', region: 'eu-west-1' } })
  assert.deepEqual(
    activity.troubles().map(({ fault, region, since: at }) => [fault, region, at - since]),
    [
      ['throttled', 'us-east-1', 0],
      ['no-client', 'eu-west-1', MINUTE],
    ],
  )
  activity.cycle({ type: 'request', lane: LANE, records: 1, seconds: 1 })
  activity.cycle({ type: 'nonsense', lane: LANE, message: 'no results' })
  assert.deepEqual(
    activity.troubles().map(({ fault }) => fault),
    ['no-client', 'nonsense'],
  )
  // Of a lane that has nothing to send any more no request succeeds.
  clock.now += 61 * MINUTE
  assert.deepEqual(activity.troubles(), [])
})
