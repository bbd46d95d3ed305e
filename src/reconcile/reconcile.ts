import { setImmediate } from 'node:timers/promises'
import { DAY, HOUR, hourOf, windowClosesAt } from '../ledger/hours.ts'
import type { Ledger, RecordEntry } from '../ledger/ledger.ts'
import { RESTORED } from '../ledger/rules/closing.ts'
import { Callers } from './callers.ts'
import { Coverage, type RegionCoverage, type Span } from './coverage.ts'
import { EventError, SearchError } from './errors.ts'
import { type Caller, type EventSeries, licenceKey, seriesKey } from './event.ts'
import type { EventSource } from './event-source.ts'
import { Evidence, type Sighting } from './evidence.ts'
import { isShared, type Judgement, judge, type Verdict } from './judgement.ts'
import type { Lack } from './lack.ts'
import { prunedBefore, recordsByHour, recordsOf } from './ledger-records.ts'
import { LostLedgers, type RestoredFigures, type Search } from './lost-ledgers.ts'

export interface ReconcileOptions {
  readonly events: readonly EventSource[]
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
  /** Whether it is of the hours that the run has reconciled. */
  readonly reconciled: boolean
  /** Of what a restore holds, and of what was pending then. */
  readonly restored?: RestoredFigures
}

/** A finding before it is told, and all calls that had its customer, dimension and hour. */
interface Judged {
  readonly finding: Omit<Finding, 'reconciled'> & { readonly record: RecordEntry }
  readonly sightings: readonly Sighting[]
}

/** The hours of a region that were read whole, and what was found of them. */
export interface ReconciledHours extends Span {
  readonly region: string
  readonly verdicts: ReadonlyMap<Verdict, number>
  /** Calls whose records or answers CloudTrail has left out, of the whole run. */
  readonly leftOut: number
}

export interface Reconciliation {
  readonly files: number
  readonly reconciled: readonly ReconciledHours[]
  /** Regions of which the ledger has records of these hours, and no event was read or asked for. */
  readonly otherRegions: readonly string[]
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

const QUIET: ReadonlySet<Verdict> = new Set(['agreed', 'not-seen', 'lost'])

/** How many entries of the audit trail are read of restores, and of dimensions. */
const MOST_ENTRIES = 10_000

/**
 * Holds what AWS wrote down of `BatchMeterUsage` against a ledger. It reads all events first, since they come in no order,
 * and then both hour by hour.
 */
export async function reconcile(
  ledger: Pick<Ledger, 'records' | 'audit' | 'dimensions'>,
  options: ReconcileOptions,
): Promise<Reconciliation> {
  const evidence = new Evidence()
  try {
    const coverage = new Coverage()
    const unread = await readAll(options.events, evidence, coverage)
    const files = options.events.filter(({ asked }) => !asked).length
    const { strange, ...result } = await new Matching(ledger, options, evidence, coverage).run()
    for (const region of strange) tell(unread, strangeText(region))
    return { files, ...result, unread }
  } catch (error) {
    throw isTemporaryFile(error) ? new EventError(NO_ROOM, { cause: error }) : error
  } finally {
    evidence.close()
  }
}

/** A ledger's own have another name by then. */
const isTemporaryFile = (error: unknown): boolean => (error as NodeJS.ErrnoException)?.code === 'ERR_SQLITE_ERROR'

const NO_ROOM =
  'Events are gathered in a temporary file, which cannot be written: make room where TMPDIR says, or have it name a folder ' +
  'that can be written.'

interface Unread {
  count: number
  readonly first: string[]
}

function tell(unread: Unread, problem: string): void {
  unread.count++
  if (unread.first.length < MOST_UNREAD) unread.first.push(problem)
}

const strangeText = (region: string) =>
  `The events of ${region} show no call of this ledger, which has records there: are they of the AWS account that meters ` +
  '(the credentials that CloudTrail was asked with), and of the right time? Nothing there is taken for complete.'

async function readAll(sources: readonly EventSource[], evidence: Evidence, coverage: Coverage): Promise<Unread> {
  const unread: Unread = { count: 0, first: [] }
  const failed: SearchError[] = []
  for (const source of sources) {
    try {
      await source.read({
        take: event => {
          if (event.call === undefined || evidence.add(event.call, event.time)) coverage.add(event, source.asked)
        },
        unreadable: problem => {
          coverage.broken = true
          tell(unread, problem)
        },
        searched: (region, span) => coverage.search(region, span),
      })
    } catch (error) {
      if (!(error instanceof SearchError)) throw error
      failed.push(error)
      tell(unread, error.message)
    }
  }
  // Of nothing there is nothing to report.
  const [first] = failed
  if (first !== undefined && failed.length === sources.length && coverage.span === undefined) throw first
  evidence.complete()
  return unread
}

class Matching {
  readonly #ledger: Pick<Ledger, 'records' | 'audit' | 'dimensions'>
  readonly #options: ReconcileOptions
  readonly #evidence: Evidence
  readonly #coverage: Coverage
  /** Up to when each region was read. */
  readonly #searched: ReadonlyMap<string, number>
  readonly #figures = new Map<string, CallerFigures>()
  readonly #verdicts = new Map<Verdict, VerdictFigures>()
  readonly #stretches = new Map<string, Span & { readonly verdicts: Map<Verdict, number> }>()
  /** Of which the ledger has records that were sent. */
  readonly #ledgerRegions = new Set<string>()
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
  /** Of which the ledger has records at all, sent or not. */
  readonly #regions = new Set<string>()

