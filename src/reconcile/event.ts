import { hourOf } from '../ledger/hours.ts'
import { faultOf } from '../metering/faults.ts'
import { licenceId } from '../usage/account.ts'
import { MAX_QUANTITY } from '../usage/dimension.ts'
import { EventError } from './errors.ts'
import { eventTime } from './event-time.ts'

/** One event of CloudTrail: a call of `BatchMeterUsage`, or of something else, which tells only that events are there. */
export interface TrailEvent {
  /** Milliseconds since the epoch. */
  readonly time: number
  readonly region: string
  readonly call?: MeteringCall
}

export interface MeteringCall {
  readonly eventId: string
  /** AWS's id of the request: several events of one request are one call. */
  readonly requestId: string
  readonly caller: Caller
  readonly sightings: readonly RecordSighting[]
  /** Which records it had, or what was answered, is not there: CloudTrail leaves out what is above 100 KB. */
  readonly leftOut: boolean
}

/** Who called, and from where. */
export interface Caller {
  /** The role whose session it was, or the user. */
  readonly principal: string
  /** The session's, or the user's, ARN. */
  readonly arn: string
  readonly address: string
  readonly userAgent: string
}

/** What AWS tells records apart by, beside their hour. */
export interface EventSeries {
  readonly region: string
  readonly product?: string
  readonly accountId?: string
  readonly customerIdentifier?: string
  /** The id in the ARN, `l-…`. */
  readonly licence?: string
  readonly dimension: string
}

/** A usage record in a call, and what became of it by that call. */
export interface RecordSighting {
  readonly series: EventSeries
  readonly hour: number
  readonly quantity: number
  readonly outcome: SightingOutcome
  readonly meteringRecordId?: string
}

/**
 * `success`: billed. `duplicate`, `not-subscribed`, `unprocessed` and `refused`: not billed by this call. `unclear`: what
 * was answered is not there, or does not tell.
 */
export type SightingOutcome = 'success' | 'duplicate' | 'not-subscribed' | 'unprocessed' | 'refused' | 'unclear'

const STATUSES: { readonly [status: string]: SightingOutcome } = {
  Success: 'success',
  DuplicateRecord: 'duplicate',
  CustomerNotSubscribed: 'not-subscribed',
}

type Members = Readonly<Record<string, unknown>>

/**
 * Reads an event as a trail's file, or `aws cloudtrail lookup-events`, has it.
 *
 * @returns undefined of what AWS derives from events (Insights)
 * @throws EventError with what was expected and what came
 */
export function readEvent(text: string): TrailEvent | undefined {
  let value = parsed(text)
  if (typeof value === 'string') value = parsed(value)
  const wrapped = member(membersOf(value, 'an event'), 'CloudTrailEvent')
  if (wrapped !== undefined) value = typeof wrapped === 'string' ? parsed(wrapped) : wrapped
  const event = membersOf(value, 'an event')
  if (member(event, 'eventCategory') === 'Insight' || member(event, 'eventType') === 'AwsCloudTrailInsight') return
  const region = textOf(event, 'awsRegion')
  const time = timeOf(event, 'eventTime')
  if (member(event, 'eventName') !== 'BatchMeterUsage') return { time, region }
  return { time, region, call: readCall(event, region) }
}

function readCall(event: Members, region: string): MeteringCall {
  const eventId = textOf(event, 'eventID')
  const request = optional(event, 'requestParameters')
  const response = optional(event, 'responseElements')
  const records = listOf(request, 'usageRecords')
  const results = listOf(response, 'results')
  const unprocessed = listOf(response, 'unprocessedRecords')
  const errorCode = member(event, 'errorCode') ?? undefined
  const product = member(request ?? {}, 'productCode')
  const answered = results !== undefined || unprocessed !== undefined
  const at = (record: unknown) => recordOf(record, region, typeof product === 'string' ? product : '')
  const requestId = member(event, 'requestID')
  const call = {
    eventId,
    requestId: typeof requestId === 'string' && requestId !== '' ? requestId : eventId,
    caller: callerOf(event),
  }
  if (errorCode !== undefined) {
    const refused = !answered && faultOf({ name: errorName(errorCode) }).fault !== 'unknown'
    const outcome = refused ? 'refused' : 'unclear'
    // What AWS refused may be no usage record at all, and none of a ledger.
    const sightings = (records ?? []).flatMap(one => {
      try {
        return [{ ...at(one), outcome } as const]
      } catch (error) {
        if (refused && error instanceof EventError) return []
        throw error
      }
    })
    return { ...call, sightings, leftOut: records === undefined }
  }
  // Whether the response is left out, the request or both: what is there is read.
  const sent = records?.map(at)
  // Without the request the product code of a record without a licence is not known, nor whom it is of.
  if (sent === undefined) {
    const whole = (record: unknown) => member(membersOf(record, 'a usage record'), 'licenseArn') !== undefined
    const known = (results ?? []).filter(one => whole(resultRecord(one)))
    const sightings = known.map(one => sighted(at(resultRecord(one)), one))
    const left = (unprocessed ?? []).filter(whole).map(one => ({ ...at(one), outcome: 'unprocessed' as const }))
    return { ...call, sightings: [...sightings, ...left], leftOut: true }
  }
  return {
    ...call,
    sightings: answersTo(sent, results ?? [], unprocessed ?? [], at),
    leftOut: !answered && sent.length > 0,
  }
}

type SentRecord = Omit<RecordSighting, 'outcome' | 'meteringRecordId'>

