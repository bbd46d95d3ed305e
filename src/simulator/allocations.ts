import { SimulatedServiceError } from './errors.ts'
import type { Undocumented } from './undocumented.ts'
import type { Tag, UsageAllocation, UsageRecord } from './wire.ts'

const MAX_ALLOCATIONS = 2500
const MAX_TAGS = 5
const MAX_KEYS = 5
/** The characters that AWS lists, and its own pattern, in which ` -=` is a range. */
const TAG: Record<Undocumented['tagCharacters'], RegExp> = {
  list: /^[-a-zA-Z0-9 +=._:/@]+$/,
  range: /^[a-zA-Z0-9+ -=._:/@]+$/,
}
/** Its tags are AWS's own in any case. */
const OWN = /^aws:/i
/** How a buyer's tools name a seller's tag. */
const COST_TAG = 'aws:marketplace:isv:'

const badTag = (message: string) => new SimulatedServiceError('InvalidTagException', message)
const badAllocations = (message: string) => new SimulatedServiceError('InvalidUsageAllocationsException', message)

/** One text for one set of tags, in whatever order they come. */
export function tagSetOf(tags: readonly Tag[] | undefined): string {
  return JSON.stringify((tags ?? []).map(({ Key, Value }) => [Key, Value ?? '']).sort())
}

/** Tags as a buyer's cost allocation tags. */
export function costTagsOf(tags: readonly Tag[] | undefined): Record<string, string> {
  return Object.fromEntries((tags ?? []).map(({ Key, Value }) => [`${COST_TAG}${Key}`, Value ?? '']))
}

/** What is kept of a record's allocations, whose own may change afterwards. */
export const keptAllocations = (allocations: readonly UsageAllocation[]): UsageAllocation[] =>
  allocations.map(({ AllocatedUsageQuantity, Tags }) => ({
    AllocatedUsageQuantity,
    ...(Tags && { Tags: Tags.map(({ Key, Value }) => ({ Key, Value: Value ?? '' })) }),
  }))

/** Whether a record is split alike twice, in whatever order. */
export function sameSplit(one?: readonly UsageAllocation[], other?: readonly UsageAllocation[]): boolean {
  const textOf = (allocations: readonly UsageAllocation[] = []) =>
    allocations
      .map(({ AllocatedUsageQuantity, Tags }) => `${tagSetOf(Tags)}${AllocatedUsageQuantity}`)
      .sort()
      .join()
  return one === other || textOf(one) === textOf(other)
}

function checkTags(tags: Tag[], { emptyTagValue, tagCharacters, awsTagKey }: Undocumented): void {
  const characters = TAG[tagCharacters]
  if (tags.length < 1 || tags.length > MAX_TAGS) throw badTag(`A set of tags has 1 to ${MAX_TAGS} tags`)
  const keys = new Set<string>()
  for (const { Key, Value } of tags) {
    if (typeof Key !== 'string' || Key.length > 100 || !characters.test(Key)) throw badTag(`Tag key ${Key} is invalid`)
    if (awsTagKey !== 'Success' && OWN.test(Key)) throw badTag(`Tag key ${Key} begins with aws:`)
    const mayBe = emptyTagValue === 'Success' && !Value
    if (!mayBe && (!Value || Value.length > 256 || !characters.test(Value)))
      throw badTag(`Tag value ${Value} is invalid`)
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
  const keys = new Set<string | undefined>()
  let sum = 0
  for (const { AllocatedUsageQuantity, Tags } of allocations) {
    if (Tags) checkTags(Tags, undocumented)
    sum += AllocatedUsageQuantity ?? 0
    sets.add(tagSetOf(Tags))
    for (const { Key } of Tags ?? []) keys.add(Key)
  }
  if (undocumented.tagKeys === 'of-record' && keys.size > MAX_KEYS) {
    throw badTag(`The allocations of a usage record have at most ${MAX_KEYS} different tag keys`)
  }
  if (sets.size < allocations.length) throw badAllocations('Each usage allocation must have a unique set of tags')
  if (sum !== (record.Quantity ?? 0)) {
    throw badAllocations(
      `The usage allocations sum to ${sum}, which is not the record's quantity of ${record.Quantity ?? 0}`,
    )
  }
}
