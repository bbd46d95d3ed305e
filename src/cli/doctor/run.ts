import { readFileSync } from 'node:fs'
import { ConfigurationError } from '../../errors.ts'
import { GatewayConfigError } from '../../gateway/config/errors.ts'
import { GatewayConfigFile } from '../../gateway/config.ts'
import type { Ledger, LedgerStatus } from '../../ledger/ledger.ts'
import { entitledCodes } from '../../metering/contracts.ts'
import { sendTo } from '../../metering/endpoints.ts'
import { CLOSE_DELAY, DEADLINE_MARGIN } from '../../metering/options.ts'
import { entitlementFindings, unknownContractFindings } from '../../metering/preflight/entitlements.ts'
import { type Finding, gravity } from '../../metering/preflight/finding.ts'
import { contentFindings, findLedger } from '../../metering/preflight/ledger.ts'
import { type ListedDimension, listingFinding, parseListing } from '../../metering/preflight/listing.ts'
import { endpointFindings, marketplaceFindings, openMarketplace } from '../../metering/preflight/marketplace.ts'
import { nodeFinding, regionFinding } from '../../metering/preflight/surroundings.ts'
import { type TestFacts, testCustomerFindings } from '../../metering/preflight/test-customer.ts'
import { timetable } from '../../metering/preflight/timetable.ts'
import { iso } from '../../text/time.ts'
import type { CustomerAccount } from '../../usage/account.ts'
import type { Dimension } from '../../usage/dimension.ts'
import { UsageMapper } from '../../usage/mapper.ts'
import { ACCOUNT_ID } from '../../usage/options.ts'
import { namedCustomer } from '../account.ts'
import { CommandLineError } from '../errors.ts'
import type { Diagnosis } from '../json.ts'
import { nowOf } from '../options.ts'
import { type FormatOptions, printAs, screen } from '../output.ts'
import { findingsTable } from '../report/findings.ts'

export interface DoctorOptions extends FormatOptions {
  readonly config?: string
  readonly ledger: string
  /** Whether the ledger was named on the command line. */
  readonly ledgerNamed: boolean
  readonly region?: string
  readonly productCode?: string
  readonly product?: string
  readonly dimension?: readonly string[]
  readonly endpoint?: string
  readonly listing?: string
  readonly testCustomer?: string
  readonly licenseArn?: string
}

/** How long each question to AWS may take, in milliseconds. */
const TIMEOUT = 10_000

/** What is looked at. */
interface Subject {
  readonly ledger: string | undefined
  readonly region: string | undefined
  readonly productCode: string | undefined
  /** The label of customers with a licence, which AWS never sees. */
  readonly product: string | undefined
  /** With what the ledger has to agree on; undefined where only the ledger knows them. */
  readonly dimensions: readonly Dimension[] | undefined
  readonly names: readonly string[] | undefined
  /** AWS's codes of products that GetEntitlements is asked for; undefined where only the ledger tells whether it is. */
  readonly entitled?: readonly string[]
  readonly closeDelay: number
  readonly deadlineMargin: number
  /** What is wrong with the configuration, or is to be known of it. */
  readonly findings: readonly Finding[]
  /** Whether there is a configuration that says nothing, since it is wrong. */
  readonly unread?: true
}

/** Looks at everything that metering needs, prints what is found, and sets the exit status by the gravest. */
export async function doctor(options: DoctorOptions): Promise<void> {
  const findings = await look(options)
  const worst = gravity(findings)
  printAs<Diagnosis>(options, {
    json: () => ({ at: iso(nowOf({})), exitStatus: worst, findings }),
    text: () => findingsTable(findings, screen().paint),
  })
  process.exitCode = worst
}

