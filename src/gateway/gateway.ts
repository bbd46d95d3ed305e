import type { IncomingMessage, ServerResponse } from 'node:http'
import { MeterProvider } from '@opentelemetry/sdk-metrics'
import { type AgreementConsumer, followAgreementEvents } from '../agreements/index.ts'
import { configurationError } from '../check.ts'
import { MIN_FREE_BYTES } from '../ledger/disk.ts'
import { MINUTE, SECOND } from '../ledger/hours.ts'
import type { Ledger } from '../ledger/ledger.ts'
import { Metering } from '../metering/metering.ts'
import { type ParsedOptions, parseOptions } from '../metering/options.ts'
import { Reporter } from '../metering/reporter.ts'
import { Supply } from '../metering/supply.ts'
import { Tenants } from '../metering/tenants.ts'
import { cloudTrailClient } from '../reconcile/search-client.ts'
import type { CustomerAccount } from '../usage/account.ts'
import { UsageMapper } from '../usage/mapper.ts'
import { checkSenders } from './check-senders.ts'
import { Intake } from './intake.ts'
import { type Access, presentedToken } from './operations/access.ts'
import { Activity } from './operations/activity.ts'
import { diskCheck, ledgerCheck, passCheck } from './operations/checks.ts'
import { operationsHandler, PAGE_PATHS } from './operations/handler.ts'
import { PrometheusReader } from './operations/prometheus.ts'
import { isReady, Readiness } from './operations/readiness.ts'
import type { GatewayOptions, ServingOptions } from './options.ts'
import { hostOf } from './otlp/addresses.ts'
import { RequestBudget } from './otlp/budget.ts'
import { FailedAttempts } from './otlp/failed-attempts.ts'
import { startGrpcReceiver } from './otlp/grpc-receiver.ts'
import { startHttpReceiver } from './otlp/http-receiver.ts'
import type { Receiver, TlsOptions } from './otlp/options.ts'
import type { Refused } from './otlp/refusal.ts'
import { ANYONE, CERTIFIED, type Sender, Senders, type TokenSender } from './otlp/senders.ts'
import { Reconciling } from './reconciling.ts'

/** How long requests that were accepted may take to be answered when the gateway is closed. */
const CLOSE_TIMEOUT = 10 * SECOND
/** After so long without a pass that succeeded something is wrong, if only with AWS. */
const LONGEST_WITHOUT_PASS = 10 * MINUTE

/** So many customers are remembered, at most twice over: more than a sender may have in a day, by default. */
const MOST_CUSTOMERS = 25_000

/** What may change while a gateway runs. */
export interface Renewal {
  readonly senders?: readonly TokenSender[] | undefined
  readonly tls?: TlsOptions | undefined
}

/** AWS takes what is left of an agreement for an hour. */
const LONGEST_CLOSE_DELAY = 30 * MINUTE

/** How many entries of customers that a sender has fed are read: more than have been new to it within an hour. */
const MOST_FED = 20_000

/** Takes OTLP metrics from any language, and meters them through AWS Marketplace: the same rules, ledger and cycle. */
export class Gateway {
  /** Where it listens. */
  readonly addresses: { readonly http?: string; readonly grpc?: string }
  readonly #pipeline: Pipeline
  readonly #senders: Senders
  readonly #receivers: readonly Receiver[]
  #closed: Promise<void> | undefined

  private constructor(pipeline: Pipeline, senders: Senders, receivers: { http?: Receiver; grpc?: Receiver }) {
    this.#pipeline = pipeline
    this.#senders = senders
    this.#receivers = Object.values(receivers)
    this.addresses = Object.fromEntries(
      Object.entries(receivers).map(([name, { host, port }]) => [
        name,
        `${host.includes(':') ? `[${host}]` : host}:${port}`,
      ]),
    )
  }

  /**
   * @throws ConfigurationError naming each option that is wrong
   * @throws LedgerError when the ledger cannot be used
   * @throws ListenError when an address cannot be listened on
   */
  static async start(options: GatewayOptions): Promise<Gateway> {
    const { http, grpc } = options
    if (http === undefined && grpc === undefined)
      throw configurationError(['expected http or grpc to listen on, or both'])
    if (options.senders !== undefined) checkSenders(options.senders)
    const pipeline = new Pipeline(options)
    await pipeline.begin()
    const receivers: { http?: Receiver; grpc?: Receiver } = {}
    const certified = [http, grpc].every(one => one === undefined || one.tls?.ca !== undefined)
    const senders = new Senders(options.senders, certified ? CERTIFIED : ANYONE)
    const failedAttempts = new FailedAttempts()
    const readiness = pipeline.readiness(options)
    const common = {
      ...{ senders, failedAttempts },
      // Who is anyone is nobody in particular.
      onRefused: ({ sender, ...refused }: Refused) =>
        pipeline.reporter.refused({ ...refused, sender: sender === ANYONE.name ? undefined : sender }),
      sink: pipeline.intake,
      onError: (error: unknown) => pipeline.reporter.receiverFault(error),
      budget: new RequestBudget(),
    }
    try {
      if (http !== undefined) {
        const authorize = senders.asked ? pageAccess(senders, failedAttempts) : undefined
        const other = pipeline.operations(options, readiness, authorize)
        receivers.http = await startHttpReceiver({ ...common, ...http, other })
      }
      await pipeline.follow(options)
      await pipeline.reconcile(options)
      if (grpc !== undefined) {
        const ready = async () => isReady(await readiness.results())
        receivers.grpc = await startGrpcReceiver({ ...common, ...grpc, ready })
      }
    } catch (error) {
      await Promise.all(Object.values(receivers).map(receiver => receiver.close({ deadlineMs: 0 })))
      await pipeline.end(0)
      throw error
    }
    return new Gateway(pipeline, senders, receivers)
  }

