import type { LedgerError } from '../errors.ts'
import type { AuditNote } from '../ledger.ts'
import { type AboutRecord, attempt, type Decided, noSuchRecord } from '../rules/decisions.ts'
import type { Piece } from './piece.ts'
import type { PieceRecord } from './piece-rows.ts'
import { isRecordId } from './rows.ts'

/** What is done with a record, for the one who writes it down. */
interface DecidedRecord extends Decided {
  readonly series: number
  readonly recordId: string
  readonly why: string
}

/** Does something with each of the records that are meant. Where it may not be, that is its result, and others go on. */
export function attemptEach<Wanted extends AboutRecord>(
  piece: Piece,
  wanted: readonly Wanted[],
  by: AuditNote,
  work: (wanted: Wanted, record: PieceRecord) => Decided,
): ({ readonly done: DecidedRecord } | { readonly error: LedgerError })[] {
  return wanted.map(one =>
    attempt(() => {
      const record = isRecordId(one.recordId) ? piece.record(one.recordId) : undefined
      if (record === undefined) throw noSuchRecord(one.recordId)
      return { ...work(one, record), series: record.series, recordId: one.recordId, why: one.why ?? by.why }
    }),
  )
}
