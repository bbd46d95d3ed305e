import { SimulatedServiceError } from './errors.ts'
import type { Undocumented } from './undocumented.ts'
import type { Tag, UsageAllocation, UsageRecord } from './wire.ts'

const MAX_ALLOCATIONS = 2500
const MAX_TAGS = 5
/** AWS's own pattern, in which ` -=` is a range. */
const TAG = /^[a-zA-Z0-9+ -=._:/@]+$/

const badTag = (message: string) => new SimulatedServiceError('InvalidTagException', message)
const badAllocations = (message: string) => new SimulatedServiceError('InvalidUsageAllocationsException', message)

/** One text for one set of tags, in whatever order they come. */
function tagSet(tags: Tag[]): string {
  return JSON.stringify(tags.map(({ Key, Value }) => [Key, Value ?? '']).sort())
}

function checkTags(tags: Tag[], { emptyTagValue }: Undocumented): void {
  if (tags.length < 1 || tags.length > MAX_TAGS) throw badTag(`A set of tags has 1 to ${MAX_TAGS} tags`)
  const keys = new Set<string>()
  for (const { Key, Value } of tags) {
    if (typeof Key !== 'string' || Key.length > 100 || !TAG.test(Key)) throw badTag(`Tag key ${Key} is invalid`)
    const mayBe = emptyTagValue === 'Success' && !Value
    if (!mayBe && (!Value || Value.length > 256 || !TAG.test(Value))) throw badTag(`Tag value ${Value} is invalid`)
    if (keys.has(Key)) throw badTag(`Tag key ${Key} is used twice`)
    keys.add(Key)
  }
}

/**
 * The rules for a record's `UsageAllocations`.
 *
 * @throws {SimulatedServiceError} `InvalidTagException` or `InvalidUsageAllocationsException`
 */
export function checkAllocations(
  record: UsageRecord,
  allocations: UsageAllocation[],
  undocumented: Undocumented,
): void {
  if (allocations.length < 1 || allocations.length > MAX_ALLOCATIONS) {
    throw badAllocations(`A usage record has 1 to ${MAX_ALLOCATIONS} usage allocations`)
  }
  const sets = new Set<string>()
  let sum = 0
  for (const { AllocatedUsageQuantity, Tags } of allocations) {
    if (Tags) checkTags(Tags, undocumented)
    sum += AllocatedUsageQuantity ?? 0
    sets.add(tagSet(Tags ?? []))
  }
  if (sets.size < allocations.length) throw badAllocations('Each usage allocation must have a unique set of tags')
  if (sum !== (record.Quantity ?? 0)) {
    throw badAllocations(
      `The usage allocations sum to ${sum}, which is not the record's quantity of ${record.Quantity ?? 0}`,
    )
  }
}
