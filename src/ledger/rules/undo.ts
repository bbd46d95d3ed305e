import type { Account, CustomerAccount } from '../../usage/account.ts'
import { formatAmount } from '../../usage/amount.ts'
import { LedgerError } from '../errors.ts'
import { HOUR, hourOf } from '../hours.ts'
import type { AuditAction, AuditEntry, AuditNote, DecisionResult, Period } from '../ledger.ts'
import { addAmount } from './accounting.ts'
import { detailWithoutGroup, type NewEntry } from './audit.ts'
import {
  addUsage,
  amountOf,
  approve,
  attempt,
  type Book,
  type BookedRecord,
  type Decided,
  giveShares,
  inWrongState,
  move,
  NOT_BILLED,
} from './decisions.ts'
import type { Transition } from './transitions.ts'

/**
 * Taking back what persons did. Amounts are alike: what an entry has put into a balance is taken from it again where
 * there is as much, whichever usage it is. What is frozen stays.
 */

/** What may be undone. */
export const UNDOABLE = ['release', 'settle', 'attribute', 'write-off'] as const satisfies readonly AuditAction[]

/** An entry that is about a balance or a record, of a ledger that has a chain. */
export type UndoableEntry = AuditEntry & Required<Pick<AuditEntry, 'number' | 'account' | 'dimension' | 'amount'>>

/** @throws LedgerError where what an entry says cannot be undone, whatever became of it */
export function checkUndoable(entry: AuditEntry): UndoableEntry {
  const { number, action, account, dimension, amount } = entry
  const undoable = UNDOABLE.some(one => one === action) && number !== undefined
  if (!undoable || account === undefined || dimension === undefined || amount === undefined) {
    throw inWrongState(`Entry ${number ?? `of ${entry.at}`} of the audit trail, ${action}, cannot be undone.`)
  }
  if (action === 'settle' && detailWithoutGroup(entry) !== NOT_BILLED) {
    throw inWrongState(`Entry ${number} settled a record as billed: it is metered, and stays so.`)
  }
  return { ...entry, number, account, dimension, amount }
}

/** An entry that is to be undone, and its place among all. */
export interface ToUndo {
  readonly place: number
  readonly entry: UndoableEntry
}

/** Entries about records, those about balances, and what becomes of those that cannot be undone. */
export function sorted(entries: readonly AuditEntry[]): {
  readonly records: (ToUndo & { readonly recordId: string })[]
  readonly balances: ToUndo[]
  readonly results: DecisionResult[]
} {
  const [records, balances, results]: [(ToUndo & { recordId: string })[], ToUndo[], DecisionResult[]] = [[], [], []]
  for (const [place, one] of entries.entries()) {
    const checked = attempt(() => checkUndoable(one))
    if ('error' in checked) results[place] = checked
    else if (one.recordId === undefined) balances.push({ place, entry: checked.done })
    else records.push({ place, entry: checked.done, recordId: one.recordId })
  }
  return { records, balances, results }
}

/** What the audit trail says of an entry that is undone. */
const undoneDetail = ({ number, action }: UndoableEntry) => `entry ${number} (${action})`

/** The number of the entry that an entry says is undone. */
export function undoneBy({ action, detail }: Pick<AuditEntry, 'action' | 'detail'>): number | undefined {
  const [, number] = /^entry (\d+) /.exec(action === 'undo' ? (detail ?? '') : '') ?? []
  return number === undefined ? undefined : Number(number)
}

/** @throws LedgerError where an entry is among those that are undone */
export function refuseUndone({ number }: UndoableEntry, undone: ReadonlySet<number | undefined>): void {
  if (undone.has(number)) throw inWrongState(`Entry ${number} of the audit trail is undone already.`)
}

/** Holds a record again, for its old reason, whose quantity a person has put into the balance or written off. */
export function undoRecord<Booked extends BookedRecord>(
  book: Book<Booked>,
  entry: UndoableEntry,
  record: Booked,
  /** The dimension's. */
  size: bigint,
  { now }: AuditNote,
): Decided {
  const { action, recordId } = entry
  const amount = amountOf(record)
  const { state, reason, refusals } = record
  if (state !== 'returned' || amount !== entry.amount) {
    throw inWrongState(`Record ${recordId} is ${state}; expected it as entry ${entry.number} has left it.`)
  }
  const series = book.seriesOf(record)
  const recorded = action === 'write-off' ? amount : 0n
  if (recorded === 0n) checkLeft(entry, series.balance)
  addUsage(series, recorded)
  if (recorded !== 0n) giveShares(series, record, 1n)
  move(book, record, { state: 'held', reason: reason as Transition['reason'], refusals }, now)
  if (action === 'release') approve(series, record, -Math.ceil(Number(amount) / Number(size)))
  return { action: 'undo', amount, detail: undoneDetail(entry), recorded }
}

