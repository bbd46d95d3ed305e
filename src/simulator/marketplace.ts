import { randomInt } from 'node:crypto'
import * as v from 'valibot'
import { strictObject } from '../check.ts'
import { type Admission, admit, seriesOf } from './admission.ts'
import { keptAllocations } from './allocations.ts'
import { type BilledFilter, type BilledRecord, type BilledShare, type BilledTotal, Book } from './book.ts'
import { type Caller, callerOf } from './caller.ts'
import { Catalogue } from './catalogue.ts'
import { type Instant, SimulatorClock } from './clock.ts'
import { CloudTrail, type CloudTrailOptions, cloudTrailSchema, OTHER_TOOL } from './cloudtrail.ts'
import type { CatalogueDeclaration } from './declarations.ts'
import { SimulatedAnswerError, SimulatedResetError, SimulatedServiceError } from './errors.ts'
import { AgreementEvents } from './events.ts'
import {
  AFTER,
  BEFORE,
  type CheckedFault,
  type EntitlementFault,
  type EventTarget,
  type Fault,
  type FaultKind,
  FaultPlan,
  hides,
  type Interruption,
  meets,
  UNSEEN,
} from './faults.ts'
import { askedFor, ENTITLEMENT_REGIONS, getEntitlements } from './get-entitlements.ts'
import { type Counters, type LoggedRequest, RequestLog } from './log.ts'
import { MessageQueue } from './queue.ts'
import { Quota } from './quota.ts'
import { type Random, seeded, shuffled } from './random.ts'
import { checkRequest, isObject, MAX_BYTES, tooLarge } from './shape.ts'
import { readUndocumented, type Undocumented } from './undocumented.ts'
import { type UsageReport, type UsageReportOptions, usageReport } from './usage-report.ts'
import { expected, instant, validated } from './validation.ts'
import type {
  BatchMeterUsageRequest,
  BatchMeterUsageResult,
  CheckedRecord,
  GetEntitlementsRequest,
  GetEntitlementsResult,
  Operation,
  Operations,
  ResolveCustomerRequest,
  ResolveCustomerResult,
  UsageRecord,
  UsageRecordResult,
} from './wire.ts'

export interface SimulatorOptions {
  /** Milliseconds since the epoch, until the clock is set (default `Date.now`). */
  now?: () => number
  /** Where the clock stands at first. */
  clock?: Instant
  /** What exists; what is not declared at all is accepted freely. */
  catalogue?: CatalogueDeclaration
  faults?: Fault[]
  /**
   * Requests a second for each operation and region (default 10, as AWS's `BatchMeterUsage`; the others' are not published);
   * `null` for no limit.
   */
  quota?: number | null
  /** How to answer where AWS's documents do not say. */
  undocumented?: Partial<Undocumented>
  /** The same seed gives the same faults to the same requests (default: a random one). */
  seed?: number
  /** How many of the latest requests the log keeps (default 1000). */
  logSize?: number
  /** What CloudTrail keeps of requests, and whose they are. */
  cloudTrail?: CloudTrailOptions
}

/** @internal */
export const SIMULATOR_ENTRIES = {
  now: v.optional(v.function()),
  seed: v.optional(v.pipe(v.number(), v.safeInteger(), v.minValue(0))),
  logSize: v.optional(v.pipe(v.number(), v.safeInteger(), v.minValue(0))),
  clock: v.optional(instant),
  catalogue: v.optional(v.unknown()),
  undocumented: v.optional(v.unknown()),
  cloudTrail: v.optional(cloudTrailSchema, {}),
  faults: v.optional(v.array(v.unknown())),
  quota: v.optional(
    v.nullable(
      v.pipe(
        v.number(),
        v.check(value => value > 0, expected('a number above 0, or null')),
      ),
    ),
  ),
}
const optionsSchema = strictObject(SIMULATOR_ENTRIES)

/** What comes back, after `delay` milliseconds, under AWS's id of the request. */
export type Answer<Result = object> = { delay: number; requestId: string } & Outcome<Result>

