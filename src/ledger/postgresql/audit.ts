import type { CustomerAccount } from '../../usage/account.ts'
import type { AuditEntry, AuditQuery, AuditVerdict } from '../ledger.ts'
import {
  type ChainEnd,
  chain,
  endWithoutHash,
  feedEntries,
  HASHED_BEFORE,
  HashBefore,
  type NewEntry,
  storable,
  TrailCheck,
  verdictWithoutHash,
} from '../rules/audit.ts'
import {
  AUDIT_COLUMNS,
  AUDIT_ROW,
  auditEntryOf,
  auditSelections,
  auditValues,
  CHAIN,
  hashedEntryOf,
  wholeChain,
} from '../sql/audit-rows.ts'
import { systemUser } from '../system-user.ts'
import type { Database, Row, Transaction } from './database.ts'
import { inChunks } from './statements.ts'

/** The audit trail; see `rules/audit`. */

/** How many entries are read at a time. */
const ENTRIES_PER_PAGE = 1000

export async function writeAudit(transaction: Transaction, entries: readonly NewEntry[]): Promise<void> {
  if (entries.length === 0) return
  const { end, now } = await lockChain(transaction)
  const { chained, end: next } = chain(end, entries, { systemUser: systemUser(), writtenAt: now })
  await inChunks(chained, async some => {
    const rows = some.map(auditValues)
    await transaction.run(
      `INSERT INTO audit (${AUDIT_COLUMNS})
       SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[],
         $8::jsonb[], $9::text[], $10::bigint[], $11::numeric[], $12::text[], $13::text[]) AS chained (number)
       ORDER BY number`,
      ...Array.from({ length: 13 }, (_, column) => rows.map(row => row[column] ?? null)),
    )
  })
  await transaction.run('UPDATE audit_chain SET entries = $1, hash = $2', next.entries, next.hash)
}

/** Waits until nobody else writes. Returns where the chain ends, and the time; it begins after what was there before. */
async function lockChain(transaction: Transaction): Promise<{ end: ChainEnd; now: number }> {
  const row = wholeChain(
    await transaction.get(
      `SELECT entries, hash, (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now FROM audit_chain FOR UPDATE`,
    ),
  )
  const now = transaction.now?.() ?? (row.now as number)
  if (row.hash !== null) return { end: { entries: row.entries as number, hash: row.hash as string }, now }
  const end = await endOfNumbers(transaction, row.entries)
  if (end !== undefined) return { end, now }
  const last = (await transaction.get('SELECT coalesce(max(id), 0) AS id FROM audit'))?.id as number
  const before = await hashBefore(transaction, last)
  await transaction.run('UPDATE audit_chain SET hash = $1, hash_before = $1, id_before = $2', before, last)
  return { end: { entries: 0, hash: before }, now }
}

async function endOfNumbers(transaction: Transaction, entries: unknown): Promise<ChainEnd | undefined> {
  const row = await transaction.get('SELECT coalesce(max(number), 0) AS number FROM audit')
  return endWithoutHash(entries as number, row?.number as number)
}

/** An entry to be hashed. What jsonb and numeric keep has one reading, where it has one. */
const hashedEntry = (row: Row): AuditEntry => hashedEntryOf(row, () => true)

async function hashBefore(transaction: Transaction, last: number): Promise<string> {
  const hash = new HashBefore()
  for (let [from, left] = [last, HASHED_BEFORE]; left > 0; left -= ENTRIES_PER_PAGE) {
    const page = await transaction.all(
      `SELECT ${AUDIT_ROW} FROM audit WHERE id <= $1 ORDER BY id DESC LIMIT $2`,
      ...[from, ENTRIES_PER_PAGE],
    )
    for (const row of page) hash.add(hashedEntry(row))
    if (page.length < ENTRIES_PER_PAGE) break
    from = (page.at(-1)?.id as number) - 1
  }
  return hash.digest()
}

export async function auditEntries(transaction: Transaction, query: AuditQuery): Promise<AuditEntry[]> {
  const rows: Row[] = []
  for (const { sql, values } of auditSelections(query, number => `$${number}`)) {
    rows.push(...(await transaction.all(sql, ...values)))
  }
  return rows.sort((a, b) => (b.id as number) - (a.id as number)).map(auditEntryOf)
}

export async function verifyAudit(transaction: Transaction, kept: string | undefined): Promise<AuditVerdict> {
  const row = wholeChain(await transaction.get(CHAIN))
  const { entries, hash, before, last } = row
  if (hash === null) return verdictWithoutHash(await endOfNumbers(transaction, entries), kept)
  const check = new TrailCheck(before as string, await hashBefore(transaction, last as number), kept)
  for (let after = last as number; ; ) {
    const page = await transaction.all(
      `SELECT ${AUDIT_ROW} FROM audit WHERE id > $1 ORDER BY id LIMIT $2`,
      ...[after, ENTRIES_PER_PAGE],
    )
    for (const row of page) check.add(hashedEntry(row), true)
    if (page.length < ENTRIES_PER_PAGE) return check.end({ entries: entries as number, hash: hash as string })
    after = page.at(-1)?.id as number
  }
}

export async function noteSender(
  database: Database,
  sender: string,
  customers: readonly CustomerAccount[],
  now: number,
): Promise<void> {
  const entries = feedEntries(sender, customers, now)
  const unsaid = async (transaction: Transaction) => {
    const rows = await transaction.all(
      `SELECT key FROM unnest($1::text[]) AS wanted (key) WHERE NOT EXISTS (
         SELECT FROM audit WHERE action = 'fed' AND who = $2 AND account ->> 'key' = wanted.key
       )`,
      ...[[...entries.keys()], storable(sender)],
    )
    return rows.map(({ key }) => entries.get(key as string) as NewEntry)
  }
  const doing = 'note what a sender feeds'
  // Mostly there is none, and a look keeps nobody waiting.
  if ((await database.read(doing, unsaid)).length === 0) return
  await database.write(doing, async transaction => {
    await lockChain(transaction)
    await writeAudit(transaction, await unsaid(transaction))
  })
}
