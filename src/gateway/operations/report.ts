import { MINUTE, SECOND, windowClosesAt } from '../../ledger/hours.ts'
import type { AuditEntry, IncludedDimension, Ledger, LedgerStatus } from '../../ledger/ledger.ts'
import { openLoss } from '../../ledger/loss.ts'
import { type RecentAlarm, recentAlarms } from '../../metering/counter-alarms.ts'
import { Endpoints, type RefusedEndpoint } from '../../metering/endpoints.ts'
import { lossFinding } from '../../metering/loss.ts'
import type { Finding } from '../../metering/preflight/finding.ts'
import { recentQuantityAlert } from '../../metering/quantity-alert.ts'
import type { Supply, SupplyFigures } from '../../metering/supply.ts'
import { unknownContracts } from '../../metering/unknown-contracts.ts'
import { type ReconciledRegion, reconciledRegions } from '../../reconcile/notes.ts'
import { type ReconciledReport, reconciledJson } from '../../reconcile/reconciled-text.ts'
import { iso } from '../../text/time.ts'
import type { Dimension } from '../../usage/dimension.ts'
import type { Activity, LaneTrouble } from './activity.ts'
import { CachedValue } from './cached-value.ts'
import { type Advice, shellWord } from './command.ts'
import { type CustomersReport, findCustomers } from './customers.ts'
import { type Headline, headlineOf } from './headline.ts'
import { HourCounter, type HourReport } from './hours.ts'
import { reconcileAgain } from './lookup.ts'
import { type Usage, usagesOf } from './quantity.ts'
import type { CheckResult, Readiness } from './readiness.ts'
import type { SplitReport, Splits } from './splits.ts'
import { type Stake, stakeOf } from './stake.ts'
import {
  type AgreementCounts,
  agreementCounts,
  type DimensionReport,
  readTotals,
  type Totals,
  type UnattributedReport,
  unattributedCommands,
} from './totals.ts'
import {
  type HeldReport,
  heldReports,
  readUnsettled,
  type Unsettled,
  type UnsettledCustomer,
  unsettledCustomers,
} from './unsettled.ts'

/** What `GET /status.json` answers. Times are ISO 8601 in UTC, and null where there is none. */
export interface StatusReport {
  /** When it was asked. */
  readonly at: string
  /** How often the page asks again, in seconds. */
  readonly refreshSeconds: number
  readonly headline: Headline
  readonly dryRun: boolean
  /** The last hour whose usage is frozen into records. */
  readonly closedThrough: string | null
  /** The hour of the oldest record without a final answer, until when AWS takes it, and what is at stake then. */
  readonly oldestPending: { readonly hour: string; readonly takenUntil: string; readonly atStake: Stake } | null
  /** The last 48, the oldest first. */
  readonly hours: readonly HourReport[]
  /** Where the usage of each dimension stands. They cost the most to read, and so may be older than the rest. */
  readonly totals: { readonly at: string; readonly dimensions: readonly DimensionReport[] }
  /** What those hours' records are split into by tags, where they are; of at most 1,000 records of an hour. */
  readonly splits: readonly SplitReport[]
  readonly pendingRecords: number
  readonly heldRecords: number
  /** Held records by cause; at most 1,000 of them are looked at, the youngest. */
  readonly held: readonly HeldReport[]
  /** The 20 customers who wait the longest for records to be settled. */
  readonly customers: readonly UnsettledCustomer[]
  /** As old as the totals. */
  readonly agreements: AgreementCounts
  /** As old as the totals. At most 50. */
  readonly unattributed: readonly UnattributedReport[]
  readonly unattributedCount: number
  readonly unattributedCommands: readonly Advice[]
  /** Up to when each region was held against what AWS has, by the minute. */
  readonly reconciled: readonly (ReconciledReport & {
    /** What shows its findings again, or holds it against AWS for the first time. */
    readonly command: string | null
  })[]
  /** What others' counters have counted that cannot be told yet to be usage. */
  readonly waiting: readonly Usage[]
  /** Points of others' counters that were not simply counted, by why. */
  readonly notCounted: LedgerStatus['notCounted']
  readonly supply: SupplyReport
  readonly activity: ActivityReport
  readonly checks: readonly CheckResult[]
  /** The commands that list what is not shown here. */
  readonly lists: Readonly<Record<'held' | 'statement' | 'audit', string>>
}

