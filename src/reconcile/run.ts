import { configurationError, show } from '../check.ts'
import { LedgerError } from '../ledger/errors.ts'
import { HOUR, hourOf } from '../ledger/hours.ts'
import type { Ledger } from '../ledger/ledger.ts'
import { backupClosedThrough, newGroup } from '../ledger/rules/audit.ts'
import { REGION } from '../marketplace/region.ts'
import type { PacerClock } from '../metering/pacer.ts'
import { callsEndAt, type Span } from './coverage.ts'
import { eventFiles, fileSource } from './event-files.ts'
import type { EventSource } from './event-source.ts'
import { leftText } from './left.ts'
import { type NotedRegion, reconciledRegions, reconciliationNote } from './notes.ts'
import { decisionOf, type Reconciliation, reconcile } from './reconcile.ts'
import { HISTORY, search } from './search.ts'
import { type CloudTrailClient, cloudTrailClient } from './search-client.ts'
import { type SettledFinding, Settling, settledAs } from './settling.ts'

/** What is asked, and how. */
export interface CloudTrailOptions {
  /** By default those in which the ledger's records were sent. */
  readonly regions?: readonly string[]
  /** By default the AWS SDK's `@aws-sdk/client-cloudtrail`, with credentials from the usual chain. */
  readonly clientFor?: (region: string) => CloudTrailClient | Promise<CloudTrailClient>
  readonly signal?: AbortSignal
  /** The time by which requests are paced: that of this process, by default. */
  readonly clock?: PacerClock
}

export interface RunOptions {
  /** Paths of files of events, or of folders of them; or how CloudTrail is asked, as it is by default. */
  readonly events?: readonly (string | EventSource)[] | CloudTrailOptions
  /** Whose calls are this ledger's: ARNs of roles, users or sessions. */
  readonly callers?: readonly string[]
  /**
   * Only hours from this instant on, and before that one, in milliseconds since the epoch. Of CloudTrail it is asked by
   * default what no run has reconciled, and from what is held in doubt or conflict on; of the 90 days that it has.
   */
  readonly from?: number
  readonly to?: number
  /** Settle what events prove, each with the events' ids in the audit trail. It needs `callers`. */
  readonly settle?: boolean
  /**
   * Settle as not billed what is in doubt and in no event of a search without a gap, a day after its window. CloudTrail
   * is best effort: no event proves nothing.
   */
  readonly settleAbsent?: boolean
  /** Neither settle nor note anything: only say what would be. */
  readonly dryRun?: boolean
  /** For the audit trail: who says so. */
  readonly who?: string
  /** Milliseconds since the epoch. */
  readonly now?: number
  /** Takes each verdict that is not as the ledger has it, with what became of it. */
  readonly onFinding?: (finding: SettledFinding) => void
}

export interface Run extends Reconciliation {
  /** Of what time calls were to be searched for, where CloudTrail was asked. */
  readonly asked?: Span
  /** Whether the audit trail has it: not a dry run, nor one that has reconciled no hour, nor where who runs may only read. */
  readonly noted: 'noted' | 'nothing' | 'dry-run' | 'refused'
  /** Why the ledger has not taken the note. */
  readonly refusal?: string
}

/** Of a ledger what a run reads and writes. */
export type ReconcilableLedger = Pick<Ledger, 'records' | 'audit' | 'answers' | 'dimensions' | 'decideAll' | 'note'>

/** Whether a person has to look at it: all but what is settled, and what AWS will answer by itself. */
export function needsPerson({ settled, verdict, record, shown }: SettledFinding): boolean {
  if (settled !== undefined) return false
  return !(verdict === 'billed' && record?.state === 'pending' && shown.length > 0)
}

/**
 * Holds what AWS wrote down of `BatchMeterUsage` against a ledger, settles what it is told to, and notes in the audit
 * trail up to where that was done, and what it has left open.
 *
 * @throws ConfigurationError where an option is wrong, or the package `@aws-sdk/client-cloudtrail` is not installed
 * @throws EventError where there is no such file
 * @throws SearchError where CloudTrail answers nothing at all; where it answers in part, `unread` says what is missing
 */
