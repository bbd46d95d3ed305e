import * as v from 'valibot'
import { strictObject } from '../../check.ts'
import { expectedOfLedger } from '../../ledger/open.ts'
import { REGION, REGION_EXPECTED } from '../../marketplace/region.ts'
import { CALLER } from '../../reconcile/callers.ts'
import { ACCOUNT_ID, CUSTOMER_IDENTIFIER, LICENSE_ARN, PRODUCT } from '../../usage/options.ts'
import { described } from './description.ts'
import { isObject, REFERENCE, REFERENCES, Secret } from './secrets.ts'
import { address, duration, endpoint, NAME, NAME_EXPECTED, size } from './values.ts'

/** The options of the configuration file that are not about usage. */

const path = v.pipe(v.string('the path of a file'), v.nonEmpty('the path of a file'))

export const LEDGER = `a path, postgresql://… or dynamodb://table; or ${REFERENCES} where there is a password in it`
const ledger = v.pipe(
  v.string(LEDGER),
  v.check(
    text => REFERENCE.test(text) || expectedOfLedger(text) === undefined,
    ({ input }) => (/^postgres(ql)?:/.test(input) ? (expectedOfLedger(input) as string) : LEDGER),
  ),
)

const TOKEN = `${REFERENCES}, since secrets do not belong into this file`
const token = v.pipe(v.string(TOKEN), v.regex(REFERENCE, TOKEN))

const CUSTOMER = 'an AWS account id of 12 digits in quotes, a licence or a customer identifier'
const limit = v.pipe(v.number('a whole number from 1'), v.safeInteger(), v.minValue(1, 'a whole number from 1'))

const limits = strictObject({
  customersPerDay: described(v.optional(limit), 'How many customers it may have in a day. 10000 by default.'),
  seriesPerDay: described(v.optional(limit), 'How many series it may have in a day. 200000 by default.'),
})

const sender = strictObject({
  name: described(
    v.pipe(v.string(NAME_EXPECTED), v.regex(NAME, NAME_EXPECTED)),
    'What the sender is called in the log, in metrics and in the audit trail.',
  ),
  token: described(token, `Its bearer token, as ${REFERENCES}.`),
  customers: described(
    v.optional(v.array(v.pipe(v.string(CUSTOMER), v.check(isCustomer, CUSTOMER)))),
    'Whose usage it may send: account ids, licences or customer identifiers. Without it, any customer of the product; ' +
      'none with an empty list, for who only looks.',
  ),
  dimensions: described(v.optional(v.array(v.string())), 'What it may send usage of. Without it, all dimensions.'),
  limits: described(v.optional(limits), 'Beyond them its usage is kept for a person to look at.'),
})

function isCustomer(text: string): boolean {
  if (/^\d+$/.test(text)) return ACCOUNT_ID.test(text)
  return LICENSE_ARN.test(text) || CUSTOMER_IDENTIFIER.test(text)
}

/** A token alone, or one with a name and rights. Which of the two is meant is told by what it is, so that errors are. */
export const TOKEN_ENTRY = v.lazy(value => (isObject(value) && !(value instanceof Secret) ? sender : token))
/** The same for editors. */
export const EITHER_TOKEN = v.union([token, sender])

function eachNameOnce(entries: v.InferOutput<typeof TOKEN_ENTRY>[]): boolean {
  const names = entries.flatMap(entry => (typeof entry === 'string' ? [] : [entry.name]))
  return new Set(names).size === names.length
}

const TOKENS =
  `Who may send, each by a bearer token: as ${REFERENCES}, or with a name and rights. Without them everybody who ` +
  'reaches the gateway may bill any customer.'
const COUNT = 'a number from 1 to 1,000,000'
const count = v.pipe(v.number(COUNT), v.integer(COUNT), v.minValue(1, COUNT), v.maxValue(1_000_000, COUNT))

