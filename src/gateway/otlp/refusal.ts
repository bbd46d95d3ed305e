import { UndecodableError } from './errors.ts'
import { UnavailableError } from './sink.ts'

/** The codes of `google.rpc.Code` that are answered. */
export const INVALID_ARGUMENT = 3
export const NOT_FOUND = 5
export const PERMISSION_DENIED = 7
export const RESOURCE_EXHAUSTED = 8
export const UNIMPLEMENTED = 12
export const UNAVAILABLE = 14
export const UNAUTHENTICATED = 16

const HTTP_STATUS: { readonly [code: number]: number } = {
  [INVALID_ARGUMENT]: 400,
  [NOT_FOUND]: 404,
  [PERMISSION_DENIED]: 403,
  [RESOURCE_EXHAUSTED]: 413,
  [UNIMPLEMENTED]: 405,
  [UNAVAILABLE]: 503,
  [UNAUTHENTICATED]: 401,
}

const NAMES: { readonly [code: number]: string } = {
  [INVALID_ARGUMENT]: 'INVALID_ARGUMENT',
  [NOT_FOUND]: 'NOT_FOUND',
  [PERMISSION_DENIED]: 'PERMISSION_DENIED',
  [RESOURCE_EXHAUSTED]: 'RESOURCE_EXHAUSTED',
  [UNIMPLEMENTED]: 'UNIMPLEMENTED',
  [UNAVAILABLE]: 'UNAVAILABLE',
  [UNAUTHENTICATED]: 'UNAUTHENTICATED',
}

/** Messages go into headers too, where there is little room. */
const LONGEST_MESSAGE = 1000

/** A message as it may be answered. */
export function shortened(message: string): string {
  return message.slice(0, LONGEST_MESSAGE).toWellFormed()
}

/** The codes of what is refused before there is a request. */
export const CONNECTIONS = 'CONNECTIONS'
export const TLS = 'TLS'

export interface RefusalOptions extends ErrorOptions {
  /** The HTTP status, where it is not the code's own. */
  readonly httpStatus?: number
  /** Which part of the request is wrong. */
  readonly field?: string
  /** After how many seconds the sender is to come back. Without it he is not to. */
  readonly retryAfterSeconds?: number
}

/** What a sender is told instead of success. */
export class Refusal extends Error {
  readonly code: number
  readonly httpStatus: number
  readonly field: string | undefined
  readonly retryAfterSeconds: number | undefined

  constructor(code: number, message: string, options: RefusalOptions = {}) {
    super(shortened(message), options)
    this.code = code
    this.httpStatus = options.httpStatus ?? (HTTP_STATUS[code] as number)
    this.field = options.field
    const { retryAfterSeconds } = options
    this.retryAfterSeconds = retryAfterSeconds === undefined ? undefined : Math.max(1, Math.ceil(retryAfterSeconds))
  }

  /** What it is counted as. */
  get codeName(): string {
    return this.httpStatus === HTTP_STATUS[this.code] ? (NAMES[this.code] as string) : String(this.httpStatus)
  }
}

/** A request that was refused, for whoever counts them. */
export interface Refused {
  readonly transport: 'http' | 'grpc'
  /**
   * Its name among the codes of gRPC, such as `UNAUTHENTICATED`, or the HTTP status where that says more. `CONNECTIONS`
   * is a connection that was closed, `TLS` a handshake that failed.
   */
  readonly code: string
  /** Undefined where it is not known. */
  readonly sender: string | undefined
  readonly message: string
}

/** Not now: more is being received than there is memory for, or it arrives too slowly. */
export function comeBack(message: string): Refusal {
  return new Refusal(UNAVAILABLE, message, { retryAfterSeconds: 1 })
}

export function tooLarge(limit: number): Refusal {
  const most = limit.toLocaleString('en')
  return new Refusal(RESOURCE_EXHAUSTED, `Expected a request of at most ${most} bytes, unpacked, got a larger one`)
}

/**
 * What a sender is told about an error. A fault of our own is reported, and the sender is told to come back: a
 * Collector drops what is answered with 500.
 */
export function toRefusal(error: unknown, report: (error: unknown) => void): Refusal {
  if (error instanceof Refusal) return error
  if (error instanceof UndecodableError) {
    return new Refusal(INVALID_ARGUMENT, error.message, { field: error.where, cause: error })
  }
  if (error instanceof UnavailableError) {
    const { retryAfterSeconds } = error
    return new Refusal(UNAVAILABLE, error.message, { retryAfterSeconds, cause: error })
  }
  report(error)
  return new Refusal(UNAVAILABLE, 'The gateway cannot take metrics now', { retryAfterSeconds: 5, cause: error })
}
