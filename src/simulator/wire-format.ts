import { SimulatedServiceError } from './errors.ts'
import { isObject } from './shape.ts'

/** AWS JSON 1.1: a request's and an answer's JSON. Only `Timestamp` differs: seconds there, a `Date` here. */

export const CONTENT_TYPE = 'application/x-amz-json-1.1'
const TARGET_PREFIX = 'AWSMPMeteringService.'

/** The operation's name in an `X-Amz-Target` header, or nothing if it is not of this service. */
export function operationOf(target: string | undefined): string | undefined {
  return target?.startsWith(TARGET_PREFIX) ? target.slice(TARGET_PREFIX.length) : undefined
}

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
