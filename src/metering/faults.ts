import { MarketplaceMeteringError } from '../errors.ts'

/** What an error of `batchMeterUsage` says of the records in the request. */
export type Fault =
  /** One bad record failed all of them; nothing was billed. */
  | 'refused'
  /** The same, and the record's time is what AWS does not like. */
  | 'timestamp'
  /** The same, and it is a licence that is not valid, not the customer's, or not in force at the time of the usage. */
  | 'licence'
  /** Too many requests; nothing was billed. */
  | 'throttled'
  /** Configuration or credentials; nothing of the product can go out until it is mended. */
  | 'configuration'
  /** The request never left this machine. */
  | 'not-sent'
  /** It is not known whether AWS took the records. */
  | 'unknown'

/** Why a lane is in trouble: its requests fail, AWS answers what makes no sense, or nothing here sends to its region. */
export type Trouble = Fault | 'nonsense' | 'no-client'

/** In words for people, as the beginning of a sentence. */
export const TROUBLES: Readonly<Record<Trouble, string>> = {
  refused: 'AWS refuses a usage record',
  licence: 'AWS refuses a licence',
  timestamp: "AWS says that a record's time is out of bounds, which it is not by this machine's clock: check the clock",
  throttled: 'AWS throttles; something else may be metering for this account',
  configuration: 'AWS refuses the configuration or the credentials: mend them',
  'not-sent': 'AWS cannot be reached',
  unknown: 'AWS did not say whether it took a request',
  nonsense: 'AWS answers what makes no sense',
  'no-client': 'There are records for a region that nothing here sends to: meter them with an exporter of that region',
}

/** The table of outcomes in AWS's API reference of BatchMeterUsage, by the names of its errors. */
const FAULTS: readonly [RegExp, Fault][] = [
  [/^TimestampOutOfBoundsException$/, 'timestamp'],
  [/^InvalidLicenseException$/, 'licence'],
  [/^Invalid(UsageDimension|CustomerIdentifier|Tag|UsageAllocations)Exception$/, 'refused'],
  [/^(ValidationException|SerializationException|TooManyTagsException)$/, 'refused'],
  [/^(Throttling|ThrottlingException|TooManyRequestsException|RequestLimitExceeded|RequestThrottled.*)$/, 'throttled'],
  [/^(InvalidProductCodeException|DisabledApiException|OptInRequired|NotAuthorized)$/, 'configuration'],
  [
    /^(AccessDenied|UnrecognizedClient|ExpiredToken|InvalidSignature|IncompleteSignature|MissingAuthenticationToken)/,
    'configuration',
  ],
  [/^(InvalidClientTokenId|SignatureDoesNotMatch|RequestExpired|RequestTimeTooSkewed|InvalidToken)/, 'configuration'],
  [/^(CredentialsProviderError|TokenProviderError|ConfigurationError)$/, 'configuration'],
]

/** Calls of the operating system that come before anything of a request is sent. */
const BEFORE_SENDING = new Set<unknown>(['connect', 'getaddrinfo'])
/** Errors of those calls, for clients that do not name the call. Of an open connection they mean something else. */
const NOT_SENT = new Set<unknown>(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN'])

export interface FaultOfRequest {
  readonly fault: Fault
  /** Whether the client tried before by itself, and this is the fault of its last attempt only. */
  readonly repeated: boolean
  /** Whether AWS's service has failed over the request, rather than the way to it. */
  readonly failedOver: boolean
}

interface AnyError {
  name?: unknown
  code?: unknown
  syscall?: unknown
  errors?: unknown
  $metadata?: { attempts?: number; httpStatusCode?: number }
}

/** What to make of an error that `batchMeterUsage` rejected with. */
export function faultOf(error: unknown): FaultOfRequest {
  try {
    const { name, $metadata } = membersOf(error)
    const named = FAULTS.find(([names]) => typeof name === 'string' && names.test(name))?.[1]
    const fault = neverSent(error) ? 'not-sent' : (named ?? 'unknown')
    const failedOver = fault === 'unknown' && ($metadata?.httpStatusCode ?? 0) >= 500
    return { fault, repeated: ($metadata?.attempts ?? 1) > 1, failedOver }
  } catch {
    // An error whose members throw.
    return { fault: 'unknown', repeated: true, failedOver: false }
  }
}

function neverSent(error: unknown): boolean {
  const { code, syscall, errors } = membersOf(error)
  // A host with several addresses: one error for each.
  if (Array.isArray(errors) && errors.length > 0) return errors.every(neverSent)
  return syscall === undefined ? NOT_SENT.has(code) : BEFORE_SENDING.has(syscall)
}

const membersOf = (error: unknown): AnyError => (typeof error === 'object' && error !== null ? error : {})

/** What AWS calls the request, of its answer or of an error; undefined where it does not say. */
export function requestIdOf(answer: unknown): string | undefined {
  try {
    const { requestId } = (answer as { $metadata?: { requestId?: unknown } } | undefined)?.$metadata ?? {}
    return typeof requestId === 'string' && requestId !== '' ? requestId.slice(0, 100) : undefined
  } catch {
    return undefined
  }
}

/** An error in one line, for the record's history: at most 300 characters. */
export function describe(error: unknown): string {
  try {
    const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
    // What is ours says at its end what to do, and what not.
    return text.replace(/\s+/g, ' ').slice(0, error instanceof MarketplaceMeteringError ? 1000 : 300)
  } catch {
    return 'an error that cannot be described'
  }
}
