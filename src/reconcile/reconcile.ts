import { setImmediate } from 'node:timers/promises'
import { HOUR, hourOf, windowClosesAt } from '../ledger/hours.ts'
import type { Ledger, RecordEntry } from '../ledger/ledger.ts'
import { Callers } from './callers.ts'
import { Coverage, type RegionCoverage } from './coverage.ts'
import { type Caller, type EventSeries, licenceKey, seriesKey } from './event.ts'
import { type EventFile, readEventFile } from './event-files.ts'
import { Evidence, type Sighting } from './evidence.ts'
import { isShared, type Judgement, judge, type Verdict } from './judgement.ts'

export interface ReconcileOptions {
  readonly files: readonly EventFile[]
  /** Whose calls are this ledger's: ARNs of roles, users or sessions. */
  readonly callers: readonly string[]
  /** Only hours from this instant on, and before that one. */
  readonly from?: number
  readonly to?: number
  /** Takes each verdict that is not as the ledger has it, before the next is found. */
  readonly onFinding: (finding: Finding) => Promise<void> | void
}

/** A verdict on a record of the ledger, or on what AWS billed and the ledger has no record of. */
export interface Finding extends Judgement {
  readonly series: EventSeries
  readonly hour: number
  readonly record: RecordEntry | undefined
  /** The search has no gap where AWS could have taken the record. */
  readonly complete: boolean
  /** The last event of its region, in milliseconds since the epoch. */
  readonly searchedTo: number
}

export interface Reconciliation {
  readonly files: number
  readonly regions: readonly RegionCoverage[]
  readonly callers: readonly CallerFigures[]
  readonly verdicts: ReadonlyMap<Verdict, VerdictFigures>
  /** What could not be read: how often, and the first of it with its place. */
  readonly unread: { readonly count: number; readonly first: readonly string[] }
  /** Records in doubt of hours that were not looked at. */
  readonly inDoubtElsewhere: number
  /** Billed in hours of which the ledger has pruned its records: they are held against nothing. */
  readonly pruned: number
}

export interface VerdictFigures {
  records: number
  /** Quantities by dimension: AWS's, where it has one; of what only the ledger has, the ledger's. */
  readonly quantities: Map<string, number>
}

/** Who has called `BatchMeterUsage` successfully or not, and what became of it. */
export interface CallerFigures {
  readonly principal: string
  /** Whether it, or any of its sessions, is one of those that are named. */
  ours: boolean | undefined
  /** It has sent what this ledger never has: nothing is settled by its calls. */
  shared: boolean
  /** Records in its calls; what is sent again counts again. */
  records: number
  /** Those of them that AWS answered `Success`. */
  billed: number
  /** Those of these that the ledger has as metered, with this quantity. */
  agreed: number
  first: number
  last: number
  /** At most a few. */
  readonly addresses: Set<string>
  readonly userAgents: Set<string>
}

/** What is kept of what cannot be read, and of where a caller calls from. */
const MOST_UNREAD = 20
const MOST_PLACES = 5

const QUIET: ReadonlySet<Verdict> = new Set(['agreed', 'not-seen'])

/**
 * Holds what AWS wrote down of `BatchMeterUsage` against a ledger. It reads all events first, since they come in no order,
 * and then both hour by hour.
 */
export async function reconcile(
  ledger: Pick<Ledger, 'records' | 'audit'>,
  options: ReconcileOptions,
): Promise<Reconciliation> {
  const evidence = new Evidence()
  try {
    const coverage = new Coverage()
    const unread = await readAll(options.files, evidence, coverage)
    return { files: options.files.length, ...(await new Matching(ledger, options, evidence, coverage).run()), unread }
  } finally {
    evidence.close()
  }
}

async function readAll(
  files: readonly EventFile[],
  evidence: Evidence,
  coverage: Coverage,
): Promise<Reconciliation['unread']> {
  const unread = { count: 0, first: [] as string[] }
  for (const file of files) {
    await readEventFile(
      file,
      event => {
        if (event.call === undefined || evidence.add(event.call, event.time)) coverage.add(event)
      },
      problem => {
        unread.count++
        coverage.broken = true
        if (unread.first.length < MOST_UNREAD) unread.first.push(problem)
      },
    )
  }
  evidence.complete()
  return unread
}