/** `truncated` is half of the result's JSON, `empty` is `{}` in its place. */
type Outcome<Result = object> = { type: 'result' | 'truncated' | 'empty'; result: Result } | Interruption

/** What arrives of an answer, and what AWS knows of the request: nothing, if it never came. */
type Arrival = { delay: number; arrived: Outcome; answered: Outcome | undefined; admissions?: readonly Admission[] }

/** Another tool of the same seller. */
const FOREIGN: Required<Caller> = {
  ...callerOf(),
  accessKeyId: OTHER_TOOL,
  sourceIPAddress: '198.51.100.23',
  userAgent: 'Boto3/1.40.0',
}

const QUEUE_NAME = 'marketplace-events'
const NO_RECORDS: readonly UsageRecord[] = []
const NO_FAULTS: readonly EntitlementFault[] = []

/**
 * AWS Marketplace Metering as a state machine in this process: synchronous, without I/O. `startSimulator` puts it
 * behind HTTP.
 */
export class MarketplaceSimulator {
  /** Given to `startSimulator` again, it repeats the run's faults. */
  readonly seed: number
  readonly clock: SimulatorClock
  readonly catalogue: Catalogue
  readonly faults: FaultPlan
  /** Where AWS's agreement events come to; `dead` is its dead-letter queue. */
  readonly queue: MessageQueue
  /** What AWS has written down of `BatchMeterUsage`. */
  readonly cloudTrail: CloudTrail
  readonly #idPrefix: string
  #requests = 0
  readonly #lookups = new Quota()
  readonly #random: Random
  readonly #book: Book
  readonly #quota = new Quota()
  readonly #log: RequestLog
  #undocumented: Undocumented

