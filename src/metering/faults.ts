/** What an error of `batchMeterUsage` says of the records in the request. */
export type Fault =
  /** One bad record failed all of them; nothing was billed. */
  | 'refused'
  /** The same, and the record's time is what AWS does not like. */
  | 'timestamp'
  /** Too many requests; nothing was billed. */
  | 'throttled'
  /** Configuration or credentials; nothing of the product can go out until it is mended. */
  | 'configuration'
  /** The request never left this machine. */
  | 'not-sent'
  /** It is not known whether AWS took the records. */
  | 'unknown'

/** The table of outcomes in AWS's API reference of BatchMeterUsage, by the names of its errors. */
const FAULTS: readonly [RegExp, Fault][] = [
  [/^TimestampOutOfBoundsException$/, 'timestamp'],
  [/^Invalid(UsageDimension|License|CustomerIdentifier|Tag|UsageAllocations)Exception$/, 'refused'],
  [/^(ValidationException|SerializationException)$/, 'refused'],
  [/^(Throttling|ThrottlingException|TooManyRequestsException|RequestLimitExceeded|RequestThrottled.*)$/, 'throttled'],
  [/^(InvalidProductCodeException|DisabledApiException|OptInRequired|NotAuthorized)$/, 'configuration'],
  [
    /^(AccessDenied|UnrecognizedClient|ExpiredToken|InvalidSignature|IncompleteSignature|MissingAuthenticationToken)/,
    'configuration',
  ],
  [/^(InvalidClientTokenId|SignatureDoesNotMatch|RequestExpired|RequestTimeTooSkewed|InvalidToken)/, 'configuration'],
  [/^(CredentialsProviderError|TokenProviderError|ConfigurationError)$/, 'configuration'],
]

/** Errors of the network that come before anything of a request is sent. */
const NOT_SENT = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH'])

export interface FaultOfRequest {
  readonly fault: Fault
  /** Whether it proves that the request was not taken. */
  readonly notTaken: boolean
}

/** What to make of an error that `batchMeterUsage` rejected with. */
export function faultOf(error: unknown): FaultOfRequest {
  const { name, code, $metadata } = (typeof error === 'object' && error !== null ? error : {}) as {
    name?: unknown
    code?: unknown
    $metadata?: { attempts?: number }
  }
  const notSent = typeof code === 'string' && NOT_SENT.has(code)
  const named = FAULTS.find(([names]) => typeof name === 'string' && names.test(name))?.[1]
  const fault = notSent ? 'not-sent' : (named ?? 'unknown')
  // A client that tries again by itself reports its last attempt; only a refusal holds for those before it too.
  const repeated = ($metadata?.attempts ?? 1) > 1
  const refused = fault === 'refused' || fault === 'timestamp'
  return { fault, notTaken: refused || (fault !== 'unknown' && !repeated) }
}

/** An error in one line, for the record's history: at most 300 characters. */
export function describe(error: unknown): string {
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
  return text.replace(/\s+/g, ' ').slice(0, 300)
}