class Matching {
  readonly #ledger: Pick<Ledger, 'records' | 'audit'>
  readonly #options: ReconcileOptions
  readonly #evidence: Evidence
  readonly #coverage: Coverage
  /** When the last event of each region was. */
  readonly #searchedTo: ReadonlyMap<string, number>
  readonly #figures = new Map<string, CallerFigures>()
  readonly #verdicts = new Map<Verdict, VerdictFigures>()
  readonly #callers: Callers | undefined
  /** By hour, the records that events decide, if all that is seen of other records agrees. */
  readonly #decidable = new Map<number, Set<string>>()
  /** What the ledger has records of, and what it has none of in an hour though its callers have sent it. */
  readonly #keys = new Set<string>()
  readonly #strangers = new Map<string, Set<Caller>>()
  /** Regions of which events are missing, in whatever hours: AWS has said `Success` to what is in none. */
  readonly #missing = new Set<string>()
  #pruned = 0
  #prunedBefore = Number.NEGATIVE_INFINITY
  #restoredAt = Number.NEGATIVE_INFINITY

  constructor(
    ledger: Pick<Ledger, 'records' | 'audit'>,
    options: ReconcileOptions,
    evidence: Evidence,
    coverage: Coverage,
  ) {
    this.#ledger = ledger
    this.#options = options
    this.#evidence = evidence
    this.#coverage = coverage
    this.#searchedTo = new Map(coverage.regions().map(({ region, to }) => [region, to]))
    this.#callers = options.callers.length === 0 ? undefined : new Callers(options.callers, evidence.callers())
  }

