import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import * as v from 'valibot'
import { strictObject } from '../check.ts'
import type { Agreement, Customer } from './agreements.ts'
import type { Instant } from './clock.ts'
import { SimulatedServiceError, SimulatorConfigurationError } from './errors.ts'
import type { Undocumented } from './undocumented.ts'
import {
  accountId,
  customerIdentifier,
  dimension,
  instant,
  licenseArn,
  productCode,
  region,
  validated,
} from './validation.ts'
import type { ResolveCustomerResult, UsageRecord } from './wire.ts'

const TOKEN_LIFE = 4 * 3_600_000

/** A customer's names: at least one of them. */
interface Identity {
  accountId?: string | undefined
  /** The older identity; beside `accountId` it says that both are one customer. */
  customerIdentifier?: string | undefined
}

export interface ProductDeclaration {
  code: string
  /** The API names of its dimensions; any, if they are left out. */
  dimensions?: string[] | undefined
}

export interface SubscriptionDeclaration {
  product: string
  licenseArn?: string | undefined
  /** When it begins; it has always been, if left out. */
  from?: Instant | undefined
  /** When it ends. Usage of before is still taken for an hour after. */
  to?: Instant | undefined
}

export interface CustomerDeclaration extends Identity {
  /** Subscribed to everything, if they are left out. */
  subscriptions?: SubscriptionDeclaration[] | undefined
}

export interface TokenDeclaration extends Identity {
  /** Made up, if it is left out. */
  token?: string | undefined
  product: string
  licenseArn?: string | undefined
  /** It expires four hours later. Now, if left out. */
  createdAt?: Instant | undefined
}

export interface AgreementChange extends Identity {
  /** Every product, if it is left out. */
  product?: string | undefined
  licenseArn?: string | undefined
  /** Now, if it is left out. */
  at?: Instant | undefined
}

/** What exists: a catalogue file has this shape. What is not declared at all is accepted freely. */
export interface CatalogueDeclaration {
  products?: ProductDeclaration[] | undefined
  customers?: CustomerDeclaration[] | undefined
  tokens?: TokenDeclaration[] | undefined
  /** Regions that answer `DisabledApiException`. */
  disabledRegions?: string[] | undefined
}

const productSchema = strictObject({
  code: productCode,
  dimensions: v.optional(v.array(dimension)),
})

const identity = {
  accountId: v.optional(accountId),
  customerIdentifier: v.optional(customerIdentifier),
}

const someIdentity = <Named extends Identity>() =>
  v.check<Named, string>(
    value => value.accountId !== undefined || value.customerIdentifier !== undefined,
    'Expected accountId or customerIdentifier, or both',
  )

const subscriptionSchema = strictObject({
  product: productCode,
  licenseArn: v.optional(licenseArn),
  from: v.optional(instant),
  to: v.optional(instant),
})

const customerSchema = v.pipe(
  strictObject({ ...identity, subscriptions: v.optional(v.array(subscriptionSchema)) }),
  someIdentity(),
)

const tokenSchema = v.pipe(
  strictObject({
    token: v.optional(v.pipe(v.string(), v.minLength(1))),
    product: productCode,
    ...identity,
    licenseArn: v.optional(licenseArn),
    createdAt: v.optional(instant),
  }),
  someIdentity(),
)

const agreementSchema = v.pipe(
  strictObject({
    ...identity,
    product: v.optional(productCode),
    licenseArn: v.optional(licenseArn),
    at: v.optional(instant),
  }),
  someIdentity(),
)

const catalogueSchema = strictObject({
  products: v.optional(v.array(productSchema)),
  customers: v.optional(v.array(customerSchema)),
  tokens: v.optional(v.array(tokenSchema)),
  disabledRegions: v.optional(v.array(region)),
})

interface Token {
  answer: ResolveCustomerResult
  expiresAt: number
}

/**
 * Products, dimensions, customers, licences and registration tokens. As long as no product (customer, licence) is
 * declared, every product (customer, licence) is accepted; with the first that is declared, only those that are.
 */
export class Catalogue {
  readonly #now: () => number
  /** By code; a product without a set has any dimension. */
  readonly #products = new Map<string, Set<string> | undefined>()
  readonly #accounts = new Map<string, Customer>()
  readonly #identifiers = new Map<string, Customer>()
  readonly #licences = new Map<string, Agreement>()
  readonly #tokens = new Map<string, Token>()
  readonly #disabledRegions = new Set<string>()
  // A subscription that is only ended by hand must not make every other customer unknown.
  #customersDeclared = false
  #licencesDeclared = false