  /**
   * From now on these may send, and nobody else; no connection ends. Whether tokens are asked for at all stays as it was
   * when the gateway was started.
   *
   * @throws ConfigurationError and all is as before
   */
  renew({ senders, tls }: Renewal): void {
    if (senders !== undefined) checkSenders(senders)
    if ((senders !== undefined) !== this.#senders.asked)
      throw configurationError([`senders: expected ${this.#senders.asked ? 'some' : 'none'}, as when it was started`])
    if (tls !== undefined) for (const receiver of this.#receivers) receiver.renew({ tls })
    this.#senders.replace(senders)
  }

  /** Answers what was accepted, sends what is due, and ends. The ledger stays open: it is its owner's. */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    await Promise.all(this.#receivers.map(receiver => receiver.close({ deadlineMs: CLOSE_TIMEOUT })))
    await this.#pipeline.end()
  }
}

/** Who may look at what is of all customers: senders that may bill any customer, or none. */
function pageAccess(senders: Senders, failedAttempts: FailedAttempts) {
  return async (request: IncomingMessage): Promise<Access> => {
    const token = presentedToken(request)
    if (token === undefined) return 'unknown'
    const sender = senders.admit(`Bearer ${token}`)
    if (sender !== undefined) return (sender.customers?.size ?? 0) > 0 ? 'forbidden' : 'granted'
    if (!(await failedAttempts.mayAnswer(hostOf(request.socket.remoteAddress)))) request.socket.destroy()
    return 'unknown'
  }
}

/** Those that are not the exporter's, too. */
const OWN_OPTIONS: readonly (keyof ServingOptions)[] = [
  ...([
    'http',
    'grpc',
    'senders',
    'statusPage',
    'minFreeBytes',
    'readers',
    'resource',
    'events',
    'reconcile',
    'ledgerAddress',
  ] as const),
]

/** Behind the receivers: intake, ledger and metering, with what is told of them. */
class Pipeline {
  readonly intake: Intake
  readonly reporter: Reporter
  readonly #options: ParsedOptions
  readonly #ledger: Ledger
  readonly #mapper: UsageMapper
  readonly #metering: Metering
  readonly #activity: Activity
  readonly #supply: Supply
  readonly #prometheus = new PrometheusReader()
  readonly #meterProvider: MeterProvider
  readonly #reconciling: Reconciling | undefined
  #events: AgreementConsumer | undefined

  constructor(options: GatewayOptions) {
    const { readers = [], resource, ledger, reconcile } = options
    this.#options = parseOptions(options, OWN_OPTIONS)
    this.#ledger = ledger
    const { usage, now: clock } = this.#options
    const tenants = new Tenants(ledger, usage, clock)
    this.#mapper = new UsageMapper(usage, { gauges: true, customers: MOST_CUSTOMERS, registry: tenants })
    this.#meterProvider = new MeterProvider({
      readers: [this.#prometheus, ...readers],
      ...(resource !== undefined && { resource }),
    })
    this.#metering = new Metering({
      ...this.#options,
      ledger,
      sold: this.#mapper.sold,
      dimensions: this.#mapper.dimensions,
      included: this.#mapper.included,
      report: event => {
        this.reporter.cycle(event)
        this.#activity.cycle(event)
      },
      bringIn: async () => {},
      look: () => this.intake.look(),
      passed: (begunAt, error) => this.#passed(begunAt, error),
      fault: error => this.reporter.ledgerFault(error),
    })
    const { now } = this.#metering
    this.#supply = new Supply(now, this.#mapper.arrivals, () => this.intake.quotas())
    const { consoleWarnings } = this.#options
    this.reporter = new Reporter(this.#meterProvider, now, { supply: this.#supply, consoleWarnings })
    this.#activity = new Activity(now)
    // Of what is not sent AWS has nothing.
    if (reconcile !== undefined && !this.#options.dryRun) {
      this.#reconciling = new Reconciling({
        ...{ ...reconcile, ledger, now },
        report: report => this.reporter.reconciliation(report),
      })
    }
    this.intake = new Intake({
      ...{ mapper: this.#mapper, ledger, tenants, now },
      report: (report, { name }) => this.reporter.mapped(report, name === ANYONE.name ? undefined : name),
      fault: error => this.reporter.receiverFault(error),
      feeds: (sender, customers) => this.#writeFed(sender, customers),
      accepted: (points, sender) => {
        this.#supply.look()
        this.reporter.received(sender.name, points.length)
        let youngest = 0
        for (const { time } of points) if (time > youngest) youngest = time
        this.#activity.received(points.length, youngest === 0 ? undefined : youngest / 1000)
      },
    })
  }

  async #writeFed({ name, customers }: Sender, fed: readonly CustomerAccount[]): Promise<ReadonlyMap<string, number>> {
    const now = this.#metering.now()
    await this.#ledger.noteSender(name, fed, now)
    if (customers === undefined) return new Map()
    const entries = await this.#ledger.audit({ actions: ['fed'], who: name, limit: MOST_FED })
    const since = new Map(entries.map(({ account, at }) => [account?.key, at]))
    // What is not among the youngest entries is older.
    return new Map(fed.map(({ key }) => [key, since.get(key) ?? 0]))
  }

  /** Before anything is taken: what began earlier than this ledger's first gateway is none of its usage. */
  async begin(): Promise<void> {
    const now = await this.#ledger.clock.now(this.#options.now())
    for (const product of this.#mapper.products) {
      await this.#ledger.register(this.#mapper.dimensions, { product, now, metrics: this.#mapper.sources })
    }
    await this.#metering.registerIncluded()
    await this.#report()
  }

  /** Takes in what AWS tells of agreements. */
  async follow({ events }: GatewayOptions): Promise<void> {
    if (events === undefined) return
    const { usage, region, closeDelay, deadlineMargin, now } = this.#options
    const { productCode = usage.productCode, ...queue } = events
    if (productCode === undefined)
      throw configurationError(["events.productCode: expected the product's code, got none"])
    this.#events = await followAgreementEvents({
      ...{ ledger: this.#ledger, region, deadlineMargin, now, productCode, ...queue },
      closeDelay: Math.min(closeDelay, LONGEST_CLOSE_DELAY),
      ...(usage.product !== undefined && { product: usage.product }),
      report: report => {
        this.reporter.agreement(report)
        // What was frozen goes out at once: AWS takes it for about an hour.
        this.#metering.wake()
      },
    })
  }

  /** Holds the ledger against what AWS has, from now on. */
  async reconcile({ reconcile }: GatewayOptions): Promise<void> {
    // That the package is missing is told at once, and not by a log of tomorrow.
    if (reconcile !== undefined && reconcile.clientFor === undefined) await cloudTrailClient(this.#options.region)
    this.#reconciling?.start()
  }

  /** For who asks, and as a metric for who watches. */
  readiness({ minFreeBytes = MIN_FREE_BYTES }: GatewayOptions): Readiness {
    const { folder } = this.#ledger
    const readiness = new Readiness(
      [
        ledgerCheck(this.#ledger),
        ...(folder === undefined ? [] : [diskCheck(folder, minFreeBytes)]),
        passCheck(this.#activity, LONGEST_WITHOUT_PASS),
      ],
      { now: this.#metering.now },
    )
    const description = '1 where a check of /readyz fails, by check.'
    this.#meterProvider
      .getMeter('opentelemetry-exporter-aws-marketplace')
      .createObservableGauge('marketplace.gateway.check.failed', { description })
      .addCallback(async result => {
        for (const { name, state } of await readiness.results()) result.observe(state === 'ok' ? 0 : 1, { check: name })
      })
    return readiness
  }

  operations(
    { statusPage = true, ledgerAddress }: GatewayOptions,
    readiness: Readiness,
    authorize: ((request: IncomingMessage) => Promise<Access>) | undefined,
  ) {
    const { closeDelay, dryRun } = this.#options
    const { now } = this.#metering
    const handler = operationsHandler({
      ...{
        ledger: this.#ledger,
        dimensions: this.#mapper.dimensions,
        activity: this.#activity,
        supply: this.#supply,
        now,
        closeDelay,
        dryRun,
        reconcileFault: () => this.#reconciling?.fault,
      },
      readiness,
      metrics: () => this.#prometheus.text(),
      ...(ledgerAddress !== undefined && { ledgerPath: ledgerAddress }),
      ...(authorize !== undefined && { authorize }),
    })
    return (request: IncomingMessage, response: ServerResponse) =>
      statusPage || !PAGE_PATHS.has((request.url ?? '').split('?')[0] ?? '') ? handler(request, response) : false
  }

  async end(timeout?: number): Promise<void> {
    await Promise.all([this.#events?.stop(), this.#reconciling?.stop()])
    this.#metering.end()
    // Side by side: AWS and whoever takes our own metrics may both hang.
    await Promise.all([
      this.#metering.send(timeout ?? this.#options.flushTimeout),
      this.#meterProvider.shutdown().catch(() => {}),
    ])
    this.reporter.end()
  }

  async #passed(begunAt: number, error: unknown): Promise<void> {
    this.#activity.passed(begunAt, error)
    this.reporter.look()
    if (error === undefined) await this.#report()
    else this.reporter.ledgerFault(error)
  }

  async #report(): Promise<void> {
    try {
      this.reporter.status(await this.#ledger.status())
    } catch (error) {
      this.reporter.ledgerFault(error)
    }
  }
}
