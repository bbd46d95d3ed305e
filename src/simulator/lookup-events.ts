import { createHash } from 'node:crypto'
import * as v from 'valibot'
import type { Position } from './cloudtrail.ts'
import { SimulatedServiceError } from './errors.ts'
import type { MarketplaceSimulator } from './marketplace.ts'
import { pageAfter, pageToken } from './page-token.ts'

/**
 * CloudTrail on the wire (AWS JSON 1.1): `LookupEvents`, in the region that a request is signed for.
 * https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupEvents.html
 */

const TARGET = /^(?:com\.amazonaws\.cloudtrail\.v20131101\.)?CloudTrail_20131101\.(\w+)$/
const PAGE = 50

/** The operation's name in an `X-Amz-Target` header, or nothing if it is not of this service. */
export const cloudTrailOperationOf = (target: string | undefined): string | undefined => TARGET.exec(target ?? '')?.[1]

const refuse = (name: string, message: string) => new SimulatedServiceError(name, message)

const ATTRIBUTE_KEYS = [
  'EventId',
  'EventName',
  'ReadOnly',
  'Username',
  'ResourceType',
  'ResourceName',
  'EventSource',
  'AccessKeyId',
] as const

const schema = v.object({
  LookupAttributes: v.nullish(
    v.array(
      v.object({
        AttributeKey: v.picklist(ATTRIBUTE_KEYS),
        AttributeValue: v.pipe(v.string(), v.minLength(1), v.maxLength(2000)),
      }),
    ),
    [],
  ),
  StartTime: v.nullish(v.number()),
  EndTime: v.nullish(v.number()),
  EventCategory: v.nullish(v.string()),
  MaxResults: v.nullish(v.number(), PAGE),
  NextToken: v.nullish(v.string()),
})

const positionSchema = v.object({ place: v.number(), number: v.number(), again: v.boolean() })

/**
 * @param region of the caller's signature
 * @throws {SimulatedServiceError} with AWS's name
 */
export function answerCloudTrail(
  simulator: MarketplaceSimulator,
  operation: string,
  body: string,
  region: string,
): object {
  if (operation !== 'LookupEvents') {
    throw refuse('UnknownOperationException', `The simulator answers LookupEvents, not ${operation}`)
  }
  if (!simulator.mayLookUp(region)) throw refuse('ThrottlingException', 'Rate exceeded')
  const { MaxResults, NextToken, LookupAttributes, StartTime, EndTime, EventCategory } = read(body)
  if (LookupAttributes.length > 1) {
    throw refuse('InvalidLookupAttributesException', 'LookupAttributes can hold one attribute only')
  }
  if (!Number.isInteger(MaxResults) || MaxResults < 1 || MaxResults > PAGE) {
    throw refuse('InvalidMaxResultsException', `MaxResults must be from 1 to ${PAGE}`)
  }
  const start = StartTime ?? Number.NEGATIVE_INFINITY
  const end = EndTime ?? Number.POSITIVE_INFINITY
  if (start > end) throw refuse('InvalidTimeRangeException', 'StartTime must not be after EndTime')
  const query = createHash('sha256')
    .update(JSON.stringify([region, LookupAttributes, StartTime, EndTime, EventCategory]))
    .digest('base64url')
  const after = NextToken ? positionOf(NextToken, query) : undefined

  const { cloudTrail } = simulator
  const [attribute] = LookupAttributes
  const since = cloudTrail.historySince
  const page: object[] = []
  let last: Position | undefined
  // Insights' events are others.
  if (EventCategory) return { Events: [] }
  for (const { entry, ...position } of cloudTrail.latest(after)) {
    const time = Math.floor(entry.at / 1000)
    if (entry.caller.region !== region || time < start || time > end || entry.at < since) continue
    // Nothing has resources.
    const attributes: Partial<Record<string, string>> | undefined = attribute && cloudTrail.attributesOf(entry)
    if (attribute !== undefined && attributes?.[attribute.AttributeKey] !== attribute.AttributeValue) continue
    if (page.length === MaxResults) return { Events: page, NextToken: tokenOf(query, last as Position) }
    page.push({ ...cloudTrail.lookedUp(entry), EventTime: time })
    last = position
  }
  return { Events: page }
}

function read(body: string): v.InferOutput<typeof schema> {
  let request: unknown
  try {
    request = JSON.parse(body === '' ? '{}' : body)
  } catch {
    throw refuse('SerializationException', 'The request is not valid JSON')
  }
  const result = v.safeParse(schema, request)
  if (result.success) return result.output
  const [issue] = result.issues
  const where = v.getDotPath(issue) ?? 'request'
  const attributes = where.startsWith('LookupAttributes')
  throw refuse(
    attributes ? 'InvalidLookupAttributesException' : 'SerializationException',
    `Value for parameter ${where} is invalid. Reason: ${issue.message}`,
  )
}

const tokenOf = (query: string, { place, number, again }: Position) => pageToken(query, { place, number, again })

/** Where the page before ended. */
function positionOf(token: string, query: string): Position {
  const position = pageAfter(positionSchema, token, query)
  if (position === undefined) throw refuse('InvalidNextTokenException', 'NextToken is not one of this query')
  return position
}