  /** @param now milliseconds since the epoch */
  constructor(now: () => number) {
    this.#now = now
  }

  /** @throws {SimulatorConfigurationError} and then part of it may be declared */
  declare(catalogue: CatalogueDeclaration, where = 'catalogue'): void {
    const {
      products = [],
      customers = [],
      tokens = [],
      disabledRegions = [],
    } = validated(catalogueSchema, catalogue, where)
    products.forEach((product, index) => {
      this.declareProduct(product, `${where}.products[${index}]`)
    })
    customers.forEach((customer, index) => {
      this.declareCustomer(customer, `${where}.customers[${index}]`)
    })
    tokens.forEach((token, index) => {
      this.createToken(token, `${where}.tokens[${index}]`)
    })
    for (const name of disabledRegions) this.disableRegion(name)
  }

  /** Declared again, a product has the new dimensions. */
  declareProduct(product: ProductDeclaration, where = 'product'): void {
    const { code, dimensions } = validated(productSchema, product, where)
    this.#products.set(code, dimensions && new Set(dimensions))
  }

  declareCustomer(customer: CustomerDeclaration, where = 'customer'): void {
    const { subscriptions, ...ids } = validated(customerSchema, customer, where)
    if (this.#find(ids) !== undefined) {
      throw new SimulatorConfigurationError(
        `${where}: Expected a new customer but received ${JSON.stringify(ids)} again`,
      )
    }
    const known = this.#add(ids, subscriptions === undefined)
    this.#customersDeclared = true
    subscriptions?.forEach(({ product, licenseArn, from, to }, index) => {
      const at = `${where}.subscriptions[${index}]`
      this.#expectProduct(product, `${at}.product`)
      if (licenseArn !== undefined) this.#licencesDeclared = true
      const agreement = this.#agreement(known, product, licenseArn, at)
      agreement.periods.push({ from: from ?? Number.NEGATIVE_INFINITY, to: to ?? Number.POSITIVE_INFINITY })
    })
  }

