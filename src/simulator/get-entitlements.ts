import { createHash } from 'node:crypto'
import * as v from 'valibot'
import type { CurrentEntitlement, Entitlements } from './entitlements.ts'
import { SimulatedServiceError } from './errors.ts'
import { pageAfter, pageToken } from './page-token.ts'
import { isObject } from './shape.ts'
import type { Undocumented } from './undocumented.ts'
import type { Entitlement, GetEntitlementsRequest, GetEntitlementsResult, UsageRecord } from './wire.ts'

/**
 * `GetEntitlements` of AWS Marketplace Entitlement Service.
 * https://docs.aws.amazon.com/marketplace/latest/APIReference/API_marketplace-entitlements_GetEntitlements.html
 */

/** It has no endpoint elsewhere. */
export const ENTITLEMENT_REGIONS: ReadonlySet<string> = new Set(['us-east-1', 'cn-northwest-1'])

const PAGE = 25

const refuse = (message: string) => new SimulatedServiceError('InvalidParameterException', message)

/** By what entitlements are filtered, and how each has it. */
const FILTERS: Record<string, (entitlement: CurrentEntitlement) => string | undefined> = {
  CUSTOMER_AWS_ACCOUNT_ID: ({ agreement }) => agreement.customer.accountId,
  CUSTOMER_IDENTIFIER: ({ agreement }) => agreement.customer.customerIdentifier,
  LICENSE_ARN: ({ agreement }) => agreement.licenseArn,
  DIMENSION: ({ dimension }) => dimension,
}

const filterValues = v.pipe(v.array(v.pipe(v.string(), v.minLength(1))), v.minLength(1))

const schema = v.object({
  ProductCode: v.pipe(v.string(), v.regex(/^[-a-zA-Z0-9/=:_.@]{1,255}$/)),
  Filter: v.nullish(v.record(v.picklist(Object.keys(FILTERS)), v.nullish(filterValues, null)), {}),
  MaxResults: v.nullish(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(PAGE)), PAGE),
  NextToken: v.nullish(v.string()),
})

const positionSchema = v.object({ number: v.number(), empty: v.boolean() })
type Position = v.InferOutput<typeof positionSchema>

interface Known {
  entitlements: Entitlements
  hasProduct: (code: string) => boolean
  /** Milliseconds since the epoch. */
  at: number
  undocumented: Undocumented
}

/** @throws {SimulatedServiceError} `InvalidParameterException`, or `SerializationException` for a wrong type */
export function getEntitlements(
  request: GetEntitlementsRequest,
  { entitlements, hasProduct, at, undocumented }: Known,
): GetEntitlementsResult {
  const { ProductCode, Filter, MaxResults, NextToken } = read(request)
  // In JSON a null is as good as a missing member.
  const filters = Object.entries(Filter).filter((filter): filter is [string, string[]] => filter[1] !== null)
  if (Filter.CUSTOMER_AWS_ACCOUNT_ID && Filter.CUSTOMER_IDENTIFIER) {
    throw refuse('CUSTOMER_AWS_ACCOUNT_ID and CUSTOMER_IDENTIFIER are mutually exclusive')
  }
  if (!hasProduct(ProductCode) && undocumented.unknownEntitledProduct === 'InvalidParameterException') {
    throw refuse(`There is no product ${ProductCode}`)
  }
  const query = createHash('sha256')
    .update(JSON.stringify([ProductCode, filters]))
    .digest('base64url')
  const { number: after, empty } = NextToken ? positionOf(NextToken, query) : { number: 0, empty: false }
  if (undocumented.emptyPage === 'before-each' && !empty) {
    return { Entitlements: [], NextToken: pageToken(query, { number: after, empty: true }) }
  }
  const page: CurrentEntitlement[] = []
  const { endedEntitlement } = undocumented
  for (const entitlement of entitlements.at(ProductCode, at, { after, endedEntitlement })) {
    if (!filters.every(([name, values]) => values.includes(FILTERS[name]?.(entitlement) ?? ''))) continue
    if (page.length === MaxResults) {
      const number = page.at(-1)?.number as number
      return { Entitlements: page.map(listed), NextToken: pageToken(query, { number, empty: false }) }
    }
    page.push(entitlement)
  }
  return { Entitlements: page.map(listed) }
}

function read(request: GetEntitlementsRequest): v.InferOutput<typeof schema> {
  const result = v.safeParse(schema, isObject(request) ? request : {})
  if (result.success) return result.output
  const [issue] = result.issues
  const message = `${v.getDotPath(issue) ?? 'request'}: ${issue.message}`
  const type = issue.kind === 'schema' && issue.type !== 'picklist' && issue.input !== undefined && issue.input !== null
  throw type ? new SimulatedServiceError('SerializationException', message) : refuse(message)
}

function listed({ agreement, dimension, value, expiresAt }: CurrentEntitlement): Entitlement {
  const { product, licenseArn, customer } = agreement
  const { accountId, customerIdentifier } = customer
  return {
    ...(product !== undefined && { ProductCode: product }),
    Dimension: dimension,
    // As in `ResolveCustomer`, a customer with a licence has none.
    ...(customerIdentifier !== undefined && licenseArn === undefined && { CustomerIdentifier: customerIdentifier }),
    ...(accountId !== undefined && { CustomerAWSAccountId: accountId }),
    ...(licenseArn !== undefined && { LicenseArn: licenseArn }),
    Value: { ...value },
    ExpirationDate: new Date(expiresAt),
  }
}

/** Where the page before ended. */
function positionOf(token: string, query: string): Position {
  const position = pageAfter(positionSchema, token, query)
  if (position === undefined) throw refuse('NextToken is not one of this query')
  return position
}

/** What a request's filter names, as usage records would: faults are meant for customers and dimensions. */
export function askedFor(request: object): UsageRecord[] {
  const filter = 'Filter' in request && isObject(request.Filter) ? request.Filter : {}
  const valuesOf = (...names: string[]) =>
    names.flatMap(name => filter[name]).filter((value): value is string => typeof value === 'string')
  const customers = valuesOf('CUSTOMER_AWS_ACCOUNT_ID', 'CUSTOMER_IDENTIFIER', 'LICENSE_ARN')
  const dimensions = valuesOf('DIMENSION').map(Dimension => ({ Dimension }))
  // Whichever of its names a customer has here, a fault is meant for it.
  const named = customers.map(CustomerIdentifier => ({ CustomerIdentifier }))
  const both = named.flatMap(customer => dimensions.map(dimension => ({ ...customer, ...dimension })))
  return [...named, ...dimensions, ...both]
}
