import type { Attributes } from '@opentelemetry/api'
import {
  type Account,
  type CustomerAccount,
  type CustomerName,
  customerAccount,
  type UnattributedAccount,
  type UnattributedReason,
  unattributedAccount,
} from './account.ts'
import { distinct, evidenceOf } from './evidence.ts'
import { ACCOUNT_ID_ATTRIBUTE, CUSTOMER_IDENTIFIER_ATTRIBUTE, LICENSE_ARN_ATTRIBUTE } from './instruments.ts'
import {
  ACCOUNT_ID,
  type AttributeSource,
  type BothCustomerAttributes,
  CUSTOMER_IDENTIFIER,
  type CustomerIdentity,
  type CustomerResolver,
  LICENSE_ARN,
  PRODUCT,
  type Tenant,
  type UsageOptions,
} from './options.ts'
import { RecentMap } from './recent-map.ts'
import { attributeOf } from './rules.ts'
import type { Tags } from './tags.ts'

/** How many unattributed accounts are told apart by their evidence. Beyond it usage goes to one without evidence. */
export const MAX_UNATTRIBUTED = 1000

/** How many customers are remembered: those that were metered last. Another is made again when it comes again. */
const MOST_CUSTOMERS = 125_000

/** An account, and what is remembered of it. As little as will do, since there may be many accounts. */
export interface TrackedAccount {
  readonly account: Account
  /** By the dimension's index. */
  readonly tallies: (Tally | undefined)[]
  /** The next of those with the same account id: a customer may have several licences. */
  next: TrackedAccount | undefined
}

/** What is remembered of an account's usage of a dimension: right here, so that it is not looked up for each point. */
export interface Tally {
  /** The source that fed it first, 0 for none yet. */
  source: number
  /** What the one writer that it is given to has of it, and no ledger yet. */
  waiting: WaitingUsage | undefined
  /** What the usage is for, where its account does not say it: the customer is not known yet. */
  readonly tags?: Tags
}

export interface WaitingUsage {
  readonly account: Account
  readonly dimension: string
  hour: number
  amount: bigint
}

type Reader = (attributes: Attributes, resource: Attributes) => unknown

/** Whom the seller means by the names that it has for customers. */
export interface TenantRegistry {
  /** As far as it is known here, at once. Who is asked for is to be looked up where too little is known. */
  find(tenant: string): CustomerAccount | undefined
}

/**
 * Says whose usage a data point is. The same customer is mostly the same object, so that what is remembered of it need
 * not be looked up by its key; one that was not metered for long may be another.
 */
export class CustomerReader {
  readonly #productCode: string | undefined
  /** Of customers with a licence. */
  readonly #product: string | undefined
  readonly #identify: CustomerResolver
  readonly #dimensions: number
  readonly #tenantOf: Reader | undefined
  readonly #registry: TenantRegistry | undefined
  /** By account id or identifier, as they come: quicker to look up than keys, which would have to be put together. */
  readonly #customers: RecentMap<string, TrackedAccount>
  readonly #unattributed = new Map<string, TrackedAccount>()
  /** Whether a point's own attributes say nothing of its customer. */
  readonly constant: boolean
  /** What the resolver threw last. */
  resolverError: unknown
  /** Tenants that were not known, by the keys of the accounts that their usage went to. */
  readonly unknownTenants = new Map<string, string>()

  /**
   * @param most how many customers are remembered, at most twice over
   * @param registry where tenants are looked up
   */
  constructor(options: UsageOptions, dimensions: number, most = MOST_CUSTOMERS, registry?: TenantRegistry) {
    this.#customers = new RecentMap(most)
    this.#productCode = options.productCode
    this.#product = options.product
    this.#identify = typeof options.customer === 'function' ? options.customer : fromAttributes(options)
    this.#tenantOf = isTenant(options.customer) ? readerOf(options.customer.tenant) : undefined
    this.#registry = registry
    this.constant =
      typeof options.customer !== 'function' &&
      Object.values(customerSources(options)).every(source => typeof source === 'object' && !('attribute' in source))
    this.#dimensions = dimensions
  }