  /** @throws {SimulatorConfigurationError} */
  constructor(options: SimulatorOptions = {}) {
    const { cloudTrail } = validated(optionsSchema, options, 'options')
    const {
      now = Date.now,
      clock,
      catalogue = {},
      faults = [],
      quota = 10,
      seed = randomInt(2 ** 32),
      logSize = 1000,
      undocumented = {},
    } = options
    this.seed = seed
    this.#random = seeded(seed)
    this.#idPrefix = seed.toString(16).padStart(8, '0').slice(-8)
    this.#book = new Book(this.#idPrefix)
    this.#log = new RequestLog(logSize)
    this.#quota.perSecond = quota
    this.#undocumented = readUndocumented(undocumented, 'options.undocumented')
    this.clock = new SimulatorClock(now)
    if (clock !== undefined) this.clock.set(clock)
    // Numbers of their own, so that events do not shift what happens to requests.
    const eventRandom = seeded(~seed)
    const trailRandom = seeded(seed ^ 0x7a11)
    this.faults = new FaultPlan(this.#random, eventRandom, trailRandom)
    this.#lookups.perSecond = cloudTrail.lookupsPerSecond
    this.cloudTrail = new CloudTrail(cloudTrail, this.clock, this.#idPrefix, trailRandom, () => this.#undocumented)
    for (const fault of faults) this.faults.add(fault)
    const dead = new MessageQueue(`${QUEUE_NAME}-dead-letters`, this.clock, eventRandom)
    this.queue = new MessageQueue(QUEUE_NAME, this.clock, eventRandom, dead)
    const events = new AgreementEvents(this.queue, this.clock, target => this.#eventFaults(target), eventRandom)
    this.catalogue = new Catalogue(() => this.clock.now(), events)
    this.catalogue.declare(catalogue)
  }

  /** Requests a second for each operation and region; `null` is no limit. All callers are one seller's account. */
  get quota(): number | null {
    return this.#quota.perSecond
  }

  set quota(perSecond: number | null) {
    this.#quota.perSecond = perSecond
  }

  /** How it answers where AWS's documents do not say. What is set changes that; the rest stays. */
  get undocumented(): Readonly<Undocumented> {
    return this.#undocumented
  }

  set undocumented(answers: Partial<Undocumented>) {
    this.#undocumented = readUndocumented(answers, 'undocumented', this.#undocumented)
  }

  /** One request of an operation, as AWS would answer it, with whatever fault it meets. Never throws. */
  answer<Name extends Operation>(
    operation: Name,
    request: Operations[Name]['request'],
    caller: Caller,
  ): Answer<Operations[Name]['result']> {
    return this.#answer(operation, request, caller) as Answer<Operations[Name]['result']>
  }

  /**
   * `BatchMeterUsage` without waiting; a fault's latency is left out.
   *
   * @throws {SimulatedServiceError} with AWS's name, {@link SimulatedResetError} or {@link SimulatedAnswerError}
   */
  batchMeterUsage(request: BatchMeterUsageRequest, caller?: Partial<Caller>): BatchMeterUsageResult {
    return resultOf(this.answer('BatchMeterUsage', request, callerOf(caller)))
  }

  /**
   * `ResolveCustomer` without waiting; a fault's latency is left out.
   *
   * @throws as {@link batchMeterUsage}
   */
  resolveCustomer(request: ResolveCustomerRequest, caller?: Partial<Caller>): ResolveCustomerResult {
    return resultOf(this.answer('ResolveCustomer', request, callerOf(caller)))
  }

  /**
   * `GetEntitlements` without waiting; a fault's latency is left out.
   *
   * @throws as {@link batchMeterUsage}
   */
  getEntitlements(request: GetEntitlementsRequest, caller?: Partial<Caller>): GetEntitlementsResult {
    return resultOf(this.answer('GetEntitlements', request, callerOf(caller)))
  }

  /**
   * Meters as another tool of the same seller would: by all rules, but without quota, requests' faults and log. What it
   * bills is marked as foreign, and CloudTrail has it.
   *
   * @param who if it is not the other tool's usual user, address and user agent
   * @throws {SimulatedServiceError} with AWS's name
   */
  meterForeign(
    request: BatchMeterUsageRequest,
    region = FOREIGN.region,
    who: Partial<Omit<Caller, 'region'>> = {},
  ): BatchMeterUsageResult {
    const caller = { ...FOREIGN, ...who, region }
    const requestId = this.#newRequestId()
    try {
      const admissions = this.#admit(request, region)
      const result = { Results: admissions.map(admission => this.#meter(admission, true)), UnprocessedRecords: [] }
      this.#trail(request, caller, requestId, { type: 'result', result })
      return result
    } catch (error) {
      if (error instanceof SimulatedServiceError) this.#trail(request, caller, requestId, { type: 'error', error })
      throw error
    }
  }

  /** What has been billed, record by record. */
  billed(filter?: BilledFilter): BilledRecord[] {
    return this.#book.records(filter)
  }

  /** What has been billed, summed over the hours: a line for each region, customer and dimension. */
  totals(filter?: BilledFilter): BilledTotal[] {
    return this.#book.totals(filter)
  }

  /** The same by the sets of tags that it was sent with, as buyers see it: a line for each of them. */
  totalsByTags(filter?: BilledFilter): BilledShare[] {
    return this.#book.shares(filter)
  }

  /**
   * AWS's reports for sellers on what has been billed by now, of the days that were over six hours ago.
   *
   * @throws {SimulatorConfigurationError}
   */
  usageReport(options?: UsageReportOptions): UsageReport {
    const source = {
      seed: this.seed,
      now: this.clock.now(),
      sellerAccountId: this.cloudTrail.accountId,
      billed: this.billed(),
      agreementOf: (record: BilledRecord) => this.catalogue.agreementId(record, Date.parse(record.timestamp)),
    }
    return usageReport(source, options)
  }

  /** Takes over what another simulator has {@link billed}. Hours that are taken here already stay as they are. */
  load(records: Iterable<BilledRecord>): void {
    for (const record of records) {
      const named = {
        Dimension: record.dimension,
        CustomerAWSAccountId: record.accountId,
        CustomerIdentifier: record.customerIdentifier,
        LicenseArn: record.licenseArn,
      }
      const { owner } = seriesOf(record.region, record.product, named, this.catalogue.customer(named))
      this.#book.load(owner, record)
    }
  }

  get counters(): Counters {
    return this.#log.counters
  }

  /** The latest requests, oldest first. */
  requests(): LoggedRequest[] {
    return this.#log.latest()
  }

  /**
   * Logs a request that came over the wire and was refused before any operation was asked.
   *
   * @param known whether AWS knows whose it is: CloudTrail has it then
   */
  refused(error: SimulatedServiceError, operation: string, caller: Caller, known: boolean): Answer {
    const { region, accessKeyId } = caller
    const [at, requestId] = [this.clock.now(), this.#newRequestId()]
    this.#log.refused(error.name)
    this.#log.request({ at, operation, region, accessKeyId, records: 0, outcome: error.name, faults: [] })
    if (known && operation === 'BatchMeterUsage') this.#trail({}, caller, requestId, { type: 'error', error })
    return { delay: 0, requestId, type: 'error', error }
  }

  /**
   * Whether CloudTrail's quota of a region lets one more `LookupEvents` through.
   *
   * @internal
   */
  mayLookUp(region: string): boolean {
    return this.#lookups.take(region, this.clock.elapsed())
  }

  #answer(operation: Operation, request: object, caller: Caller): Answer {
    const records = isObject(request) && Array.isArray(request.UsageRecords) ? request.UsageRecords : NO_RECORDS
    const entry: LoggedRequest = {
      at: this.clock.now(),
      operation,
      region: caller.region,
      accessKeyId: caller.accessKeyId,
      records: records.length,
      outcome: 'ok',
      faults: [],
    }
    const usable = records.filter(isObject)
    const requestId = this.#newRequestId()
    const { delay, arrived, answered, admissions } = this.#respond(operation, request, usable, caller, entry)
    if (arrived.type === 'error') {
      entry.outcome = arrived.error.name
      arrived.error.$metadata.requestId = requestId
    } else if (arrived.type !== 'result') entry.outcome = arrived.type
    this.#log.request(entry)
    if (answered && operation === 'BatchMeterUsage')
      this.#trail(request, caller, requestId, answered, usable, admissions)
    return { delay, requestId, ...arrived }
  }

  #newRequestId(): string {
    return `${this.#idPrefix}-0000-4000-9000-${(++this.#requests).toString(16).padStart(12, '0')}`
  }

  #trail(
    request: BatchMeterUsageRequest,
    caller: Caller,
    requestId: string,
    answered: Outcome,
    records: readonly UsageRecord[] = NO_RECORDS,
    admissions: readonly Admission[] = [],
  ): void {
    const at = this.clock.now()
    const { region } = caller
    const product = this.#productOf(request, records)
    const faults = this.faults.drawForTrail({ at, operation: 'BatchMeterUsage', region, product, records })
    for (const { kind } of faults) this.#log.fault(kind)
    const call = { at, caller, requestId, request, admissions }
    if (answered.type === 'error') this.cloudTrail.write({ ...call, error: answered.error }, faults)
    else if ('result' in answered) {
      this.cloudTrail.write({ ...call, result: answered.result as BatchMeterUsageResult }, faults)
    }
  }

  #respond(
    operation: Operation,
    request: object,
    records: readonly UsageRecord[],
    caller: Caller,
    entry: LoggedRequest,
  ): Arrival {
    if (!this.#quota.take(`${operation} ${caller.region}`, this.clock.elapsed())) {
      this.#log.throttled()
      const error = new SimulatedServiceError('ThrottlingException', 'Rate exceeded')
      const arrived: Outcome = { type: 'error', error }
      return { delay: 0, arrived, answered: arrived }
    }
    const entitlements = operation === 'GetEntitlements'
    const target = {
      at: entry.at,
      operation,
      region: caller.region,
      product: this.#productOf(request, records),
      records: entitlements && isObject(request) ? askedFor(request) : records,
    }
    const faults = this.faults.draw(target)
    const stale = entitlements ? this.faults.drawForEntitlements(target) : NO_FAULTS
    for (const { kind } of stale) {
      entry.faults.push(kind)
      this.#log.fault(kind)
    }
    let delay = 0
    let hiding: FaultKind | undefined
    for (const { kind, milliseconds } of faults) {
      entry.faults.push(kind)
      this.#log.fault(kind)
      if (kind === 'latency') delay += milliseconds
      if (hides(kind)) hiding = kind
    }
    const before = hiding && BEFORE[hiding]?.()
    if (hiding && before) return { delay, arrived: before, answered: UNSEEN.has(hiding) ? undefined : before }
    const { outcome: answered, admissions } = this.#perform(operation, request, caller.region, faults, stale)
    const after = hiding && AFTER[hiding]?.()
    // An error that AWS itself answers is what AWS writes down, whatever it had done by then.
    if (after) return { delay, arrived: after, answered: after.type === 'error' ? after : answered, admissions }
    // A refusal is short enough to come through whole.
    if (answered.type === 'result' && (hiding === 'truncated' || hiding === 'empty')) {
      return { delay, arrived: { type: hiding, result: answered.result }, answered, admissions }
    }
    return { delay, arrived: answered, answered, admissions }
  }

  #perform(
    operation: Operation,
    request: object,
    region: string,
    faults: readonly CheckedFault[],
    stale: readonly CheckedFault[],
  ): {
    outcome: Outcome
    admissions: readonly Admission[]
  } {
    try {
      if (operation === 'GetEntitlements') {
        return { outcome: { type: 'result', result: this.#getEntitlements(request, region, stale) }, admissions: [] }
      }
      if (operation === 'ResolveCustomer') {
        return { outcome: { type: 'result', result: this.#resolveCustomer(request, region) }, admissions: [] }
      }
      const admissions = this.#admit(request, region)
      return { outcome: { type: 'result', result: this.#batchMeterUsage(admissions, faults) }, admissions }
    } catch (error) {
      if (!(error instanceof SimulatedServiceError)) throw error
      this.#log.refused(error.name)
      return { outcome: { type: 'error', error }, admissions: [] }
    }
  }

  #resolveCustomer(request: ResolveCustomerRequest, region: string): ResolveCustomerResult {
    this.#checkRegion(region)
    const token: unknown = isObject(request) ? request.RegistrationToken : undefined
    if (typeof token !== 'string' || token === '') {
      throw new SimulatedServiceError('ValidationException', "Value at 'registrationToken' must not be null or empty")
    }
    return this.catalogue.resolve(token, this.#undocumented.licensedIdentifier)
  }

  #getEntitlements(request: object, region: string, stale: readonly CheckedFault[]): GetEntitlementsResult {
    if (!ENTITLEMENT_REGIONS.has(region)) {
      // Only there it has an endpoint, which says so of a request that is signed for elsewhere.
      throw new SimulatedServiceError('InvalidSignatureException', 'Credential should be scoped to a valid region.')
    }
    this.#checkRegion(region)
    const { catalogue } = this
    return getEntitlements(request, {
      entitlements: catalogue.entitlements,
      hasProduct: code => catalogue.hasProduct(code),
      at: this.clock.now() - stale.reduce((sum, { milliseconds }) => sum + milliseconds, 0),
      undocumented: this.#undocumented,
    })
  }

  #batchMeterUsage(admissions: readonly Admission[], faults: readonly CheckedFault[]): BatchMeterUsageResult {
    const result: BatchMeterUsageResult = { Results: [], UnprocessedRecords: [] }
    const unprocessed = this.#affected('unprocessed', faults, admissions)
    const missing = this.#affected('missing', faults, admissions)
    for (const admission of admissions) {
      if (unprocessed.has(admission.record)) {
        result.UnprocessedRecords.push(admission.record)
        this.#log.record('unprocessed')
        continue
      }
      const outcome = this.#meter(admission, false)
      this.#log.record(outcome.Status)
      if (!missing.has(admission.record)) result.Results.push(outcome)
    }
    if (faults.some(fault => fault.kind === 'shuffled')) result.Results = shuffled(result.Results, this.#random)
    return result
  }

  #admit(request: BatchMeterUsageRequest, region: string): Admission[] {
    this.#checkRegion(region)
    const records = checkRequest(request)
    // Without allocations 25 records cannot come near the limit; HTTP has counted the bytes already.
    if (records.some(record => record.UsageAllocations) && Buffer.byteLength(JSON.stringify(request)) >= MAX_BYTES) {
      throw tooLarge()
    }
    return admit(
      request.ProductCode ?? undefined,
      records,
      region,
      this.catalogue,
      this.clock.now(),
      this.#undocumented,
    )
  }

  #meter(admission: Admission, foreign: boolean): UsageRecordResult {
    const { record, subscribed, owner, series } = admission
    if (!subscribed) return { UsageRecord: record, Status: 'CustomerNotSubscribed' }
    const metered = this.#book.meter(owner, series, {
      quantity: record.Quantity ?? 0,
      timestamp: record.Timestamp.getTime(),
      takenAt: this.clock.now(),
      foreign,
      allocations: record.UsageAllocations ? keptAllocations(record.UsageAllocations) : undefined,
    })
    if (metered.resplit && !foreign) this.#log.resplit()
    const { resend, resplit } = this.#undocumented
    const again = metered.resplit ? resplit : metered.again ? resend : 'Success'
    // One text for equal ones: CloudTrail keeps them for long.
    admission.series = metered.series
    if (metered.meteringRecordId === undefined || again === 'DuplicateRecord') {
      return { UsageRecord: record, Status: 'DuplicateRecord' }
    }
    return { UsageRecord: record, MeteringRecordId: metered.meteringRecordId, Status: 'Success' }
  }

  #eventFaults(target: Omit<EventTarget, 'at'>): readonly CheckedFault[] {
    const faults = this.faults.drawForEvent({ ...target, at: this.clock.now() })
    for (const { kind } of faults) this.#log.fault(kind)
    return faults
  }

  /** The records that a fault of this kind meets: of those it is meant for, each by its share, and at least one. */
  #affected(
    kind: 'unprocessed' | 'missing',
    faults: readonly CheckedFault[],
    admissions: readonly Admission[],
  ): Set<CheckedRecord> {
    const affected = new Set<CheckedRecord>()
    for (const fault of faults) {
      if (fault.kind !== kind) continue
      const meant = admissions.map(({ record }) => record).filter(record => meets(fault, record))
      const certain = Math.floor(this.#random() * meant.length)
      meant.forEach((record, index) => {
        if (this.#random() < fault.share || index === certain) affected.add(record)
      })
    }
    return affected
  }

  #productOf(request: object, records: readonly UsageRecord[]): string | undefined {
    if (isObject(request) && typeof request.ProductCode === 'string') return request.ProductCode
    const arn = records[0]?.LicenseArn
    return arn ? this.catalogue.licence(arn)?.product : undefined
  }

  #checkRegion(region: string): void {
    if (this.catalogue.isDisabled(region)) {
      throw new SimulatedServiceError('DisabledApiException', 'The API is disabled in the Region.')
    }
  }
}

/**
 * What an AWS SDK would make of an answer.
 *
 * @throws {SimulatedServiceError} with AWS's name, {@link SimulatedResetError} or {@link SimulatedAnswerError}
 */
export function resultOf<Result>(answer: Answer<Result>): Result {
  switch (answer.type) {
    case 'result':
      return answer.result
    case 'empty':
      return {} as Result
    case 'error':
      throw answer.error
    case 'reset':
      throw new SimulatedResetError()
    case 'html':
      throw new SimulatedAnswerError(answer.status)
    case 'truncated':
      throw new SimulatedAnswerError(200)
  }
}
