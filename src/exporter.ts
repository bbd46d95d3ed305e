import type { AggregationTemporality, PushMetricExporter, ResourceMetrics } from '@opentelemetry/sdk-metrics'
import { MarketplaceMeteringError } from './errors.ts'
import { type AWSMarketplaceMetricExporterOptions, type ParsedOptions, parseOptions } from './exporter-options.ts'
import { LedgerError } from './ledger/errors.ts'
import { HOUR, hourOf } from './ledger/hours.ts'
import type { Ledger } from './ledger/ledger.ts'
import { SqliteLedger } from './ledger/sqlite.ts'
import { UsageWriter } from './ledger/writer.ts'
import { awsClient } from './marketplace/aws-client.ts'
import type { MeteringClient } from './marketplace/client.ts'
import { MeteringCycle } from './metering/cycle.ts'
import { Pacer } from './metering/pacer.ts'
import { Reporter } from './reporter.ts'
import { formatAmount } from './usage/amount.ts'
import { UsageMapper } from './usage/mapper.ts'
import type { CustomerIdentity } from './usage/options.ts'

/** What an export came to; the SDK's `ExportResult`, whose package is not imported: several copies of it are about. */
interface ExportResult {
  code: number
  error?: Error
}
const SUCCESS = 0
const FAILED = 1
const DELTA = 0