/** What was said of each record that was sent: one answer, or it is unclear. */
function answersTo(
  sent: readonly SentRecord[],
  results: readonly unknown[],
  unprocessed: readonly unknown[],
  at: (record: unknown) => SentRecord,
): RecordSighting[] {
  const said = new Map<string, RecordSighting[]>()
  const note = (sighting: RecordSighting) => {
    const key = placeOf(sighting)
    said.set(key, [...(said.get(key) ?? []), sighting])
  }
  for (const one of results) note(sighted(at(resultRecord(one)), one))
  for (const one of unprocessed) note({ ...at(one), outcome: 'unprocessed' })
  const sightings = sent.map(record => {
    const answers = said.get(placeOf(record))
    const answer = answers?.shift()
    return answer ?? { ...record, outcome: 'unclear' as const }
  })
  for (const [, more] of said) {
    if (more.length > 0)
      throw new EventError('Expected answers to the records that were sent, got one to another record.')
  }
  return sightings
}

const placeOf = ({ series, hour, quantity }: SentRecord) => `${seriesKey(series)}\n${hour}\n${quantity}`

/** What AWS tells series apart by, as one text. */
export function seriesKey({ region, product, accountId, customerIdentifier, licence, dimension }: EventSeries): string {
  const who = licence === undefined ? [product, accountId ?? `customer=${customerIdentifier}`] : [accountId, licence]
  return [region, ...who, dimension].join('\n')
}

/** A licence as it is compared. */
export const licenceKey = (arn: string): string => licenceId(arn).toLowerCase()

const resultRecord = (result: unknown) => member(membersOf(result, 'a result'), 'usageRecord')

function sighted(record: SentRecord, result: unknown): RecordSighting {
  const status = member(result as Members, 'status')
  const outcome = (typeof status === 'string' ? STATUSES[status] : undefined) ?? 'unclear'
  const id = member(result as Members, 'meteringRecordId')
  return { ...record, outcome, ...(typeof id === 'string' && id !== '' && { meteringRecordId: id }) }
}

function recordOf(value: unknown, region: string, product: string): SentRecord {
  const record = membersOf(value, 'a usage record')
  const name = (key: string) => {
    const text = member(record, key) ?? undefined
    if (text === undefined || text === '') return undefined
    if (typeof text === 'string') return text
    throw unexpected(key, 'a text', text)
  }
  const [accountId, customerIdentifier, arn] = [
    name('customerAWSAccountId'),
    name('customerIdentifier'),
    name('licenseArn'),
  ]
  if (accountId === undefined && (customerIdentifier === undefined || arn !== undefined)) {
    throw new EventError('Expected a customer in a usage record, got none.')
  }
  const quantity = member(record, 'quantity') ?? 0
  if (!Number.isInteger(quantity) || (quantity as number) < 0 || (quantity as number) > MAX_QUANTITY) {
    throw unexpected('quantity', `a whole number up to ${MAX_QUANTITY}`, quantity)
  }
  const series = {
    region,
    ...(arn === undefined ? { product } : { licence: licenceKey(arn) }),
    ...(accountId !== undefined ? { accountId } : { customerIdentifier: customerIdentifier as string }),
    dimension: textOf(record, 'dimension'),
  }
  return { series, hour: hourOf(timeOf(record, 'timestamp')), quantity: quantity as number }
}

function callerOf(event: Members): Caller {
  const identity = optional(event, 'userIdentity') ?? {}
  const issuer = optional(optional(identity, 'sessionContext') ?? {}, 'sessionIssuer') ?? {}
  const text = (...values: unknown[]) => values.find(value => typeof value === 'string' && value !== '') as string
  const arn = text(member(identity, 'arn'), member(identity, 'principalId'), member(identity, 'type'), 'unknown')
  return {
    principal: text(member(issuer, 'arn'), arn),
    arn,
    address: text(member(event, 'sourceIPAddress'), 'unknown'),
    userAgent: text(member(event, 'userAgent'), 'unknown'),
  }
}

/** `Client.ThrottlingException` of older services is the same as what follows the point. */
const errorName = (code: unknown) => String(code).replace(/^.*[.#]/, '')

/** AWS's pages do not agree on how members are written: names are compared without case. */
function member(members: Members, name: string): unknown {
  const exact = members[name]
  if (exact !== undefined) return exact
  const lower = name.toLowerCase()
  for (const key in members) {
    if (key.length === lower.length && key.toLowerCase() === lower) return members[key]
  }
  return undefined
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new EventError(`Expected JSON, got ${(error as Error).message}.`, { cause: error })
  }
}

function membersOf(value: unknown, what: string): Members {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Members
  throw new EventError(`Expected ${what}, got ${shown(value)}.`)
}

/** An object, or nothing where it is left out. */
function optional(members: Members, name: string): Members | undefined {
  const value = member(members, name)
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Members) : undefined
}

function listOf(members: Members | undefined, name: string): readonly unknown[] | undefined {
  const value = members === undefined ? undefined : member(members, name)
  return Array.isArray(value) ? value : undefined
}

function textOf(members: Members, name: string): string {
  const value = member(members, name)
  if (typeof value === 'string' && value !== '') return value
  throw unexpected(name, 'a text', value)
}

function timeOf(members: Members, name: string): number {
  const value = member(members, name)
  const time = eventTime(value)
  if (time === undefined) throw unexpected(name, 'a time', value)
  return time
}

const unexpected = (name: string, expected: string, value: unknown) =>
  new EventError(`Expected ${name} to be ${expected}, got ${shown(value)}.`)

const shown = (value: unknown) => (value === undefined ? 'nothing' : JSON.stringify(value).slice(0, 100))