/** What came to this process since it started, and what it has turned away. */
export interface SupplyReport {
  /** What each rule takes, by dimension and metric. */
  readonly sources: readonly {
    readonly dimension: string
    /** A preset's name, or the option's path. */
    readonly rule: string
    /** The names that the metric arrives by. */
    readonly metrics: readonly string[]
    /** Data points. */
    readonly points: number
    readonly lastAt: string | null
  }[]
  /** Data points of metrics that rules name, with attributes that none of them takes. */
  readonly unmatched: readonly { readonly metric: string; readonly points: number }[]
  /** Names of metrics that no rule has, at most 400. */
  readonly unnamed: readonly string[]
  readonly senders: readonly {
    readonly name: string
    readonly points: number
    readonly lastAt: string | null
    /** Today, in UTC. */
    readonly customers: number
    readonly series: number
  }[]
  readonly refused: readonly {
    readonly transport: string
    readonly code: string
    /** Null where nobody knows. */
    readonly sender: string | null
    readonly requests: number
    readonly since: string
    readonly lastAt: string
    /** What the last of them was told. */
    readonly message: string
  }[]
  readonly unbillable: readonly {
    readonly reason: string
    readonly metric: string
    /** Data points. */
    readonly points: number
    readonly since: string
    readonly lastAt: string
    readonly message: string
  }[]
}

/** What this process did since it started. */
export interface ActivityReport {
  readonly startedAt: string
  readonly lastReceivedAt: string | null
  /** How old the youngest data point of the last request was when the ledger had acknowledged it, in seconds. */
  readonly lagSeconds: number | null
  /** Data points acknowledged in each of the last 60 minutes; the last one is not over. */
  readonly points: readonly number[]
  /** Records metered in each of the last 60 minutes. */
  readonly records: readonly number[]
  readonly lastPass: { readonly endedAt: string; readonly seconds: number; readonly error: string | null } | null
  readonly troubles: readonly {
    readonly product: string
    readonly region: string
    readonly fault: LaneTrouble['fault']
    readonly message: string
    readonly since: string
  }[]
}

export interface StatusOptions {
  readonly ledger: Pick<Ledger, 'status' | 'statement' | 'records' | 'audit' | 'agreements' | 'answers' | 'included'>
  /** Those that are configured; of others the ledger is asked. */
  readonly dimensions: readonly Dimension[]
  readonly activity: Activity
  readonly supply: Supply
  readonly readiness: Readiness
  /** Milliseconds since the epoch. */
  readonly now: () => number
  /** How long after its end an hour is closed, in milliseconds. */
  readonly closeDelay: number
  readonly dryRun?: boolean
  /** Why this process could not reconcile, where it is to do that. */
  readonly reconcileFault?: () => string | undefined
  /** The ledger's file, for the commands on the page. */
  readonly ledgerPath?: string
  /** How often the page asks for news, in milliseconds. 5 seconds by default. */
  readonly refreshInterval?: number
}

/** What is read of the ledger is good for at least so long. */
const RECENT_LIFETIME = 2 * SECOND
const TOTALS_LIFETIME = 10 * SECOND
const RECONCILED_LIFETIME = MINUTE
/** Reading takes no more of the time, however many look and however large the ledger is. */
const SHARE = 0.02
const REFRESH_INTERVAL = 5 * SECOND

/** What changes from minute to minute. */
interface Recent {
  readonly status: LedgerStatus
  readonly loss: Finding | undefined
  readonly alarms: readonly RecentAlarm[]
  readonly quantityAlert: AuditEntry | undefined
  readonly refusedEndpoints: readonly RefusedEndpoint[]
  readonly unknown: readonly IncludedDimension[]
  readonly unsettled: Unsettled
  readonly hours: readonly HourReport[]
  readonly splits: Splits
}

