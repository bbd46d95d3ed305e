import { SimulatedServiceError } from './errors.ts'
import { isObject } from './shape.ts'
import { OPERATIONS, type Operation } from './wire.ts'

/** AWS JSON 1.1: a request's and an answer's JSON. Only times differ: seconds there, a `Date` here. */

export const CONTENT_TYPE = 'application/x-amz-json-1.1'
/** The service that each operation is of, by its name in an `X-Amz-Target` header. */
const SERVICES: Record<Operation, string> = {
  BatchMeterUsage: 'AWSMPMeteringService',
  ResolveCustomer: 'AWSMPMeteringService',
  GetEntitlements: 'AWSMPEntitlementService',
}

/** The operation's name in an `X-Amz-Target` header, or nothing if it is not of these services. */
export function operationOf(target: string | undefined): string | undefined {
  const [service = '', name] = target?.split('.') ?? []
  return Object.values(SERVICES).includes(service) ? name : undefined
}

/** Whether an `X-Amz-Target` header names an operation that is answered. */
export const isAnswered = (target: string | undefined): boolean =>
  OPERATIONS.some(operation => target === `${SERVICES[operation]}.${operation}`)

function toDate(record: unknown): unknown {
  // What is no number stays, to be refused where all shapes are checked.
  if (!isObject(record) || typeof record.Timestamp !== 'number') return record
  return { ...record, Timestamp: new Date(record.Timestamp * 1000) }
}

/** @throws {SimulatedServiceError} `SerializationException` */
export function parseRequest(body: string): object {
  let request: unknown
  try {
    request = JSON.parse(body === '' ? '{}' : body)
  } catch {
    throw new SimulatedServiceError('SerializationException', 'The request is not valid JSON')
  }
  if (!isObject(request)) throw new SimulatedServiceError('SerializationException', 'The request is not a structure')
  if (!Array.isArray(request.UsageRecords)) return request
  return { ...request, UsageRecords: request.UsageRecords.map(toDate) }
}

/** `Date` has a `toJSON` that runs before a replacer sees the value, hence `this`. */
function secondsForDates(this: Record<string, unknown>, key: string, value: unknown): unknown {
  const original = this[key]
  return original instanceof Date ? original.getTime() / 1000 : value
}

export function serializeResult(result: object): string {
  return JSON.stringify(result, secondsForDates)
}

export function serializeError(error: SimulatedServiceError): string {
  return JSON.stringify({ __type: error.name, message: error.message })
}

/** The header of a request, and of its answer, by Smithy's protocol `rpc-v2-cbor`, which some newer AWS SDKs prefer. */
export const SMITHY_PROTOCOL = 'smithy-protocol'
export const CBOR = { protocol: 'rpc-v2-cbor', contentType: 'application/cbor' }

/** The same error for who speaks that: so it is read. A map of texts that are shorter than 64 KB. */
export function serializeCborError(error: SimulatedServiceError): Buffer {
  const text = (value: string) => {
    const bytes = Buffer.from(value)
    return Buffer.concat([Buffer.from([0x79, bytes.length >> 8, bytes.length & 0xff]), bytes])
  }
  const members = ['__type', error.name, 'message', error.message]
  return Buffer.concat([Buffer.from([0xa2]), ...members.map(text)])
}