/** AWS takes 10 requests a second for an account and region. */
const REQUESTS_PER_SECOND = 10
const REQUESTS_AT_ONCE = 4
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
  readonly #options: ParsedOptions
  readonly #mapper: UsageMapper
  readonly #ledger: Ledger
  readonly #ownsLedger: boolean
  readonly #writer: UsageWriter
  readonly #cycle: MeteringCycle
  readonly #reporter: Reporter
  #registered = false
  #passing = false
  #passAgain = false
  #background = new AbortController()
  #timer: NodeJS.Timeout | undefined
  #shutdown: Promise<void> | undefined

  /**
   * @throws ConfigurationError naming each option that is wrong
   * @throws LedgerError when the ledger cannot be opened
   */
  constructor(options: AWSMarketplaceMetricExporterOptions) {
    this.#options = parseOptions(options)
    const { usage, region, client, ledger, now, requestTimeout } = this.#options
    this.#mapper = new UsageMapper(usage)
    const clientOfRegion = client ?? awsClient(region, requestTimeout)
    this.#ownsLedger = typeof ledger === 'string'
    this.#ledger = typeof ledger === 'string' ? new SqliteLedger({ path: ledger }) : ledger
    this.#writer = new UsageWriter(this.#ledger)
    this.#reporter = new Reporter(this.#options.meterProvider, now)
    this.#cycle = new MeteringCycle({
      ...this.#options,
      ledger: this.#ledger,
      clientFor: this.#clients(region, clientOfRegion, client === undefined),
      pacer: new Pacer(REQUESTS_PER_SECOND),
      concurrency: REQUESTS_AT_ONCE,
      report: event => this.#reporter.cycle(event),
    })
    this.#wakeAfter(0)
  }

  /** Records keep the region they were frozen for; a client that was passed in is for the configured region only. */
  #clients(region: string, client: MeteringClient, others: boolean): (region: string) => MeteringClient | undefined {
    const clients = new Map([[region, client]])
    return wanted => {
      if (!clients.has(wanted) && others) clients.set(wanted, awsClient(wanted, this.#options.requestTimeout))
      return clients.get(wanted)
    }
  }

  selectAggregationTemporality(): AggregationTemporality {
    return DELTA as AggregationTemporality
  }

  /**
   * Takes a collection. Calls back with success when all of it is durable; until then it is kept here and brought in
   * with the next export, flush or look at the clock, so that nothing is lost while the process lives.
   */
  export(metrics: ResourceMetrics, resultCallback: (result: ExportResult) => void): void {
    if (this.#shutdown !== undefined) {
      resultCallback({ code: FAILED, error: new Error('the exporter is shut down') })
      return
    }
    const time = this.#options.now()
    const report = this.#mapper.map(metrics, (account, { name }, amount) =>
      this.#writer.add(account, name, time, amount),
    )
    this.#reporter.mapped(report)
    this.#bringIn().then(
      () => {
        this.#reporter.exported(report.points, undefined)
        resultCallback({ code: SUCCESS })
        this.#wakeAfter(0)
      },
      error => {
        this.#reporter.exported(report.points, error)
        resultCallback({ code: FAILED, error })
      },
    )
  }

  /** Brings everything measured so far into the ledger, and sends what is due until `flushTimeout`. Rejects only for the ledger. */
  async forceFlush(): Promise<void> {
    if (this.#shutdown !== undefined) return this.#shutdown.catch(() => {})
    await this.#flush()
  }

  /** The same for the last time. What is not sent then goes out by whoever opens the ledger next. */
  shutdown(): Promise<void> {
    this.#shutdown ??= this.#end()
    return this.#shutdown
  }

  /**
   * Meters what a customer owes now that its agreement has ended: AWS takes it for about an hour. What other processes
   * measured is included as far as they have flushed; flush the MeterProvider first for what was measured here.
   */
  async finalize(customer: CustomerIdentity, { endedAt }: { endedAt: number }): Promise<void> {
    const account = this.#mapper.account(customer)
    await this.#bringIn()
    const result = await this.#ledger.finalize(account, { ...this.#cycle.closeOptions, endedAt })
    if (result.held.length > 0) this.#reporter.cycle({ type: 'held', records: result.held })
    await this.#send()
  }

  async #end(): Promise<void> {
    clearTimeout(this.#timer)
    try {
      await this.#flush()
    } catch (error) {
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
    const deadline = performance.now() + this.#options.flushTimeout
    for (;;) {
      try {
        await this.#bringIn()
        break
      } catch (error) {
        if (!mayPass(error) || performance.now() + LEDGER_RETRY_DELAY > deadline) throw error
        await new Promise(resolve => setTimeout(resolve, LEDGER_RETRY_DELAY))
      }
    }
    await this.#send()
  }

  /** Sends what is due up to a deadline. A fault, AWS's or the ledger's, is reported and left to the next pass. */
  async #send(): Promise<void> {
    this.#background.abort()
    const deadline = AbortSignal.timeout(this.#options.flushTimeout)
    const over = new Promise<void>(resolve => deadline.addEventListener('abort', () => resolve()))
    // Held while it waits: AbortSignal.timeout alone would let the process end in the middle of a flush.
    const hold = setTimeout(() => {}, this.#options.flushTimeout + 1000)
    try {
      await Promise.race([this.#pass(deadline), over])
    } finally {
      clearTimeout(hold)
      this.#background = new AbortController()
    }
  }

  async #bringIn(): Promise<void> {
    if (!this.#registered) {
      await this.#ledger.register(this.#mapper.dimensions)
      this.#registered = true
    }
    await this.#writer.flush()
  }

  async #pass(signal: AbortSignal): Promise<void> {
    try {
      await this.#cycle.pass(signal)
      if (this.#options.meterProvider !== undefined) this.#reporter.status(await this.#ledger.status())
    } catch (error) {
      this.#reporter.ledgerFault(error)
    }
  }

  /** A pass of its own accord: after an export, at the turn of an hour, when a record is to be tried again. */
  async #wake(): Promise<void> {
    if (this.#passing) {
      this.#passAgain = true
      return
    }
    this.#passing = true
    let next = 0
    try {
      do {
        this.#passAgain = false
        // What an export could not bring in is tried again even if none follows.
        await this.#bringIn()
        await this.#pass(this.#background.signal)
      } while (this.#passAgain && this.#shutdown === undefined)
      next = await this.#cycle.nextPassAt()
    } catch (error) {
      this.#reporter.ledgerFault(error)
    } finally {
      this.#passing = false
    }
    const { now, closeDelay, wakeInterval } = this.#options
    const time = now()
    const nextClose = hourOf(time - closeDelay) + HOUR + closeDelay
    this.#wakeAfter(Math.min(Math.max(Math.min(next, nextClose) - time, 1000), wakeInterval))
  }

  #wakeAfter(delay: number): void {
    clearTimeout(this.#timer)
    if (this.#shutdown !== undefined) return
    this.#timer = setTimeout(() => this.#wake(), delay)
    this.#timer.unref()
  }

  #describeUnwritten(): string {
    const amounts = new Map<string, bigint>()
    const unwritten = this.#writer.unwritten()
    for (const { dimension, amount } of unwritten) amounts.set(dimension, (amounts.get(dimension) ?? 0n) + amount)
    const each = [...amounts].map(([dimension, amount]) => `${formatAmount(amount)} of ${dimension}`)
    return `usage of ${unwritten.length} series (${each.join(', ')}, in base units)`
  }
}

/** Whether the ledger may take the same batch a little later. */
function mayPass(error: unknown): boolean {
  return error instanceof LedgerError && ['ERR_LEDGER_BUSY', 'ERR_LEDGER_FULL', 'ERR_LEDGER_IO'].includes(error.code)
}
