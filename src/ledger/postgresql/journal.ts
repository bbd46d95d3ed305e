import type { Dimension } from '../../usage/dimension.ts'
import type { CounterSources, UsageBatch } from '../ledger.ts'
import { registerEntries } from '../rules/audit.ts'
import { batchMissing, checkDimension, checkKey, keyReused, notRegistered } from '../rules/validation.ts'
import { dimensionOf } from '../sql/rows.ts'
import { writeAudit } from './audit.ts'
import { type PackedBatch, packBatch } from './batch.ts'
import type { Database, Transaction } from './database.ts'
import { lockLedger, requireVersion } from './ledger-row.ts'
import { areMetered, registerSources } from './metered.ts'

/** Taking usage in: one new row in the journal for each batch, so that no writer waits for another. */

export async function register(
  database: Database,
  dimensions: readonly Dimension[],
  counters?: CounterSources,
): Promise<void> {
  // A role that only records may not change what is sold, nor need it.
  if (await database.read('look what is registered', transaction => isRegistered(transaction, dimensions, counters)))
    return
  await database.write('register the dimensions', async transaction => {
    await lockLedger(transaction)
    for (const dimension of dimensions) await registerOne(transaction, dimension)
    if (counters !== undefined) await registerSources(transaction, counters)
  })
}

/** Whether all of it is known just so. */
async function isRegistered(
  transaction: Transaction,
  dimensions: readonly Dimension[],
  counters: CounterSources | undefined,
): Promise<boolean> {
  const rows = await transaction.all('SELECT * FROM dimension')
  const known = new Map(rows.map(row => [row.name as string, dimensionOf(row)]))
  const same = dimensions.every(dimension => {
    const before = known.get(dimension.name)
    if (before !== undefined) checkDimension(dimension, before)
    return before !== undefined && registerEntries(before, dimension).length === 0
  })
  return same && (counters === undefined || (await areMetered(transaction, counters)))
}

async function registerOne(transaction: Transaction, dimension: Dimension): Promise<void> {
  const { name, unit, baseUnit, size, maxQuantity = null } = dimension
  const row = await transaction.get('SELECT * FROM dimension WHERE name = $1', name)
  const known = row && dimensionOf(row)
  checkDimension(dimension, known)
  await writeAudit(transaction, registerEntries(known, dimension))
  await transaction.run(
    `INSERT INTO dimension (name, unit, base_unit, size, max_quantity) VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT (name) DO UPDATE
     SET unit = excluded.unit, size = excluded.size, max_quantity = excluded.max_quantity`,
    ...[name, unit, baseUnit, size, maxQuantity],
  )
  // With a smaller size, what was a fraction may be whole units.
  if (known !== undefined && known.size > size) {
    await transaction.run(
      'UPDATE series SET unfrozen = true WHERE dimension = (SELECT id FROM dimension WHERE name = $1)',
      name,
    )
  }
}

export async function append(database: Database, batch: UsageBatch): Promise<void> {
  checkKey(batch)
  const packed = await packBatch(batch)
  await database.write(`append batch ${batch.sequence}`, async transaction => {
    if (packed.hasTags) await requireVersion(transaction)
    while (!(await acknowledge(transaction, batch, packed)));
  })
}

/** The sequence of a writer's last batch, or 0. */
export async function lastOf(transaction: Transaction, writer: string): Promise<number> {
  const row = await transaction.get('SELECT coalesce(max(sequence), 0) AS last FROM batch WHERE writer = $1', writer)
  return row?.last as number
}

/** False when the same batch is just being appended by another connection, and has to be looked for again. */
async function acknowledge(transaction: Transaction, batch: UsageBatch, packed: PackedBatch): Promise<boolean> {
  const { body, digest, dimensions, at, inStatus } = packed
  const { last, written, known, missing } = (await transaction.get(
    `WITH last AS (SELECT coalesce(max(sequence), 0) AS sequence FROM batch WHERE writer = $1),
     missing AS (
       SELECT min(name) AS name FROM unnest($5::text[]) AS wanted (name)
       WHERE NOT EXISTS (SELECT FROM dimension WHERE dimension.name = wanted.name)
     ),
     acknowledged AS (
       INSERT INTO batch (writer, sequence, digest, at)
       SELECT $1, $2::bigint, $3, $4 FROM last, missing WHERE last.sequence = $2::bigint - 1 AND missing.name IS NULL
       ON CONFLICT DO NOTHING RETURNING sequence
     ),
     written AS (
       INSERT INTO journal (writer, sequence, body, in_status) SELECT $1, sequence, $6::bytea, $7 FROM acknowledged
       RETURNING sequence
     )
     SELECT last.sequence AS last, missing.name AS missing, (SELECT count(*) FROM written) AS written,
            (SELECT digest FROM batch WHERE writer = $1 AND sequence = $2) AS known
     FROM last, missing`,
    ...[batch.writer, batch.sequence, digest, at, dimensions, body, inStatus],
  )) as { last: number; written: number; known: Buffer | null; missing: string | null }
  if (written === 1) return true
  if (missing !== null) throw notRegistered(missing)
  if (batch.sequence > last + 1) throw batchMissing(batch, last + 1)
  // Of one from so long ago that its digest is gone, the sequence tells that it was taken.
  if (known !== null && !digest.equals(known)) throw keyReused(batch)
  return batch.sequence <= last
}
