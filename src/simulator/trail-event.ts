import type { Series } from './book.ts'
import type { Caller } from './caller.ts'
import { isObject } from './shape.ts'
import type { Undocumented } from './undocumented.ts'
import type { BatchMeterUsageRequest, RecordStatus, UsageRecord } from './wire.ts'

/** Who called, as IAM knows it: a role with the name of its session, or a user. */
export type CallerIdentity = { role: string; session: string } | { user: string }

/** A usage record in an event. `customerAWSAccountID` and `timestamp` are as `Undocumented` says. */
export interface TrailUsageRecord {
  timestamp?: string | number
  dimension?: string
  quantity?: number
  customerAWSAccountID?: string
  customerAWSAccountId?: string
  customerIdentifier?: string
  licenseArn?: string
  usageAllocations?: { allocatedUsageQuantity?: number; tags?: { key?: string; value?: string }[] }[]
}

/** One `BatchMeterUsage` as CloudTrail writes it down. */
export interface CloudTrailEvent {
  eventVersion: string
  userIdentity: {
    type: 'AssumedRole' | 'IAMUser'
    arn: string
    accountId: string
    accessKeyId: string
    userName?: string
    sessionContext?: { sessionIssuer: { type: 'Role'; arn: string; accountId: string; userName: string } }
  }
  /** ISO 8601 in whole seconds. */
  eventTime: string
  eventSource: string
  eventName: string
  awsRegion: string
  sourceIPAddress: string
  userAgent: string
  errorCode?: string
  errorMessage?: string
  /** Left out whole above 100 KB. */
  requestParameters?: { usageRecords: TrailUsageRecord[]; productCode?: string } | null
  /** Null if the call failed; left out whole above 100 KB. */
  responseElements?: {
    results: { usageRecord: TrailUsageRecord; meteringRecordId?: string; status: RecordStatus }[]
    unprocessedRecords: TrailUsageRecord[]
  } | null
  /** The answer's `x-amzn-requestid`. */
  requestID: string
  eventID: string
  readOnly: boolean
  eventType: string
  recipientAccountId: string
}

export const EVENT_SOURCE = 'metering-marketplace.amazonaws.com'
export const EVENT_NAME = 'BatchMeterUsage'
/** Above this, CloudTrail leaves `requestParameters` or `responseElements` out. */
export const MAX_MEMBER_BYTES = 100 * 1024

/** One usage record, as little of it as there can be: many are kept. */
export interface KeptRecord {
  /** Whole seconds since the epoch. */
  readonly timestamp: number | undefined
  readonly dimension: string | undefined
  readonly quantity: number | undefined
  readonly accountId: string | undefined
  readonly customerIdentifier: string | undefined
  readonly licenseArn: string | undefined
  readonly allocations: TrailUsageRecord['usageAllocations']
  status: RecordStatus | undefined
  meteringRecordId: string | undefined
}

/** One request, as it is kept until somebody asks for its event. */
export interface KeptCall {
  /** Milliseconds since the epoch, by the simulator's clock. */
  readonly at: number
  readonly caller: Required<Caller>
  readonly requestId: string
  readonly productCode: string | undefined
  /** Nothing if they were no records, or too many bytes. */
  readonly records: readonly KeptRecord[] | undefined
  readonly results: readonly KeptRecord[]
  readonly unprocessed: readonly KeptRecord[]
  readonly error: { readonly name: string; readonly message: string } | undefined
  readonly leftOut: readonly LeftOut[]
}

export const MEMBERS = ['requestParameters', 'responseElements'] as const
/** A member that is left out though there was one. */
export type LeftOut = (typeof MEMBERS)[number]

const text = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined)
const number = (value: unknown): number | undefined => (typeof value === 'number' ? value : undefined)

function allocationsOf(allocations: unknown): TrailUsageRecord['usageAllocations'] {
  if (!Array.isArray(allocations)) return undefined
  return allocations.filter(isObject).map(({ AllocatedUsageQuantity, Tags }) => ({
    ...(number(AllocatedUsageQuantity) !== undefined && { allocatedUsageQuantity: AllocatedUsageQuantity as number }),
    ...(Array.isArray(Tags) && {
      tags: Tags.filter(isObject).map(({ Key, Value }) => ({ key: String(Key), value: String(Value ?? '') })),
    }),
  }))
}

const NO_SERIES: Partial<Series> = {}
/** The text that is kept anyway, if it is the same. */
const shared = (sent: string | undefined, known: string | undefined) => (sent === known ? known : sent)

/**
 * A record of a request as it is kept. The caller's own may change afterwards, and may not be what a record should be.
 *
 * @param series the book's, whose texts need not be kept again
 */
export function kept(record: UsageRecord, series: Partial<Series> = NO_SERIES): KeptRecord {
  const { Timestamp, Dimension, Quantity, CustomerAWSAccountId, CustomerIdentifier, LicenseArn } = record
  return {
    timestamp: Timestamp instanceof Date ? Math.floor(Timestamp.getTime() / 1000) : undefined,
    dimension: shared(text(Dimension), series.dimension),
    quantity: number(Quantity),
    accountId: shared(text(CustomerAWSAccountId), series.accountId),
    customerIdentifier: shared(text(CustomerIdentifier), series.customerIdentifier),
    licenseArn: shared(text(LicenseArn), series.licenseArn),
    allocations: record.UsageAllocations === undefined ? undefined : allocationsOf(record.UsageAllocations),
    status: undefined,
    meteringRecordId: undefined,
  }
}

