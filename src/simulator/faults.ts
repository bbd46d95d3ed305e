import * as v from 'valibot'
import { strictObject } from '../check.ts'
import type { Instant } from './clock.ts'
import { SimulatedServiceError } from './errors.ts'
import type { Random } from './random.ts'
import { expected, instant, validated } from './validation.ts'
import { OPERATIONS, type Operation, type UsageRecord } from './wire.ts'

/** AWS sends agreements' events there alone. */
export const EVENTS_REGION = 'us-east-1'

/**
 * Everything that can go wrong. Faults named `…-after` happen when the records were already taken and billed, so that
 * the caller cannot know; the others of that name happen before.
 *
 * - `throttling`: `ThrottlingException`; nothing was taken.
 * - `internal-error`, `internal-error-after`: `InternalServiceErrorException`, HTTP 500.
 * - `reset`, `reset-after`: the connection is reset.
 * - `html`, `html-after`: a proxy's error page instead of AWS's answer (502; 504 after).
 * - `truncated`: HTTP 200 with half of the JSON; the records were taken.
 * - `empty`: HTTP 200 with `{}`; the records were taken.
 * - `expired-credentials`, `access-denied`, `unrecognized-client`: what AWS says of each.
 * - `region-disabled`: `DisabledApiException`.
 * - `unprocessed`: a share of the records comes back in `UnprocessedRecords`, not billed.
 * - `missing`: a share of the records is in neither list, though it was taken.
 * - `shuffled`: the results are in another order than the records.
 * - `latency`: the answer is late by `milliseconds`; the records are taken at once.
 */
export const FAULT_KINDS = [
  'throttling',
  'internal-error',
  'internal-error-after',
  'reset',
  'reset-after',
  'html',
  'html-after',
  'truncated',
  'empty',
  'expired-credentials',
  'access-denied',
  'unrecognized-client',
  'region-disabled',
  'unprocessed',
  'missing',
  'shuffled',
  'latency',
] as const

export type FaultKind = (typeof FAULT_KINDS)[number]

/**
 * What can go wrong with an agreement's event on its way to the queue. Of a fault's `next`, `rate`, `product` and
 * `customer` it is events that are meant, in the order in which they are planned.
 *
 * - `event-duplicate`: it comes again, `milliseconds` later.
 * - `event-late`: it comes `milliseconds` later.
 * - `event-shuffled`: it comes up to `milliseconds` later, each event by its own while: they change places.
 */
export const EVENT_FAULT_KINDS = ['event-duplicate', 'event-late', 'event-shuffled'] as const

export type EventFaultKind = (typeof EVENT_FAULT_KINDS)[number]

/**
 * What can go wrong with CloudTrail's event of a request, which is answered as ever. Of a fault's `next` and `rate` it is
 * events that are meant, and those of another tool's requests, too.
 *
 * - `trail-late`: it cannot be seen until `milliseconds` later.
 * - `trail-shuffled`: it is listed as if it were from up to `milliseconds` later, each by its own while.
 * - `trail-duplicate`: it is listed twice, the second time from `milliseconds` later on.
 * - `trail-gap`: it never comes.
 * - `trail-left-out`: it comes without `requestParameters`, `responseElements` or both, each by `share`.
 */
export const TRAIL_FAULT_KINDS = [
  'trail-late',
  'trail-shuffled',
  'trail-duplicate',
  'trail-gap',
  'trail-left-out',
] as const

export type TrailFaultKind = (typeof TRAIL_FAULT_KINDS)[number]

/**
 * What can go wrong with an answer to `GetEntitlements`, beside what can with any request. A fault's `customer` and
 * `dimension` are those that its filter names.
 *
 * - `entitlements-stale`: it is what was true `milliseconds` ago: it lags behind an amendment, a renewal, an expiry.
 */
export const ENTITLEMENT_FAULT_KINDS = ['entitlements-stale'] as const

export type EntitlementFaultKind = (typeof ENTITLEMENT_FAULT_KINDS)[number]

const ALL_KINDS = [...FAULT_KINDS, ...EVENT_FAULT_KINDS, ...TRAIL_FAULT_KINDS, ...ENTITLEMENT_FAULT_KINDS] as const

/** @internal */
export const anyFaultKind = v.picklist(ALL_KINDS)

/** What hides the answer of a request. */
export type Interruption =
  | { type: 'error'; error: SimulatedServiceError }
  | { type: 'reset' }
  | { type: 'html'; status: number }

const awsError = (name: string, message: string, status?: number) => (): Interruption => ({
  type: 'error',
  error: new SimulatedServiceError(name, message, status),
})
const internalError = awsError(
  'InternalServiceErrorException',
  'An internal error has occurred. Retry your request.',
  500,
)

/** Faults that happen before any record is taken. */
export const BEFORE: Partial<Record<FaultKind, () => Interruption>> = {
  throttling: awsError('ThrottlingException', 'Rate exceeded'),
  'internal-error': internalError,
  reset: () => ({ type: 'reset' }),
  html: () => ({ type: 'html', status: 502 }),
  'expired-credentials': awsError('ExpiredTokenException', 'The security token included in the request is expired'),
  'access-denied': awsError('AccessDeniedException', 'User is not authorized to perform this action'),
  'unrecognized-client': awsError(
    'UnrecognizedClientException',
    'The security token included in the request is invalid.',
  ),
  'region-disabled': awsError('DisabledApiException', 'The API is disabled in the Region.'),
}