async function look(options: DoctorOptions): Promise<Finding[]> {
  const subject = options.config === undefined ? given(options) : configured(options.config, options)
  const customer = testCustomer(options, subject)
  const listed = options.listing === undefined ? undefined : listing(options.listing)
  if (options.endpoint !== undefined) sendTo(endpointOf(options.endpoint), process.env)
  const { region, productCode, product, unread = false } = subject
  const now = nowOf({})
  const findings: Finding[] = [nodeFinding(process.versions as { node: string }), ...subject.findings]
  const found = subject.ledger === undefined ? undefined : await findLedger(subject.ledger)
  findings.push(...(found?.findings ?? []))
  const ledger = found?.ledger
  try {
    const opened = ledger === undefined ? undefined : await readLedger(ledger, subject, findings)
    const names =
      options.dimension ?? subject.names ?? (await opened?.ledger.dimensions())?.map(({ name }) => name) ?? []
    if (region !== undefined) {
      findings.push(regionFinding(region))
      const { deadlineMargin } = subject
      const facts = { customer, region, dimensions: names, ledger: opened, deadlineMargin, now: opened?.now ?? now }
      findings.push(...(await askMarketplace(facts, { productCode, endpoint: options.endpoint, now })))
      const codes = subject.entitled ?? (await entitledCode(opened?.ledger, productCode))
      findings.push(...(await entitlementFindings(codes, region, TIMEOUT)))
      const products = [productCode, product].filter(name => name !== undefined)
      if (opened !== undefined) findings.push(...(await unknownContractFindings(opened.ledger, products, opened.now)))
    } else if (!unread) findings.push(NO_REGION)
    if (listed !== undefined) {
      if ('state' in listed) findings.push(listed)
      else findings.push(names.length === 0 ? NOTHING_TO_COMPARE : listingFinding(listed, names))
    }
    if (!unread) findings.push(...(await timetable(opened?.ledger, { ...subject, now: opened?.now ?? now })))
    if (product === undefined && productCode === undefined && !unread) findings.push(NO_PRODUCT)
  } finally {
    await ledger?.close()
  }
  return findings
}

/** What AWS answers, and what a test customer's record comes to where one is named. */
async function askMarketplace(
  { customer, ...facts }: Omit<TestFacts, 'probe' | 'customer'> & { readonly customer: CustomerAccount | undefined },
  { productCode, endpoint, now }: { productCode: string | undefined; endpoint: string | undefined; now: number },
): Promise<Finding[]> {
  const { region } = facts
  const probe = await openMarketplace(region, TIMEOUT)
  if ('state' in probe) return [probe]
  const answers = await marketplaceFindings({ probe, region, productCode, now })
  const other = await endpointFindings(probe, region, facts.ledger?.ledger)
  const findings = [...(endpoint === undefined ? elsewhere(probe.endpoint) : []), ...other, ...answers]
  if (customer === undefined) return findings
  // A refusal of the empty request is the same for every other.
  if (gravity([...other, ...answers]) === 2) return [...findings, BLOCKED]
  return [...findings, ...(await testCustomerFindings({ ...facts, probe, customer }))]
}

async function readLedger(
  ledger: Ledger,
  { productCode, product, dimensions }: Subject,
  findings: Finding[],
): Promise<{ ledger: Ledger; status: LedgerStatus; now: number } | undefined> {
  try {
    const status = await ledger.status()
    const products = [productCode, product].filter(name => name !== undefined)
    findings.push(...(await contentFindings(ledger, status, { products, dimensions, now: () => nowOf({}) })))
    return { ledger, status, now: await ledger.clock.now(nowOf({})) }
  } catch (error) {
    findings.push({ name: 'ledger', state: 'fault', message: (error as Error).message })
    return undefined
  }
}

const NO_REGION: Finding = {
  ...{ name: 'region', state: 'fault', message: 'No region is named, so that nothing can be sent.' },
  advice: 'Name it by --region or AWS_REGION.',
}
const NO_PRODUCT: Finding = {
  ...{ name: 'product', state: 'warning', message: 'No product is named, so that AWS was not asked about it.' },
  advice: 'Name it by --product-code, by --product where its customers have licences, or by --config.',
}
const NOTHING_TO_COMPARE: Finding = {
  ...{ name: 'listing', state: 'warning', message: 'No dimension is known here to compare the listing with.' },
  advice: 'Name those that are metered by --dimension, or use --config.',
}
const BLOCKED: Finding = {
  ...{ name: 'test customer', state: 'warning', message: 'No record was sent, because of the faults above.' },
  advice: 'Mend them first.',
}

function elsewhere(endpoint: string | undefined): Finding[] {
  if (endpoint === undefined) return []
  const message = `Usage records go to ${URL.parse(endpoint)?.origin ?? 'what is no URL'} instead of AWS.`
  return [{ name: 'endpoint', state: 'warning', message, advice: 'Take metering.endpoint or AWS_ENDPOINT_URL… out.' }]
}