/** Reads what the status page shows, at a cost that does not grow with how many look at it. */
export class StatusReader {
  readonly #options: StatusOptions
  readonly #commandOptions: string
  readonly #endpoints: Endpoints
  readonly #hours: HourCounter
  readonly #totals: CachedValue<Totals>
  readonly #recent: CachedValue<Recent>
  readonly #reconciled: CachedValue<readonly ReconciledRegion[]>

  constructor(options: StatusOptions) {
    this.#options = options
    const { ledger, dimensions, now, ledgerPath } = options
    this.#commandOptions = ledgerPath === undefined ? '' : ` --ledger ${shellWord(ledgerPath)}`
    this.#endpoints = new Endpoints(ledger)
    this.#hours = new HourCounter(ledger)
    const limits = { now, share: SHARE }
    this.#totals = new CachedValue(() => readTotals(ledger, dimensions, now), { ...limits, lifetime: TOTALS_LIFETIME })
    this.#reconciled = new CachedValue(() => reconciledRegions(ledger), { ...limits, lifetime: RECONCILED_LIFETIME })
    this.#recent = new CachedValue(() => this.#readRecent(), { ...limits, lifetime: RECENT_LIFETIME })
  }

  /** @throws LedgerError where the ledger cannot be read */
  async read(): Promise<StatusReport> {
    const {
      activity,
      supply,
      readiness,
      now,
      closeDelay,
      dryRun = false,
      reconcileFault = () => undefined,
      refreshInterval = REFRESH_INTERVAL,
    } = this.#options
    const totals = await this.#totals.get()
    const { status, loss, alarms, quantityAlert, refusedEndpoints, unknown, unsettled, hours, splits } =
      await this.#recent.get()
    const reconciled = await this.#reconciled.get()
    const checks = await readiness.results()
    const at = now()
    const { lastPass } = activity.passes()
    const troubles = activity.troubles()
    const figures = supply.figures()
    const came = { supply: figures, supplyAlarms: supply.alarms() }
    const aws = { reconciled, reconcileFault: reconcileFault() }
    const found = { loss, alarms, quantityAlert, refusedEndpoints, unknown, checks, ...came, ...aws }
    const stake = stakeOf(unsettled.first, totals.dimensions)
    const commandOf = (command: string) => this.#command(command)
    const facts = { commandOf, now: at, closeDelay, dryRun, status, stake, totals, troubles, lastPass, ...found }
    const { closedThrough, oldestPendingHour: oldest, pending, held, waiting, notCounted } = status
    return {
      at: iso(at),
      refreshSeconds: refreshInterval / SECOND,
      headline: headlineOf(facts),
      dryRun,
      closedThrough: isoOrNull(closedThrough),
      oldestPending:
        oldest === undefined ? null : { hour: iso(oldest), takenUntil: iso(windowClosesAt(oldest)), atStake: stake },
      hours,
      totals: { at: iso(totals.at), dimensions: totals.reports },
      splits: splits.report(totals.dimensions),
      pendingRecords: recordsIn(pending),
      heldRecords: recordsIn(held),
      held: heldReports(held, unsettled.records, totals.dimensions, commandOf),
      customers: unsettledCustomers(unsettled.records, totals),
      agreements: agreementCounts(totals.agreements.values()),
      unattributed: totals.unattributed,
      unattributedCount: totals.unattributedCount,
      unattributedCommands: unattributedCommands(totals.unattributed, commandOf),
      reconciled: reconciledJson(reconciled).map((report, index) => ({
        ...report,
        command: this.#reconcileCommand(reconciled[index] as ReconciledRegion),
      })),
      waiting: usagesOf(new Map(waiting.map(({ dimension, amount }) => [dimension, amount])), totals.dimensions),
      notCounted,
      supply: supplyReport(figures),
      activity: activityReport(activity),
      checks,
      lists: { held: commandOf('held'), statement: commandOf('statement'), audit: commandOf('audit') },
    }
  }