/** Faults that hide the answer when the records were taken. */
export const AFTER: Partial<Record<FaultKind, () => Interruption>> = {
  'internal-error-after': internalError,
  'reset-after': () => ({ type: 'reset' }),
  'html-after': () => ({ type: 'html', status: 504 }),
}

/**
 * Faults of requests that never come to AWS, or of whose sender AWS does not know the account: CloudTrail has nothing of
 * them.
 */
export const UNSEEN: ReadonlySet<FaultKind> = new Set(['reset', 'html', 'expired-credentials', 'unrecognized-client'])

/** A fault as it is switched on. */
export interface Fault {
  kind: (typeof ALL_KINDS)[number]
  /** How likely a request meets it, 0 to 1. Either this or `next`. */
  rate?: number | undefined
  /** The next so many requests meet it. */
  next?: number | undefined
  /** Only requests of this operation, such as `GetEntitlements`. */
  operation?: Operation | undefined
  /** Only requests of this region. */
  region?: string | undefined
  /** Only requests for this product: its `ProductCode`, or the product its licences were declared for. */
  product?: string | undefined
  /** Only requests with a record of this dimension; `unprocessed` and `missing` meet only those records. */
  dimension?: string | undefined
  /** Likewise, for an account id, a customer identifier or a licence's ARN. */
  customer?: string | undefined
  /** Only from then on, by the simulator's clock. */
  from?: Instant | undefined
  /** Only before then. */
  to?: Instant | undefined
  /**
   * Of `unprocessed` and `missing`: how likely each record meets it (default 0.5); one always does. Of `trail-left-out`:
   * likewise of an event's two members.
   */
  share?: number | undefined
  /**
   * Of `latency` (default 1000), of agreements' events and of entitlements (default 120000), and of CloudTrail's events
   * (default 900000).
   */
  milliseconds?: number | undefined
}

/** A fault with what it does by default. */
export interface CheckedFault extends Fault {
  /** Milliseconds since the epoch. */
  from?: number | undefined
  /** Milliseconds since the epoch. */
  to?: number | undefined
  share: number
  milliseconds: number
}

const rate = v.pipe(v.number(), v.minValue(0), v.maxValue(1))

const faultSchema = v.pipe(
  strictObject({
    kind: anyFaultKind,
    operation: v.optional(v.picklist(OPERATIONS)),
    rate: v.optional(rate),
    next: v.optional(v.pipe(v.number(), v.safeInteger(), v.minValue(1))),
    region: v.optional(v.string()),
    product: v.optional(v.string()),
    dimension: v.optional(v.string()),
    customer: v.optional(v.string()),
    from: v.optional(instant),
    to: v.optional(instant),
    share: v.optional(rate, 0.5),
    milliseconds: v.optional(v.pipe(v.number(), v.minValue(0))),
  }),
  v.check(
    fault => (fault.rate === undefined) !== (fault.next === undefined),
    'Expected either rate or next, and not both',
  ),
  v.transform(fault => ({ ...fault, milliseconds: fault.milliseconds ?? MILLISECONDS[subjectOf(fault)] })),
)

/** What of a request decides whether a fault is meant for it. */
export interface FaultTarget {
  /** Milliseconds since the epoch. */
  at: number
  operation: Operation
  region: string
  product: string | undefined
  /** Of `GetEntitlements`, what its filter names. */
  records: readonly UsageRecord[]
}

/** The same of an event. */
export interface EventTarget {
  at: number
  product: string | undefined
  /** The customer's account id, identifier and licence. */
  names: readonly (string | undefined)[]
}

const NONE: readonly CheckedFault[] = []

type Subject = 'request' | 'event' | 'trail' | 'entitlements'

/** By default: AWS's quarter of an hour, for a trail. */
const MILLISECONDS: Record<Subject, number> = { request: 1000, event: 120_000, trail: 900_000, entitlements: 120_000 }

const SUBJECT = /^(event|trail|entitlements)-/

const subjectOf = ({ kind }: { kind: Fault['kind'] }) => (SUBJECT.exec(kind)?.[1] ?? 'request') as Subject

/** A fault that a request can meet. */
export type RequestFault = CheckedFault & { kind: FaultKind }

/** One that an answer to `GetEntitlements` can meet. */
export type EntitlementFault = CheckedFault & { kind: EntitlementFaultKind }

const isOfRequests = (fault: CheckedFault): fault is RequestFault => subjectOf(fault) === 'request'

/** Whether a fault is meant for this record. */
export function meets(fault: CheckedFault, record: UsageRecord): boolean {
  const { customer, dimension } = fault
  return (
    (dimension === undefined || record.Dimension === dimension) &&
    (customer === undefined ||
      record.CustomerAWSAccountId === customer ||
      record.CustomerIdentifier === customer ||
      record.LicenseArn === customer)
  )
}

