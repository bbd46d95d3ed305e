import type { Attributes, Meter, MeterProvider } from '@opentelemetry/api'
import { configurationError, show, unknownOptions } from './check.ts'
import { meant } from './closest-word.ts'
import { MarketplaceMeteringError } from './errors.ts'
import { notice } from './notice.ts'
import { licenceElsewhere } from './usage/customer.ts'
import {
  ACCOUNT_ID_ATTRIBUTE,
  CUSTOMER_IDENTIFIER_ATTRIBUTE,
  type InferenceInstruments,
  inferenceInstruments,
  LICENSE_ARN_ATTRIBUTE,
  TOKEN_TYPE_ATTRIBUTE,
} from './usage/instruments.ts'

/** Who is billed: an AWS account, with its licence where the product is sold by licences, or the older identifier. */
export type MeteredCustomer =
  | {
      readonly accountId: string
      readonly licenseArn?: string | undefined
      readonly customerIdentifier?: undefined
    }
  | { readonly customerIdentifier: string; readonly accountId?: undefined; readonly licenseArn?: undefined }

/** More than this at once is a mistake, and would take the customer's other usage of the interval with it. */
const MOST = 1_000_000_000_000

/** Tokens: all of them, or told apart. */
export type TokenCount = number | { readonly input?: number | undefined; readonly output?: number | undefined }

export interface InferenceMeterOptions {
  /** The clock of `measure`, in milliseconds since any instant. `performance.now` by default: it never goes backwards. */
  readonly now?: () => number
}

export interface MeasureOptions {
  /** How many GPUs the call occupies, or what part of one; its time counts for each. 1 by default. */
  readonly gpus?: number
  /** Whether the GPU time of a call that fails is billed too. Its request never is. Off by default. */
  readonly billFailedTime?: boolean
  readonly attributes?: Attributes
}

/**
 * An argument that no usage can be: NaN, a negative count, more than a million million, a customer without a name.
 * Nothing was recorded.
 */
export class InvalidUsageError extends MarketplaceMeteringError {
  readonly code = 'ERR_INVALID_USAGE'
}

/**
 * Records the usage of an inference application, for the dimensions `inference-requests`, `tokens-processed` and
 * `gpu-hours` of the exporter's defaults. Recording is adding to a counter of OpenTelemetry: nothing is sent here, and
 * a customer's hour becomes one usage record however often it is called.
 *
 * Attributes (a model's name, …) are told apart in metrics, not in the bill. They are copied.
 *
 * Every method throws {@link InvalidUsageError}, before it records anything, for an argument that is a mistake in the
 * program, which is also told once as an error of `diag`, or on the console. A customer's id that only looks wrong is none: its usage is kept without a customer, for a person to assign.
 */
export class InferenceMeter {
  readonly #instruments: InferenceInstruments
  readonly #now: () => number

  /**
   * @param meter a meter, or the provider to get one from. One that records nothing, as OpenTelemetry gives before its
   * SDK has started, is told once as an error of `diag`, or on the console.
   * @throws ConfigurationError for what is neither, and for an option that is wrong
   */
  constructor(meter: Meter | MeterProvider, options: InferenceMeterOptions = {}) {
    const { now = () => performance.now() } = options
    const problems = [
      ...(has(meter, 'getMeter') || has(meter, 'createCounter')
        ? []
        : [`meter: expected the MeterProvider that the exporter is on, or a meter of it, got ${show(meter)}`]),
      ...unknownOptions(options, ['now']),
      ...(typeof now === 'function' ? [] : [`now: expected a function that returns milliseconds, got ${show(now)}`]),
    ]
    if (problems.length > 0) throw configurationError(problems)
    this.#instruments = inferenceInstruments(
      has(meter, 'getMeter') ? (meter as MeterProvider).getMeter(PACKAGE) : (meter as Meter),
    )
    this.#now = now
    // Of a meter that records nothing, of whichever copy of the API, all counters are the same object.
    if (this.#instruments.requests === this.#instruments.tokens) tellOfNothing()
  }

  /** @param count a whole number */
  recordInferenceRequests(customer: MeteredCustomer, count = 1, attributes?: Attributes): void {
    checkCount('count', count)
    this.#instruments.requests.add(count, attributesOf(customer, attributes))
  }