  constructor(
    ledger: Pick<Ledger, 'records' | 'audit' | 'dimensions'>,
    options: ReconcileOptions,
    evidence: Evidence,
    coverage: Coverage,
  ) {
    this.#ledger = ledger
    this.#options = options
    this.#evidence = evidence
    this.#coverage = coverage
    this.#searched = new Map(
      coverage.regions().map(({ region, to, searched }) => {
        return [region, Math.max(to ?? Number.NEGATIVE_INFINITY, ...searched.map(span => span.to))]
      }),
    )
    this.#callers = options.callers.length === 0 ? undefined : new Callers(options.callers, evidence.callers())
  }

  async run(): Promise<Omit<Reconciliation, 'files' | 'unread'> & { strange: string[] }> {
    const { from: first = Number.NEGATIVE_INFINITY, to: end = Number.POSITIVE_INFINITY } = this.#options
    const entries = (action: 'restore' | 'lost' | 'register') =>
      this.#ledger.audit({ actions: [action], limit: MOST_ENTRIES })
    const [restores, losses, registered] = [await entries('restore'), await entries('lost'), await entries('register')]
    const lost = new LostLedgers({
      ...{ restores, losses, registered, dimensions: await this.#ledger.dimensions(), callers: this.#callers },
    })
    this.#prunedBefore = await prunedBefore(this.#ledger)
    const { span } = this.#coverage
    // AWS takes usage of a day: what was called first may be of an hour before.
    const within = span && { from: Math.max(hourOf(span.from) - DAY, first), to: Math.min(span.to + 1, end) }
    for (const region of within === undefined ? [] : this.#coverage.regionNames) {
      const stretch = this.#coverage.stretch(region, within as Span)
      if (stretch !== undefined) this.#stretches.set(region, { ...stretch, verdicts: new Map() })
    }
    const strange = await this.#strangeRegions()
    for (const region of strange) this.#coverage.doubt(region)
    const looked = (hour: number) => within !== undefined && hour >= within.from && hour < within.to
    const others = this.#evidence.hours().filter(hour => !looked(hour) && hour >= first && hour < end)
    for (const hour of others) await this.#hour(hour, await recordsOf(this.#ledger, hour, hour + HOUR), lost)
    if (within !== undefined) {
      for await (const [hour, records] of recordsByHour(this.#ledger, within.from, within.to))
        await this.#hour(hour, records, lost)
    }
    for (const [key, callers] of this.#strangers) {
      if (this.#keys.has(key)) for (const caller of callers) this.#share(caller)
    }
    for (const [hour, ids] of this.#decidable) await this.#decide(hour, ids, lost)
    const held = await this.#ledger.records({ state: 'held', limit: Number.MAX_SAFE_INTEGER })
    for (const record of held) {
      const { hour } = record
      if (looked(hour) || others.includes(hour)) continue
      lost.takeRecord(record, seriesOf(record), [], { verdict: 'restored', shown: [] })
    }
    await this.#judgeRestored(lost, within)
    const elsewhere = held.filter(({ hour, inDoubt }) => inDoubt && !looked(hour) && !others.includes(hour))
    const regions = this.#coverage.regions()
    // Where there is nothing to be seen, nothing is missing.
    const suspect = strange.filter(name => this.#ledgerRegions.has(name))
    return {
      ...{ regions, strange: suspect },
      otherRegions: [...this.#ledgerRegions].filter(name => !this.#coverage.regionNames.includes(name)).sort(),
      reconciled: regions.flatMap(({ region, leftOut, calls, searched }) => {
        const stretch = this.#stretches.get(region)
        // A trail has other services' events of regions in which nothing is metered.
        const isMetered = calls > 0 || searched.length > 0 || this.#ledgerRegions.has(region)
        return stretch === undefined || !isMetered || suspect.includes(region) ? [] : [{ region, ...stretch, leftOut }]
      }),
      callers: [...this.#figures.values()].sort((one, other) => other.billed - one.billed),
      verdicts: this.#verdicts,
      inDoubtElsewhere: elsewhere.length,
      pruned: this.#pruned,
    }
  }

  /** Of what was restored, when all was read. */
  async #judgeRestored(lost: LostLedgers, within: { readonly from: number; readonly to: number } | undefined) {
    const regions = [
      ...this.#regions,
      ...this.#coverage
        .regions()
        .filter(({ calls }) => calls > 0)
        .map(({ region }) => region),
    ]
    const searchedTo = Math.min(...regions.map(region => this.#searchedTo(region)))
    const complete = new Map<number, boolean>()
    const search: Search = {
      lacks: (from: number, to: number) => {
        if (this.#prunedBefore > from) return 'pruned'
        if (within === undefined || within.from > from) return 'start'
        if (within.to > to) return undefined
        return (this.#options.to ?? Number.POSITIVE_INFINITY) > to ? 'restore' : 'end'
      },
      isComplete: (from: number, to: number) => {
        const known = complete.get(from)
        if (known !== undefined) return known
        const hours = Array.from({ length: Math.floor((to - from) / HOUR) + 1 }, (_, index) => from + index * HOUR)
        const isComplete = (region: string) =>
          !this.#missing.has(region) && hours.every(hour => this.#coverage.isComplete(region, hour))
        const all = regions.length > 0 && regions.every(isComplete)
        complete.set(from, all)
        return all
      },
    }
    for (const judgement of lost.judgements(search)) {
      const { verdict, shown, record, restored } = judgement
      const series = seriesOf(record)
      const reconciled = this.#add(verdict, record.hour, shown, record, series, Math.floor(restored.held))
      await this.#options.onFinding({
        ...judgement,
        series,
        hour: record.hour,
        complete: restored.rest !== undefined,
        reconciled,
        searchedTo,
      })
    }
  }

  /**
   * Those whose events show no call of the ledger's callers, nor with a record of its own: of another AWS account there are
   * none, too, and that would seem to prove that AWS has billed nothing.
   */
  async #strangeRegions(): Promise<string[]> {
    const regions = this.#coverage.regions()
    const strange = new Set(regions.map(({ region }) => region))
    const called = regions.filter(({ calls }) => calls > 0)
    for (const hour of this.#evidence.hours().reverse()) {
      if (!called.some(({ region }) => strange.has(region))) break
      const seen = this.#evidence.ofHour(hour)
      for (const { caller, series } of [...seen.values()].flat())
        if (this.#callers?.isOurs(caller)) strange.delete(series.region)
      if (![...seen.values()].some(([first]) => first !== undefined && strange.has(first.series.region))) continue
      for (const record of await recordsOf(this.#ledger, hour, hour + HOUR)) {
        const sightings = seen.get(seriesKey(seriesOf(record))) ?? []
        if (sightings.some(({ quantity }) => quantity === record.quantity)) strange.delete(record.region)
      }
      await setImmediate()
    }
    return [...strange]
  }

  async #hour(hour: number, records: readonly RecordEntry[], lost: LostLedgers): Promise<void> {
    // A ledger in a file answers at once: others have their turn, and memory is given back, between hours.
    await setImmediate()
    const seen = this.#evidence.ofHour(hour)
    for (const sightings of seen.values()) for (const sighting of sightings) this.#count(sighting)
    for (const judged of this.#judge(hour, records, seen, lost)) {
      const { verdict, proof, record } = judged.finding
      if (record.attempts > 0) this.#ledgerRegions.add(record.region)
      if (record.region !== RESTORED) this.#regions.add(record.region)
      if (proof !== undefined || verdict === 'absent') {
        const ids = this.#decidable.get(hour) ?? new Set()
        this.#decidable.set(hour, ids.add(record.id))
        continue
      }
      if (verdict === 'missing' && record.meteringRecordId !== undefined) this.#missing.add(record.region)
      await this.#tell(judged, lost)
    }
    for (const [key, sightings] of seen) {
      const [first] = sightings as [Sighting]
      const isLost = lost.takeForeign(sightings)
      const shown = sightings.filter(({ outcome }) => outcome === 'success')
      if (hour < this.#prunedBefore) {
        if (shown.length > 0) this.#pruned++
        continue
      }
      for (const { quantity, caller } of hour > lost.knownAfter ? sightings : []) {
        if (quantity === 0 || !this.#callers?.isOurs(caller)) continue
        const strangers = this.#strangers.get(key) ?? new Set()
        this.#strangers.set(key, strangers.add(caller))
      }
      if (shown.length === 0) continue
      const verdict = isLost ? 'lost' : 'foreign'
      const reconciled = this.#add(verdict, hour, shown, undefined, first.series)
      if (QUIET.has(verdict)) continue
      const found = { series: first.series, hour, record: undefined, complete: true, reconciled, searchedTo: 0 }
      await this.#options.onFinding({ verdict, shown, ...found })
    }
  }

  /** Judges again, now that all is seen, what events may decide. */
  async #decide(hour: number, ids: ReadonlySet<string>, lost: LostLedgers): Promise<void> {
    const records = await recordsOf(this.#ledger, hour, hour + HOUR)
    for (const judged of this.#judge(hour, records, this.#evidence.ofHour(hour), lost, this.#missing)) {
      if (ids.has(judged.finding.record.id)) await this.#tell(judged, lost)
    }
  }

  /** Tells of a finding, unless that waits for what is found of the ledgers that were lost. */
  async #tell({ finding, sightings }: Judged, lost: LostLedgers): Promise<void> {
    const { verdict, shown, hour, record, series } = finding
    if (lost.takeRecord(record, series, sightings, finding)) return
    if (verdict === 'agreed') this.#agree(shown)
    const reconciled = this.#add(verdict, hour, shown, record, series)
    // Nearly all are quiet: nothing is made of them, nor waited for.
    if (!QUIET.has(verdict)) await this.#options.onFinding({ ...finding, reconciled })
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
    lost: LostLedgers,
    missing?: ReadonlySet<string>,
  ): Generator<Judged> {
    const regions = new Map<string, boolean>()
    const completeIn = (region: string): boolean => {
      const complete = regions.get(region) ?? (this.#coverage.isComplete(region, hour) && !missing?.has(region))
      regions.set(region, complete)
      return complete
    }
    const attemptsKnown = hour > lost.knownAfter
    // What may be said of a record from before a restore is found out with what else the lost ledger has billed.
    const known = hour > lost.lostAt
    for (const [key, ofKey] of Map.groupBy(records, record => seriesKey(seriesOf(record)))) {
      const sightings = seen.get(key) ?? []
      seen.delete(key)
      if (this.#callers !== undefined) this.#keys.add(key)
      if (attemptsKnown) this.#look(ofKey, sightings)
      // Of two that AWS takes for one no event tells which it shows.
      const [callers, alone] = ofKey.length > 1 ? [undefined, false] : [this.#callers, true]
      for (const record of ofKey) {
        const complete = completeIn(record.region)
        const options = { callers, complete, known: known && alone, attemptsKnown: attemptsKnown && alone }
        const judgement = judge(record, sightings, options)
        const lack = this.#lackOf(judgement, record.region, hour, missing)
        const found = { series: seriesOf(record), hour, record, complete, searchedTo: this.#searchedTo(record.region) }
        yield { finding: { ...judgement, ...(lack !== undefined && { lack }), ...found }, sightings }
      }
    }
  }

  /** What more is known of why nothing is decided. */
  #lackOf({ lack }: Judgement, region: string, hour: number, missing?: ReadonlySet<string>): Lack | undefined {
    if (lack === 'callers' && this.#callers !== undefined) return 'unknown'
    if (lack !== 'gap' || !this.#coverage.isCovered(region, hour)) return lack
    return missing?.has(region) ? 'missing' : 'left-out'
  }

  #searchedTo(region: string): number {
    return this.#searched.get(region) ?? Number.NEGATIVE_INFINITY
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

  /** Returns whether it is of the hours that are reconciled. */
  #add(
    verdict: Verdict,
    hour: number,
    shown: readonly Sighting[],
    record: RecordEntry | undefined,
    { region, dimension }: EventSeries,
    units?: number,
  ): boolean {
    const figures = this.#verdicts.get(verdict) ?? { records: 0, quantities: new Map() }
    this.#verdicts.set(verdict, figures)
    figures.records++
    const quantity = units ?? shown.find(({ outcome }) => outcome === 'success')?.quantity ?? record?.quantity ?? 0
    figures.quantities.set(dimension, (figures.quantities.get(dimension) ?? 0) + quantity)
    const stretch = this.#stretches.get(region)
    if (stretch === undefined || hour < stretch.from || hour >= stretch.to) return false
    stretch.verdicts.set(verdict, (stretch.verdicts.get(verdict) ?? 0) + 1)
    return true
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

/**
 * What is to be decided of a finding: what events prove, and where a person says that no event means not billed, that; but
 * not before the search goes on for a day after AWS has taken the last usage of the hour, since events come late.
 */
export function decisionOf(
  finding: Finding,
  { settle, settleAbsent, now }: { settle: boolean; settleAbsent: boolean; now: number },
): { readonly decision: 'billed' | 'not-billed'; readonly why: string; readonly quantity?: number } | undefined {
  const { proof, verdict, hour, complete, record, restored, searchedTo } = finding
  if (settle && proof !== undefined) {
    const more = proof.by.length > MOST_TOLD ? `; and ${proof.by.length - MOST_TOLD} more` : ''
    return { decision: proof.decision, why: proof.by.slice(0, MOST_TOLD).map(told).join('; ') + more }
  }
  const isLate = (hour: number) => Math.min(now, searchedTo) >= windowClosesAt(hour) + DAY
  if (restored !== undefined) {
    const { rest: quantity, billed, hours } = restored
    if (!settleAbsent || quantity === undefined || hours === undefined || !isLate(hourOf(hours.to))) return undefined
    const why =
      `${billed} units are billed that the lost ledger sent, in a search without a gap for the hours from ` +
      `${new Date(hours.from).toISOString()} to ${new Date(hours.to).toISOString()}`
    return quantity === 0 ? { decision: 'not-billed', why } : { decision: 'billed', quantity, why }
  }
  if (!settleAbsent || verdict !== 'absent' || !complete || !isLate(hour) || record === undefined) return undefined
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