  /** Null of what is somebody else's to bill. */
  read(attributes: Attributes, resource: Attributes): TrackedAccount | null {
    if (this.#tenantOf !== undefined) return this.#tenant(this.#tenantOf(attributes, resource), attributes)
    let identity: CustomerIdentity | undefined | null
    try {
      identity = this.#identify(attributes, resource)
      if (identity instanceof Promise) {
        identity.catch(() => {})
        throw new TypeError('it returned a promise, and has to answer at once')
      }
    } catch (error) {
      this.resolverError = error
      return this.unattributed('resolver-failed', attributes)
    }
    if (identity === null) return null
    const known = this.know(identity)
    return typeof known === 'string' ? this.unattributed(known, attributes) : known
  }

  #tenant(name: unknown, attributes: Attributes): TrackedAccount {
    if (name === undefined || name === '') return this.unattributed('no-customer', attributes)
    const tenant = String(name)
    const account = this.#registry?.find(tenant)
    const known = account && this.know(account)
    if (typeof known === 'object') return known
    const unattributed = this.unattributed(known ?? 'unknown-tenant', { tenant: distinct(tenant) })
    const { key, evidence } = unattributed.account as UnattributedAccount
    // Where it is one account for many, nobody can tell any more whose is what.
    if (known === undefined && evidence !== '') this.unknownTenants.set(key, tenant)
    return unattributed
  }

  /** Looks a customer up, as far as it is known. */
  lookUp(attributes: Attributes, resource: Attributes): void {
    const tenant = this.#tenantOf?.(attributes, resource)
    if (tenant !== undefined && tenant !== '') this.#registry?.find(String(tenant))
  }

  /** Whether customers are looked up. */
  get looksUp(): boolean {
    return this.#tenantOf !== undefined
  }

  /** A customer that is named, or why it is none. */
  know(
    identity: CustomerIdentity | undefined,
  ): TrackedAccount | 'no-customer' | 'malformed-customer' | 'licence-without-product' {
    if (identity === undefined) return 'no-customer'
    // A resolver's database may say null for what is not there.
    const accountId = identity.accountId ?? undefined
    const customerIdentifier = identity.customerIdentifier ?? undefined
    // What is empty is no licence, and where some have one, not to be guessed at.
    const empty = identity.licenseArn === '' && this.#product === undefined
    const licenseArn = empty ? undefined : (identity.licenseArn ?? undefined)
    const configured = licenseArn === undefined ? this.#productCode : this.#product
    const product = identity.product ?? configured
    const id = accountId ?? customerIdentifier
    const first = id === undefined ? undefined : this.#customers.get(id)
    for (let known = first; known !== undefined; known = known.next) {
      const account = known.account as CustomerAccount
      if (
        account.accountId === accountId &&
        account.customerIdentifier === customerIdentifier &&
        account.licenseArn === licenseArn &&
        account.product === product
      ) {
        return known
      }
    }
    if (id === undefined && licenseArn === undefined) return 'no-customer'
    const name = { product, accountId, customerIdentifier, licenseArn }
    if (configured === undefined) return licenseArn === undefined ? 'malformed-customer' : 'licence-without-product'
    if (!isWellFormed(name) || (licenseArn === undefined && licenceElsewhere(identity) !== undefined))
      return 'malformed-customer'
    const known = this.#begin(customerAccount(name as CustomerName))
    if (first === undefined) this.#customers.set(id as string, known)
    else {
      known.next = first.next
      first.next = known
    }
    return known
  }

