import type { RecordEntry } from '../ledger/ledger.ts'
import { USER_AGENT } from '../marketplace/user-agent.ts'
import type { Callers } from './callers.ts'
import type { Sighting } from './evidence.ts'

/**
 * What CloudTrail's events say of a record of the ledger:
 * - `agreed`: as the ledger has it; `not-seen`: no event says otherwise, and none shows it;
 * - `billed`: AWS billed it, and the ledger does not have it as metered;
 * - `not-billed`: it is in doubt, and AWS surely has not billed it;
 * - `other-quantity`, `other-id`: AWS billed the hour with another quantity, or under another `MeteringRecordId`;
 * - `missing`: the ledger has it as metered, and no event of a complete search shows that AWS billed it;
 * - `absent`: it is in doubt, and there is no event in a complete search; `undecided`: in doubt, and events prove nothing;
 * - `two-senders`: somebody else has sent the same quantity, and AWS took both for one: one share is gone.
 *
 * And of what AWS billed and the ledger has no record of, or none that is to be billed: `foreign`.
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
  | 'two-senders'
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
  readonly callers: Pick<Callers, 'isOurs' | 'surely'> | undefined
  /** Whether the search has no gap where AWS could have taken the record. */
  readonly complete: boolean
  /**
   * Whether the ledger knows all that became of the record. One that is made of a backup does not, of those from before:
   * the lost one may have attempted it, or have billed its usage with another hour.
   */
  readonly known: boolean
}

/** Judges a record by all calls that had its customer, dimension and hour. */
export function judge(record: RecordEntry, sightings: readonly Sighting[], options: JudgeOptions): Judgement {
  const { state, reason, quantity, attempts, inDoubt, meteringRecordId } = record
  const successes = sightings.filter(({ outcome }) => outcome === 'success')
  // What a restore holds is a sum of hours, and of no unit that AWS counts in.
  if (reason === 'restored') {
    if (state === 'held') return { verdict: 'undecided', shown: successes }
    return { verdict: successes.length > 0 ? 'agreed' : 'not-seen', shown: successes }
  }
  const same = successes.filter(one => one.quantity === quantity)
  const others = successes.filter(one => one.quantity !== quantity)
  const { callers, complete, known } = options
  if (state === 'returned') {
    const ours = attempts > 0 ? same.filter(({ caller }) => callers?.isOurs(caller) ?? true) : []
    if (ours.length > 0 && quantity > 0) return { verdict: 'billed', shown: ours }
    return successes.length > 0 && quantity > 0
      ? { verdict: 'foreign', shown: successes }
      : { verdict: 'agreed', shown: [] }
  }
  if (state === 'metered') {
    // A person has said that what somebody else sent was this usage.
    if (others.length > 0 && same.length === 0 && reason === 'conflict') return { verdict: 'agreed', shown: others }
    if (others.length > 0) return { verdict: 'other-quantity', shown: [...others, ...same] }
    if (same.length === 0) return { verdict: complete ? 'missing' : 'not-seen', shown: [] }
    if (sentByTwo(record, sightings, options)) return { verdict: 'two-senders', shown: same }
    const ids = same.flatMap(one => one.meteringRecordId ?? [])
    const isKnown = meteringRecordId === undefined || ids.length === 0 || ids.includes(meteringRecordId)
    return { verdict: isKnown ? 'agreed' : 'other-id', shown: same }
  }
  const doubted = state === 'held' && reason === 'in-doubt'
  if (same.length > 0) {
    if (others.length > 0) return { verdict: 'other-quantity', shown: [...same, ...others] }
    if (sentByTwo(record, sightings, options)) return { verdict: 'two-senders', shown: same }
    // A conflict was answered DuplicateRecord, so that it was not this ledger that got Success.
    const proven = doubted && same.every(({ caller }) => callers?.surely(caller) === 'ours')
    return { verdict: 'billed', shown: same, ...(proven && { proof: { decision: 'billed', by: same } }) }
  }
  if (others.length > 0) {
    // Another quantity under this ledger's own credentials is of a ledger that has lost it, with this usage perhaps.
    const proven = doubted && known && others.every(({ caller }) => callers?.surely(caller) === 'theirs')
    const proof = { decision: 'not-billed', by: others } as const
    return { verdict: 'other-quantity', shown: others, ...(proven && { proof }) }
  }
  if (!doubted) return { verdict: inDoubt || sightings.length === 0 ? 'not-seen' : 'agreed', shown: [] }
  // There is a Success that is not seen, of this record perhaps, or it is not clear what became of a call.
  const unclear = sightings.some(({ outcome }) => outcome === 'unclear' || outcome === 'duplicate')
  if (!known || unclear) return { verdict: 'undecided', shown: sightings }
  const refused = refusedCalls(record, sightings, callers)
  if (refused !== undefined) {
    return { verdict: 'not-billed', shown: refused, proof: { decision: 'not-billed', by: refused } }
  }
  return { verdict: complete ? 'absent' : 'undecided', shown: sightings }
}

/**
 * Whether somebody else has sent the same quantity: with other credentials; or with these, oftener than this ledger has
 * attempted it. Of nothing no share is gone.
 */
function sentByTwo(record: RecordEntry, sightings: readonly Sighting[], { callers, known }: JudgeOptions): boolean {
  const { quantity, attempts } = record
  if (quantity === 0) return false
  const sent = sightings.filter(one => one.quantity === quantity)
  const billed = sent.filter(({ outcome }) => outcome === 'success')
  if (attempts === 0) return billed.length > 0
  const principals = new Set(billed.map(({ caller }) => caller.principal))
  if (callers === undefined ? principals.size > 1 : billed.some(({ caller }) => !callers.isOurs(caller))) return true
  const ours = callers === undefined ? sent : sent.filter(({ caller }) => callers.isOurs(caller))
  return known && sentOftener(record, ours)
}

/** Whether calls with this ledger's credentials are more than it has attempted. */
function sentOftener({ attempts }: RecordEntry, ours: readonly Sighting[]): boolean {
  if (callsOf(ours) <= attempts) return false
  // A client that repeats by itself does so from one place.
  const places = new Set(ours.map(({ caller }) => `${caller.arn} ${caller.address}`))
  return places.size > 1 || ours.every(isOneAttempt)
}

/**
 * Whether calls with this ledger's credentials show what it has never sent, of an hour in which it has these records: then
 * the credentials are not its alone.
 */
export function isShared(records: readonly RecordEntry[], ours: readonly Sighting[]): boolean {
  const used = ours.filter(({ quantity }) => quantity > 0)
  if (used.some(one => !records.some(({ quantity, attempts }) => one.quantity === quantity && attempts > 0)))
    return true
  return records.some(record => {
    const sent = used.length > record.attempts ? used.filter(({ quantity }) => quantity === record.quantity) : []
    return sentOftener(record, sent)
  })
}

/** The calls that refused a record, where they are all that were ever made with it. */
function refusedCalls(
  { quantity, attempts }: RecordEntry,
  sightings: readonly Sighting[],
  callers: JudgeOptions['callers'],
): readonly Sighting[] | undefined {
  const ours = sightings.filter(one => one.quantity === quantity && callers?.surely(one.caller) === 'ours')
  return ours.length > 0 && callsOf(ours) === attempts && ours.every(isOneAttempt) ? ours : undefined
}

/** Whether its call is all that an attempt has made: the AWS SDK's own settings hide two more. */
const isOneAttempt = ({ caller }: Sighting): boolean => caller.userAgent.includes(USER_AGENT)

const callsOf = (sightings: readonly Sighting[]) => new Set(sightings.map(({ requestId }) => requestId)).size
