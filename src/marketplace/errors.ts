import { MarketplaceMeteringError } from '../errors.ts'

/** What the AWS SDK adds to its errors, for whoever looks for it there. */
export interface AnswerMetadata {
  readonly attempts: 1
  readonly httpStatusCode: number
  readonly requestId?: string
}

/**
 * AWS answered with an error. `name` is AWS's own (`ThrottlingException`, …), as in the AWS SDK's errors.
 *
 * Of an error that comes of a wrong clock, `clockSkew` is how far this machine's is ahead of AWS's, in milliseconds.
 */
export class MeteringServiceError extends MarketplaceMeteringError {
  readonly code = 'ERR_METERING_SERVICE'
  readonly $fault: 'client' | 'server'
  readonly $metadata: AnswerMetadata
  declare readonly clockSkew?: number

  constructor(name: string, message: string, metadata: AnswerMetadata, clockSkew?: number) {
    super(message)
    this.name = name
    this.$fault = metadata.httpStatusCode >= 500 ? 'server' : 'client'
    this.$metadata = metadata
    if (clockSkew !== undefined) this.clockSkew = clockSkew
  }
}

/** What came is no answer of AWS Marketplace Metering: HTML, half of a JSON, a redirect, too much of anything. */
export class MeteringAnswerError extends MarketplaceMeteringError {
  readonly code = 'ERR_METERING_ANSWER'
  readonly $metadata: AnswerMetadata

  constructor(message: string, metadata: AnswerMetadata, options?: ErrorOptions) {
    super(message, options)
    this.$metadata = metadata
  }
}

/**
 * The connection failed. `code` is the operating system's (`ECONNREFUSED`, …), or that of `fetch`; `syscall` and, for
 * a host with several addresses, `errors` say whether anything was sent.
 */
export class MeteringConnectionError extends MarketplaceMeteringError {
  readonly code: string
  declare readonly syscall?: string
  declare readonly errors?: readonly unknown[]

  constructor(endpoint: string, cause: unknown) {
    const { reason, code, syscall, errors } = systemErrorOf(cause)
    // Its path may be a key.
    super(`The connection to ${URL.parse(endpoint)?.origin ?? 'the endpoint'} failed: ${reason}`, { cause })
    this.code = code ?? 'ERR_METERING_CONNECTION'
    if (syscall !== undefined) this.syscall = syscall
    if (errors !== undefined) this.errors = errors
  }
}

/** No answer in time: whether AWS took the records is not known. Its `name` is `TimeoutError`, as the AWS SDK's. */
export class MeteringTimeoutError extends MarketplaceMeteringError {
  readonly code = 'ERR_METERING_TIMEOUT'

  constructor(milliseconds: number) {
    super(`no answer within ${milliseconds} ms`)
    this.name = 'TimeoutError'
  }
}

/** The caller's signal ended the request; its reason is the `cause`. Its `name` is `AbortError`. */
export class MeteringAbortError extends MarketplaceMeteringError {
  readonly code = 'ABORT_ERR'

  constructor(cause: unknown) {
    super('the request was aborted', { cause })
    this.name = 'AbortError'
  }
}

/** There are no usable credentials; nothing was sent. Its `name` is `CredentialsProviderError`, as the AWS SDK's. */
export class CredentialsError extends MarketplaceMeteringError {
  readonly code = 'ERR_CREDENTIALS'

  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'CredentialsProviderError'
  }
}

interface SystemError {
  reason: string
  code?: string
  syscall?: string
  errors?: readonly unknown[]
}

/** `fetch` hides the system's error in the `cause` of one that only says that it failed. */
function systemErrorOf(error: unknown): SystemError {
  const { code, syscall, errors, cause, message } = (
    typeof error === 'object' && error !== null ? error : {}
  ) as Record<string, unknown>
  if (code === undefined && syscall === undefined && typeof cause === 'object' && cause !== null) {
    return systemErrorOf(cause)
  }
  const text = typeof message === 'string' ? message : String(error)
  return {
    // A host with several addresses: the message is empty.
    reason: text || String(code ?? 'for an unknown reason'),
    ...(typeof code === 'string' && { code }),
    ...(typeof syscall === 'string' && { syscall }),
    ...(Array.isArray(errors) && { errors }),
  }
}
