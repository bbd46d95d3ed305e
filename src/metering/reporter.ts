import { type Attributes, diag, type MeterProvider, type ObservableResult } from '@opentelemetry/api'
import { DAY, HOUR, hourOf, MINUTE } from '../ledger/hours.ts'
import type { HeldReason, IncludedDimension, Lane, LedgerStatus, RecordEntry } from '../ledger/ledger.ts'
import { unknownSince } from '../ledger/rules/entitlements.ts'
import { hasDiagLogger, type NoticeLevel, notice } from '../notice.ts'
import { withoutCustomers } from '../text/customer-data.ts'
import { HELD_ADVICE, paragraph } from '../text/held-advice.ts'
import { DAMAGED } from '../text/ledger-advice.ts'
import { OVERFLOW_ADVICE, overflowText } from '../text/overflow.ts'
import { printable } from '../text/printable.ts'
import { distance, iso, shortTime } from '../text/time.ts'
import { explainUnattributed, type MapReport } from '../usage/mapping.ts'
import type { EntitlementsRead, UsedLevel } from './contracts.ts'
import { ALARM_VERDICTS, type AlarmVerdict, COUNTER_ALARMS } from './counter-alarms.ts'
import type { CycleEvent } from './cycle.ts'
import { TROUBLES } from './faults.ts'
import type { FeedFigures } from './feeds.ts'
import type { Finding } from './preflight/finding.ts'
import { QUANTITY_ALERT } from './quantity-alert.ts'
import { isLogin, type Quota, type Refusals, type RefusedRequest, refusalAdvice, Supply, sentence } from './supply.ts'

/** What was heard of an agreement, as whoever follows events tells it. */
export interface AgreementReport {
  readonly level: NoticeLevel | 'info'
  readonly message: string
  readonly type: string
  readonly event?: { readonly type: string; readonly id?: string }
  readonly outcome?: string
  readonly held?: readonly RecordEntry[]
  readonly messageId?: string
  /** Whether its message goes to the dead-letter queue now. */
  readonly isLast?: boolean
}

/** What a reconciliation with AWS came to, as whoever does it tells it. */
export type ReconciliationReport =
  | { readonly type: 'until'; readonly regions: readonly { region: string; hours: readonly { to: number }[] }[] }
  | { readonly type: 'fault'; readonly message: string }
  | {
      readonly type: 'reconciled'
      readonly region: string
      readonly from: number
      readonly to: number
      readonly agreed: number
      readonly settled: number
      /** How many findings a person has to look at, by what they are; what it means, and what shows them. */
      readonly found: readonly { readonly kind: string; readonly count: number; readonly message: string }[]
    }

export interface ReporterOptions {
  /** What is known of what comes in. */
  readonly supply?: Supply
  /** Whether warnings go to the console where `diag` has no logger, each kind once an hour. On by default. */
  readonly consoleWarnings?: boolean
}

/** How much is remembered of what was said, the latest. */
const MAX_SAID = 1000

/**
 * The exporter's own telemetry: metrics through the OpenTelemetry API, and messages through `diag`. Neither names a
 * customer: account ids are customers' data. A message that would come with every export comes once an hour.
 */
export class Reporter {
  readonly #now: () => number
  readonly #supply: Supply
  readonly #consoleWarnings: boolean
  readonly #component: Attributes
  readonly #meterProvider: MeterProvider | undefined
  #made: ReturnType<typeof instruments> | undefined
  #ended = false
  #toldOfParts = false
  readonly #saidAt = new Map<string, number>()
  readonly #onConsoleAt = new Map<string, number>()
  #status: LedgerStatus | undefined
  /** By region, up to when it is reconciled with AWS. */
  readonly #reconciled = new Map<string, number>()
  /** By dimension. */
  readonly #overflow = new Map<string, Overflow>()
  /** Whether records of a region are not sent, since this process would send them elsewhere than the ledger's go. */
  readonly #elsewhere = new Map<string, boolean>()
  /** Whether the ledger is known to lack commits. */
  #lost = false
  /** What contracts include, as the ledger has it. */
  #included: readonly IncludedDimension[] = []
  #used: readonly UsedLevel[] = []
  /** Product codes whose entitlements AWS does not tell. */
  readonly #unread = new Set<string>()
  /** How many points there were of each alarm when it was said, or when this process began. */
  #alarmed: ReadonlyMap<AlarmVerdict, number> | undefined
  readonly #observed = new Map<Gauge, Map<string, { attributes: Attributes; value: number }>>()
  readonly #callbacks: (() => void)[] = []