  /** The account for usage that has no customer. */
  unattributed(reason: UnattributedReason, attributes: Attributes): TrackedAccount {
    const product = (this.#productCode ?? this.#product) as string
    let account = unattributedAccount(product, reason, evidenceOf(attributes))
    if (this.#unattributed.size >= MAX_UNATTRIBUTED && !this.#unattributed.has(account.key)) {
      account = unattributedAccount(product, reason, '')
    }
    let known = this.#unattributed.get(account.key)
    if (known === undefined) {
      known = this.#begin(account)
      this.#unattributed.set(account.key, known)
    }
    return known
  }

  #begin(account: Account): TrackedAccount {
    return { account, tallies: Array(this.#dimensions), next: undefined }
  }
}

/**
 * The name, other than `licenseArn`, that a licence's ARN has in what says who a customer is: there it would not be read, and
 * usage be billed by the product code.
 */
export function licenceElsewhere(identity: object): string | undefined {
  return Object.keys(identity).find(
    name => name !== 'licenseArn' && matches(LICENSE_ARN, (identity as Record<string, unknown>)[name]),
  )
}

/** Whether AWS could know a customer by this. */
export function isWellFormed(name: { [Name in keyof CustomerName]?: CustomerName[Name] | undefined }): boolean {
  const { product, accountId, customerIdentifier, licenseArn } = name
  if (!matches(PRODUCT, product)) return false
  if (licenseArn !== undefined) {
    return customerIdentifier === undefined && matches(ACCOUNT_ID, accountId) && matches(LICENSE_ARN, licenseArn)
  }
  return customerIdentifier === undefined
    ? matches(ACCOUNT_ID, accountId)
    : accountId === undefined && matches(CUSTOMER_IDENTIFIER, customerIdentifier)
}

const matches = (pattern: RegExp, value: unknown): boolean => typeof value === 'string' && pattern.test(value)

/** The sources that hold where options leave them out. */
export function customerSources(options: UsageOptions): Record<string, AttributeSource> {
  const { productCode, product, customer } = options
  if (isTenant(customer)) return { ...customer }
  const said = defined((options.customer ?? {}) as BothCustomerAttributes)
  const licence = product === undefined ? {} : { licenseArn: LICENSE_ARN_ATTRIBUTE }
  if (productCode === undefined) return { accountId: ACCOUNT_ID_ATTRIBUTE, ...licence, ...said }
  // Whoever names one of the two means that one.
  const named = said.accountId !== undefined || said.customerIdentifier !== undefined
  const names = named ? {} : { accountId: ACCOUNT_ID_ATTRIBUTE, customerIdentifier: CUSTOMER_IDENTIFIER_ATTRIBUTE }
  return { ...names, ...licence, ...said }
}

/** The keys of points' attributes that customers are told by. */
export function customerKeys(options: UsageOptions): string[] {
  const named = Object.values(customerSources(options)).flatMap((source: AttributeSource) =>
    typeof source === 'string' ? source : 'attribute' in source ? source.attribute : [],
  )
  return [...named, LICENSE_ARN_ATTRIBUTE]
}

const isTenant = (customer: UsageOptions['customer']): customer is Tenant =>
  typeof customer === 'object' && 'tenant' in customer

const defined = (sources: BothCustomerAttributes): BothCustomerAttributes =>
  Object.fromEntries(Object.entries(sources).filter(([, source]) => source !== undefined))

function fromAttributes(options: UsageOptions): CustomerResolver {
  const sources = customerSources(options)
  const accountId = readerOf(sources.accountId)
  const customerIdentifier = readerOf(sources.customerIdentifier)
  // With a product code alone a licence is looked for as well: what has one is not to be billed by the code.
  const licenseArn = readerOf(sources.licenseArn ?? LICENSE_ARN_ATTRIBUTE)
  // What is no string is found malformed when it is checked.
  return (attributes, resource) =>
    ({
      accountId: accountId(attributes, resource),
      customerIdentifier: customerIdentifier(attributes, resource),
      licenseArn: licenseArn(attributes, resource),
    }) as CustomerIdentity
}

function readerOf(source: AttributeSource | undefined): Reader {
  if (source === undefined) return () => undefined
  if (typeof source === 'string') {
    return (attributes, resource) => attributeOf(attributes, source) ?? attributeOf(resource, source) ?? undefined
  }
  if ('attribute' in source) return attributes => attributeOf(attributes, source.attribute) ?? undefined
  if ('resource' in source) return (_, resource) => attributeOf(resource, source.resource) ?? undefined
  return () => source.value
}
