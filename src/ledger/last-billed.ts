import type { RecordEntry } from './ledger.ts'

/** What is asked of a ledger for `lastBilled`. */
export const YOUNGEST_METERED = { state: 'metered', limit: 100 } as const

/**
 * The youngest hour of which AWS has said `Success`. No clock of this machine moves it: AWS takes no hour that is to
 * come. What a person has settled says nothing about time.
 *
 * @param youngest records that are metered, the youngest hour first
 */
export function lastBilled(youngest: readonly RecordEntry[]): number | undefined {
  return youngest.find(({ meteringRecordId }) => meteringRecordId !== undefined)?.hour
}