  /** @param tokens whole numbers */
  recordTokensProcessed(customer: MeteredCustomer, tokens: TokenCount, attributes?: Attributes): void {
    if (typeof tokens !== 'object' || tokens === null) {
      checkCount('tokens', tokens)
      this.#instruments.tokens.add(tokens, attributesOf(customer, attributes))
      return
    }
    // One that is misspelt would not be billed.
    for (const [name, value] of Object.entries(tokens)) {
      if (TOKEN_TYPES.includes(name)) continue
      const near = meant(name, TOKEN_TYPES)
      const hint = near === undefined ? '' : ` (did you mean ${near}?)`
      throw invalid(`tokens.${name}: expected input, output or both and nothing else${hint}, got ${show(value)}`)
    }
    const { input, output } = tokens
    if (input === undefined && output === undefined) {
      throw invalid(`tokens: expected a number, or input, output or both, got ${show(tokens)}`)
    }
    const counts = Object.entries({ input, output }).filter(
      (entry): entry is [string, number] => entry[1] !== undefined,
    )
    for (const [type, count] of counts) checkCount(`tokens.${type}`, count)
    for (const [type, count] of counts) {
      this.#instruments.tokens.add(count, attributesOf(customer, { ...attributes, [TOKEN_TYPE_ATTRIBUTE]: type }))
    }
  }

  /** @param seconds of one GPU: two GPUs for a second are two. Fractions count. */
  recordGpuTime(customer: MeteredCustomer, seconds: number, attributes?: Attributes): void {
    checkTime('seconds', seconds)
    this.#instruments.gpuTime.add(seconds, attributesOf(customer, attributes))
  }

  /** @param hours of one GPU. Fractions are kept, to the microsecond; what is billed are the whole hours they add up to. */
  recordGpuHours(customer: MeteredCustomer, hours: number, attributes?: Attributes): void {
    checkTime('hours', hours)
    // Through whole microseconds, the ledger's own: 1.1 × 3600 is not 3960 in floating point. Less than one adds up.
    const seconds = Math.round(hours * 3_600_000_000) / 1_000_000 || hours * 3600
    this.recordGpuTime(customer, seconds, attributes)
  }

  /**
   * Calls `work`, times it until it has returned (or its promise is settled) and records the time of its GPUs and one
   * request. Returns or throws what `work` does: the promise itself, with the methods that a client gave it.
   *
   * A call that fails is not billed, as no customer pays for an error; see `billFailedTime`. Of a stream (whatever can
   * be iterated by `for await`) the request counts when it begins, and the time until it has ended or is left; of one
   * that breaks off, until it began. Reading it in another way, by `getReader` or `pipe`, is not seen.
   */
  measure<Result>(customer: MeteredCustomer, work: () => Result, options: MeasureOptions = {}): Result {
    const { gpus = 1, billFailedTime = false, attributes } = options
    // All that can be wrong is found before the work is done.
    const about = attributesOf(customer, attributes)
    const [unknown] = unknownOptions(options, MEASURE_OPTIONS)
    if (unknown !== undefined) throw invalid(unknown)
    if (typeof work !== 'function') throw invalid(`work: expected a function, got ${show(work)}`)
    if (!isAmount(gpus) || gpus === 0) throw invalid(`gpus: expected a number above 0, got ${show(gpus)}`)
    const { requests, gpuTime } = this.#instruments
    let begun = this.#now()
    const addTime = () => {
      const now = this.#now()
      const seconds = ((now - begun) / 1000) * gpus
      begun = now
      if (isAmount(seconds)) gpuTime.add(seconds, about)
      else invalid(`now: expected milliseconds that never go back, of a call that took ${show(seconds)} GPU seconds`)
    }
    const failed = () => {
      if (billFailedTime) addTime()
    }
    const succeeded = (value: unknown) => {
      requests.add(1, about)
      addTime()
      onceRead(value, complete => (complete ? addTime() : failed()))
    }
    let result: Result
    try {
      result = work()
    } catch (error) {
      failed()
      throw error
    }
    if (result instanceof Promise) {
      result.then(succeeded, failed)
      return result
    }
    // What only looks like a promise may do its work each time that it is asked for it.
    if (isThenable(result)) {
      const settled = Promise.resolve(result)
      settled.then(succeeded, failed)
      return settled as Result
    }
    succeeded(result)
    return result
  }
}

const PACKAGE = 'opentelemetry-exporter-aws-marketplace'
const TOKEN_TYPES: readonly string[] = ['input', 'output']
const MEASURE_OPTIONS: readonly (keyof MeasureOptions)[] = ['gpus', 'billFailedTime', 'attributes']

const has = (value: unknown, method: string) =>
  typeof (value as Record<string, unknown> | null | undefined)?.[method] === 'function'

