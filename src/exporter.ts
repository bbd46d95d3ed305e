import type {
  AggregationOption,
  AggregationTemporality,
  PushMetricExporter,
  ResourceMetrics,
} from '@opentelemetry/sdk-metrics'
import { configurationError, show } from './check.ts'
import { MarketplaceMeteringError } from './errors.ts'
import { Patience } from './ledger/clients/patience.ts'
import { UsageWriter } from './ledger/clients/writer.ts'
import { LedgerError, ledgerSilent, mayPass } from './ledger/errors.ts'
import { hourOf, SECOND } from './ledger/hours.ts'
import type { Ledger } from './ledger/ledger.ts'
import { addAmount } from './ledger/rules/accounting.ts'
import { SqliteLedger } from './ledger/sqlite/ledger.ts'
import { realFile } from './ledger/sqlite/place.ts'
import { withDeadline } from './marketplace/deadline.ts'
import { isPlausibleEnd, PLAUSIBLE_END } from './metering/agreement-end.ts'
import { otherBaseUnits } from './metering/base-units.ts'
import { Metering } from './metering/metering.ts'
import { type AWSMarketplaceMetricExporterOptions, type ParsedOptions, parseOptions } from './metering/options.ts'
import { Reporter } from './metering/reporter.ts'
import { Supply } from './metering/supply.ts'
import { Tenants } from './metering/tenants.ts'
import { hasDiagLogger, noNoticeAtExit, notice, noticeAtExit } from './notice.ts'
import { baseAmount } from './text/quantity.ts'
import type { Dimension } from './usage/dimension.ts'
import { UsageMapper } from './usage/mapper.ts'
import type { MapReport } from './usage/mapping.ts'
import type { CustomerIdentity } from './usage/options.ts'
import { untaggedAccount } from './usage/tagged-account.ts'
import { dropUnnamed } from './usage/views.ts'

/** What an export came to; the SDK's `ExportResult`, whose package is not imported: several copies of it are about. */
interface ExportResult {
  code: number
  error?: Error
}
const SUCCESS = 0
const FAILED = 1
const DELTA = 0

/**
 * How long an export waits for a ledger that answers nothing, in milliseconds: less than the 30 seconds after which a
 * reader gives up and throws away what it has not handed over yet of a collection. A reader that hands collections over
 * in parts may have a shorter time.
 */
const LONGEST_WAIT = 5000
const LONGEST_WAIT_IN_PARTS = 500

/** How long to leave a ledger alone that could not take a batch, while a flush waits for it. */
const LEDGER_RETRY_DELAY = 200

/** Usage could not be brought into the ledger before the process ends. */
export class UsageLostError extends MarketplaceMeteringError {
  readonly code = 'ERR_USAGE_LOST'
}

/**
 * Meters an application's counters through AWS Marketplace: a `PushMetricExporter` for a
 * `PeriodicExportingMetricReader`. An export succeeds when its usage is durable in the ledger; records go to AWS by
 * themselves when their hour is over.
 */
export class AWSMarketplaceMetricExporter implements PushMetricExporter {
  /** Only with the option `dropUnnamed`. */
  readonly selectAggregation?: () => AggregationOption
  readonly #options: ParsedOptions
  readonly #mapper: UsageMapper
  readonly #tenants: Tenants
  readonly #ledger: Ledger
  readonly #ownsLedger: boolean
  readonly #writer: UsageWriter
  readonly #supply: Supply
  readonly #reporter: Reporter
  readonly #metering: Metering
  readonly #patience = new Patience()
  #registered = false
  /** When a flush has sent all that was due, or given up, and nothing was exported since. */
  #sentAt = Number.NEGATIVE_INFINITY
  #shutdown: Promise<void> | undefined