  constructor(
    meterProvider: MeterProvider | undefined,
    now: () => number,
    { supply = new Supply(now), consoleWarnings = true }: ReporterOptions = {},
  ) {
    this.#now = now
    this.#supply = supply
    this.#consoleWarnings = consoleWarnings
    this.#component = {
      'otel.component.type': COMPONENT_TYPE,
      'otel.component.name': `${COMPONENT_TYPE}/${components++}`,
    }
    this.#meterProvider = meterProvider
  }

  /** Made when they are needed first: the provider may be the one that is exported for, which is made after its exporter. */
  get #instruments(): ReturnType<typeof instruments> | undefined {
    if (this.#made !== undefined || this.#meterProvider === undefined) return this.#made
    this.#made = instruments(this.#meterProvider)
    for (const [name, gauge] of Object.entries(this.#made.gauges)) {
      const callback = (result: ObservableResult) => this.#observe(result, name as Gauge)
      gauge.addCallback(callback)
      this.#callbacks.push(() => gauge.removeCallback(callback))
    }
    return this.#made
  }

  #observe(result: ObservableResult, gauge: Gauge): void {
    const observed = this.#observed.get(gauge) ?? new Map<string, { attributes: Attributes; value: number }>()
    this.#observed.set(gauge, observed)
    // The SDK repeats the last value of what is no longer observed, so that what is over has to be said to be 0.
    for (const one of observed.values()) one.value = 0
    for (const [value, attributes] of OBSERVATIONS[gauge]({
      status: this.#status,
      supply: this.#supply,
      overflow: this.#overflow,
      reconciled: this.#reconciled,
      elsewhere: this.#elsewhere,
      lost: this.#lost,
      included: this.#included,
      used: this.#used,
      now: this.#now(),
    })) {
      observed.set(JSON.stringify(attributes), { attributes, value })
    }
    for (const { attributes, value } of observed.values()) result.observe(value, attributes)
  }

  /** @param sender who sent it, where that is told */
  mapped(report: MapReport, sender?: string): void {
    const from = sender === undefined ? {} : { sender }
    const whose = sender === undefined ? '' : ` of ${sender}`
    for (const unbillable of report.unbillable) {
      const { reason, metric, points, message } = unbillable
      this.#supply.unbillable(unbillable)
      this.#instruments?.unbillable.add(points, { reason, metric, ...from })
      const level = reason === 'baseline' ? 'warn' : 'error'
      this.#say(level, `${reason} ${metric} ${sender}`, `Not billed: ${points} data points${whose}. ${message}`)
    }
    for (const { reason, metric, message } of report.doubtful) {
      // What is billed twice, of all, is no warning.
      this.#say(reason === 'second-reader' ? 'error' : 'warn', `doubtful: ${reason} ${metric}`, message)
    }
    for (const { reason, points, message } of report.unattributed) {
      this.#instruments?.unattributedPoints.add(points, { reason, ...from })
      this.#say('error', `${reason} ${sender}`, whose === '' ? message : `Of the sender ${sender}: ${message}`)
    }
    if (report.notOurs > 0) {
      this.#instruments?.notOurs.add(report.notOurs, from)
      this.#say('warn', 'not ours', NOT_OURS, DAY)
    }
    for (const { dimension, message } of report.twoSources) {
      this.#instruments?.twoSources.add(1, { dimension: dimension.name })
      this.#say('warn', `two sources ${dimension.name}`, message)
    }
  }

  /** What became of an event of AWS's, or of the queue that they come by. */
  agreement(report: AgreementReport): void {
    const { level, message, type, event, outcome, held = [], messageId, isLast = false } = report
    if (event !== undefined || type === 'unreadable')
      this.#instruments?.agreementEvents.add(1, { type: event?.type ?? type, outcome: outcome ?? 'failed' })
    for (const record of held) this.#held(record, record.reason as HeldReason)
    if (level === 'info') diag.info(printable(withoutCustomers(message), LONGEST_MESSAGE))
    // Each that goes to the dead-letter queue is told: a person has to look at it there.
    else this.#say(level, isLast ? `dead letter ${messageId}` : `${type} ${event?.id ?? ''}`, message)
  }

  /** What holding the ledger against CloudTrail has found. */
  reconciliation(report: ReconciliationReport): void {
    if (report.type === 'until') {
      for (const { region, hours } of report.regions) {
        const last = hours.at(-1)
        if (last !== undefined) this.#reconciled.set(region, last.to)
      }
      return
    }
    if (report.type === 'fault') {
      this.#say('error', 'reconcile', `The ledger could not be reconciled with AWS. ${sentence(report.message)}.`)
      return
    }
    const { region, from, to, agreed, settled, found } = report
    diag.info(
      `Reconciled with CloudTrail in ${region}, ${iso(from)} to ${iso(to)}: ${agreed} records are as the ledger has them, ` +
        `${settled} were settled.`,
    )
    for (const { kind, count, message } of found) {
      this.#instruments?.reconciliationFindings.add(count, { region, verdict: kind })
      this.#tell('error', `reconciled ${region} ${kind}`, message)
    }
  }

  /** There is usage of a tenant of whom the ledger knows no agreement. */
  unknownTenant(): void {
    const reason = 'unknown-tenant'
    this.#instruments?.unattributedPoints.add(1, { reason })
    this.#say('error', reason, explainUnattributed(reason, undefined))
  }

  /** The reader has `maxExportBatchSize`: said once. */
  inParts(): void {
    if (this.#toldOfParts) return
    this.#toldOfParts = true
    this.#tell(
      'warn',
      'in parts',
      'The reader has maxExportBatchSize. Take it out: a ledger has no use for it, and where a batch takes longer than the ' +
        "reader's exportTimeoutMillis, the SDK throws away what is behind it, which is then LOST without a trace. Each batch is " +
        'answered within half a second here, so that this does not happen: as failed where the ledger is slower, and kept. ' +
        'No answer comes in time where exportTimeoutMillis is shorter, or the process stands still.',
    )
  }

  /** A request of a sender that was turned away: said once an hour for each kind, and logins that fail once a minute. */
  refused(request: RefusedRequest): void {
    const { transport, code, sender } = request
    this.#instruments?.refused.add(1, { transport, code, ...(sender !== undefined && { sender }) })
    this.#tellRefused(this.#supply.refused(request))
  }

  /** A sender's points are durable. */
  received(sender: string, points: number): void {
    this.#instruments?.receivedPoints.add(points, { sender: this.#supply.received(sender, points) })
  }

  /** Says what no event but the time tells: to be called every minute or so. */
  look(): void {
    for (const { key, every, title, detail } of this.#supply.alarms())
      this.#say('warn', key, `${title} ${detail}`, every)
    for (const refusals of this.#supply.refusals) this.#tellRefused(refusals)
  }

  #tellRefused(refusals: Refusals, every = isLogin(refusals.code) ? MINUTE : HOUR): void {
    const now = this.#now()
    const { transport, code, sender, message, requests, told, toldAt, since } = refusals
    if (requests === told || (now >= toldAt && now - toldAt < every)) return
    const more = requests - told
    const whose = sender === undefined ? '' : ` of ${sender}`
    const all = told === 0 ? '' : ` ${requests} since ${iso(since)}.`
    refusals.told = requests
    refusals.toldAt = now
    this.#tell(
      'warn',
      `refused ${transport} ${code} ${sender}`,
      `Refused: ${more} ${more === 1 ? 'request' : 'requests'}${whose} over ${transport} (${code}).${all} ` +
        `${more === 1 ? 'It' : 'The last'} was told: ${sentence(message)}. ${refusalAdvice(code)}`,
    )
  }

  exported(points: number, error: unknown): void {
    const failure = error === undefined ? {} : { 'error.type': errorType(error) }
    this.#instruments?.exported.add(points, { ...this.#component, ...failure })
    if (error !== undefined) this.ledgerFault(error)
  }

  status(status: LedgerStatus): void {
    if (this.#instruments !== undefined) this.#status = status
    this.#alarms(status)
  }

  /** What came before the first status was said by who was there. */
  #alarms({ notCounted }: LedgerStatus): void {
    const points = new Map(ALARM_VERDICTS.map(verdict => [verdict, notCounted[verdict] ?? 0]))
    const before = this.#alarmed ?? points
    for (const verdict of ALARM_VERDICTS) {
      const { level, title, usage, mend } = COUNTER_ALARMS[verdict]
      const known = before.get(verdict) ?? 0
      const more = (points.get(verdict) ?? 0) - known
      const message =
        `${title} ${more} more ${more === 1 ? 'finding' : 'findings'} (${verdict}). ${usage} ${mend}. ` +
        '"marketplace-meter audit" says where.'
      if (more > 0 && !this.#say(level, verdict, message)) points.set(verdict, known)
    }
    this.#alarmed = points
  }

  ledgerFault(error: unknown): void {
    // What was under way at shutdown finds the ledger closed.
    if (this.#ended) return
    const kept =
      errorType(error) === 'ERR_CONFIGURATION'
        ? 'Usage stays in the ledger, and nothing is sent'
        : 'Usage is kept in memory until the ledger takes it'
    const advice = errorType(error) === 'ERR_LEDGER_CORRUPT' ? ` ${DAMAGED}` : ''
    this.#say('error', errorType(error), `${kept}: ${error instanceof Error ? error.message : error}${advice}`)
  }

  /** A fault of our own while metrics were received. */
  receiverFault(error: unknown): void {
    const cause = error instanceof Error ? error.message : error
    this.#say(
      'error',
      `receiver ${errorType(error)}`,
      `Metrics could not be taken, and their sender was told to come back: ${cause}`,
    )
  }

  callbackFault(error: unknown): void {
    this.#say('error', 'callback', `The callback of an export threw ${error}. The export itself came to its end.`)
  }

  cycle(event: CycleEvent): void {
    switch (event.type) {
      case 'frozen':
        diag.debug(`Froze ${event.records} usage records.`)
        return
      case 'returned':
        this.#instruments?.records.add(event.records, { outcome: 'expired' })
        this.#tell(
          'warn',
          'returned',
          `${event.records} usage records could not be sent in time. Their usage goes into the next hour.`,
        )
        return
      case 'held':
        for (const record of event.records) {
          this.#instruments?.records.add(1, { outcome: record.reason ?? 'held', dimension: record.dimension })
          this.#held(record, record.reason as HeldReason)
        }
        return
      case 'request':
        this.#instruments?.requestDuration.record(event.seconds, {
          region: event.lane.region,
          ...(event.fault !== undefined && { 'error.type': event.fault }),
        })
        return
      case 'settled':
        for (const { record, state, reason } of event.records) {
          const outcome = state === 'metered' || state === 'pending' || reason === undefined ? state : reason
          this.#instruments?.records.add(1, { outcome, dimension: record.dimension })
          if (reason === 'conflict') this.#instruments?.conflicts.add(1, { dimension: record.dimension })
          if (state === 'held') this.#held(record, reason as HeldReason)
          else if (state === 'pending' && reason === 'not-subscribed')
            this.#say('warn', 'waits for agreement', WAITS_FOR_AGREEMENT)
          else if (reason === 'conflict') {
            this.#tell(
              'warn',
              'conflict',
              `Somebody else metered this hour of the customer: the ${record.quantity} of ${record.dimension} of record ` +
                `${record.id} go into the next hour.`,
            )
          }
        }
        return
      case 'overflow': {
        const { hours } = event
        const dimension = event.dimension.name
        const known = this.#overflow.get(dimension)
        const at = this.#now()
        // The worst of this hour's.
        if (known === undefined || hourOf(known.at) !== hourOf(at) || known.hours <= hours)
          this.#overflow.set(dimension, { hours, at })
        this.#say('warn', `overflow ${dimension}`, `${overflowText(event)}. ${OVERFLOW_ADVICE}.`)
        return
      }
      case 'fault':
        this.#say(
          'error',
          `${event.lane.id} ${event.fault}`,
          `${TROUBLES[event.fault]}. ${aboutRequest(event)} Usage is kept. AWS or the network said: ${event.message}`,
        )
        return
      case 'nonsense':
        this.#say(
          'error',
          `nonsense ${event.lane.id} ${event.message.replace(/"[^"]*"/g, '')}`,
          `${TROUBLES.nonsense} (${event.message}). ${aboutRequest(event)} Its records are sent again, which bills nothing twice. ` +
            'If it goes on, see whether something stands in for AWS (an endpoint, a proxy), or ask AWS with the id of the request.',
        )
        return
      case 'no-client':
        this.#say(
          'error',
          `no client ${event.lane.region}`,
          `${TROUBLES['no-client']}, ${event.lane.region}, before their window closes.`,
        )
        return
      case 'endpoint': {
        const { region, finding } = event
        this.#elsewhere.set(region, finding !== undefined)
        if (finding !== undefined) this.#finding(finding, region)
        return
      }
      case 'loss': {
        const { finding } = event
        if (finding !== undefined) this.#say('error', 'loss', `${finding.message} ${finding.advice}`)
        else if (this.#lost)
          this.#tell('warn', 'loss over', 'The ledger is declared restored: hours are frozen and sent again.')
        this.#lost = finding !== undefined
        if (!this.#lost) this.#saidAt.delete('loss')
        return
      }
      case 'included':
        this.#included = event.dimensions
        return
      case 'used':
        this.#used = event.levels
        for (const level of event.levels) this.#tellUsed(level)
        return
      case 'unlisted': {
        const { entitlement, dimension } = event
        this.#say(
          'warn',
          `unlisted ${entitlement}`,
          `AWS lists no entitlement ${entitlement}: contracts include nothing of ${dimension}, and all of ` +
            'it is metered. Right where no contract is sold yet; otherwise mend dimensions.….included.entitlement.',
          DAY,
        )
        return
      }
      case 'other-terms': {
        const { product, dimension, said } = event
        this.#say(
          'warn',
          `other terms ${product} ${dimension}`,
          `${dimension} of ${product}: ${OTHER_TERMS[`${said}`]}`,
        )
        return
      }
      case 'entitlements':
        this.#entitlements(event)
        return
      case 'above-alert': {
        const { record, alertQuantity } = event
        const { id, dimension, quantity } = record
        this.#instruments?.aboveAlert.add(1, { dimension })
        this.#say(
          'warn',
          `above alert ${dimension}`,
          `${QUANTITY_ALERT.title} Record ${id} has ${quantity} of ${dimension}, above its alertQuantity of ${alertQuantity}; ` +
            `it is sent. ${QUANTITY_ALERT.mend}.`,
        )
        return
      }
      case 'finding':
        this.#finding(event.finding)
        return
      case 'dry-run':
        for (const { id, dimension, quantity, timestamp } of event.records) {
          diag.info(
            `Dry run: record ${id} would send ${quantity} of ${dimension} at ${new Date(timestamp).toISOString()}.`,
          )
        }
    }
  }

  /** What came of asking AWS. */
  #entitlements({ productCode, fault, waiting }: EntitlementsRead): void {
    const about = `entitlements ${productCode}`
    if (fault === undefined) {
      if (this.#unread.delete(productCode))
        this.#tell(
          'warn',
          `${about} over`,
          `What contracts of ${productCode} include is known again: AWS has answered.`,
        )
      this.#saidAt.delete(about)
      return
    }
    this.#unread.add(productCode)
    const now = this.#now()
    const each = waiting.map(({ dimension, amount, until, outcome }) => {
      const becomes = outcome === 'hold' ? 'held (entitlement-unknown)' : 'metered by what was known last'
      const when = until > now ? `Where that lasts until ${shortTime(until)} (${distance(until, now)}), it is` : 'It is'
      return `There is ${amount} of ${dimension} in the balance. ${when} ${becomes}.`
    })
    this.#say(
      'error',
      about,
      `What contracts of ${productCode} include is not known up to the last hour, since AWS's GetEntitlements gave no answer ` +
        `that could be used. ${[`${sentence(fault)}.`, ...each].join(' ')} "marketplace-meter doctor" looks why; it is asked ` +
        'again within a quarter of an hour.',
    )
  }

  /** Once for each customer and term, in this process. */
  #tellUsed({ dimension, newlyLow, newlyUsedUp }: UsedLevel): void {
    const customers = (count: number) => (count === 1 ? '1 customer has' : `${count} customers have`)
    if (newlyUsedUp > 0) {
      const message = `${customers(newlyUsedUp)} used up what the contract includes of ${dimension}: what is beyond it is metered.`
      this.#tell('warn', `used up ${dimension}`, `${message} ${WHICH_CUSTOMERS}`)
    }
    if (newlyLow > 0) {
      const message = `${customers(newlyLow)} used four fifths of what the contract includes of ${dimension}.`
      this.#tell('warn', `used ${dimension}`, `${message} ${WHICH_CUSTOMERS}`)
    }
  }

  #finding({ name, state, message, advice = '' }: Finding, about = ''): void {
    this.#say(state === 'fault' ? 'error' : 'warn', `finding ${name} ${about}`, `${message} ${advice}`)
  }

  #held({ id, dimension, quantity }: Pick<RecordEntry, 'id' | 'dimension' | 'quantity'>, reason: HeldReason): void {
    const means = paragraph(HELD_ADVICE[reason].means)
    const message = `Record ${id} is held: ${quantity} of ${dimension}. ${means} "marketplace-meter held" says what to do.`
    // Each such customer has one for each dimension and hour.
    if (reason === 'not-subscribed') this.#say('error', `held ${reason} ${dimension}`, message)
    else this.#tell('error', `held ${reason}`, message)
  }

  /** Whether it was said, and not within this time already. */
  #say(level: NoticeLevel, about: string, message: string, every = HOUR): boolean {
    if (!isDue(this.#saidAt, about, this.#now(), every)) return false
    this.#tell(level, about, message)
    return true
  }

  #tell(level: NoticeLevel, kind: string, message: string): void {
    if (!hasDiagLogger() && !(this.#consoleWarnings && isDue(this.#onConsoleAt, kind, this.#now(), HOUR))) return
    notice(level, printable(withoutCustomers(message), LONGEST_MESSAGE))
  }

  end(): void {
    this.#ended = true
    for (const refusals of this.#supply.refusals) this.#tellRefused(refusals, 0)
    for (const remove of this.#callbacks) remove()
  }
}

function aboutRequest({ lane, requestId }: { lane: Lane; requestId?: string | undefined }): string {
  const id = requestId === undefined ? '' : `, request ${requestId}`
  return `It is about the product ${lane.product} in ${lane.region}${id}.`
}

const NOT_OURS =
  "Data points are ignored since the option customer returned null: they are not this product's to bill. Where it does " +
  'not know whose they are, have it return undefined: then they are kept. marketplace.usage.not_ours counts them.'

/** Of a message, in characters. */
const LONGEST_MESSAGE = 2000

/** Whether something is to be said, which it then is. A clock that went back silences nothing. */
function isDue(saidAt: Map<string, number>, about: string, now: number, every: number): boolean {
  const before = saidAt.get(about)
  if (before !== undefined && now >= before && now - before < every) return false
  saidAt.delete(about)
  saidAt.set(about, now)
  if (saidAt.size > MAX_SAID) saidAt.delete(saidAt.keys().next().value as string)
  return true
}

/** https://opentelemetry.io/docs/specs/semconv/otel/sdk-metrics/ */
const COMPONENT_TYPE = 'aws_marketplace_metric_exporter'
let components = 0

function instruments(meterProvider: MeterProvider) {
  const meter = meterProvider.getMeter('opentelemetry-exporter-aws-marketplace')
  return {
    exported: meter.createCounter('otel.sdk.exporter.metric_data_point.exported', {
      unit: '{data_point}',
      description: 'Data points whose usage is durable; with error.type those that were not yet.',
    }),
    refused: meter.createCounter('marketplace.gateway.refused', {
      unit: '{request}',
      description: 'Requests of senders that were turned away, by transport, code and sender.',
    }),
    receivedPoints: meter.createCounter('marketplace.gateway.received_points', {
      unit: '{data_point}',
      description: 'Data points of metrics that are named in rules, acknowledged, by sender.',
    }),
    unbillable: meter.createCounter('marketplace.usage.unbillable', {
      unit: '{data_point}',
      description: 'Data points that a rule names and that cannot be billed, by reason.',
    }),
    unattributedPoints: meter.createCounter('marketplace.usage.unattributed_points', {
      unit: '{data_point}',
      description: 'Data points without a customer, by reason.',
    }),
    notOurs: meter.createCounter('marketplace.usage.not_ours', {
      unit: '{data_point}',
      description: "Data points that the option customer says are not this product's to bill: it returned null.",
    }),
    twoSources: meter.createCounter('marketplace.usage.two_sources', {
      unit: '{series}',
      description: 'Customers for whom two sources feed one dimension.',
    }),
    agreementEvents: meter.createCounter('marketplace.agreement.events', {
      unit: '{event}',
      description:
        "AWS's events of agreements, by type and outcome: noted, told, other-product, unknown, or failed, which comes again.",
    }),
    records: meter.createCounter('marketplace.metering.records', {
      unit: '{record}',
      description: 'What became of usage records: metered, pending (sent again), expired, or why they are held.',
    }),
    aboveAlert: meter.createCounter('marketplace.metering.above_alert', {
      unit: '{record}',
      description: "Usage records above their dimension's alertQuantity.",
    }),
    conflicts: meter.createCounter('marketplace.metering.conflicts', {
      unit: '{record}',
      description: 'Usage records whose hour somebody else has metered.',
    }),
    reconciliationFindings: meter.createCounter('marketplace.reconciliation.findings', {
      unit: '{record}',
      description:
        'What a person has to look at, since AWS does not have it as the ledger does, by region and verdict.',
    }),
    requestDuration: meter.createHistogram('marketplace.metering.request.duration', {
      unit: 's',
      description: 'Duration of BatchMeterUsage requests.',
      advice: { explicitBucketBoundaries: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] },
    }),
    gauges: {
      pendingRecords: meter.createObservableGauge('marketplace.metering.pending.records', {
        unit: '{record}',
        description: 'Usage records without a final answer.',
      }),
      pending: meter.createObservableGauge('marketplace.metering.pending', {
        description: "Their usage by dimension, in the dimension's base unit: seconds, bytes or counts.",
      }),
      held: meter.createObservableGauge('marketplace.metering.held', {
        description:
          "Usage that a person has to settle by dimension and reason, in the dimension's base unit: seconds, bytes or counts.",
      }),
      oldestPending: meter.createObservableGauge('marketplace.metering.oldest_pending.age', {
        unit: 's',
        description: 'How long ago the hour of the oldest record without a final answer began. AWS takes it for a day.',
      }),
      lastClosed: meter.createObservableGauge('marketplace.metering.last_closed.age', {
        unit: 's',
        description: 'How long ago the last hour ended that is closed: since the start where none is.',
      }),
      unattributed: meter.createObservableGauge('marketplace.usage.unattributed', {
        description: "Usage without a customer by dimension, in the dimension's base unit: seconds, bytes or counts.",
      }),
      overflow: meter.createObservableGauge('marketplace.metering.overflow.hours', {
        unit: 'h',
        description:
          'How many hours of records a customer is behind, by dimension, since more is used in an hour than a record takes.',
      }),
      reconciledAge: meter.createObservableGauge('marketplace.reconciliation.age', {
        unit: 's',
        description: 'How long ago the last hour ended that was held against what AWS has, by region.',
      }),
      elsewhere: meter.createObservableGauge('marketplace.metering.endpoint.refused', {
        unit: '1',
        description:
          "1 where this process sends none of a region's records, since it would send them elsewhere than the ledger's go.",
      }),
      lost: meter.createObservableGauge('marketplace.ledger.lost', {
        description:
          '1 while the ledger lacks what it had acknowledged, so that nothing is frozen or sent until it is declared restored.',
      }),
      entitlementsAge: meter.createObservableGauge('marketplace.entitlements.age', {
        unit: 's',
        description:
          'How long ago it was asked last with success what contracts include, by product and dimension. Usage waits for it.',
      }),
      entitled: meter.createObservableGauge('marketplace.entitlements.customers', {
        unit: '{customer}',
        description:
          'Customers that have a fifth or less left of what their contracts include (low), or nothing (used-up), by dimension.',
      }),
      waiting: meter.createObservableGauge('marketplace.usage.waiting', {
        description:
          "What others' counters counted and cannot be told yet to be usage, by dimension, in its base unit: seconds, bytes or counts.",
      }),
      lastFed: meter.createObservableGauge('marketplace.usage.last_fed.age', {
        unit: 's',
        description:
          "How long ago the last data point came that a dimension's rule takes, by the metric's first name: since the start where none has.",
      }),
      fedPoints: meter.createObservableCounter('marketplace.usage.fed_points', {
        unit: '{data_point}',
        description: "Data points that a dimension's rule has taken, by the metric's first name.",
      }),
      unmatchedPoints: meter.createObservableCounter('marketplace.usage.unmatched_points', {
        unit: '{data_point}',
        description: 'Data points of metrics that rules name, with attributes that none of them takes.',
      }),
      customers: meter.createObservableGauge('marketplace.gateway.customers', {
        unit: '{customer}',
        description: 'Customers that a sender has brought usage of today (UTC).',
      }),
      series: meter.createObservableGauge('marketplace.gateway.series', {
        unit: '{series}',
        description: 'Series that a sender has brought today (UTC).',
      }),
      lastReceived: meter.createObservableGauge('marketplace.gateway.last_received.age', {
        unit: 's',
        description: 'How long ago the last data points of a sender came.',
      }),
      notCounted: meter.createObservableCounter('marketplace.usage.not_counted', {
        unit: '{data_point}',
        description:
          "Data points of others' counters that were not simply counted; the audit trail has each. By reason: baseline, " +
          `old-counter, too-late, gap, and for an alarm ${ALARM_VERDICTS.join(', ')}.`,
      }),
    },
  }
}

type Gauge = keyof ReturnType<typeof instruments>['gauges']
type Observation = [value: number, attributes: Attributes]

/** A customer that is behind by so many hours of records. */
interface Overflow {
  readonly hours: number
  readonly at: number
}

/** AWS refuses what an agreement covers that it has told of itself, or that a buyer has registered with. */
const WAITS_FOR_AGREEMENT =
  'AWS says that a customer is not subscribed who is, as far as is known here. Its usage waits, each hour for itself, and is ' +
  'sent again until AWS takes it, for a day: a licence may come late, or an account be suspended for a while. What AWS does ' +
  'not take in that time is held. "marketplace-meter agreements" shows since when.'

const OTHER_TERMS = {
  true:
    'the ledger has other terms of what contracts include of it than the options of this process. Another process said so ' +
    'later, and that holds for all. Give all of them the same options, and start this one again.',
  false:
    'contracts include some of it, as the options of another process have said, and what they include is not metered. The ' +
    'options of this process say nothing of it: say the same there, or included: false where that is over.',
}

const WHICH_CUSTOMERS = '"marketplace-meter entitlements" says who, and up to when.'

/** What was told two hours ago is over: it is told in each hour. */
const isPast = (at: number, now: number) => Math.abs(now - at) >= 2 * HOUR

interface Facts {
  readonly elsewhere: ReadonlyMap<string, boolean>
  readonly overflow: ReadonlyMap<string, Overflow>
  readonly status: LedgerStatus | undefined
  readonly supply: Supply
  readonly reconciled: ReadonlyMap<string, number>
  readonly lost: boolean
  readonly included: readonly IncludedDimension[]
  readonly used: readonly UsedLevel[]
  readonly now: number
}

const ofStatus =
  (observe: (status: LedgerStatus, now: number) => Observation[]) =>
  ({ status, now }: Facts): Observation[] =>
    status === undefined ? [] : observe(status, now)

const OBSERVATIONS: Record<Gauge, (facts: Facts) => Observation[]> = {
  pendingRecords: ofStatus(({ pending }) => [[pending.reduce((sum, figure) => sum + figure.records, 0), {}]]),
  pending: ofStatus(({ pending }) => pending.map(({ dimension, amount }) => [baseUnits(amount), { dimension }])),
  held: ofStatus(({ held }) => held.map(({ dimension, reason, amount }) => [baseUnits(amount), { dimension, reason }])),
  oldestPending: ofStatus(({ oldestPendingHour }, now) => {
    return [[oldestPendingHour === undefined ? 0 : Math.max(0, now - oldestPendingHour) / 1000, {}]]
  }),
  // Of what the ledger said last: where it cannot be asked any more, this goes on to grow.
  lastClosed: ({ status, supply, now }) => {
    const closed = status?.closedThrough
    return [[age(closed === undefined ? supply.startedAt : closed + HOUR, now), {}]]
  },
  unattributed: ofStatus(({ unattributed }) => {
    return unattributed.map(({ dimension, amount }) => [baseUnits(amount), { dimension }])
  }),
  overflow: ({ overflow, now }) =>
    [...overflow].flatMap(([dimension, { hours, at }]) => (isPast(at, now) ? [] : [[hours, { dimension }]])),
  reconciledAge: ({ reconciled, now }) => [...reconciled].map(([region, to]) => [age(to, now), { region }]),
  elsewhere: ({ elsewhere }) => [...elsewhere].map(([region, refused]) => [Number(refused), { region }]),
  lost: ({ lost }) => [[lost ? 1 : 0, {}]],
  entitlementsAge: ({ included, now }) =>
    included.flatMap(one => {
      const { product, dimension, entitlement } = one
      return entitlement === undefined ? [] : [[age(unknownSince(one, now), now), { product, dimension }]]
    }),
  entitled: ({ used }) =>
    used.flatMap(({ dimension, low, usedUp }): Observation[] => [
      [low, { dimension, state: 'low' }],
      [usedUp, { dimension, state: 'used-up' }],
    ]),
  waiting: ofStatus(({ waiting }) => waiting.map(({ dimension, amount }) => [baseUnits(amount), { dimension }])),
  notCounted: ofStatus(({ notCounted }) => Object.entries(notCounted).map(([reason, points]) => [points, { reason }])),
  lastFed: ({ supply, now }) =>
    supply.figures().sources.map(source => [age(source.lastAt ?? supply.startedAt, now), feedAttributes(source)]),
  fedPoints: ({ supply }) => supply.figures().sources.map(source => [source.points, feedAttributes(source)]),
  unmatchedPoints: ({ supply }) => supply.figures().unmatched.map(({ metric, points }) => [points, { metric }]),
  customers: ({ supply }) => quotasOf(supply, 'customers'),
  series: ({ supply }) => quotasOf(supply, 'series'),
  lastReceived: ({ supply, now }) =>
    supply.figures().senders.map(({ name, lastAt = now }) => [age(lastAt, now), { sender: name }]),
}

function quotasOf(supply: Supply, wanted: Quota['what']): Observation[] {
  const quotas = supply.figures().quotas.filter(({ what }) => what === wanted)
  return quotas.map(({ sender, used }) => [used, { sender }])
}

const age = (time: number, now: number) => Math.max(0, now - time) / 1000

function feedAttributes({ dimension, rule, metrics: [metric = ''] }: FeedFigures): Attributes {
  return { dimension, source: rule, metric }
}

const baseUnits = (amount: bigint) => Number(amount) / 1e6

function errorType(error: unknown): string {
  const { code, name } = (error ?? {}) as { code?: unknown; name?: unknown }
  return String(code ?? name ?? 'unknown')
}
