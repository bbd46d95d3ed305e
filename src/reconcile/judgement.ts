import type { RecordEntry } from '../ledger/ledger.ts'
import type { Callers } from './callers.ts'
import type { Sighting } from './evidence.ts'
import type { Lack } from './lack.ts'

/**
 * What CloudTrail's events say of a record of the ledger:
 * - `agreed`: as the ledger has it; `not-seen`: no event says otherwise, and none shows it;
 * - `billed`: AWS billed it, and the ledger does not have it as metered;
 * - `other-quantity`, `other-id`: AWS billed the hour with another quantity, or under another `MeteringRecordId`;
 * - `missing`: the ledger has it as metered, and no event of a complete search shows that AWS billed it;
 * - `absent`: it is in doubt, and a complete search has no event of a call that can have billed it; `undecided`: in doubt,
 *   and events prove nothing;
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
  /** Of what is held in doubt, in conflict or of before a restore: why events settle nothing of it. */
  readonly lack?: Lack
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
  /** Whether the ledger knows of all attempts. */
  readonly attemptsKnown: boolean
}

/** Judges a record by all calls that had its customer, dimension and hour. */
export function judge(record: RecordEntry, sightings: readonly Sighting[], options: JudgeOptions): Judgement {
  const judgement = verdictOn(record, sightings, options)
  const lack = judgement.proof === undefined ? lackOf(record, judgement, options) : undefined
  return lack === undefined ? judgement : { ...judgement, lack }
}

function lackOf(
  { state, reason }: RecordEntry,
  { verdict, shown }: Judgement,
  { callers, complete, known }: JudgeOptions,
): Lack | undefined {
  if (state !== 'held') return undefined
  if (reason === 'conflict') return 'conflict'
  if (reason === 'restored') return callers === undefined ? 'callers' : 'held-before'
  if (reason !== 'in-doubt') return undefined
  if (verdict === 'absent') return 'absence'
  if (verdict === 'undecided') {
    if (!complete) return 'gap'
    const has = (outcome: Sighting['outcome']) => shown.some(one => one.outcome === outcome)
    return has('unclear') ? 'unclear' : has('duplicate') ? 'duplicate' : 'unknown'
  }
  if (callers === undefined) return 'callers'
  if (verdict === 'two-senders' && shown.some(({ caller }) => callers.surely(caller) === 'theirs')) return 'two-senders'
  if (verdict === 'other-quantity') return known ? 'own' : 'unknown'
  return 'caller'
}

function verdictOn(record: RecordEntry, sightings: readonly Sighting[], options: JudgeOptions): Judgement {
  const { state, reason, quantity, attempts, inDoubt, meteringRecordId } = record
  const successes = sightings.filter(({ outcome }) => outcome === 'success')
  const same = successes.filter(one => one.quantity === quantity)
  const others = successes.filter(one => one.quantity !== quantity)
  const { callers, complete, known } = options
  if (reason === 'restored') {
    if (state !== 'held') return { verdict: successes.length > 0 ? 'agreed' : 'not-seen', shown: successes }
    // Of one that was held at the backup its own hour may be billed. A balance is of no hour; see `LostLedgers`.
    const ours = same.filter(({ caller }) => callers?.surely(caller) === 'ours')
    const proven = ours.length > 0 && ours.length === successes.length
    return proven
      ? { verdict: 'billed', shown: same, proof: { decision: 'billed', by: ours } }
      : { verdict: 'restored', shown: successes }
  }
  if (state === 'returned') {
    const ours = attempts > 0 ? same.filter(({ caller }) => callers?.isOurs(caller) ?? true) : []
    if (ours.length > 0 && quantity > 0) return { verdict: 'billed', shown: ours }
    return successes.some(one => one.quantity > 0)
      ? { verdict: 'foreign', shown: successes }
      : { verdict: 'agreed', shown: [] }
  }
  if (state === 'metered') {
    // A person has said that what somebody else sent was this usage.
    if (others.length > 0 && same.length === 0 && reason === 'conflict') return { verdict: 'agreed', shown: others }
    if (others.length > 0) return { verdict: 'other-quantity', shown: [...others, ...same] }
    // A call of which it is not clear what became of it is the one, perhaps.
    const unclear = sightings.some(one => one.outcome === 'unclear' && one.quantity === quantity)
    if (same.length === 0) return { verdict: complete && !unclear ? 'missing' : 'not-seen', shown: [] }
    if (sentByTwo(record, sightings, options)) return { verdict: 'two-senders', shown: takenOf(record, sightings) }
    const ids = same.flatMap(one => one.meteringRecordId ?? [])
    const isKnown = meteringRecordId === undefined || ids.length === 0 || ids.includes(meteringRecordId)
    return { verdict: isKnown ? 'agreed' : 'other-id', shown: same }
  }
  const doubted = state === 'held' && reason === 'in-doubt'
  if (same.length > 0) {
    if (others.length > 0) return { verdict: 'other-quantity', shown: [...same, ...others] }
    if (sentByTwo(record, sightings, options)) return { verdict: 'two-senders', shown: takenOf(record, sightings) }
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
  // How many calls there were nobody knows: an attempt that is halved, or a client that repeats, makes several.
  return { verdict: complete ? 'absent' : 'undecided', shown: sightings }
}

/**
 * Whether somebody else has sent the same quantity: with other credentials; or with these, from more places than this
 * ledger has made attempts. Of nothing no share is gone.
 */
function sentByTwo(
  record: RecordEntry,
  sightings: readonly Sighting[],
  { callers, attemptsKnown }: JudgeOptions,
): boolean {
  const { quantity, attempts } = record
  if (quantity === 0) return false
  const sent = sightings.filter(one => one.quantity === quantity)
  const taken = takenOf(record, sightings)
  if (attempts === 0) return taken.length > 0
  const principals = new Set(taken.map(({ caller }) => caller.principal))
  if (callers === undefined ? principals.size > 1 : taken.some(({ caller }) => !callers.isOurs(caller))) return true
  const ours = callers === undefined ? sent : sent.filter(({ caller }) => callers.isOurs(caller))
  return attemptsKnown && sentOftener(record, ours)
}

/** The calls in which AWS has taken this quantity; or perhaps, since they failed. */
function takenOf({ quantity }: RecordEntry, sightings: readonly Sighting[]): Sighting[] {
  const taken = sightings.filter(({ outcome }) => outcome === 'success' || outcome === 'unclear')
  return taken.filter(one => one.quantity === quantity)
}

/** Whether calls with this ledger's credentials are of more attempts than it has made. */
function sentOftener({ attempts }: RecordEntry, ours: readonly Sighting[]): boolean {
  // An attempt makes all its calls from one place.
  return ours.length > attempts && new Set(ours.map(({ caller }) => `${caller.arn} ${caller.address}`)).size > attempts
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
