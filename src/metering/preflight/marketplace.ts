import { ConfigurationError } from '../../errors.ts'
import type { Ledger } from '../../ledger/ledger.ts'
import { CLOCK_OFF, describeSkew } from '../../marketplace/clock-skew.ts'
import { type MarketplaceProbe, openProbe, type Reply } from '../../marketplace/probe.ts'
import { distance, shortTime } from '../../text/time.ts'
import { Endpoints, endpointFinding } from '../endpoints.ts'
import { type Fault, faultOf } from '../faults.ts'
import { type Finding, sentence } from './finding.ts'
import { clockFinding } from './surroundings.ts'

/** What only AWS can tell: whether it knows these credentials, what time it is there, and whether they may meter. */

export interface MarketplaceFacts {
  readonly probe: MarketplaceProbe
  readonly region: string
  /** Of a product without Concurrent Agreements. */
  readonly productCode: string | undefined
  /** Milliseconds since the epoch. */
  readonly now: number
}

/** @returns a finding where nothing is installed that could ask */
export async function openMarketplace(region: string, timeout: number): Promise<MarketplaceProbe | Finding> {
  try {
    return await openProbe(region, timeout)
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error
    const advice = 'Install it beside this package: nothing is sent without it.'
    return { name: 'credentials', state: 'fault', message: sentence(error.message), advice }
  }
}

/** Where what is sent from here goes elsewhere than the ledger's records. */
export async function endpointFindings(
  probe: MarketplaceProbe,
  region: string,
  ledger: Pick<Ledger, 'audit'> | undefined,
): Promise<Finding[]> {
  const expected = ledger && (await new Endpoints(ledger).read()).of(region)
  const own = await probe.destination().catch(() => undefined)
  if (expected === undefined || own === undefined || own === expected.endpoint) return []
  return [endpointFinding(region, own, expected)]
}

/** Sends one request without records, which bills nobody; nothing where there are no credentials to send it with. */
export async function marketplaceFindings({ probe, region, productCode, now }: MarketplaceFacts): Promise<Finding[]> {
  const credentials = await credentialsFinding(probe, now)
  if (credentials.state === 'fault') return [credentials]
  const reply = await probe.send({ ...(productCode !== undefined && { ProductCode: productCode }), UsageRecords: [] })
  const clock = reply.clockSkew === undefined ? [] : [clockFinding(reply.clockSkew, "AWS's")]
  return [credentials, ...clock, permissionFinding(reply, region, productCode)]
}

async function credentialsFinding(probe: MarketplaceProbe, now: number): Promise<Finding> {
  const name = 'credentials'
  try {
    const { accessKeyId, source, expiration } = await probe.credentials()
    const end = expiration?.getTime()
    const until = end === undefined ? '' : `, good until ${shortTime(end)} (${distance(end, now)})`
    if (end !== undefined && end <= now) {
      const message = `The credentials ${accessKeyId} of ${source} are over since ${shortTime(end)}.`
      return { name, state: 'fault', message, advice: 'Get new ones.' }
    }
    return { name, state: 'ok', message: `Access key ${accessKeyId} of ${source}${until}.` }
  } catch (error) {
    const message = `There are no AWS credentials: ${(error as Error).message}`
    return { name, state: 'fault', message: sentence(message), advice: CREDENTIALS_ADVICE }
  }
}

const CREDENTIALS_ADVICE =
  'Give the process a role (ECS, EKS, EC2), or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; run "doctor" with the ' +
  "process's own environment."

function permissionFinding(reply: Reply, region: string, productCode: string | undefined): Finding {
  const name = 'permission'
  if (reply.error === undefined) {
    const known = productCode === undefined ? '' : ` for product code ${productCode}`
    const message = `AWS takes requests in ${region}${known}: one without records was sent, which bills nobody.`
    return { name, state: 'ok', message: `${message} Only --test-customer tells of customers and dimensions.` }
  }
  return refusalFinding(name, reply)
}

/** What AWS's refusal of a request, or the way to it, is told as. */
export function refusalFinding(name: string, { error, message = '', clockSkew }: Reply): Finding {
  const errorName = String((error as { name?: unknown })?.name)
  const { fault } = faultOf(error)
  const said = sentence(`AWS or the network said: ${message}`)
  const known = ADVICE.find(([names]) => names.test(errorName))
  if (SIGNED_LATE.test(errorName) && Math.abs(clockSkew ?? 0) >= CLOCK_OFF) {
    return { name, state: 'fault', message: `${describeSkew(clockSkew as number)} ${said}`, advice: SET_CLOCK }
  }
  if (known !== undefined) return { name, state: 'fault', message: `${known[1]} ${said}`, advice: known[2] }
  const [state, what, advice] = BY_FAULT[fault]
  return { name, state, message: `${what} ${said}`, advice }
}

/** What AWS answers where the time of a signature is too far from its own, among other reasons. */
const SIGNED_LATE = /Signature|RequestExpired|RequestTimeTooSkewed/
const SET_CLOCK = 'Set the clock, and run "doctor" again.'

const ADVICE: readonly (readonly [names: RegExp, message: string, advice: string])[] = [
  [
    /^(AccessDenied|NotAuthorized)/,
    'AWS knows these credentials, and does not let them meter.',
    'Allow the action aws-marketplace:BatchMeterUsage to their role or user.',
  ],
  [
    /^(UnrecognizedClient|InvalidClientTokenId|InvalidSignature|SignatureDoesNotMatch|IncompleteSignature|InvalidToken)/,
    'AWS does not know these credentials.',
    "Mend access key, secret and session token: they are the seller's account's.",
  ],
  [/^(ExpiredToken|RequestExpired)/, 'The credentials have expired.', 'Get new ones.'],
  [
    /^InvalidProductCode/,
    'AWS does not know the product code for these credentials.',
    'Mend --product-code or productCode; it is called from the account that published the product.',
  ],
  [/^(DisabledApi|OptInRequired)/, 'AWS takes no usage records in this region.', 'Meter in another region.'],
  [
    /^InvalidUsageDimension/,
    'The product has no such dimension.',
    'Meter it under its API name; --listing compares them all.',
  ],
  [
    /^Invalid(License|CustomerIdentifier)/,
    'AWS does not know this customer, or its licence was not active in that hour.',
    'Compare account id and licence with what ResolveCustomer answers; a new subscription takes usage of the hours after it.',
  ],
  [
    /^TimestampOutOfBounds/,
    "AWS does not take that hour of this customer: it is of before the subscription began, or this machine's clock is off.",
    'Try again when the subscription is two hours old.',
  ],
]

const BY_FAULT: Readonly<Record<Fault, readonly [Finding['state'], message: string, advice: string]>> = {
  refused: [
    'warning',
    'AWS refused a request without records, which tells neither of permission nor of the product.',
    'Name a test customer by --test-customer.',
  ],
  licence: [
    'warning',
    'AWS refused a licence in a request without records.',
    'Name a test customer by --test-customer.',
  ],
  timestamp: ['fault', 'AWS does not take the time of a record.', 'Look at the clock.'],
  throttled: [
    'warning',
    "AWS throttles: this ledger's processes, or something else, use up AWS's 10 requests a second.",
    'Run "doctor" again in a minute.',
  ],
  configuration: ['fault', 'AWS refuses the configuration.', 'Mend what it says.'],
  'not-sent': [
    'fault',
    'AWS cannot be reached from here.',
    'Let this machine reach metering.marketplace.<region>.amazonaws.com, port 443; look at proxies, DNS and VPC endpoints.',
  ],
  unknown: ['warning', 'AWS did not answer as it should.', 'Run "doctor" again in a minute.'],
}
