import { SimulatedServiceError } from './errors.ts'
import { LICENSE_ARN } from './validation.ts'
import type { BatchMeterUsageRequest, CheckedRecord, UsageAllocation } from './wire.ts'

/**
 * What a request must look like before any rule is asked: types, lengths, patterns and counts, from AWS's API model.
 * A wrong type is a `SerializationException`, a broken constraint a `ValidationException`, as in every AWS JSON service.
 */

const MAX_RECORDS = 25
const MAX_QUANTITY = 2_147_483_647
/** Under 1 MB. The page says no more; this is the smaller of the two megabytes. */
export const MAX_BYTES = 1_000_000

const PRODUCT_CODE = /^[-a-zA-Z0-9/=:_.@]*$/
const DIGITS = /^[0-9]+$/

const serialization = (where: string, what: string) =>
  new SimulatedServiceError('SerializationException', `${where}: expected ${what}`)
const validation = (where: string, constraint: string) =>
  new SimulatedServiceError(
    'ValidationException',
    `1 validation error detected: Value at '${where}' failed to satisfy constraint: Member must ${constraint}`,
  )

// In JSON a null is as good as a missing member.
const missing = (value: unknown): value is undefined | null => value === undefined || value === null

interface Text {
  least?: number
  pattern?: RegExp
}

function text(value: unknown, where: string, most: number, { least = 1, pattern }: Text = {}): void {
  if (missing(value)) return
  if (typeof value !== 'string') throw serialization(where, 'a string')
  if (value.length < least) throw validation(where, `have length greater than or equal to ${least}`)
  if (value.length > most) throw validation(where, `have length less than or equal to ${most}`)
  if (pattern !== undefined && !pattern.test(value)) {
    throw validation(where, `satisfy regular expression pattern: ${pattern.source}`)
  }
}

function quantity(value: unknown, where: string): void {
  if (missing(value)) return
  if (!Number.isInteger(value)) throw serialization(where, 'an integer')
  if ((value as number) < 0) throw validation(where, 'have value greater than or equal to 0')
  if ((value as number) > MAX_QUANTITY) throw validation(where, `have value less than or equal to ${MAX_QUANTITY}`)
}

function required(value: unknown, where: string): void {
  if (missing(value)) throw validation(where, 'not be null')
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function checkAllocations(allocations: unknown, where: string): void {
  if (!Array.isArray(allocations)) throw serialization(where, 'a list')
  for (const allocation of allocations as UsageAllocation[]) {
    if (!isObject(allocation)) throw serialization(where, 'a structure')
    const at = `${where}.allocatedUsageQuantity`
    required(allocation.AllocatedUsageQuantity, at)
    quantity(allocation.AllocatedUsageQuantity, at)
    if (missing(allocation.Tags)) continue
    if (!Array.isArray(allocation.Tags)) throw serialization(`${where}.tags`, 'a list')
    for (const tag of allocation.Tags) {
      if (!isObject(tag)) throw serialization(`${where}.tags`, 'a structure')
      for (const member of [tag.Key, tag.Value]) {
        if (!missing(member) && typeof member !== 'string') throw serialization(`${where}.tags`, 'strings')
      }
    }
  }
}

function checkRecord(record: unknown, where: string): void {
  if (!isObject(record)) throw serialization(where, 'a structure')
  const timestamp = record.Timestamp
  required(timestamp, `${where}.timestamp`)
  if (!(timestamp instanceof Date) || Number.isNaN(timestamp.getTime())) {
    throw serialization(`${where}.timestamp`, 'seconds since the epoch')
  }
  required(record.Dimension, `${where}.dimension`)
  text(record.Dimension, `${where}.dimension`, 255)
  quantity(record.Quantity, `${where}.quantity`)
  text(record.CustomerIdentifier, `${where}.customerIdentifier`, 255, { least: 0 })
  text(record.CustomerAWSAccountId, `${where}.customerAWSAccountId`, 255, { pattern: DIGITS })
  text(record.LicenseArn, `${where}.licenseArn`, 2048, { pattern: LICENSE_ARN })
  if (!missing(record.UsageAllocations)) checkAllocations(record.UsageAllocations, `${where}.usageAllocations`)
}

/**
 * The records of a request.
 *
 * @throws {SimulatedServiceError} `SerializationException` or `ValidationException`
 */
export function checkRequest(request: BatchMeterUsageRequest): CheckedRecord[] {
  if (!isObject(request)) throw serialization('request', 'a structure')
  text(request.ProductCode, 'productCode', 255, { least: 0, pattern: PRODUCT_CODE })
  const records: unknown = request.UsageRecords
  required(records, 'usageRecords')
  if (!Array.isArray(records)) throw serialization('usageRecords', 'a list')
  if (records.length > MAX_RECORDS) {
    throw validation('usageRecords', `have length less than or equal to ${MAX_RECORDS}`)
  }
  for (let index = 0; index < records.length; index++) {
    checkRecord(records[index], `usageRecords.${index + 1}.member`)
  }
  return records as CheckedRecord[]
}

export function tooLarge(): SimulatedServiceError {
  return new SimulatedServiceError('RequestEntityTooLargeException', 'A request must be less than 1 MB in size', 413)
}
