import type { RecordEntry } from '../../ledger/ledger.ts'

/** What the ledger has of a day's records. Quantities are in hundredths of a unit. */
export interface LedgerSum {
  records: number
  /** What AWS answered `Success`, or a person has settled as billed. */
  metered: number
  /** Records that AWS may have billed: each whole, or not at all. */
  readonly inDoubt: number[]
  /** Records of hours that AWS has with somebody else's quantity, or of which a restore knows no more than that. */
  inConflict: number
  /** What was sent, and has been given back to be billed with a later hour: AWS has surely not billed it, as was said. */
  returned: number
  /** What is not sent, or was surely not billed, and is pending or held. */
  waiting: number
  /** The accounts that it is of, by their keys: several licences of a customer are several. */
  readonly accounts: Set<string>
}

export const nothing = (): LedgerSum => ({
  ...{ records: 0, metered: 0, inDoubt: [], inConflict: 0, returned: 0, waiting: 0, accounts: new Set<string>() },
})

export function addRecord(sum: LedgerSum, record: RecordEntry): void {
  const { state, reason, attempts, inDoubt, lastAnswer = '' } = record
  const quantity = record.quantity * 100
  sum.records++
  sum.accounts.add(record.account.key)
  if (quantity === 0) return
  // Settled or not: AWS has the hour with another quantity, or it is a part of what was billed on other days.
  const other = reason === 'conflict' || reason === 'restored'
  if (other || (inDoubt && state !== 'metered' && lastAnswer.startsWith('DuplicateRecord'))) sum.inConflict++
  else if (state === 'metered') sum.metered += quantity
  else if (state === 'returned') sum.returned += attempts > 0 ? quantity : 0
  else if (inDoubt) sum.inDoubt.push(quantity)
  else sum.waiting += quantity
}

export function addSum(sum: LedgerSum, other: LedgerSum): void {
  sum.records += other.records
  sum.metered += other.metered
  sum.inDoubt.push(...other.inDoubt)
  sum.inConflict += other.inConflict
  sum.returned += other.returned
  sum.waiting += other.waiting
  for (const key of other.accounts) sum.accounts.add(key)
}