const tls = strictObject({
  cert: described(path, 'The certificate, as PEM, with those that it is signed by.'),
  key: described(path, 'Its private key, as PEM.'),
  ca: described(v.optional(path), 'With it senders need a certificate that one of these signed, as PEM.'),
})

const listen = strictObject({
  http: described(
    v.optional(address, '127.0.0.1:4318'),
    'Where OTLP over HTTP is taken, and the status page is; or off.',
  ),
  grpc: described(v.optional(address, '127.0.0.1:4317'), 'Where OTLP over gRPC is taken; or off.'),
  maxBodySize: described(v.optional(size('1KiB', '128MiB')), 'The largest request, unpacked. 20MiB by default.'),
  maxConnections: described(
    v.optional(count),
    'How many connections each of the two takes at a time. Beyond, the oldest is closed on which nothing was ever taken. ' +
      '4000 by default.',
  ),
  maxConnectionsPerAddress: described(
    v.optional(count),
    'How many of them one address may have: more than all senders behind one NAT or proxy. 1000 by default.',
  ),
  requestTimeout: described(
    v.optional(duration('1s', '10m')),
    'How long a request may take to arrive. A connection on which nothing is taken in twice that is closed. 30s by default.',
  ),
  tokens: described(
    v.optional(
      v.pipe(
        v.array(TOKEN_ENTRY),
        v.nonEmpty('at least one token'),
        v.check(eachNameOnce, 'names that are not used twice'),
      ),
    ),
    TOKENS,
  ),
  tls: described(v.optional(tls), 'Without it, requests come in plain text.'),
})
const listenSomewhere = v.pipe(
  listen,
  v.check(({ http, grpc }) => http !== null || grpc !== null, 'an address for http or for grpc'),
)

const holdOrRollForward = v.optional(v.picklist(['hold', 'roll-forward'], "'hold' or 'roll-forward'"))

const metering = strictObject({
  closeDelay: described(
    v.optional(duration('0s', '1h')),
    'How long after its end an hour is frozen into records: longer than senders wait between two exports. 5m by default.',
  ),
  deadlineMargin: described(
    v.optional(duration('0s', '1h')),
    "How long before AWS's window closes a record is no longer sent. 5m by default.",
  ),
  zeroQuantityRecords: described(
    v.optional(v.boolean()),
    'Send records of quantity 0 for the idle hours of known customers.',
  ),
  onConflict: described(
    holdOrRollForward,
    'What becomes of a quantity whose hour somebody else metered. hold by default.',
  ),
  onNotSubscribed: described(
    holdOrRollForward,
    'What becomes of usage of customers that AWS says are not subscribed: held for a person by the hour, or kept and ' +
      'billed when they are back. hold by default.',
  ),
  dryRun: described(v.optional(v.boolean()), 'Freeze hours and report, but send nothing.'),
  // Shorter than two days, records could go whose answer may still come.
  retention: described(
    v.optional(duration('2d', '36500d')),
    'How long settled records are kept for audit. For ever by default.',
  ),
  requestTimeout: described(v.optional(duration('100ms', '5m')), 'How long a request to AWS may take. 10s by default.'),
  endpoint: described(
    v.optional(endpoint),
    "What to send to instead of AWS's own endpoint, such as the simulator, which is asked for entitlements, too.",
  ),
})