/** What the command line says. */
function given(options: DoctorOptions): Subject {
  const { AWS_REGION, AWS_DEFAULT_REGION } = process.env
  const { ledger, productCode, product, dimension: names } = options
  const region = options.region || AWS_REGION || AWS_DEFAULT_REGION || undefined
  return { ledger, region, productCode, product, dimensions: undefined, names, ...DELAYS, findings: [] }
}

/** What a gateway's configuration says. */
function configured(path: string, { ledger, ledgerNamed }: DoctorOptions): Subject {
  const { env } = process
  let file: GatewayConfigFile
  try {
    file = GatewayConfigFile.read(path, env)
  } catch (error) {
    if (!(error instanceof GatewayConfigError)) throw error
    const findings = faultsOf(error)
    const nothing = { ledger: undefined, region: undefined, productCode: undefined, product: undefined }
    return { ...nothing, dimensions: undefined, names: undefined, ...DELAYS, findings, unread: true }
  }
  const { usage, region, metering, entitlements } = file.config
  const findings: Finding[] = []
  let address: string | undefined
  try {
    address = file.readReferences(env).ledger
  } catch (error) {
    if (!(error instanceof GatewayConfigError)) throw error
    findings.push(...faultsOf(error))
  }
  if (metering.endpoint !== undefined) sendTo(metering.endpoint, env)
  if (metering.dryRun) findings.push(DRY_RUN)
  const { dimensions, included } = new UsageMapper(usage, { gauges: true })
  const { closeDelay = CLOSE_DELAY, deadlineMargin = DEADLINE_MARGIN } = metering
  return {
    ...{ ledger: ledgerNamed ? ledger : address, region, productCode: usage.productCode },
    ...{ product: usage.product, dimensions, names: dimensions.map(({ name }) => name) },
    ...{ closeDelay, deadlineMargin, findings, entitled: entitledCodes(usage, included, entitlements) },
  }
}

/** Of a product that is named on the command line the ledger tells whether AWS is asked for entitlements. */
async function entitledCode(ledger: Ledger | undefined, productCode: string | undefined): Promise<string[]> {
  const included = (await ledger?.included()) ?? []
  return productCode !== undefined && included.some(({ entitlement }) => entitlement !== undefined) ? [productCode] : []
}

const DELAYS = { closeDelay: CLOSE_DELAY, deadlineMargin: DEADLINE_MARGIN }

const DRY_RUN: Finding = {
  ...{ name: 'configuration', state: 'warning', message: 'It is a dry run: nothing is sent, and nobody is billed.' },
  advice: 'Take metering.dryRun out when you begin to bill.',
}

function faultsOf({ message }: GatewayConfigError): Finding[] {
  return message.split('\n').map(line => ({ name: 'configuration', state: 'fault', message: line }))
}

function testCustomer(
  { testCustomer: id, licenseArn }: DoctorOptions,
  { productCode, product, unread }: Subject,
): CustomerAccount | undefined {
  if (id === undefined) {
    if (licenseArn === undefined) return undefined
    throw new CommandLineError('Expected --test-customer with --license-arn: the account id whose licence it is.')
  }
  // It is not known whose customer it is, and nothing is sent.
  if (unread) return undefined
  if (licenseArn !== undefined && product !== undefined) return namedCustomer(product, { accountId: id, licenseArn })
  if (licenseArn === undefined && productCode !== undefined) {
    return namedCustomer(productCode, ACCOUNT_ID.test(id) ? { accountId: id } : { customerIdentifier: id })
  }
  if (licenseArn !== undefined && productCode !== undefined) {
    throw new CommandLineError('Expected --product with --license-arn: by a product code no licence is metered.')
  }
  // AWS would be told the label as a product code.
  if (product !== undefined) {
    throw new CommandLineError(
      "Expected --license-arn with --test-customer: customers of --product are metered by it. Without one it is --product-code's.",
    )
  }
  throw new CommandLineError(
    'Expected --product-code, --product or --config with --test-customer: what it is a customer of.',
  )
}

/** What is listed, or what is wrong with it: the rest is looked at all the same. */
function listing(path: string): ListedDimension[] | Finding {
  try {
    return parseListing(read(path))
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error
    return { name: 'listing', state: 'fault', message: error.message }
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new ConfigurationError(`Expected --listing to be a file, got ${path}: the system says ${code}.`)
  }
}

function endpointOf(url: string): string {
  if (/^https?:$/.test(URL.parse(url)?.protocol ?? '')) return url
  throw new CommandLineError(`Expected --endpoint to be an http or https URL, got ${JSON.stringify(url)}.`)
}