/** Calls back once when what can be iterated has come to its end or was left, or with false when it broke off. */
function onceRead(value: unknown, ended: (complete: boolean) => void): void {
  const stream = value as AsyncIterableIterator<unknown> | null | undefined
  const iterate = typeof stream === 'object' ? stream?.[Symbol.asyncIterator] : undefined
  if (!stream || typeof iterate !== 'function') return
  let over = false
  const end = (complete: boolean) => {
    if (!over) ended(complete)
    over = true
  }
  if (typeof stream.next === 'function') {
    watch(stream, end)
    return
  }
  replace(stream, Symbol.asyncIterator, (...args: []) => {
    const iterator = iterate.apply(stream, args)
    watch(iterator, end)
    return iterator
  })
}

function watch(iterator: AsyncIterator<unknown>, end: (complete: boolean) => void): void {
  for (const name of ['next', 'return', 'throw'] as const) {
    const method = iterator[name] as ((...args: unknown[]) => Promise<IteratorResult<unknown>>) | undefined
    if (typeof method !== 'function') continue
    replace(iterator, name, (...args: unknown[]) => {
      const result = method.apply(iterator, args)
      Promise.resolve(result).then(
        ({ done }) => done && end(true),
        () => end(false),
      )
      return result
    })
  }
}

/** In place: whoever made the stream finds it by its identity, and it keeps its other members. */
function replace(object: object, name: PropertyKey, value: unknown): void {
  try {
    Object.defineProperty(object, name, { value, configurable: true, writable: true })
  } catch {
    // What is frozen is timed until it began.
  }
}

let toldOfNothing = false

function tellOfNothing(): void {
  if (toldOfNothing) return
  toldOfNothing = true
  notice(
    'error',
    'InferenceMeter has a meter that records nothing: no usage of it is counted, and nobody is billed. Make it after the ' +
      'SDK has started, or pass it the MeterProvider that the exporter is on. Is OTEL_SDK_DISABLED set, or is ' +
      '@opentelemetry/api there twice ("npm ls @opentelemetry/api")? Then no SDK is found.',
  )
}

/** A frozen copy: the SDK keeps attributes by reference, and one that changes later would change who pays. */
function attributesOf(customer: MeteredCustomer, attributes?: Attributes): Attributes {
  const { accountId, licenseArn, customerIdentifier } = (customer ?? {}) as Record<string, string | undefined>
  if ((accountId === undefined) === (customerIdentifier === undefined)) {
    throw invalid('customer: expected either an accountId or a customerIdentifier')
  }
  if (licenseArn === undefined) refuseOtherNames(customer)
  if (licenseArn !== undefined && accountId === undefined) {
    throw invalid('customer: expected an accountId with a licenseArn')
  }
  return Object.freeze({
    ...attributes,
    ...(accountId !== undefined && { [ACCOUNT_ID_ATTRIBUTE]: checkText('accountId', accountId) }),
    ...(licenseArn !== undefined && { [LICENSE_ARN_ATTRIBUTE]: checkText('licenseArn', licenseArn) }),
    ...(customerIdentifier !== undefined && {
      [CUSTOMER_IDENTIFIER_ATTRIBUTE]: checkText('customerIdentifier', customerIdentifier),
    }),
  })
}

/** A customer may be an object of the application's own, with more to it; but not with its licence under another name. */
function refuseOtherNames(customer: object): void {
  const name = licenceElsewhere(customer)
  if (name !== undefined) throw invalid(`customer: expected the licence's ARN as licenseArn, got it as ${name}`)
}

function checkText(name: string, value: unknown): string {
  if (typeof value === 'string' && value.trim() !== '') return value
  throw invalid(`customer.${name}: expected a string that is not empty, got ${show(value)}`)
}

function checkCount(name: string, value: unknown): asserts value is number {
  if (Number.isInteger(value) && isAmount(value)) return
  throw invalid(`${name}: expected an integer from 0 to ${MOST}, got ${show(value)}`)
}

function checkTime(name: string, value: unknown): asserts value is number {
  if (isAmount(value)) return
  throw invalid(`${name}: expected a number from 0 to ${MOST}, got ${show(value)}`)
}

const isAmount = (value: unknown): value is number => typeof value === 'number' && value >= 0 && value <= MOST

let toldOfInvalid = false

/** The error, told once in a process: those who call may catch it, and nobody knew that nothing is billed. */
function invalid(message: string): InvalidUsageError {
  if (!toldOfInvalid) {
    toldOfInvalid = true
    notice(
      'error',
      `InferenceMeter was told what no usage can be, and recorded nothing of it: ${message}. It is said once.`,
    )
  }
  return new InvalidUsageError(message)
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    value !== null &&
    ['object', 'function'].includes(typeof value) &&
    typeof (value as { then?: unknown }).then === 'function'
  )
}
