import { LedgerError, type LedgerErrorCode } from '../errors.ts'

/** Faults of DynamoDB and of the way to it, and which of them pass by themselves. */

export interface Fault {
  readonly code: LedgerErrorCode
  readonly advice: string
  /** Whether it is worth trying the same again. */
  readonly passing: boolean
}

const THROTTLED: Fault = { code: 'ERR_LEDGER_BUSY', advice: 'it is throttled; this is tried again', passing: true }
const CONTENTION: Fault = {
  code: 'ERR_LEDGER_BUSY',
  advice: 'others are in the way; this is tried again',
  passing: true,
}
const CONNECTION: Fault = { code: 'ERR_LEDGER_IO', advice: 'it does not answer; this is tried again', passing: true }
const RIGHTS: Fault = {
  ...{ code: 'ERR_LEDGER_IO', passing: false },
  advice: 'the credentials are refused; check them, and the permissions of their role',
}
const NO_TABLE: Fault = {
  ...{ code: 'ERR_LEDGER_NOT_FOUND', passing: false },
  advice: 'there is no such table in this region and account; make it (see createLedgerTable), or mend its name',
}
const FOREIGN: Fault = {
  ...{ code: 'ERR_LEDGER_FOREIGN', passing: false },
  advice: 'the table has other keys than a ledger; it was left as it is',
}
const OTHER: Fault = { code: 'ERR_LEDGER_IO', advice: 'DynamoDB failed', passing: false }

/** By the error's name; https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html. */
const FAULTS = new Map<string, Fault>([
  ['ProvisionedThroughputExceededException', THROTTLED],
  ['ProvisionedThroughputExceeded', THROTTLED],
  ['ThrottlingException', THROTTLED],
  ['ThrottlingError', THROTTLED],
  ['RequestLimitExceeded', THROTTLED],
  ['TransactionConflictException', CONTENTION],
  ['TransactionConflict', CONTENTION],
  ['TransactionInProgressException', CONTENTION],
  ['InternalServerError', CONNECTION],
  ['ServiceUnavailable', CONNECTION],
  ['AccessDeniedException', RIGHTS],
  ['UnrecognizedClientException', RIGHTS],
  ['InvalidSignatureException', RIGHTS],
  ['MissingAuthenticationTokenException', RIGHTS],
  ['ExpiredTokenException', RIGHTS],
  ['CredentialsProviderError', RIGHTS],
  ['ResourceNotFoundException', NO_TABLE],
])

interface SdkError extends Error {
  readonly code?: string
  readonly $metadata?: { readonly httpStatusCode?: number }
  readonly CancellationReasons?: readonly { readonly Code?: string }[]
}

/** Why DynamoDB cancelled a transaction, item by item. */
function reasonsOf(error: SdkError): string[] {
  if (error.name !== 'TransactionCanceledException') return []
  return (error.CancellationReasons ?? []).flatMap(({ Code }) => (Code === undefined || Code === 'None' ? [] : [Code]))
}

/** Whether a condition did not hold: somebody else has written since what was read. */
export function isConflict(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  return error.name === 'ConditionalCheckFailedException' || reasonsOf(error).includes('ConditionalCheckFailed')
}

/** Whether the role lacks the right to what was asked. */
export const isDenied = (error: unknown): boolean => error instanceof Error && error.name === 'AccessDeniedException'

export function faultOf(error: unknown): Fault {
  if (!(error instanceof Error)) return OTHER
  const known = [error.name, ...reasonsOf(error)].map(name => FAULTS.get(name)).find(fault => fault !== undefined)
  if (known !== undefined) return known
  if (error.name === 'ValidationException' && error.message.includes('key')) return FOREIGN
  const { $metadata: { httpStatusCode: status = 0 } = {}, code } = error as SdkError
  // Errors of the operating system have a code.
  const lost = status === 0 && (code !== undefined || error.name === 'TimeoutError')
  return lost || status >= 500 ? CONNECTION : OTHER
}

/** An error of DynamoDB's, or of the way to it, under the ledger's own codes. */
export function asLedgerError(error: unknown, doing: string): unknown {
  if (error instanceof LedgerError || !(error instanceof Error)) return error
  const { code, advice } = faultOf(error)
  const said = [error.name, error.message, ...reasonsOf(error)].join(' ')
  return new LedgerError(code, `cannot ${doing}: ${advice} (DynamoDB: ${said})`, { cause: error })
}
