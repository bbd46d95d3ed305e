import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HOUR, MINUTE } from '../../src/ledger/hours.ts'
import type { LedgerStatus } from '../../src/ledger/ledger.ts'
import { latePendingHour, overdueClose } from '../../src/ledger/rules/lateness.ts'

const NOTHING: LedgerStatus = { pending: [], held: [], unattributed: [], notCounted: {} }
const TEN = Date.UTC(2026, 5, 10, 10)

test('a pending record is late three hours after its hour began', () => {
  const status = { ...NOTHING, oldestPendingHour: TEN }
  assert.equal(latePendingHour(status, TEN + 3 * HOUR), undefined)
  assert.equal(latePendingHour(status, TEN + 3 * HOUR + 1), TEN)
  assert.equal(latePendingHour(NOTHING, TEN), undefined)
})

test('closing is overdue an hour after the next hour could be closed, whatever the delay', () => {
  const status = { ...NOTHING, closedThrough: TEN }
  for (const delay of [0, 5 * MINUTE, HOUR]) {
    const due = TEN + 2 * HOUR + delay
    assert.equal(overdueClose(status, delay, due + HOUR), undefined)
    assert.equal(overdueClose(status, delay, due + HOUR + 1), due)
  }
  assert.equal(overdueClose(NOTHING, 0, TEN), undefined)
})