export async function runReconciliation(ledger: ReconcilableLedger, options: RunOptions): Promise<Run> {
  const {
    events = {},
    callers = [],
    settle = false,
    settleAbsent = false,
    dryRun = false,
    onFinding = () => {},
  } = options
  const { who = 'reconcile', now = Date.now() } = options
  if ((settle || settleAbsent) && callers.length === 0) {
    throw configurationError(["callers: expected the role or user that the ledger's calls are made with, got none"])
  }
  const asked = isAsked(events) ? await searches(ledger, events, { ...options, now }) : undefined
  const { from, to } = asked ?? options
  const regions = new Map<string, Tally>()
  const report = (finding: SettledFinding) => {
    if (finding.reconciled) tally(regions, finding)
    onFinding(finding)
  }
  const group = newGroup()
  const settling = new Settling(ledger, { who, why: '', now, group }, report)
  const found = await reconcile(ledger, {
    ...{ events: asked?.sources ?? sourcesOf(events as readonly (string | EventSource)[]), callers },
    ...(from !== undefined && { from }),
    ...(to !== undefined && { to }),
    onFinding: async finding => {
      const decided = decisionOf(finding, { settle, settleAbsent, now })
      const { record } = finding
      if (decided === undefined || record === undefined) {
        const left = leftText(finding, now)
        report(left === undefined ? finding : { ...finding, left })
        return
      }
      if (dryRun) report({ ...finding, ...settledAs(decided) })
      else await settling.add({ finding, decision: { recordId: record.id, ...decided } })
    },
  })
  await settling.end()
  const result = { ...found, ...(asked !== undefined && { asked: asked.calls }) }
  if (dryRun) return { ...result, noted: 'dry-run' }
  const noted = result.reconciled.map(({ verdicts, ...rest }): NotedRegion => {
    const { settled, open, held } = regions.get(rest.region) ?? newTally()
    return { ...rest, verdicts: Object.fromEntries(verdicts), settled, open, held }
  })
  try {
    const note = await reconciliationNote(ledger, noted)
    if (note === undefined) return { ...result, noted: 'nothing' }
    const why = isAsked(events) ? 'CloudTrail was asked' : 'files of CloudTrail were read'
    await ledger.note({ ...note, who, why, now })
    return { ...result, noted: 'noted' }
  } catch (error) {
    // What was found is told all the same. Engines say in different ways that a role may only read.
    if (error instanceof LedgerError) return { ...result, noted: 'refused', refusal: error.message }
    throw error
  }
}

const isAsked = (events: NonNullable<RunOptions['events']>): events is CloudTrailOptions => !Array.isArray(events)

/** @throws EventError where there is no such file */
const sourcesOf = (events: readonly (string | EventSource)[]): EventSource[] =>
  events.flatMap(one => (typeof one === 'string' ? eventFiles([one], process.stdin).files.map(fileSource) : [one]))

/** A search for each region, of all calls in which AWS could have taken usage of the hours that are looked at. */
async function searches(
  ledger: ReconcilableLedger,
  { regions: wanted, clientFor = cloudTrailClient, signal, clock }: CloudTrailOptions,
  { from, to, now }: { from?: number; to?: number; now: number },
): Promise<Span & { sources: EventSource[]; calls: Span }> {
  const known = await reconciledRegions(ledger)
  const regions = wanted ?? known.map(({ region }) => region)
  const wrong = regions.filter(region => !REGION.test(region)).map(show)
  if (wrong.length > 0)
    throw configurationError([`regions: expected regions such as us-east-1, got ${wrong.join(', ')}`])
  if (regions.length === 0) {
    throw configurationError(['regions: expected one to ask in, got none: the ledger has not sent anything yet'])
  }
  const oldest = hourOf(now - HISTORY) + HOUR
  const reconciled = known.filter(({ region }) => regions.includes(region))
  const unreconciled = regions.map(name => reconciled.find(({ region }) => region === name)?.hours.at(-1)?.to ?? oldest)
  const start = from ?? Math.max(oldest, Math.min(...unreconciled, ...(await doubtfulHours(ledger))))
  const hours = { from: start, to: to ?? hourOf(now) + HOUR }
  const calls = { from: hours.from, to: Math.min(now, callsEndAt(hours.to - HOUR)) }
  const sources: EventSource[] = []
  for (const region of new Set(regions)) {
    const client = await clientFor(region)
    sources.push(search({ region, client, now, ...calls, signal, ...(clock !== undefined && { clock }) }))
  }
  return { ...hours, sources, calls }
}

/** What events may prove something of, however long ago it was looked at. */
async function doubtfulHours(ledger: ReconcilableLedger): Promise<number[]> {
  const held = await ledger.records({ state: 'held', limit: Number.MAX_SAFE_INTEGER })
  const doubtful = held.filter(
    ({ inDoubt, reason }) => inDoubt || reason === 'in-doubt' || reason === 'conflict' || reason === 'restored',
  )
  if (doubtful.length === 0) return []
  const oldest = doubtful.reduce((least, { hour }) => Math.min(least, hour), Number.POSITIVE_INFINITY)
  // What a restore holds of a balance may have been billed since the backup.
  const restores = doubtful.some(({ reason }) => reason === 'restored')
    ? await ledger.audit({ actions: ['restore'], limit: MOST_RESTORES })
    : []
  return [oldest, ...restores.map(({ detail }) => backupClosedThrough(detail)).filter(Number.isFinite)]
}

const MOST_RESTORES = 100

interface Tally {
  readonly settled: Record<string, number>
  readonly open: Record<string, number>
  held: number
}

const newTally = (): Tally => ({ settled: {}, open: {}, held: 0 })

/** What is held shows in the ledger until a person has decided; of the rest nothing else tells. */
function tally(regions: Map<string, Tally>, finding: SettledFinding): void {
  const { series, settled, verdict, record } = finding
  const figures = regions.get(series.region) ?? newTally()
  regions.set(series.region, figures)
  if (settled !== undefined) figures.settled[settled] = (figures.settled[settled] ?? 0) + 1
  else if (!needsPerson(finding)) return
  else if (record?.state === 'held') figures.held++
  else figures.open[verdict] = (figures.open[verdict] ?? 0) + 1
}