  /** The customer is subscribed from `at` on. A customer nobody declared is known from now on. */
  subscribe(change: AgreementChange): void {
    const { product, licenseArn, at = this.#now(), ...ids } = validated(agreementSchema, change, 'subscription')
    if (product !== undefined) this.#expectProduct(product, 'subscription.product')
    const customer = this.#find(ids) ?? this.#add(ids, !this.#customersDeclared)
    const { periods } = this.#agreement(customer, product, licenseArn, 'subscription')
    const last = periods.at(-1)
    if (last !== undefined && last.to > at) {
      throw new SimulatorConfigurationError('subscription: Expected one that has ended before but it is in force')
    }
    periods.push({ from: at, to: Number.POSITIVE_INFINITY })
  }

  /** The customer's subscriptions to the product (or the one licence) end at `at`; all of them, if neither is named. */
  unsubscribe(change: AgreementChange): void {
    const { product, licenseArn, at = this.#now(), ...ids } = validated(agreementSchema, change, 'subscription')
    const customer = this.#find(ids) ?? this.#add(ids, !this.#customersDeclared)
    const ending = customer.agreements.filter(
      agreement =>
        (product === undefined || agreement.product === product) &&
        (licenseArn === undefined || agreement.licenseArn === licenseArn),
    )
    // Who was accepted freely was subscribed until now.
    if (ending.length === 0) {
      const agreement = this.#agreement(customer, product, licenseArn, 'subscription')
      agreement.periods.push({ from: Number.NEGATIVE_INFINITY, to: at })
    }
    for (const { periods } of ending) {
      for (const period of periods) if (period.to > at) period.to = at
    }
  }

  /** A registration token, as a buyer's browser brings it. It can be resolved for four hours. */
  createToken(token: TokenDeclaration, where = 'token'): string {
    const declared = validated(tokenSchema, token, where)
    const name = declared.token ?? randomUUID()
    const customer = this.#find(declared)
    const account = declared.accountId ?? customer?.accountId
    const identifier = declared.customerIdentifier ?? customer?.customerIdentifier
    this.#expectProduct(declared.product, `${where}.product`)
    this.#tokens.set(name, {
      answer: {
        ProductCode: declared.product,
        ...(account !== undefined && { CustomerAWSAccountId: account }),
        // AWS leaves it out for products with Concurrent Agreements.
        ...(identifier !== undefined && declared.licenseArn === undefined && { CustomerIdentifier: identifier }),
        ...(declared.licenseArn !== undefined && { LicenseArn: declared.licenseArn }),
      },
      expiresAt: (declared.createdAt ?? this.#now()) + TOKEN_LIFE,
    })
    return name
  }

  disableRegion(name: string): void {
    this.#disabledRegions.add(validated(region, name, 'region'))
  }

  enableRegion(name: string): void {
    this.#disabledRegions.delete(name)
  }

  isDisabled(name: string): boolean {
    return this.#disabledRegions.has(name)
  }

  /** @throws {SimulatedServiceError} `InvalidTokenException` or `ExpiredTokenException` */
  resolve(token: string, licensedIdentifier: Undocumented['licensedIdentifier']): ResolveCustomerResult {
    const known = this.#tokens.get(token)
    if (known === undefined) throw new SimulatedServiceError('InvalidTokenException', 'Registration token is invalid')
    if (this.#now() >= known.expiresAt) {
      throw new SimulatedServiceError('ExpiredTokenException', 'The submitted registration token has expired')
    }
    if (known.answer.LicenseArn === undefined || licensedIdentifier === 'missing') return known.answer
    return { ...known.answer, CustomerIdentifier: licensedIdentifier === 'null' ? null : '' }
  }

  hasProduct(code: string): boolean {
    return this.#products.size === 0 || this.#products.has(code)
  }

  /** @param product nothing if it is not known, for a licence that nobody declared: then any product's dimension will do */
  hasDimension(product: string | undefined, name: string): boolean {
    if (this.#products.size === 0) return true
    if (product !== undefined) return this.#products.get(product)?.has(name) ?? true
    for (const dimensions of this.#products.values()) {
      if (dimensions === undefined || dimensions.has(name)) return true
    }
    return false
  }

  licence(arn: string): Agreement | undefined {
    return this.#licences.get(arn)
  }

  get licencesDeclared(): boolean {
    return this.#licencesDeclared
  }

  get customersDeclared(): boolean {
    return this.#customersDeclared
  }

  customer(record: UsageRecord): Customer | undefined {
    return record.CustomerAWSAccountId
      ? this.#accounts.get(record.CustomerAWSAccountId)
      : this.#identifiers.get(record.CustomerIdentifier ?? '')
  }

  #find(ids: Identity): Customer | undefined {
    const { accountId = '', customerIdentifier = '' } = ids
    return this.#accounts.get(accountId) ?? this.#identifiers.get(customerIdentifier)
  }

  #add({ accountId, customerIdentifier }: Identity, open: boolean): Customer {
    const customer: Customer = { accountId, customerIdentifier, open, agreements: [] }
    if (accountId !== undefined) this.#accounts.set(accountId, customer)
    if (customerIdentifier !== undefined) this.#identifiers.set(customerIdentifier, customer)
    return customer
  }

  /** The customer's agreement for exactly this; a new one without periods, if there is none. */
  #agreement(
    customer: Customer,
    product: string | undefined,
    licenseArn: string | undefined,
    where: string,
  ): Agreement {
    const known = customer.agreements.find(
      agreement => agreement.product === product && agreement.licenseArn === licenseArn,
    )
    if (known !== undefined) return known
    if (licenseArn !== undefined && this.#licences.has(licenseArn)) {
      throw new SimulatorConfigurationError(
        `${where}.licenseArn: Expected a licence of one customer and product but received ${licenseArn} again`,
      )
    }
    const agreement: Agreement = { product, licenseArn, customer, periods: [] }
    customer.agreements.push(agreement)
    if (licenseArn !== undefined) this.#licences.set(licenseArn, agreement)
    return agreement
  }

  #expectProduct(code: string, where: string): void {
    if (this.hasProduct(code)) return
    const known = [...this.#products.keys()].join(', ')
    throw new SimulatorConfigurationError(`${where}: Expected a declared product (${known}) but received ${code}`)
  }
}

/**
 * Reads a catalogue from a JSON file.
 *
 * @throws {SimulatorConfigurationError} if it cannot be read, is not JSON or is not a catalogue
 */
export function readCatalogue(path: string): CatalogueDeclaration {
  let content: unknown
  try {
    content = JSON.parse(readFileSync(path, 'utf8'))
  } catch (cause) {
    throw new SimulatorConfigurationError(`catalogue ${path}: Expected a JSON file but ${(cause as Error).message}`, {
      cause,
    })
  }
  return validated(catalogueSchema, content, `catalogue ${path}`)
}
