import { type Agreement, type Customer, type Standing, standing } from './agreements.ts'
import { checkAllocations } from './allocations.ts'
import type { Series } from './book.ts'
import type { Catalogue } from './catalogue.ts'
import { SimulatedServiceError } from './errors.ts'
import { timestampRefusal } from './time-rules.ts'
import type { Undocumented } from './undocumented.ts'
import type { CheckedRecord, UsageRecord } from './wire.ts'

/** A record that breaks no rule. It is billed if its customer is subscribed and its hour is free. */
export interface Admission {
  record: CheckedRecord
  subscribed: boolean
  /** One text for each region and customer (of a product, or with a licence). */
  owner: string
  series: Series
}

const refuse = (name: string, message: string) => new SimulatedServiceError(name, message)
const ACCOUNT_ID = /^\d{12}$/

/** Who a record is for, once both of a customer's names are known to be one. */
export function seriesOf(
  region: string,
  product: string | undefined,
  record: UsageRecord & { Dimension: string },
  customer: Customer | undefined,
): { owner: string; series: Series } {
  const account = customer?.accountId ?? record.CustomerAWSAccountId
  const identifier = customer?.customerIdentifier ?? record.CustomerIdentifier
  const series: Series = { region, dimension: record.Dimension }
  if (product) series.product = product
  if (account) series.accountId = account
  if (identifier) series.customerIdentifier = identifier
  if (record.LicenseArn) {
    series.licenseArn = record.LicenseArn
    return { owner: `${region}\nlicence\n${account}\n${record.LicenseArn}`, series }
  }
  // An identifier may hold any character, so it comes last.
  return { owner: `${region}\n${product}\n${account ? `account\n${account}` : `identifier\n${identifier}`}`, series }
}

/** A record has one of two identities: an account with a licence, or one customer with the request's product code. */
function checkIdentity(productCode: string | undefined, record: UsageRecord): void {
  const { CustomerAWSAccountId, CustomerIdentifier, LicenseArn } = record
  if (CustomerAWSAccountId && CustomerIdentifier) {
    throw refuse(
      'InvalidCustomerIdentifierException',
      'CustomerIdentifier and CustomerAWSAccountId are mutually exclusive',
    )
  }
  if (!CustomerAWSAccountId && !CustomerIdentifier) {
    throw refuse('InvalidCustomerIdentifierException', 'A usage record needs a CustomerAWSAccountId')
  }
  if (CustomerAWSAccountId && !ACCOUNT_ID.test(CustomerAWSAccountId)) {
    throw refuse('InvalidCustomerIdentifierException', `${CustomerAWSAccountId} is not an AWS account id of 12 digits`)
  }
  if (LicenseArn && productCode) {
    throw refuse('ValidationException', 'ProductCode and LicenseArn must not be sent together')
  }
  if (LicenseArn && !CustomerAWSAccountId) {
    throw refuse('InvalidCustomerIdentifierException', 'LicenseArn needs CustomerAWSAccountId, not CustomerIdentifier')
  }
  if (!LicenseArn && !productCode) {
    throw refuse('ValidationException', 'ProductCode is required for usage records without LicenseArn')
  }
}

function licenceOf(record: UsageRecord, customer: Customer | undefined, catalogue: Catalogue): Agreement | undefined {
  if (!record.LicenseArn) return undefined
  const licence = catalogue.licence(record.LicenseArn)
  if (licence === undefined && catalogue.licencesDeclared) {
    throw refuse('InvalidLicenseException', `There is no licence ${record.LicenseArn}`)
  }
  if (licence !== undefined && licence.customer !== customer) {
    throw refuse('InvalidLicenseException', `${record.LicenseArn} does not match the customer`)
  }
  return licence
}

/** Whether an agreement has a say in usage of `product`, or of a licence that nobody declared. */
function concerns(agreement: Agreement, product: string | undefined, licensed: boolean): boolean {
  if (licensed || agreement.product === undefined) return agreement.licenseArn === undefined
  return agreement.product === product
}

function standingOf(
  customer: Customer | undefined,
  licence: Agreement | undefined,
  product: string | undefined,
  record: CheckedRecord,
  now: number,
  catalogue: Catalogue,
): Standing {
  const timestamp = record.Timestamp.getTime()
  const { suspended } = customer ?? {}
  if (suspended !== undefined && now >= suspended.from && now < suspended.to) return 'none'
  if (licence !== undefined) return standing([licence], timestamp, now)
  if (customer === undefined) return catalogue.customersDeclared ? 'none' : 'covered'
  const licensed = Boolean(record.LicenseArn)
  const agreements = customer.agreements.filter(agreement => concerns(agreement, product, licensed))
  return agreements.length === 0 && customer.open ? 'covered' : standing(agreements, timestamp, now)
}

/**
 * Asks every rule about every record of a request. One record that breaks a rule fails the request, and nothing of it
 * is billed.
 *
 * @throws {SimulatedServiceError} with AWS's name
 */
export function admit(
  productCode: string | undefined,
  records: readonly CheckedRecord[],
  region: string,
  catalogue: Catalogue,
  now: number,
  undocumented: Undocumented,
): Admission[] {
  if (productCode && !catalogue.hasProduct(productCode)) {
    throw refuse('InvalidProductCodeException', `There is no product ${productCode}`)
  }
  let licensed: string | undefined
  return records.map(record => {
    checkIdentity(productCode, record)
    const customer = catalogue.customer(record)
    const stranger = customer === undefined && catalogue.customersDeclared
    if (stranger && undocumented.unknownCustomer === 'InvalidCustomerIdentifierException') {
      throw refuse('InvalidCustomerIdentifierException', 'The customer is not known')
    }
    const licence = licenceOf(record, customer, catalogue)
    if (licence?.product !== undefined) {
      licensed ??= licence.product
      if (licensed !== licence.product) {
        throw refuse(
          'InvalidLicenseException',
          `Licences of two products in one request: ${licensed}, ${licence.product}`,
        )
      }
    }
    const product = productCode || licence?.product
    const known = undocumented.unknownDimension === 'Success' || catalogue.hasDimension(product, record.Dimension)
    if (!known) {
      throw refuse('InvalidUsageDimensionException', `The product has no dimension ${record.Dimension}`)
    }
    if (record.UsageAllocations) checkAllocations(record, record.UsageAllocations, undocumented)
    const outOfBounds = timestampRefusal(record.Timestamp.getTime(), now)
    if (outOfBounds !== undefined) throw outOfBoundsError(record, outOfBounds)

    const stands = standingOf(customer, licence, product, record, now, catalogue)
    // "Ensure the LicenseArn is valid, matches the customer, and usage is within the license activation period."
    const over = stands === 'none' && undocumented.endedLicence === 'InvalidLicenseException'
    const notYet = stands === 'pending' && undocumented.pendingLicence === 'InvalidLicenseException'
    if (record.LicenseArn && (stands === 'early' || stands === 'late' || notYet || (over && licence !== undefined))) {
      throw refuse('InvalidLicenseException', `The usage is not within the activation period of ${record.LicenseArn}`)
    }
    if (stands === 'early') throw outOfBoundsError(record, "is before the customer's subscription began")
    return { record, subscribed: stands === 'covered', ...seriesOf(region, product, record, customer) }
  })
}

const outOfBoundsError = (record: CheckedRecord, why: string) =>
  refuse('TimestampOutOfBoundsException', `Timestamp ${record.Timestamp.toISOString()} ${why}`)
