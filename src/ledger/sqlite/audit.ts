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
import type { Database, Row } from './database.ts'

/** The audit trail; see `rules/audit`. Whoever writes is in a transaction, so that the chain has one end. */

/** How many entries are read at a time. */
const ENTRIES_PER_PAGE = 1000

const INSERT = `INSERT INTO audit (${AUDIT_COLUMNS})`

const AS_WRITTEN = `SELECT 1 FROM audit WHERE id = ? AND (${AUDIT_COLUMNS}) IS (${Array(13).fill('?').join(', ')})`

/** Whether an entry is found by its action, as those are that a query names. */
const IS_FOUND = `EXISTS (
  SELECT 1 FROM audit AS found INDEXED BY audit_action WHERE found.action = audit.action AND found.id = audit.id
)`

export function writeAudit(database: Database, ...entries: readonly NewEntry[]): void {
  if (entries.length === 0) return
  const { chained, end } = chain(endOfChain(database), entries, { systemUser: systemUser(), writtenAt: database.now() })
  database.insertRows(INSERT, chained.map(auditValues))
  database.run('UPDATE audit_chain SET entries = ?, hash = ?', end.entries, end.hash)
}

/** Where the chain ends. It begins after what was there before there was one. */
function endOfChain(database: Database): ChainEnd {
  const { entries, hash } = wholeChain(database.get('SELECT entries, hash FROM audit_chain'))
  if (hash !== null) return { entries: entries as number, hash: hash as string }
  const end = endOfNumbers(database, entries)
  if (end !== undefined) return end
  const last = database.get('SELECT coalesce(max(id), 0) AS id FROM audit')?.id as number
  const before = hashBefore(database, last)
  database.run('UPDATE audit_chain SET hash = ?1, hash_before = ?1, id_before = ?2', before, last)
  return { entries: 0, hash: before }
}

function endOfNumbers(database: Database, entries: unknown): ChainEnd | undefined {
  const highest = database.get('SELECT coalesce(max(number), 0) AS number FROM audit')?.number
  return endWithoutHash(entries as number, highest as number)
}

/**
 * An entry to be hashed. In its row SQL may find something else than what was read of it: of a key that JSON has twice
 * the first value, and bytes that are no text.
 */
function hashedEntry(database: Database, row: Row): AuditEntry {
  return hashedEntryOf(row, entry => database.get(AS_WRITTEN, row.id as number, ...auditValues(entry)) !== undefined)
}

function hashBefore(database: Database, last: number): string {
  const hash = new HashBefore()
  for (let [from, left] = [last, HASHED_BEFORE]; left > 0; left -= ENTRIES_PER_PAGE) {
    const page = database.all(
      `SELECT ${AUDIT_ROW} FROM audit WHERE id <= ? ORDER BY id DESC LIMIT ?`,
      ...[from, ENTRIES_PER_PAGE],
    )
    for (const row of page) hash.add(hashedEntry(database, row))
    if (page.length < ENTRIES_PER_PAGE) break
    from = (page.at(-1)?.id as number) - 1
  }
  return hash.digest()
}

export function auditEntries(database: Database, query: AuditQuery): AuditEntry[] {
  const rows = auditSelections(query, () => '?').flatMap(({ sql, values }) => database.all(sql, ...values))
  return rows.sort((a, b) => (b.id as number) - (a.id as number)).map(auditEntryOf)
}

export function verifyAudit(database: Database, kept: string | undefined): AuditVerdict {
  const row = wholeChain(database.get(CHAIN))
  const { entries, hash, before, last } = row
  if (hash === null) return verdictWithoutHash(endOfNumbers(database, entries), kept)
  const check = new TrailCheck(before as string, hashBefore(database, last as number), kept)
  for (let after = last as number; ; ) {
    const page = database.all(
      `SELECT ${AUDIT_ROW}, ${IS_FOUND} AS found FROM audit WHERE id > ? ORDER BY id LIMIT ?`,
      ...[after, ENTRIES_PER_PAGE],
    )
    for (const row of page) check.add(hashedEntry(database, row), row.found === 1)
    if (page.length < ENTRIES_PER_PAGE) return check.end({ entries: entries as number, hash: hash as string })
    after = page.at(-1)?.id as number
  }
}

export function noteSender(
  database: Database,
  sender: string,
  customers: readonly CustomerAccount[],
  now: number,
): void {
  const entries = feedEntries(sender, customers, now)
  const unsaid = () => {
    const rows = database.all(
      `SELECT value AS key FROM json_each(?) AS wanted WHERE NOT EXISTS (
         SELECT 1 FROM audit WHERE action = 'fed' AND who = ? AND account ->> 'key' = wanted.value
       )`,
      ...[JSON.stringify([...entries.keys()]), storable(sender)],
    )
    return rows.map(({ key }) => entries.get(key as string) as NewEntry)
  }
  const doing = 'note what a sender feeds'
  // Mostly there is none, and a look keeps nobody waiting.
  if (database.read(doing, unsaid).length > 0) database.write(doing, () => writeAudit(database, ...unsaid()))
}