/** @throws LedgerError where a balance has less than an entry is about */
export function checkLeft({ number, amount, dimension }: UndoableEntry, left: bigint): void {
  if (left >= amount) return
  throw inWrongState(
    `Entry ${number} cannot be undone: of ${formatAmount(amount)} in the base unit of ${dimension}, ` +
      `${formatAmount(left)} are still in the balance.`,
  )
}

/** The entry of a balance's decision that is undone. */
export function undoEntry(entry: UndoableEntry, by: AuditNote): NewEntry {
  const { account, dimension, amount } = entry
  return { ...by, action: 'undo', account, dimension, amount, detail: undoneDetail(entry) }
}

/** Of which hours an attribution is, and in which of them it is said. */
export interface AttributedHours extends Period {
  readonly hour: number
}

/**
 * @throws LedgerError where a customer's usage is to be given away by its hours: records have it, too
 */
export function hoursToAttribute(
  from: Account,
  period: Period | undefined,
  { now }: AuditNote,
): AttributedHours | undefined {
  if (period === undefined || (period.from === undefined && period.to === undefined)) return undefined
  if (from.kind !== 'unattributed') {
    throw new LedgerError('ERR_LEDGER_INVALID', `Expected all of "${from.key}", or hours of an unattributed account.`)
  }
  return { ...period, hour: Math.min(hourOf(now), (period.to ?? Number.MAX_SAFE_INTEGER) - HOUR) }
}

/**
 * What an attribution by hours gives: what was recorded in them and not taken away since, as far as it is in the balance.
 *
 * @param amounts what is recorded of the hours from the beginning of the period on, also after it: what was taken away is said
 *   below 0 in an hour, and was of that hour and of those before, the latest first
 */
export function amountOfHours(
  amounts: Iterable<readonly [hour: number, amount: bigint]>,
  { to = Number.POSITIVE_INFINITY }: Period,
  balance: bigint,
): bigint {
  const sums = new Map<number, bigint>()
  for (const [hour, amount] of amounts) addAmount(sums, hour, amount)
  const left: { readonly hour: number; amount: bigint }[] = []
  for (const [hour, sum] of [...sums].sort(([one], [other]) => one - other)) {
    let amount = sum
    for (let last = left.at(-1); amount < 0n && last !== undefined; last = left.at(-1)) {
      amount += last.amount
      last.amount = amount
      if (amount <= 0n) left.pop()
      else amount = 0n
    }
    if (amount > 0n) left.push({ hour, amount })
  }
  const recorded = left.reduce((all, { hour, amount }) => (hour < to ? all + amount : all), 0n)
  const amount = recorded < balance ? recorded : balance
  if (amount > 0n) return amount
  throw inWrongState('Nothing that was recorded in these hours is in the balance.')
}

/** What the audit trail says of an attribution. */
export function attributionDetail({ key }: CustomerAccount, hours: AttributedHours | undefined): string {
  // An older identifier may be any text: what it says is not taken for what comes after it.
  const whom = PLAIN.test(key) ? key : JSON.stringify(key).replaceAll(';', '\\u003b')
  if (hours === undefined) return whom
  const iso = (time: number) => new Date(time).toISOString()
  const from = hours.from === undefined ? '' : `from ${iso(hours.from)} `
  return `${whom}; hours ${from}to ${iso(hours.hour + HOUR)}`
}

const PLAIN = /^[^";\p{C}]*$/u

/**
 * To whom an entry says that usage was given, and in which hour it said so of the account that had it.
 *
 * @throws LedgerError where it says it in no way that a ledger does
 */
export function attributionOf(entry: UndoableEntry): { readonly key: string; readonly hour: number | undefined } {
  const [, whom, to] = /^([^;]*)(?:; hours (?:from \S+ )?to (\S+))?$/.exec(detailWithoutGroup(entry)) ?? []
  if (whom === undefined) throw inWrongState(`Entry ${entry.number} does not say to whom usage was given.`)
  const key = whom.startsWith('"') ? (JSON.parse(whom) as string) : whom
  return { key, hour: to === undefined ? undefined : Date.parse(to) - HOUR }
}