  async run(): Promise<Omit<Reconciliation, 'files' | 'unread'>> {
    const { from: first = Number.NEGATIVE_INFINITY, to: end = Number.POSITIVE_INFINITY } = this.#options
    const [pruned] = await this.#ledger.audit({ actions: ['prune'], limit: 1 })
    const restored = await this.#ledger.audit({ actions: ['restore', 'lost'], limit: 1 })
    for (const { at, writtenAt = at } of restored) this.#restoredAt = Math.max(this.#restoredAt, at, writtenAt)
    this.#prunedBefore = prunedBefore(pruned?.detail)
    const { span } = this.#coverage
    // AWS takes usage of a day: what was called first may be of an hour before.
    const within = span && { from: Math.max(hourOf(span.from) - 24 * HOUR, first), to: Math.min(span.to + 1, end) }
    const looked = (hour: number) => within !== undefined && hour >= within.from && hour < within.to
    const others = this.#evidence.hours().filter(hour => !looked(hour) && hour >= first && hour < end)
    for (const hour of others) await this.#hour(hour, await this.#recordsOf(hour, hour + HOUR))
    if (within !== undefined) {
      for await (const [hour, records] of this.#byHour(within.from, within.to)) await this.#hour(hour, records)
    }
    for (const [key, callers] of this.#strangers) {
      if (this.#keys.has(key)) for (const caller of callers) this.#share(caller)
    }
    for (const [hour, ids] of this.#decidable) await this.#decide(hour, ids)
    const held = await this.#ledger.records({ state: 'held', limit: Number.MAX_SAFE_INTEGER })
    const elsewhere = held.filter(({ hour, inDoubt }) => inDoubt && !looked(hour) && !others.includes(hour))
    return {
      regions: this.#coverage.regions(),
      callers: [...this.#figures.values()].sort((one, other) => other.billed - one.billed),
      verdicts: this.#verdicts,
      inDoubtElsewhere: elsewhere.length,
      pruned: this.#pruned,
    }
  }

  /** The ledger's records of each hour, read in parts of about as many as fit easily into memory. */
  async *#byHour(from: number, to: number): AsyncGenerator<[number, RecordEntry[]]> {
    let hours = 1
    for (let at = from; at < to; ) {
      const end = Math.min(at + hours * HOUR, to)
      const records = await this.#recordsOf(at, end)
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

  #recordsOf(from: number, to: number): Promise<RecordEntry[]> {
    return this.#ledger.records({ from, to, limit: Number.MAX_SAFE_INTEGER })
  }

  async #hour(hour: number, records: readonly RecordEntry[]): Promise<void> {
    // A ledger in a file answers at once: others have their turn, and memory is given back, between hours.
    await setImmediate()
    const seen = this.#evidence.ofHour(hour)
    for (const sightings of seen.values()) for (const sighting of sightings) this.#count(sighting)
    for (const finding of this.#judge(hour, records, seen)) {
      const { verdict, shown, proof, series, record } = finding
      if (proof !== undefined || verdict === 'absent') {
        const ids = this.#decidable.get(hour) ?? new Set()
        this.#decidable.set(hour, ids.add(record.id))
        continue
      }
      if (verdict === 'missing' && record.meteringRecordId !== undefined) this.#missing.add(record.region)
      if (verdict === 'agreed') this.#agree(shown)
      this.#add(verdict, shown, record, series)
      // Nearly all are quiet: nothing is made of them, nor waited for.
      if (!QUIET.has(verdict)) await this.#options.onFinding(finding)
    }
    for (const [key, sightings] of seen) {
      const shown = sightings.filter(({ outcome }) => outcome === 'success')
      const [first] = sightings as [Sighting]
      if (hour < this.#prunedBefore) {
        if (shown.length > 0) this.#pruned++
        continue
      }
      for (const { quantity, caller } of hour > this.#restoredAt ? sightings : []) {
        if (quantity === 0 || !this.#callers?.isOurs(caller)) continue
        const strangers = this.#strangers.get(key) ?? new Set()
        this.#strangers.set(key, strangers.add(caller))
      }
      if (shown.length === 0) continue
      this.#add('foreign', shown, undefined, first.series)
      const found = { series: first.series, hour, record: undefined, complete: true, searchedTo: 0 }
      await this.#options.onFinding({ verdict: 'foreign', shown, ...found })
    }
  }

  /** Judges again, now that all is seen, what events may decide. */
  async #decide(hour: number, ids: ReadonlySet<string>): Promise<void> {
    const records = await this.#recordsOf(hour, hour + HOUR)
    for (const finding of this.#judge(hour, records, this.#evidence.ofHour(hour), this.#missing)) {
      const { verdict, shown, series, record } = finding
      if (!ids.has(record.id)) continue
      this.#add(verdict, shown, record, series)
      if (!QUIET.has(verdict)) await this.#options.onFinding(finding)
    }
  }

  /**
   * Judges records of an hour, and takes what was seen of them out of it.
   *
   * @param missing regions of which events are missing, as far as is known
   */
  *#judge(
    hour: number,
    records: readonly RecordEntry[],
    seen: Map<string, Sighting[]>,
    missing?: ReadonlySet<string>,
  ): Generator<Finding & { readonly record: RecordEntry }> {
    const regions = new Map<string, boolean>()
    const completeIn = (region: string): boolean => {
      const complete = regions.get(region) ?? (this.#coverage.isComplete(region, hour) && !missing?.has(region))
      regions.set(region, complete)
      return complete
    }
    const known = hour > this.#restoredAt
    for (const [key, ofKey] of Map.groupBy(records, record => seriesKey(seriesOf(record)))) {
      const sightings = seen.get(key) ?? []
      seen.delete(key)
      if (this.#callers !== undefined) this.#keys.add(key)
      if (known) this.#look(ofKey, sightings)
      // Of two that AWS takes for one no event tells which it shows.
      const [callers, alone] = ofKey.length > 1 ? [undefined, false] : [this.#callers, true]
      for (const record of ofKey) {
        const complete = completeIn(record.region)
        const judgement = judge(record, sightings, { callers, complete, known: known && alone })
        const searchedTo = this.#searchedTo.get(record.region) ?? Number.NEGATIVE_INFINITY
        yield { ...judgement, series: seriesOf(record), hour, record, complete, searchedTo }
      }
    }
  }

  /** Looks whether this ledger's callers have sent what it never has. */
  #look(records: readonly RecordEntry[], sightings: readonly Sighting[]): void {
    const [first, second] = sightings
    if (first === undefined) return
    const [{ quantity, attempts }] = records as [RecordEntry]
    if (second === undefined && first.quantity === quantity && attempts > 0) return
    const ours = sightings.filter(({ caller }) => this.#callers?.isOurs(caller))
    if (isShared(records, ours)) for (const { caller } of ours) this.#share(caller)
  }

  #share(caller: Caller): void {
    this.#callers?.share(caller)
    const figures = this.#figures.get(caller.principal)
    if (figures !== undefined) figures.shared = true
  }

  #add(
    verdict: Verdict,
    shown: readonly Sighting[],
    record: RecordEntry | undefined,
    { dimension }: EventSeries,
  ): void {
    const figures = this.#verdicts.get(verdict) ?? { records: 0, quantities: new Map() }
    this.#verdicts.set(verdict, figures)
    figures.records++
    const quantity = shown.find(({ outcome }) => outcome === 'success')?.quantity ?? record?.quantity ?? 0
    figures.quantities.set(dimension, (figures.quantities.get(dimension) ?? 0) + quantity)
  }

  #count({ caller, outcome, time }: Sighting): void {
    const { principal, address, userAgent } = caller
    const known = this.#figures.get(principal)
    const figures = known ?? {
      ...{ principal, ours: this.#callers === undefined ? undefined : false, shared: false },
      ...{ records: 0, billed: 0, agreed: 0, first: time, last: time },
      ...{ addresses: new Set<string>(), userAgents: new Set<string>() },
    }
    if (known === undefined) this.#figures.set(principal, figures)
    if (this.#callers?.isOurs(caller)) figures.ours = true
    figures.records++
    if (outcome === 'success') figures.billed++
    figures.first = Math.min(figures.first, time)
    figures.last = Math.max(figures.last, time)
    if (figures.addresses.size < MOST_PLACES) figures.addresses.add(address)
    if (figures.userAgents.size < MOST_PLACES) figures.userAgents.add(userAgent)
  }

  #agree(sightings: readonly Sighting[]): void {
    for (const { caller } of sightings) {
      const figures = this.#figures.get(caller.principal)
      if (figures !== undefined) figures.agreed++
    }
  }
}

const FEW_RECORDS = 2_500

function seriesOf({ region, account, dimension }: RecordEntry): EventSeries {
  const { product, accountId, customerIdentifier, licenseArn } = account
  return {
    region,
    ...(licenseArn === undefined ? { product } : { licence: licenceKey(licenseArn) }),
    ...(accountId !== undefined && { accountId }),
    ...(customerIdentifier !== undefined && { customerIdentifier }),
    dimension,
  }
}

/** Up to which hour an entry of the audit trail says that records were deleted. */
function prunedBefore(detail: string | undefined): number {
  const time = Date.parse(/\d{4}-\d\d-\d\dT[\d:.]+Z/.exec(detail ?? '')?.[0] ?? '')
  return Number.isNaN(time) ? Number.NEGATIVE_INFINITY : time
}

/**
 * What is to be decided of a finding: what events prove, and where a person says that no event means not billed, that; but
 * not before the search goes on for a day after AWS has taken the last usage of the hour, since events come late.
 */
export function decisionOf(
  finding: Finding,
  { settle, settleAbsent, now }: { settle: boolean; settleAbsent: boolean; now: number },
): { readonly decision: 'billed' | 'not-billed'; readonly why: string } | undefined {
  const { proof, verdict, hour, complete, record, searchedTo } = finding
  if (settle && proof !== undefined) {
    const more = proof.by.length > MOST_TOLD ? `; and ${proof.by.length - MOST_TOLD} more` : ''
    return { decision: proof.decision, why: proof.by.slice(0, MOST_TOLD).map(told).join('; ') + more }
  }
  const late = Math.min(now, searchedTo) >= windowClosesAt(hour) + 24 * HOUR
  if (!settleAbsent || verdict !== 'absent' || !complete || !late || record === undefined) return undefined
  return {
    decision: 'not-billed',
    why: `no event of CloudTrail shows it as billed, in a search of ${record.region} without a gap in AWS's window for its hour`,
  }
}

/** How many events an entry of the audit trail names. */
const MOST_TOLD = 5

/** An event as the audit trail names it. */
function told({ eventId, outcome, quantity, caller }: Sighting): string {
  return `CloudTrail event ${eventId}: ${STATUS[outcome]}, quantity ${quantity}, called by ${caller.arn}`
}

const STATUS = {
  ...{ success: 'Success', duplicate: 'DuplicateRecord', 'not-subscribed': 'CustomerNotSubscribed' },
  ...{ unprocessed: 'unprocessed', refused: 'the call was refused', unclear: 'unclear' },
} as const