export const productCodeOf = (request: BatchMeterUsageRequest): string | undefined => text(request.ProductCode)

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']
const two = (value: number) => String(value).padStart(2, '0')

/** A moment in UTC as events have it, in whole seconds: `Nov 3, 2026 10:20:00 AM`, or one of its other forms. */
export function trailTime(milliseconds: number, form: Undocumented['trailTimestamp']): string | number {
  if (form === 'seconds') return Math.floor(milliseconds / 1000)
  const date = new Date(milliseconds)
  if (form === 'iso') return seconds(milliseconds)
  const hour = date.getUTCHours()
  const comma = form === 'comma' || form === 'comma-narrow-space' ? ',' : ''
  const space = form === 'narrow-space' || form === 'comma-narrow-space' ? '\u202f' : ' '
  const day = `${MONTHS[date.getUTCMonth()]} ${date.getUTCDate()}, ${date.getUTCFullYear()}${comma}`
  const time = `${hour % 12 || 12}:${two(date.getUTCMinutes())}:${two(date.getUTCSeconds())}`
  return `${day} ${time}${space}${hour < 12 ? 'AM' : 'PM'}`
}

/** ISO 8601 in whole seconds. */
export const seconds = (milliseconds: number) => `${new Date(milliseconds).toISOString().slice(0, 19)}Z`

function usageRecordOf(record: KeptRecord, undocumented: Undocumented): TrailUsageRecord {
  const { timestamp, dimension, quantity, accountId, customerIdentifier, licenseArn, allocations } = record
  return {
    ...(timestamp !== undefined &&
      !Number.isNaN(timestamp) && { timestamp: trailTime(timestamp * 1000, undocumented.trailTimestamp) }),
    ...(dimension !== undefined && { dimension }),
    ...(quantity !== undefined && { quantity }),
    ...(accountId !== undefined && { [undocumented.trailAccountMember]: accountId }),
    ...(customerIdentifier !== undefined && { customerIdentifier }),
    ...(licenseArn !== undefined && { licenseArn }),
    ...(allocations !== undefined && { usageAllocations: allocations }),
  }
}

export function requestParametersOf(
  { records, productCode }: Pick<KeptCall, 'records' | 'productCode'>,
  undocumented: Undocumented,
): NonNullable<CloudTrailEvent['requestParameters']> | null {
  if (records === undefined) return null
  return {
    usageRecords: records.map(record => usageRecordOf(record, undocumented)),
    ...(productCode !== undefined && { productCode }),
  }
}

function responseElementsOf(
  call: KeptCall,
  undocumented: Undocumented,
): NonNullable<CloudTrailEvent['responseElements']> | null {
  if (call.error !== undefined) return null
  return {
    results: call.results.map(record => ({
      usageRecord: usageRecordOf(record, undocumented),
      ...(record.meteringRecordId !== undefined && { meteringRecordId: record.meteringRecordId }),
      status: record.status as RecordStatus,
    })),
    unprocessedRecords: call.unprocessed.map(record => usageRecordOf(record, undocumented)),
  }
}

/** Who an access key belongs to where nobody has said it: AWS's own begin with `AKIA` for a user. */
export const identityOf = (accessKeyId: string): CallerIdentity =>
  accessKeyId.startsWith('AKIA') ? { user: accessKeyId } : { role: 'meter', session: accessKeyId }

export const userNameOf = (identity: CallerIdentity) => ('user' in identity ? identity.user : identity.session)

function userIdentityOf(
  identity: CallerIdentity,
  accountId: string,
  accessKeyId: string,
): CloudTrailEvent['userIdentity'] {
  if ('user' in identity) {
    const { user } = identity
    return { type: 'IAMUser', arn: `arn:aws:iam::${accountId}:user/${user}`, accountId, accessKeyId, userName: user }
  }
  const { role, session } = identity
  return {
    type: 'AssumedRole',
    arn: `arn:aws:sts::${accountId}:assumed-role/${role}/${session}`,
    accountId,
    accessKeyId,
    sessionContext: {
      sessionIssuer: { type: 'Role', arn: `arn:aws:iam::${accountId}:role/${role}`, accountId, userName: role },
    },
  }
}

export const bytesOf = (value: unknown) => Buffer.byteLength(JSON.stringify(value))

/** The event of a call. */
export function eventOf(
  call: KeptCall,
  { eventID, accountId, identity }: { eventID: string; accountId: string; identity: CallerIdentity },
  undocumented: Undocumented,
): CloudTrailEvent {
  const { caller, error } = call
  const members: Pick<CloudTrailEvent, LeftOut> = {
    requestParameters: requestParametersOf(call, undocumented),
    responseElements: responseElementsOf(call, undocumented),
  }
  for (const name of MEMBERS) {
    // The null of a failed call is no member that was left out.
    if (name === 'responseElements' && error !== undefined) continue
    if (!call.leftOut.includes(name) && bytesOf(members[name]) <= MAX_MEMBER_BYTES) continue
    if (undocumented.trailLeftOut === 'missing') delete members[name]
    else members[name] = null
  }
  return {
    eventVersion: '1.11',
    userIdentity: userIdentityOf(identity, accountId, caller.accessKeyId),
    eventTime: seconds(call.at),
    eventSource: EVENT_SOURCE,
    eventName: EVENT_NAME,
    awsRegion: caller.region,
    sourceIPAddress: caller.sourceIPAddress,
    userAgent: caller.userAgent,
    ...(error && { errorCode: error.name, errorMessage: error.message }),
    ...members,
    requestID: call.requestId,
    eventID,
    readOnly: false,
    eventType: 'AwsApiCall',
    recipientAccountId: accountId,
  }
}
