import { hourOf } from '../ledger/hours.ts'
import type { Allocation, Lane, MeteringRecord, Outcome } from '../ledger/ledger.ts'
import type {
  AnsweredRecord,
  BatchMeterUsageRequest,
  BatchMeterUsageResult,
  UsageAllocation,
  UsageRecord,
} from '../marketplace/client.ts'

/** The request for records of one lane. The same records always make the same request. */
export function requestFor(lane: Lane, records: readonly MeteringRecord[]): BatchMeterUsageRequest {
  return {
    ...(lane.identity === 'product-code' && { ProductCode: lane.product }),
    UsageRecords: records.map(usageRecordOf),
  }
}

function usageRecordOf(record: MeteringRecord): UsageRecord {
  const { account, dimension, quantity, timestamp, allocations } = record
  return {
    Timestamp: new Date(timestamp),
    Dimension: dimension,
    Quantity: quantity,
    ...(account.accountId !== undefined && { CustomerAWSAccountId: account.accountId }),
    ...(account.customerIdentifier !== undefined && { CustomerIdentifier: account.customerIdentifier }),
    ...(account.licenseArn !== undefined && { LicenseArn: account.licenseArn }),
    ...(allocations !== undefined && { UsageAllocations: allocations.map(usageAllocationOf) }),
  }
}

function usageAllocationOf([quantity, tags]: Allocation): UsageAllocation {
  return {
    AllocatedUsageQuantity: quantity,
    ...(tags !== undefined && { Tags: tags.map(([Key, Value]) => ({ Key, Value })) }),
  }
}

/** What a request has beside its records, in bytes: names, brackets and a product code. */
export const REQUEST_BYTES = 400

/** What a record takes of a request, in bytes, with the comma before it; its time takes less there than here. */
export function bytesOf(record: MeteringRecord): number {
  return Buffer.byteLength(JSON.stringify(usageRecordOf(record))) + 1
}

export type RecordAnswer =
  | { readonly said: 'Success'; readonly meteringRecordId?: string }
  | { readonly said: 'DuplicateRecord' | 'CustomerNotSubscribed' | 'unprocessed' }
  /** In neither list, in both, or changed: nothing can be told from it. */
  | { readonly said: 'nothing' }

export interface BatchAnswers {
  /** What was said of each record, in the request's order. */
  readonly answers: readonly (RecordAnswer & { readonly record: MeteringRecord })[]
  /** What in the answer makes no sense, for the message about it; empty when all of it does. */
  readonly nonsense: string
  /** Whether the client tried more than once by itself: then a refusal is of its last attempt only. */
  readonly repeated: boolean
}

/** Finds each record's answer, whatever the order, and trusts nothing that was not asked or was said twice. */
export function readAnswers(
  records: readonly MeteringRecord[],
  result: BatchMeterUsageResult | undefined,
): BatchAnswers {
  try {
    return read(records, result)
  } catch {
    const answers = records.map(record => ({ record, said: 'nothing' as const }))
    return { answers, nonsense: 'an answer that cannot be read', repeated: true }
  }
}

function read(records: readonly MeteringRecord[], result: BatchMeterUsageResult | undefined): BatchAnswers {
  const nonsense = new Set<string>()
  const asked = records.map(record => ({ record, sent: usageRecordOf(record), said: [] as RecordAnswer[] }))
  const note = (about: AnsweredRecord | null | undefined, answer: RecordAnswer): void => {
    const known = asked.find(({ sent }) => repeats(about ?? {}, sent))
    if (known === undefined) nonsense.add('an answer to a record that was not sent')
    else known.said.push(answer)
  }
  for (const one of listOf(result, 'Results', nonsense)) {
    const { Status: status, UsageRecord: about, MeteringRecordId: id } = one ?? {}
    if (status === 'Success') {
      note(about, { said: status, ...(typeof id === 'string' && { meteringRecordId: id }) })
    } else if (status === 'DuplicateRecord' || status === 'CustomerNotSubscribed') {
      note(about, { said: status })
    } else {
      nonsense.add(`an unknown status ${JSON.stringify(String(status).slice(0, 50))}`)
    }
  }
  for (const one of listOf(result, 'UnprocessedRecords', nonsense)) note(one, { said: 'unprocessed' })
  const answers = asked.map(({ record, said: found }): BatchAnswers['answers'][number] => {
    if (found.length === 1 && found[0] !== undefined) return { record, ...found[0] }
    nonsense.add(found.length === 0 ? 'a record without an answer' : 'several answers to a record')
    return { record, said: 'nothing' }
  })
  const repeated = (result?.$metadata?.attempts ?? 1) > 1
  return { answers, nonsense: [...nonsense].slice(0, 5).join('; '), repeated }
}

function listOf<Name extends 'Results' | 'UnprocessedRecords'>(
  result: BatchMeterUsageResult | undefined,
  name: Name,
  nonsense: Set<string>,
): NonNullable<BatchMeterUsageResult[Name]> {
  const list: unknown = result?.[name] ?? []
  if (Array.isArray(list)) return list as NonNullable<BatchMeterUsageResult[Name]>
  nonsense.add(`${name} that is not a list`)
  return []
}

/** What AWS has one quantity for. */
const NAMES = ['CustomerAWSAccountId', 'CustomerIdentifier', 'LicenseArn', 'Dimension', 'Quantity'] as const

/**
 * Whether an answer is about a record: all that was sent comes again, its time to the hour, which is all that AWS tells
 * records apart by. What the answer says beyond that is AWS's own; another quantity is another record.
 */
function repeats(answered: AnsweredRecord, sent: UsageRecord): boolean {
  const hour = ({ Timestamp }: AnsweredRecord) => (Timestamp instanceof Date ? hourOf(Timestamp.getTime()) : undefined)
  return NAMES.every(name => sent[name] === undefined || answered[name] === sent[name]) && hour(answered) === hour(sent)
}

export function outcomeOf(
  answer: RecordAnswer,
  terms: { retryAt: number; rollForward: boolean; repeated: boolean },
): Outcome {
  switch (answer.said) {
    case 'Success':
      return {
        type: 'metered',
        ...(answer.meteringRecordId !== undefined && { meteringRecordId: answer.meteringRecordId }),
      }
    case 'DuplicateRecord':
    case 'CustomerNotSubscribed':
      // To the last of several attempts; the outcomes of those before are not known.
      if (terms.repeated) return { type: 'retry', at: terms.retryAt, notTaken: false }
      if (answer.said === 'CustomerNotSubscribed') return { type: 'not-subscribed' }
      return { type: 'conflict', rollForward: terms.rollForward }
    case 'unprocessed':
      return { type: 'retry', at: terms.retryAt, notTaken: !terms.repeated }
    case 'nothing':
      return { type: 'retry', at: terms.retryAt, notTaken: false }
  }
}
