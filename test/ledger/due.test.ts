import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { HOUR, MINUTE } from '../../src/ledger/hours.ts'
import { type BookedRecord, isDue, isOver } from '../../src/ledger/rules/decisions.ts'
import { dueAt, overAt } from '../../src/ledger/sql/rows.ts'
import { START } from './scene.ts'

test('what SQL takes for due and for over is what the book of decisions does', () => {
  const database = new DatabaseSync(':memory:')
  database.exec(`CREATE TABLE record (id INTEGER PRIMARY KEY, state TEXT, timestamp INTEGER, deadline INTEGER,
    next_attempt_at INTEGER, claimed_until INTEGER, attempts INTEGER, refusals INTEGER)`)
  const insert = database.prepare('INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?)')
  const around = [-25 * HOUR, -MINUTE, 0, 1, HOUR, HOUR + 1, 24 * HOUR, 24 * HOUR + 1].map(after => START + after)
  const records = (['pending', 'held'] as const).flatMap(state =>
    around.flatMap(timestamp =>
      around.flatMap(deadline =>
        around.flatMap(nextAttemptAt =>
          around.flatMap(claimedUntil =>
            [0, 1].map(attempts => {
              return { state, timestamp, deadline, nextAttemptAt, claimedUntil, attempts, refusals: 0 } as BookedRecord
            }),
          ),
        ),
      ),
    ),
  )
  database.exec('BEGIN')
  for (const [id, record] of records.entries()) {
    const { state, timestamp, deadline, nextAttemptAt, claimedUntil, attempts, refusals } = record
    insert.run(id, state, timestamp, deadline, nextAttemptAt, claimedUntil, attempts, refusals)
  }
  database.exec('COMMIT')
  const idsOf = (rows: readonly Record<string, unknown>[]) => rows.map(({ id }) => id)
  for (const [condition, rule] of [
    [dueAt('?1'), isDue],
    [overAt('?1'), isOver],
  ] as const) {
    const expected = [...records.entries()].filter(([, record]) => rule(record, START)).map(([id]) => id)
    const found = idsOf(database.prepare(`SELECT id FROM record WHERE ${condition} ORDER BY id`).all(START))
    assert.deepEqual(found, expected)
    assert.ok(expected.length > 100 && expected.length < records.length / 2)
  }
  database.close()
})
