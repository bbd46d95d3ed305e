import * as v from 'valibot'
import { strictObject } from '../check.ts'
import { billedFilterSchema } from './book.ts'
import { trailFilterSchema } from './cloudtrail.ts'
import { SimulatedServiceError, SimulatorConfigurationError } from './errors.ts'
import { anyFaultKind, type Fault } from './faults.ts'
import type { MarketplaceSimulator } from './marketplace.ts'
import type { UsageReport } from './usage-report.ts'
import { instant, region, validated } from './validation.ts'
import { parseRequest } from './wire-format.ts'

/** The control API lives under this path, which no call to AWS uses. */
export const CONTROL_PATH = '/_simulator'

interface ControlRequest {
  method: string
  /** Below {@link CONTROL_PATH}, such as `/clock`. */
  path: string
  query: URLSearchParams
  /** JSON text; may be empty. */
  body: string
  /** Why it may be a web site's, if it may be. */
  foreign: string | undefined
}

interface ControlAnswer {
  status: number
  /** A {@link Csv}, or what is sent as JSON. */
  body: unknown
}

/** A body that is a CSV file. */
export class Csv {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

type Route = (simulator: MarketplaceSimulator, body: unknown, query: object) => unknown

const clockSchema = strictObject({ now: instant })
const advanceSchema = strictObject({ milliseconds: v.number() })
const quotaSchema = strictObject({ perSecond: v.nullable(v.number()) })
const regionSchema = strictObject({ region, disabled: v.boolean() })
const kindSchema = strictObject({
  kind: v.optional(anyFaultKind),
})
const reportSchema = strictObject({
  from: v.optional(instant),
  to: v.optional(instant),
  revisions: v.optional(v.pipe(v.string(), v.transform(Number), v.number())),
})
const report =
  (file: keyof UsageReport): Route =>
  (simulator, _body, query) =>
    new Csv(simulator.usageReport(validated(reportSchema, query, 'query'))[file])
const foreignSchema = v.looseObject({
  region: v.optional(region),
  accessKeyId: v.exactOptional(v.string()),
  sourceIPAddress: v.exactOptional(v.string()),
  userAgent: v.exactOptional(v.string()),
})
const billedSchema = v.array(
  strictObject({
    region: v.string(),
    product: v.exactOptional(v.string()),
    accountId: v.exactOptional(v.string()),
    customerIdentifier: v.exactOptional(v.string()),
    licenseArn: v.exactOptional(v.string()),
    dimension: v.string(),
    hour: v.string(),
    timestamp: v.pipe(v.string(), v.isoTimestamp()),
    quantity: v.pipe(v.number(), v.safeInteger()),
    meteringRecordId: v.string(),
    takenAt: v.pipe(v.string(), v.isoTimestamp()),
    foreign: v.boolean(),
    allocations: v.exactOptional(
      v.array(
        strictObject({
          AllocatedUsageQuantity: v.pipe(v.number(), v.safeInteger()),
          Tags: v.exactOptional(v.array(strictObject({ Key: v.string(), Value: v.exactOptional(v.string()) }))),
        }),
      ),
    ),
  }),
)

const clockOf = (simulator: MarketplaceSimulator) => ({ now: new Date(simulator.clock.now()).toISOString() })

// The methods of the simulator check what they are given, so most bodies go straight through.
const ROUTES: Record<string, Record<string, Route>> = {
  '/clock': {
    GET: clockOf,
    PUT: (simulator, body) => {
      simulator.clock.set(validated(clockSchema, body, 'body').now)
      return clockOf(simulator)
    },
    DELETE: simulator => {
      simulator.clock.reset()
      return clockOf(simulator)
    },
  },
  '/clock/advance': {
    POST: (simulator, body) => {
      simulator.clock.advance(validated(advanceSchema, body, 'body').milliseconds)
      return clockOf(simulator)
    },
  },
  '/faults': {
    GET: simulator => simulator.faults.list(),
    POST: (simulator, body) => {
      simulator.faults.add(body as never)
      return simulator.faults.list()
    },
    DELETE: (simulator, _body, query) => {
      simulator.faults.clear(validated(kindSchema, query, 'query').kind as Fault['kind'] | undefined)
      return simulator.faults.list()
    },
  },
  '/quota': {
    GET: simulator => ({ perSecond: simulator.quota }),
    PUT: (simulator, body) => {
      simulator.quota = validated(quotaSchema, body, 'body').perSecond
      return { perSecond: simulator.quota }
    },
  },
  '/undocumented': {
    GET: simulator => simulator.undocumented,
    PUT: (simulator, body) => {
      simulator.undocumented = body as never
      return simulator.undocumented
    },
  },
  '/regions': {
    PUT: (simulator, body) => {
      const change = validated(regionSchema, body, 'body')
      if (change.disabled) simulator.catalogue.disableRegion(change.region)
      else simulator.catalogue.enableRegion(change.region)
      return change
    },
  },
  '/products': { POST: (simulator, body) => simulator.catalogue.declareProduct(body as never) },
  '/customers': { POST: (simulator, body) => simulator.catalogue.declareCustomer(body as never) },
  '/subscriptions': { POST: (simulator, body) => simulator.catalogue.subscribe(body as never) },
  '/customers/suspend': { POST: (simulator, body) => simulator.catalogue.suspend(body as never) },
  '/customers/resume': { POST: (simulator, body) => simulator.catalogue.resume(body as never) },
  '/subscriptions/activate': { POST: (simulator, body) => simulator.catalogue.activate(body as never) },
  '/subscriptions/amend': { POST: (simulator, body) => simulator.catalogue.amend(body as never) },
  '/subscriptions/renew': { POST: (simulator, body) => simulator.catalogue.renew(body as never) },
  '/subscriptions/end': { POST: (simulator, body) => simulator.catalogue.unsubscribe(body as never) },
  '/events': {
    GET: ({ queue }) => ({ queue: queue.messages(), deadLetters: queue.dead?.messages() ?? [] }),
  },
  '/tokens': { POST: (simulator, body) => ({ token: simulator.catalogue.createToken(body as never) }) },
  '/foreign': {
    POST: (simulator, body) => {
      const { ProductCode, UsageRecords, region, ...who } = validated(foreignSchema, body, 'body')
      // On this path, too, a Timestamp is in seconds, as on AWS's wire.
      return simulator.meterForeign(parseRequest(JSON.stringify({ ProductCode, UsageRecords })), region, who)
    },
  },
  '/billed': {
    GET: (simulator, _body, query) => simulator.billed(validated(billedFilterSchema, query, 'query')),
    PUT: (simulator, body) => simulator.load(validated(billedSchema, body, 'body')),
  },
  '/totals': { GET: (simulator, _body, query) => simulator.totals(validated(billedFilterSchema, query, 'query')) },
  '/totals/by-tags': {
    GET: (simulator, _body, query) => simulator.totalsByTags(validated(billedFilterSchema, query, 'query')),
  },
  '/cloudtrail': {
    GET: ({ cloudTrail }, _body, query) => cloudTrail.lookup(validated(trailFilterSchema, query, 'query')),
  },
  '/cloudtrail/records': {
    GET: ({ cloudTrail }, _body, query) => ({
      Records: cloudTrail.events(validated(trailFilterSchema, query, 'query')),
    }),
  },
  '/usage-report/usage.csv': { GET: report('usage') },
  '/usage-report/accounts.csv': { GET: report('accounts') },
  '/usage-report/dataset.csv': { GET: report('dataset') },
  '/requests': { GET: simulator => simulator.requests() },
  '/counters': { GET: simulator => simulator.counters },
}

const refusal = (status: number, code: string, message: string): ControlAnswer => ({
  status,
  body: { error: { code, message } },
})

/**
 * Answers a request to the control API. Bodies and answers are JSON, reports CSV; times are ISO 8601, but
 * milliseconds since the epoch in a logged request and a fault that is on, and seconds in a usage record.
 *
 * | request | body or query | answer |
 * |---|---|---|
 * | `GET /clock` | | `{ now }` |
 * | `PUT /clock` | `{ now }`: ISO 8601 or milliseconds; it stands still then | `{ now }` |
 * | `POST /clock/advance` | `{ milliseconds }` | `{ now }` |
 * | `DELETE /clock` | back to the machine's clock | `{ now }` |
 * | `GET /faults` | | those that are on |
 * | `POST /faults` | a {@link Fault} | those that are on |
 * | `DELETE /faults` | `?kind=`, or all | those that are on |
 * | `GET`, `PUT /quota` | `{ perSecond }`, `null` for none | `{ perSecond }` |
 * | `GET`, `PUT /undocumented` | some {@link Undocumented}: what to answer where AWS does not say | all of them |
 * | `PUT /regions` | `{ region, disabled }` | the same |
 * | `POST /products` | a {@link ProductDeclaration} | 204 |
 * | `POST /customers` | a {@link CustomerDeclaration} | 204 |
 * | `POST /customers/suspend`, `/customers/resume` | a {@link Suspension} | 204 |
 * | `POST /subscriptions` | a {@link SubscriptionStart}: begins | 204 |
 * | `POST /subscriptions/activate` | an {@link AgreementChange} | 204 |
 * | `POST /subscriptions/amend` | an {@link Amendment}: also of entitlements, in the middle of a term | 204 |
 * | `POST /subscriptions/renew` | a {@link Renewal} | 204 |
 * | `POST /subscriptions/end` | a {@link SubscriptionEnd}: ends | 204 |
 * | `GET /events` | | what is in the events' queue, `{ queue, deadLetters }`: {@link QueuedMessage}s |
 * | `POST /tokens` | a {@link TokenDeclaration} | `{ token }` |
 * | `POST /foreign` | a BatchMeterUsage request of another tool, `region`, and where it is not the usual one `accessKeyId`, `sourceIPAddress`, `userAgent` | BatchMeterUsage's result |
 * | `GET /billed` | `?region=&product=&customer=&dimension=&hour=&from=&to=` | {@link BilledRecord}s |
 * | `PUT /billed` | {@link BilledRecord}s of another simulator, to take over | 204 |
 * | `GET /totals` | as `/billed` | {@link BilledTotal}s |
 * | `GET /totals/by-tags` | as `/billed` | {@link BilledShare}s: as a buyer sees the bill by cost allocation tags |
 * | `GET /cloudtrail` | `?region=&from=&to=` | what `aws cloudtrail lookup-events` prints: `{ Events }`, {@link LookedUpEvent}s |
 * | `GET /cloudtrail/records` | as `/cloudtrail` | the content of a trail's file: `{ Records }`, {@link CloudTrailEvent}s |
 * | `GET /usage-report/usage.csv` | `?from=&to=&revisions=`: days, and how likely a row was revised | AWS's daily Usage feed |
 * | `GET /usage-report/accounts.csv` | as `usage.csv` | the Account feed to it |
 * | `GET /usage-report/dataset.csv` | as `usage.csv` | the Marketplace Usage dataset |
 * | `GET /requests` | | the latest {@link LoggedRequest}s |
 * | `GET /counters` | | {@link Counters} |
 *
 * A body needs the content type `application/json`. What is wrong is answered with 400, 404 or 405, what is too large with 413, and what a web site may
 * have sent with 403, and `{ error: { code, message } }`.
 */
export function control(simulator: MarketplaceSimulator, request: ControlRequest): ControlAnswer {
  const { method, path, query, body, foreign } = request
  if (foreign !== undefined) return refusal(403, 'ERR_FOREIGN', `The request may be a web site's: ${foreign}`)
  const methods = Object.hasOwn(ROUTES, path) ? ROUTES[path] : undefined
  if (methods === undefined) {
    const known = Object.keys(ROUTES).join(', ')
    return refusal(404, 'ERR_NOT_FOUND', `There is no ${CONTROL_PATH}${path}, but ${known}`)
  }
  const route = Object.hasOwn(methods, method) ? methods[method] : undefined
  if (route === undefined) {
    const known = Object.keys(methods).join(', ')
    return refusal(405, 'ERR_METHOD_NOT_ALLOWED', `${CONTROL_PATH}${path} takes ${known}, not ${method}`)
  }
  let content: unknown
  try {
    content = body === '' ? undefined : JSON.parse(body)
  } catch (error) {
    return refusal(400, 'ERR_NOT_JSON', `The body is not JSON: ${(error as Error).message}`)
  }
  try {
    const answer = route(simulator, content, Object.fromEntries(query))
    return answer === undefined ? { status: 204, body: undefined } : { status: 200, body: answer }
  } catch (error) {
    if (error instanceof SimulatorConfigurationError) return refusal(400, error.code, error.message)
    if (error instanceof SimulatedServiceError) return refusal(400, error.name, error.message)
    throw error
  }
}
