import { HOUR } from '../ledger/hours.ts'
import type { Ledger, RecordEntry } from '../ledger/ledger.ts'

const FEW_RECORDS = 2_500

/** The ledger's records of each hour, read in parts of about as many as fit easily into memory. */
export async function* recordsByHour(
  ledger: Pick<Ledger, 'records'>,
  from: number,
  to: number,
): AsyncGenerator<[number, RecordEntry[]]> {
  let hours = 1
  for (let at = from; at < to; ) {
    const end = Math.min(at + hours * HOUR, to)
    const records = await recordsOf(ledger, at, end)
    const byHour = new Map<number, RecordEntry[]>()
    for (const record of records) {
      const ofHour = byHour.get(record.hour)
      if (ofHour === undefined) byHour.set(record.hour, [record])
      else ofHour.push(record)
    }
    for (; at < end; at += HOUR) yield [at, byHour.get(at) ?? []]
    // Of hours before the ledger's first nothing is learned of how many the next ones have.
    if (records.length === 0) continue
    if (records.length < FEW_RECORDS) hours = Math.min(hours * 2, 24)
    else if (records.length > 2 * FEW_RECORDS) hours = Math.max(1, Math.floor(hours / 2))
  }
}

export function recordsOf(ledger: Pick<Ledger, 'records'>, from: number, to: number): Promise<RecordEntry[]> {
  return ledger.records({ from, to, limit: Number.MAX_SAFE_INTEGER })
}

/** Up to which hour the audit trail says that records were deleted. */
export async function prunedBefore(ledger: Pick<Ledger, 'audit'>): Promise<number> {
  const [pruned] = await ledger.audit({ actions: ['prune'], limit: 1 })
  const time = Date.parse(/\d{4}-\d\d-\d\dT[\d:.]+Z/.exec(pruned?.detail ?? '')?.[0] ?? '')
  return Number.isNaN(time) ? Number.NEGATIVE_INFINITY : time
}