const QUEUE = 'a queue such as sqs://sqs.us-east-1.amazonaws.com/123456789012/name'
const queue = v.pipe(v.string(QUEUE), v.regex(/^(sqs|https?):\/\//, QUEUE))
const events = strictObject({
  queue: described(queue, 'The queue that a rule of EventBridge in us-east-1 sends to.'),
  productCode: described(v.optional(v.pipe(v.string(), v.regex(PRODUCT))), "AWS's code of the product."),
})

/** One of the two, so that what is wrong is told of the one that is meant. */
export const EVENTS = v.lazy(value => (typeof value === 'string' ? queue : events))
export const EITHER_EVENTS = v.union([queue, events])

const ARN = 'an ARN of a role, user or session, such as arn:aws:iam::123456789012:role/meter'
const reconcile = strictObject({
  every: described(
    v.optional(duration('6h', '30d'), '1d'),
    'How often. An hour is held against CloudTrail when AWS takes no more usage of it: a day later. 1d by default.',
  ),
  callers: described(
    v.pipe(v.array(v.pipe(v.string(ARN), v.regex(CALLER, ARN))), v.nonEmpty(ARN)),
    "Whose calls are this ledger's: the role or user that the gateway has in AWS, and the one before.",
  ),
  settle: described(
    v.optional(v.boolean()),
    'Settle what events prove: records in doubt that AWS has billed, or surely not. Off by default.',
  ),
})

const entitlements = strictObject({
  productCode: described(
    v.optional(v.pipe(v.string(), v.regex(PRODUCT))),
    "AWS's code of the product whose customers have licences, where it is not productCode above.",
  ),
  unknown: described(
    v.optional(
      strictObject({
        after: described(
          v.optional(duration('1h', '30d')),
          'How long usage waits while AWS does not answer how much its contract includes. 6h by default.',
        ),
        outcome: described(
          v.optional(v.picklist(['hold', 'meter'], "'hold' or 'meter'")),
          'What becomes of it then: held for a person, or metered as if what was known last were so. hold by default.',
        ),
      }),
    ),
    'What becomes of usage while AWS cannot be asked what its contract includes.',
  ),
})

const telemetry = strictObject({
  endpoint: described(
    v.optional(endpoint),
    "Where the gateway's own metrics go as OTLP over HTTP. They are at /metrics as well.",
  ),
  logLevel: described(
    v.optional(v.picklist(['error', 'warn', 'info', 'debug'], "'error', 'warn', 'info' or 'debug'")),
    'What is logged: this, and what is graver. By default what OTEL_LOG_LEVEL says, or info.',
  ),
  logFormat: described(
    v.optional(v.picklist(['json', 'text'], "'json' or 'text'")),
    'How it is logged. By default as text on a terminal, elsewhere as a JSON object on each line.',
  ),
})

export const SETTINGS = {
  region: described(
    v.optional(v.pipe(v.string(), v.regex(REGION, REGION_EXPECTED))),
    'The region whose Marketplace endpoint is called. By default that of AWS_REGION.',
  ),
  ledger: described(
    v.optional(ledger),
    'Where usage is kept: a file on a local disk that survives a restart, postgresql://… or dynamodb://table. ' +
      'By default what MARKETPLACE_LEDGER names.',
  ),
  listen: described(v.optional(listenSomewhere, {}), 'Where senders reach the gateway, and who may.'),
  statusPage: described(v.optional(v.boolean(), true), 'Whether a browser gets a status page at the HTTP address.'),
  metering: described(v.optional(metering, {}), 'How usage is metered.'),
  events: described(
    v.optional(EVENTS),
    "Where AWS's agreement events come to: a queue of SQS as sqs://…, or { queue, productCode } where the product's code " +
      'is not productCode above.',
  ),
  entitlements: described(
    v.optional(entitlements),
    'How AWS is asked what contracts include, of dimensions with included.entitlement.',
  ),
  reconcile: described(
    v.optional(reconcile),
    "Hold the ledger against CloudTrail's event history every so often: what AWS has of it, and what of somebody else. " +
      'By default that is done by the command reconcile alone.',
  ),
  telemetry: described(v.optional(telemetry, {}), 'What the gateway says of itself.'),
}

/** The options about usage are for `UsageMapper` to check. */
const unchecked = v.optional(v.unknown())

export const settingsSchema = strictObject({
  ...SETTINGS,
  ...{ productCode: unchecked, product: unchecked, dimensions: unchecked, customer: unchecked },
})
