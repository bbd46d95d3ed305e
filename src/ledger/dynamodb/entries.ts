import type { CustomerAccount } from '../../usage/account.ts'
import type { Dimension } from '../../usage/dimension.ts'
import type { RecordEntry } from '../ledger.ts'
import { inDoubt } from '../rules/transitions.ts'
import type { FrozenRecord } from './closing.ts'
import type { Database } from './database.ts'
import { parseLane } from './lanes.ts'
import { recordId } from './places.ts'
import { reasonOf } from './sheets.ts'

/** Records as they are told, with the accounts and dimensions that they name. */
export async function recordEntries(
  { accounts, dimensions }: Database,
  records: readonly FrozenRecord[],
): Promise<RecordEntry[]> {
  const named = records.map(({ record }) => record)
  await accounts.readThose(named.map(({ account }) => account))
  const all = await dimensions.upTo(named.map(({ dimension }) => dimension))
  return records.map(({ hour, record }) => {
    const reason = reasonOf(record)
    const { state, attempts, refusals, nextAttemptAt, answer, meteringRecordId } = record
    return {
      id: recordId(hour, record),
      account: accounts.get(record.account) as CustomerAccount,
      dimension: (all[record.dimension] as Dimension).name,
      ...{ hour, timestamp: record.timestamp, deadline: record.deadline, region: parseLane(record.lane).region },
      ...{ quantity: record.quantity, size: record.size, state, attempts },
      ...(record.allocations !== null && { allocations: record.allocations }),
      ...(reason !== null && { reason }),
      inDoubt: inDoubt({ attempts, refusals }) && state !== 'metered',
      ...(state === 'pending' && { nextAttemptAt }),
      ...(answer !== null && { lastAnswer: answer }),
      ...(meteringRecordId !== null && { meteringRecordId }),
    }
  })
}
