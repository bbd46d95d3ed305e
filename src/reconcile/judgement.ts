import type { RecordEntry } from '../ledger/ledger.ts'
import type { Caller } from './event.ts'
import type { Sighting } from './evidence.ts'

/**
 * What CloudTrail's events say of a record of the ledger:
 * - `agreed`: as the ledger has it; `not-seen`: no event says otherwise, and none shows it;
 * - `billed`: AWS billed it, and the ledger does not have it as metered;
 * - `not-billed`: it is in doubt, and AWS surely has not billed it;
 * - `other-quantity`, `other-id`: AWS billed the hour with another quantity, or under another `MeteringRecordId`;
 * - `missing`: the ledger has it as metered, and no event of a complete search shows that AWS billed it;
 * - `absent`: it is in doubt, and there is no event in a complete search; `undecided`: in doubt, and events prove nothing;
 * - `restored`: it is of before a restore, and the ledger that was lost may have billed it with any hour since;
 * - `two-senders`: somebody else has sent the same quantity, and AWS took both for one: one share is gone.
 *
 * And of what AWS billed and the ledger has no record of, or none that is to be billed: `foreign`; `lost`, where a ledger
 * that this one was restored after has billed it.
 */
export type Verdict =
  | 'agreed'
  | 'not-seen'
  | 'billed'
  | 'not-billed'
  | 'other-quantity'
  | 'other-id'
  | 'missing'
  | 'absent'
  | 'undecided'
  | 'restored'
  | 'two-senders'
  | 'lost'
  | 'foreign'

export interface Judgement {
  readonly verdict: Verdict
  /** What shows it, as far as there are events. */
  readonly shown: readonly Sighting[]
  /** What events prove of a record that a person may settle, with those that prove it. */
  readonly proof?: { readonly decision: 'billed' | 'not-billed'; readonly by: readonly Sighting[] }
}

export interface JudgeOptions {
  /** Whose calls are this ledger's; nothing where nobody has said so. */
  readonly isOurs: ((caller: Caller) => boolean) | undefined
  /** Whether the search has no gap where AWS could have taken the record. */
  readonly complete: boolean
  /** Whether the ledger knows of all attempts: one that is made of a backup does not, of records from before. */
  readonly attemptsKnown: boolean
}

/** Judges a record by all calls that had its customer, dimension and hour. */
export function judge(record: RecordEntry, sightings: readonly Sighting[], options: JudgeOptions): Judgement {
  const { state, reason, quantity, attempts, inDoubt, meteringRecordId } = record
  const successes = sightings.filter(({ outcome }) => outcome === 'success')
  const same = successes.filter(one => one.quantity === quantity)
  const others = successes.filter(one => one.quantity !== quantity)
  if (reason === 'restored') {
    if (state !== 'held') return { verdict: successes.length > 0 ? 'agreed' : 'not-seen', shown: successes }
    // Of one that was held at the backup its own hour may be billed. A balance is of no hour; see `LostLedgers`.
    const ours = same.filter(({ caller }) => options.isOurs?.(caller) === true)
    const proven = ours.length > 0 && ours.length === successes.length
    return proven
      ? { verdict: 'billed', shown: same, proof: { decision: 'billed', by: ours } }
      : { verdict: 'restored', shown: successes }
  }
  if (state === 'returned') {
    const ours = attempts > 0 ? same.filter(({ caller }) => options.isOurs?.(caller) ?? true) : []
    if (ours.length > 0 && quantity > 0) return { verdict: 'billed', shown: ours }
    return successes.length > 0 && quantity > 0
      ? { verdict: 'foreign', shown: successes }
      : { verdict: 'agreed', shown: [] }
  }
  if (state === 'metered') {
    // A person has said that what somebody else sent was this usage.
    if (others.length > 0 && same.length === 0 && reason === 'conflict') return { verdict: 'agreed', shown: others }
    if (others.length > 0) return { verdict: 'other-quantity', shown: [...others, ...same] }
    if (same.length === 0) return { verdict: options.complete ? 'missing' : 'not-seen', shown: [] }
    if (sentByTwo(record, sightings, options)) return { verdict: 'two-senders', shown: same }
    const ids = same.flatMap(one => one.meteringRecordId ?? [])
    const known = meteringRecordId === undefined || ids.length === 0 || ids.includes(meteringRecordId)
    return { verdict: known ? 'agreed' : 'other-id', shown: same }
  }
  if (same.length > 0) {
    if (others.length > 0) return { verdict: 'other-quantity', shown: [...same, ...others] }
    if (sentByTwo(record, sightings, options)) return { verdict: 'two-senders', shown: same }
    const { isOurs } = options
    const provable = isOurs !== undefined && (reason === 'in-doubt' || reason === 'conflict') && state === 'held'
    return { verdict: 'billed', shown: same, ...(provable && { proof: { decision: 'billed', by: same } }) }
  }
  const doubted = state === 'held' && reason === 'in-doubt'
  if (others.length > 0) {
    const { isOurs } = options
    // Another quantity under this ledger's own credentials is of a ledger that has lost it, with this usage perhaps.
    const proven = doubted && isOurs !== undefined && !others.some(({ caller }) => isOurs(caller))
    const proof = { decision: 'not-billed', by: others } as const
    return { verdict: 'other-quantity', shown: others, ...(proven && { proof }) }
  }
  if (!doubted) return { verdict: inDoubt || sightings.length === 0 ? 'not-seen' : 'agreed', shown: [] }
  const refused = refusedCalls(record, sightings, options)
  if (refused !== undefined) {
    return { verdict: 'not-billed', shown: refused, proof: { decision: 'not-billed', by: refused } }
  }
  const unclear = sightings.some(({ outcome }) => outcome === 'unclear')
  return { verdict: options.complete && !unclear ? 'absent' : 'undecided', shown: sightings }
}

/**
 * Whether somebody else has sent the same quantity: with other credentials; or with these, from elsewhere, and oftener
 * than this ledger has attempted it. Of nothing no share is gone.
 */
function sentByTwo(record: RecordEntry, sightings: readonly Sighting[], { isOurs }: JudgeOptions): boolean {
  const { quantity, attempts } = record
  if (quantity === 0) return false
  const sent = sightings.filter(one => one.quantity === quantity)
  const billed = sent.filter(({ outcome }) => outcome === 'success')
  if (attempts === 0) return billed.length > 0
  const principals = new Set(billed.map(({ caller }) => caller.principal))
  if (isOurs === undefined ? principals.size > 1 : billed.some(({ caller }) => !isOurs(caller))) return true
  // A client that repeats by itself does so from one place.
  const ours = isOurs === undefined ? sent : sent.filter(({ caller }) => isOurs(caller))
  const places = new Set(ours.map(({ caller }) => `${caller.arn} ${caller.address}`))
  return callsOf(ours) > attempts && places.size > 1
}

/** The calls that refused a record, where they are all that were ever made with it. */
function refusedCalls(
  { quantity, attempts }: RecordEntry,
  sightings: readonly Sighting[],
  { isOurs, attemptsKnown }: JudgeOptions,
): readonly Sighting[] | undefined {
  if (isOurs === undefined || !attemptsKnown || sightings.some(({ outcome }) => outcome === 'unclear')) return undefined
  const ours = sightings.filter(one => one.quantity === quantity && isOurs(one.caller))
  return ours.length > 0 && callsOf(ours) === attempts ? ours : undefined
}

const callsOf = (sightings: readonly Sighting[]) => new Set(sightings.map(({ requestId }) => requestId)).size