const isOn = ({ from = Number.NEGATIVE_INFINITY, to = Number.POSITIVE_INFINITY }: CheckedFault, at: number) =>
  from <= at && at < to

function concerns(fault: CheckedFault, target: FaultTarget): boolean {
  if (!isOn(fault, target.at)) return false
  if (fault.operation !== undefined && fault.operation !== target.operation) return false
  if (fault.region !== undefined && fault.region !== target.region) return false
  if (fault.product !== undefined && fault.product !== target.product) return false
  if (fault.dimension === undefined && fault.customer === undefined) return true
  return target.records.some(record => meets(fault, record))
}

/** No event is of a dimension, and all are of one region. */
function concernsEvent(fault: CheckedFault, { names, ...target }: EventTarget): boolean {
  const { region, product, dimension, customer } = fault
  return (
    isOn(fault, target.at) &&
    fault.operation === undefined &&
    (region === undefined || region === EVENTS_REGION) &&
    (product === undefined || product === target.product) &&
    dimension === undefined &&
    (customer === undefined || names.includes(customer))
  )
}

/** The faults that are switched on. */
export class FaultPlan {
  readonly #random: Random
  readonly #eventRandom: Random
  readonly #trailRandom: Random
  #faults: CheckedFault[] = []

  /** @param eventRandom for agreements' events, and `trailRandom` for CloudTrail's: they do not shift others' faults */
  constructor(random: Random, eventRandom: Random, trailRandom: Random) {
    this.#random = random
    this.#eventRandom = eventRandom
    this.#trailRandom = trailRandom
  }

  /** @throws {SimulatorConfigurationError} */
  add(fault: Fault): void {
    this.#faults.push(validated(faultSchema, fault, 'fault'))
  }

  /** Switches off all faults, or all of one kind. */
  clear(kind?: Fault['kind']): void {
    this.#faults = kind === undefined ? [] : this.#faults.filter(fault => fault.kind !== kind)
  }

  /** The faults that are on; `next` is how many requests are still to meet it. */
  list(): CheckedFault[] {
    return this.#faults.map(fault => ({ ...fault }))
  }

  /** The faults that this request meets. At most one of them hides the answer: the first that was added. */
  draw(target: FaultTarget): readonly RequestFault[] {
    if (this.#faults.length === 0) return NONE as readonly RequestFault[]
    const drawn: RequestFault[] = []
    let hidden = false
    for (const fault of this.#faults) {
      if (!isOfRequests(fault) || !concerns(fault, target)) continue
      // Every rate draws its number for every request, so that faults do not shift one another's.
      if (fault.rate !== undefined && this.#random() >= fault.rate) continue
      if (hides(fault.kind)) {
        if (hidden) continue
        hidden = true
      }
      if (fault.next !== undefined) fault.next--
      drawn.push(fault)
    }
    this.#faults = this.#faults.filter(fault => fault.next !== 0)
    return drawn
  }

  /** The faults that this event meets. */
  drawForEvent(target: EventTarget): readonly CheckedFault[] {
    return this.#drawFor('event', fault => concernsEvent(fault, target), this.#eventRandom)
  }

  /** The faults that CloudTrail's event of this request meets. */
  drawForTrail(target: FaultTarget): readonly CheckedFault[] {
    return this.#drawFor('trail', fault => concerns(fault, target), this.#trailRandom)
  }

  /** The faults that this answer to `GetEntitlements` meets, beside those of any request. */
  drawForEntitlements(target: FaultTarget): readonly EntitlementFault[] {
    return this.#drawFor('entitlements', fault => concerns(fault, target), this.#random) as readonly EntitlementFault[]
  }

  #drawFor(subject: Subject, meant: (fault: CheckedFault) => boolean, random: Random): readonly CheckedFault[] {
    if (this.#faults.length === 0) return NONE
    const drawn = this.#faults.filter(fault => {
      if (subjectOf(fault) !== subject || !meant(fault)) return false
      if (fault.rate !== undefined) return random() < fault.rate
      if (fault.next !== undefined) fault.next--
      return true
    })
    this.#faults = this.#faults.filter(fault => fault.next !== 0)
    return drawn
  }
}

/** Whether the caller does not get to see AWS's answer. */
export const hides = (kind: FaultKind): boolean =>
  kind in BEFORE || kind in AFTER || kind === 'truncated' || kind === 'empty'

const FAULT_TEXT = /^([a-z-]+)(?::(\d+))?=([\d.]+)$/

/**
 * A fault from the command line: `kind=rate`, or `latency:milliseconds=rate`.
 *
 * @throws {SimulatorConfigurationError}
 */
export function parseFault(text: string): Fault {
  const [, kind, milliseconds, likely] = FAULT_TEXT.exec(text) ?? []
  const schema = v.pipe(
    v.string(),
    v.check(() => kind !== undefined, expected('kind=rate, such as throttling=0.1 or latency:250=0.5,')),
  )
  validated(schema, text, 'fault')
  return validated(
    faultSchema,
    { kind, rate: Number(likely), ...(milliseconds !== undefined && { milliseconds: Number(milliseconds) }) },
    `fault ${text}`,
  )
}