  async #readRecent(): Promise<Recent> {
    const { ledger, now, closeDelay } = this.#options
    const time = now()
    const { closedThrough, ...figures } = await ledger.status()
    // One that is still to come was closed by a clock that was ahead, and does not count.
    const closed = closedThrough !== undefined && closedThrough <= time ? { closedThrough } : {}
    const status = { ...figures, ...closed }
    const loss = await openLoss(ledger)
    const alarms = await recentAlarms(ledger, status, time)
    const quantityAlert = await recentQuantityAlert(ledger, time)
    const refusedEndpoints = (await this.#endpoints.read()).refused(time)
    const unknown = await unknownContracts(ledger, time)
    const unsettled = await readUnsettled(ledger, status)
    const hours = await this.#hours.hours({ now: time, closeDelay, closedThrough: status.closedThrough, unsettled })
    return {
      ...{ status, loss: loss && lossFinding(loss, status), alarms, quantityAlert, refusedEndpoints, unknown },
      ...{ unsettled, hours, splits: this.#hours.splits() },
    }
  }

  /** The customers who are called so, and where the units of the only one stand. */
  async find(text: string): Promise<CustomersReport> {
    const { ledger, now } = this.#options
    const totals = await this.#totals.get()
    return await findCustomers(text, { ledger, totals, now: now(), commandOf: command => this.#command(command) })
  }

  #reconcileCommand({ region, hours, opened }: ReconciledRegion): string | null {
    return hours.length > 0 && opened === undefined ? null : this.#command(reconcileAgain(region, opened))
  }

  #command(command: string): string {
    return `marketplace-meter ${command}${this.#commandOptions}`
  }
}

function supplyReport({
  sources,
  unmatched,
  unnamed,
  senders,
  quotas,
  refused,
  unbillable,
}: SupplyFigures): SupplyReport {
  const times = ({ since, at }: { readonly since: number; readonly at: number }) => ({
    since: iso(since),
    lastAt: iso(at),
  })
  const usedOf = (name: string, wanted: 'customers' | 'series') =>
    quotas.find(({ sender, what }) => sender === name && what === wanted)?.used ?? 0
  return {
    sources: sources.map(source => ({ ...source, lastAt: isoOrNull(source.lastAt) })),
    unmatched,
    unnamed,
    senders: senders.map(sender => ({
      ...{ ...sender, lastAt: isoOrNull(sender.lastAt) },
      ...{ customers: usedOf(sender.name, 'customers'), series: usedOf(sender.name, 'series') },
    })),
    refused: refused.map(({ transport, code, sender, requests, message, ...rest }) => {
      return { transport, code, sender: sender ?? null, requests, ...times(rest), message }
    }),
    unbillable: unbillable.map(({ reason, metric, points, message, ...rest }) => {
      return { reason, metric, points, ...times(rest), message }
    }),
  }
}

function activityReport(activity: Activity): ActivityReport {
  const { startedAt, lastReceived, points, records } = activity.figures()
  const { lastPass } = activity.passes()
  return {
    startedAt: iso(startedAt),
    lastReceivedAt: isoOrNull(lastReceived?.at),
    lagSeconds: lastReceived?.lag === undefined ? null : lastReceived.lag / SECOND,
    points,
    records,
    lastPass:
      lastPass === undefined
        ? null
        : {
            endedAt: iso(lastPass.endedAt),
            seconds: lastPass.milliseconds / SECOND,
            error: lastPass.error ?? null,
          },
    troubles: activity.troubles().map(trouble => ({ ...trouble, since: iso(trouble.since) })),
  }
}

const recordsIn = (figures: readonly { readonly records: number }[]) =>
  figures.reduce((sum, { records }) => sum + records, 0)

const isoOrNull = (time: number | undefined) => (time === undefined ? null : iso(time))