  /**
   * @throws ConfigurationError naming each option that is wrong
   * @throws LedgerError when the ledger cannot be opened
   */
  constructor(options: AWSMarketplaceMetricExporterOptions) {
    this.#options = parseOptions(options)
    const { usage, ledger } = this.#options
    if (this.#options.dropUnnamed) this.selectAggregation = dropUnnamed
    this.#ownsLedger = typeof ledger === 'string'
    this.#ledger = typeof ledger === 'string' ? new SqliteLedger({ path: ledger }) : ledger
    const { now } = this.#options
    this.#tenants = new Tenants(this.#ledger, usage, now)
    this.#mapper = new UsageMapper(usage, { ledger: ledgerFile(this.#ledger) ?? this.#ledger, registry: this.#tenants })
    if (this.#ledger instanceof SqliteLedger) this.#checkBaseUnits(this.#ledger)
    this.#writer = new UsageWriter(this.#ledger)
    this.#metering = new Metering({
      ...this.#options,
      ledger: this.#ledger,
      sold: this.#mapper.sold,
      dimensions: this.#mapper.dimensions,
      included: this.#mapper.included,
      report: event => this.#reporter.cycle(event),
      // What an export could not bring in is tried again even if none follows.
      bringIn: () => this.#bringIn(),
      look: () => this.#writer.look(),
      passed: (_, error) => this.#passed(error),
      fault: error => this.#reporter.ledgerFault(error),
    })
    const { meterProvider, consoleWarnings } = this.#options
    this.#supply = new Supply(this.#metering.now, this.#mapper.arrivals)
    this.#reporter = new Reporter(meterProvider, this.#metering.now, { supply: this.#supply, consoleWarnings })
    if (consoleWarnings || hasDiagLogger()) tellOfDisabledSdk()
    // Whoever ends the process does not wait for an export that is under way.
    noticeAtExit(this.#lastWord)
  }

  selectAggregationTemporality(): AggregationTemporality {
    return DELTA as AggregationTemporality
  }

  /**
   * Takes a collection, or a part of one. Calls back with success when all of it is durable; until then it is kept here
   * and brought in with the next export, flush or look at the clock, so that nothing is lost while the process lives.
   * Where the ledger does not answer for 5 seconds, it calls back with a failure and keeps it all the same; for half a
   * second, where the reader has `maxExportBatchSize`, since the SDK drops what is behind a batch that takes too long.
   */
  export(metrics: ResourceMetrics, resultCallback: (result: ExportResult) => void): void {
    if (this.#shutdown !== undefined) {
      resultCallback({ code: FAILED, error: new Error('the exporter is shut down') })
      return
    }
    const time = this.#metering.now()
    this.#sentAt = Number.NEGATIVE_INFINITY
    this.#mapper.beginHour(hourOf(time))
    const report = this.#mapper.map(metrics, (account, { name }, amount, _, tally) =>
      this.#writer.add(account, name, time, amount, tally),
    )
    this.#supply.look()
    this.#reporter.mapped(this.#mapper.looksUp ? withoutTenants(report) : report)
    const { inParts } = this.#mapper
    if (inParts) this.#reporter.inParts()
    const broughtIn = this.#bringIn().then(() => this.#metering.wake())
    this.#patience
      .wait(broughtIn, inParts ? LONGEST_WAIT_IN_PARTS : LONGEST_WAIT)
      .then(
        () => {
          this.#reporter.exported(report.points, undefined)
          resultCallback({ code: SUCCESS })
        },
        error => {
          this.#reporter.exported(report.points, error)
          resultCallback({ code: FAILED, error })
        },
      )
      .catch(error => this.#reporter.callbackFault(error))
  }

  /**
   * Brings everything measured so far into the ledger, and sends what is due until `flushTimeout`. Rejects only for the
   * ledger, and says how much is in memory only: where it fails, `provider.shutdown()` ends here and asks for no more. A
   * process that then ends by itself shuts the exporter down before, and so tries a last time.
   */
  async forceFlush(): Promise<void> {
    if (this.#shutdown !== undefined) return this.#shutdown.catch(() => {})
    try {
      await this.#flush()
    } catch (error) {
      if (this.#writer.unwritten().length === 0) throw error
      const { code, message } = error instanceof LedgerError ? error : ledgerFailed(error)
      throw new LedgerError(
        code,
        `${this.#describeUnwritten()} is only in this process's memory, and lost where it ends now: ${message}`,
        { cause: error },
      )
    }
  }

  /** The same for the last time. What is not sent then goes out by whoever opens the ledger next. */
  shutdown(): Promise<void> {
    this.#shutdown ??= this.#end()
    return this.#shutdown
  }

  /**
   * Meters what a customer owes now that its agreement has ended: AWS takes it for about an hour. What other processes
   * measured is included as far as they have flushed; flush the MeterProvider first for what was measured here.
   *
   * @param options when it ended, in milliseconds since the epoch, and who says so and why, for the audit trail
   */
  async finalize(customer: CustomerIdentity, options: { endedAt: number; who?: string; why?: string }): Promise<void> {
    const { endedAt, who = 'exporter', why } = options
    const account = this.#mapper.account(customer)
    if (!isPlausibleEnd(endedAt, this.#metering.now())) {
      throw configurationError([
        `endedAt: expected whole milliseconds since the epoch, ${PLAUSIBLE_END}, got ${show(endedAt)}`,
      ])
    }
    await this.#metering.checkRegion()
    await this.#bringIn()
    await this.#metering.registerIncluded()
    const result = await this.#ledger.finalize(account, {
      ...this.#metering.closeOptions,
      endedAt,
      who,
      ...(why !== undefined && { why }),
    })
    if (result.held.length > 0) this.#reporter.cycle({ type: 'held', records: result.held })
    await this.#metering.send(this.#options.flushTimeout)
  }

  async #end(): Promise<void> {
    process.off('beforeExit', this.#lastTry)
    this.#metering.end()
    this.#mapper.end()
    try {
      await this.#flush()
      noNoticeAtExit(this.#lastWord)
    } catch (error) {
      if (this.#writer.unwritten().length === 0) throw error
      throw new UsageLostError(
        `The ledger could not take ${this.#describeUnwritten()}, which ends with this process.`,
        {
          cause: error,
        },
      )
    } finally {
      this.#reporter.end()
      if (this.#ownsLedger) await this.#ledger.close()
    }
  }

  async #flush(): Promise<void> {
    try {
      await this.#bringInBy(performance.now() + this.#options.flushTimeout)
    } catch (error) {
      // A provider's shutdown() that is rejected here asks for no more.
      if (this.#shutdown === undefined) process.off('beforeExit', this.#lastTry).once('beforeExit', this.#lastTry)
      throw error
    } finally {
      // A batch that the ledger does not take holds up no record that is due. A provider's shutdown() flushes right before:
      // where AWS does not answer, it would be waited for twice.
      const { now } = this.#metering
      if (this.#shutdown === undefined || Math.abs(now() - this.#sentAt) >= SECOND) {
        await this.#metering.send(this.#options.flushTimeout)
        this.#sentAt = now()
      }
    }
  }

  async #bringInBy(deadline: number): Promise<void> {
    for (;;) {
      try {
        return await withDeadline(Math.max(deadline - performance.now(), 0), () => this.#bringIn(), {
          late: ledgerSilent,
        })
      } catch (error) {
        if (!mayPass(error) || performance.now() + LEDGER_RETRY_DELAY > deadline) throw error
      }
      await new Promise(resolve => setTimeout(resolve, LEDGER_RETRY_DELAY))
    }
  }

  async #passed(error: unknown): Promise<void> {
    this.#reporter.look()
    try {
      if (error !== undefined) throw error
      if (this.#options.meterProvider !== undefined) this.#reporter.status(await this.#ledger.status())
    } catch (error) {
      this.#reporter.ledgerFault(error)
    }
  }

  async #bringIn(): Promise<void> {
    try {
      const refused = this.#registered ? undefined : await this.#register()
      await this.#lookUp()
      await this.#writer.flush()
      if (refused !== undefined) throw refused
    } catch (error) {
      throw error instanceof Error ? error : ledgerFailed(error)
    }
  }

  /** Finds out whose the usage is of tenants that were not known when it came: it waits here until the ledger tells. */
  async #lookUp(): Promise<void> {
    const { unknownTenants: unknown, looksUp } = this.#mapper
    if (!looksUp) return
    do {
      const asked = [...unknown]
      await this.#tenants.learn()
      for (const [accountKey, tenant] of asked) {
        const customer = this.#tenants.find(tenant)
        if (customer !== undefined) this.#writer.reassign(accountKey, customer)
        else if (unknown.has(accountKey)) this.#reporter.unknownTenant()
        unknown.delete(accountKey)
      }
    } while (unknown.size > 0)
  }

  /** A dimension that the ledger has in another base unit waits by itself. Returns why it does. */
  async #register(): Promise<unknown> {
    const { dimensions } = this.#mapper
    try {
      await this.#ledger.register(dimensions)
      this.#registered = true
      this.#writer.keepBack(new Set())
      return undefined
    } catch (error) {
      const other = otherBaseUnits(dimensions, await this.#ledger.dimensions())
      if (other.size === 0) throw error
      await this.#ledger.register(dimensions.filter(({ name }) => !other.has(name)))
      this.#writer.keepBack(new Set(other.keys()))
      return error
    }
  }

  #checkBaseUnits(ledger: SqliteLedger): void {
    const problems = [...otherBaseUnits(this.#mapper.dimensions, ledger.knownDimensions()).values()]
    if (problems.length === 0) return
    if (this.#ownsLedger) void ledger.close()
    throw configurationError(problems)
  }

  /** What it comes to is in the last word. */
  readonly #lastTry = (): void => void this.shutdown().catch(() => {})

  readonly #lastWord = (): string | undefined =>
    this.#writer.unwritten().length === 0
      ? undefined
      : `LOST, as far as is known here: ${this.#describeUnwritten()}. The ledger had not confirmed it when the process ended.`

  #describeUnwritten(): string {
    const amounts = new Map<string, bigint>()
    const unwritten = this.#writer.unwritten()
    for (const { dimension, amount } of unwritten) addAmount(amounts, dimension, amount)
    const known = new Map(this.#mapper.dimensions.map(dimension => [dimension.name, dimension]))
    const each = [...amounts].map(([name, amount]) => `${baseAmount(amount, known.get(name) as Dimension)} of ${name}`)
    const series = new Set(
      unwritten.map(({ account, dimension }) => JSON.stringify([untaggedAccount(account).key, dimension])),
    )
    return `usage of ${series.size} series (${each.join(', ')})`
  }
}

/** Without what is told of tenants that are not known yet. */
function withoutTenants(report: MapReport): MapReport {
  return { ...report, unattributed: report.unattributed.filter(({ reason }) => reason !== 'unknown-tenant') }
}

let toldOfDisabledSdk = false

function tellOfDisabledSdk(): void {
  if (toldOfDisabledSdk || process.env.OTEL_SDK_DISABLED?.trim().toLowerCase() !== 'true') return
  toldOfDisabledSdk = true
  notice(
    'error',
    'OTEL_SDK_DISABLED is true, and there is an exporter that bills: NodeSDK starts no metrics then, so that nothing is ' +
      'measured and NOBODY IS BILLED, unless the exporter is on a MeterProvider that the application has made itself. ' +
      'Take the variable out.',
  )
}

/** Whoever opens a file has the same ledger. */
const ledgerFile = (ledger: Ledger) =>
  ledger instanceof SqliteLedger && ledger.folder !== undefined ? realFile(ledger.path) : undefined

const ledgerFailed = (error: unknown) => new LedgerError('ERR_LEDGER_IO', `the ledger failed: ${error}`)
