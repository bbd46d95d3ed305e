import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LedgerClock } from '../../src/ledger/clients/clock.ts'
import type { SharedClock } from '../../src/ledger/ledger.ts'
import type { Database } from '../../src/ledger/postgresql/database.ts'
import { ServerClock } from '../../src/ledger/postgresql/server-clock.ts'

const NOW = Date.UTC(2026, 10, 1, 12)
const AHEAD = 40_000
const HOUR = 3_600_000

/** Stops the process for so long after an answer was given, and before it is read. */
const STOPS: readonly (readonly [stops: readonly number[], expected: number])[] = [
  [[0], AHEAD],
  [[200], AHEAD - 100],
  [[HOUR, 0], AHEAD],
  [[HOUR, HOUR, 200], AHEAD - 100],
]

for (const [stops, expected] of STOPS) {
  const said = stops.join(', ')
  test(`a process that is stopped while it asks for the ledger's time asks again: ${said} ms`, async () => {
    let here = NOW
    const left = [...stops]
    const shared = {
      now: async () => {
        const there = here + AHEAD
        here += left.shift() as number
        return there
      },
    }
    const clock = new LedgerClock(shared as unknown as SharedClock, () => here)
    await clock.sync()
    assert.deepEqual([clock.ahead, left], [expected, []])
  })

  test(`and of PostgreSQL's: ${said} ms`, async context => {
    let elapsed = 1000
    context.mock.method(performance, 'now', () => elapsed)
    const left = [...stops]
    const read = async () => {
      const now = NOW + (elapsed - 1000) + AHEAD
      elapsed += left.shift() as number
      return { now }
    }
    const clock = new ServerClock({ read } as unknown as Database)
    await clock.now(NOW)
    const here = NOW + (elapsed - 1000)
    assert.deepEqual([(await clock.now(here)) - here, left], [expected, []])
  })
}
