import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Agreement, Customer, Period } from './agreements.ts'
import type { Series } from './book.ts'
import {
  amendmentSchema,
  catalogueSchema,
  changeSchema,
  customerSchema,
  endSchema,
  productSchema,
  renewalSchema,
  startSchema,
  suspensionSchema,
  tokenSchema,
} from './declaration-schemas.ts'
import type {
  AgreementChange,
  Amendment,
  CatalogueDeclaration,
  CustomerDeclaration,
  Identity,
  ProductDeclaration,
  Renewal,
  SubscriptionEnd,
  SubscriptionStart,
  Suspension,
  TokenDeclaration,
} from './declarations.ts'
import { Entitlements } from './entitlements.ts'
import { SimulatedServiceError, SimulatorConfigurationError } from './errors.ts'
import type { AgreementEvents } from './events.ts'
import type { Undocumented } from './undocumented.ts'
import { region, validated } from './validation.ts'
import type { EntitlementValue, ResolveCustomerResult, UsageRecord } from './wire.ts'

const TOKEN_LIFE = 4 * 3_600_000

interface Token {
  answer: ResolveCustomerResult
  expiresAt: number
}

/** An entitlement that is declared, with its time in milliseconds. */
interface Entitled {
  dimension: string
  value: EntitlementValue
  expiresAt: number
}

/**
 * Products, dimensions, customers, licences, entitlements and registration tokens. As long as no product (customer, licence) is
 * declared, every product (customer, licence) is accepted; with the first that is declared, only those that are.
 */
export class Catalogue {
  /**
   * What contracts include.
   *
   * @internal
   */
  readonly entitlements = new Entitlements()
  readonly #now: () => number
  readonly #events: AgreementEvents
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
  constructor(now: () => number, events: AgreementEvents) {
    this.#now = now
    this.#events = events
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
    subscriptions?.forEach(({ product, licenseArn, from, to, entitlements }, index) => {
      const at = `${where}.subscriptions[${index}]`
      this.#expectProduct(product, `${at}.product`)
      if (licenseArn !== undefined) this.#licencesDeclared = true
      const agreement = this.#agreement(known, product, licenseArn, at)
      const period = this.#period(agreement, from, to)
      this.#begin(agreement, period, entitlements)
      if (to !== undefined) this.#events.ends(agreement, period, 'EXPIRED')
    })
  }

  /** The customer is subscribed from `at` on. A customer nobody declared is known from now on. */
  subscribe(change: SubscriptionStart): void {
    const declared = validated(startSchema, change, 'subscription')
    const { product, licenseArn, at = this.#now(), pending, entitlements, ...ids } = declared
    if (product !== undefined) this.#expectProduct(product, 'subscription.product')
    const customer = this.#find(ids) ?? this.#add(ids, !this.#customersDeclared)
    const agreement = this.#agreement(customer, product, licenseArn, 'subscription')
    const last = agreement.periods.at(-1)
    if (last !== undefined && last.to > at) {
      throw new SimulatorConfigurationError('subscription: Expected one that has ended before but it is in force')
    }
    const period = this.#period(agreement, at, undefined)
    if (pending) period.activeAt = Number.POSITIVE_INFINITY
    this.#begin(agreement, period, entitlements)
  }

  /** From `at` on AWS takes usage of the customer's subscriptions that are pending, since they began. */
  activate(change: AgreementChange): void {
    const { at = this.#now(), ...named } = validated(changeSchema, change, 'subscription')
    const pending = this.#matching(named).flatMap(agreement =>
      agreement.periods
        .filter(({ activeAt }) => activeAt === Number.POSITIVE_INFINITY)
        .map(period => [agreement, period] as const),
    )
    if (pending.length === 0) {
      throw new SimulatorConfigurationError('subscription: Expected one that is pending but there is none')
    }
    for (const [agreement, period] of pending) {
      period.activeAt = at
      this.#events.activated(agreement, period)
    }
  }

  /** The terms of the customer's subscriptions are others from `at` on. Nothing of it changes what AWS takes. */
  amend(amendment: Amendment): void {
    const { at = this.#now(), entitlements, ...named } = validated(amendmentSchema, amendment, 'subscription')
    const amended = this.#inForce(named, at)
    if (entitlements.length > 0 && amended.length > 1) {
      throw new SimulatorConfigurationError(
        `subscription: Expected one to entitle but ${amended.length} are in force: name product and licenseArn`,
      )
    }
    for (const [agreement, period] of amended) {
      this.#entitle(agreement, period, at, entitlements)
      this.#events.amended(agreement, period, at)
    }
  }

  /** Another agreement goes on where the one of this licence ends. */
  renew(renewal: Renewal): void {
    const { at = this.#now(), renewedAs, entitlements, ...named } = validated(renewalSchema, renewal, 'renewal')
    for (const [agreement, period] of this.#inForce(named, at)) {
      const { agreementId } = period
      if (renewedAs === undefined || renewedAs === named.licenseArn) {
        period.agreementId = this.#events.newAgreementId()
        period.to = Number.POSITIVE_INFINITY
        this.#entitle(agreement, period, at, entitlements)
        this.#events.renewed(agreement, period, agreementId, at)
        continue
      }
      const next = this.#agreement(agreement.customer, agreement.product, renewedAs, 'renewal')
      this.#begin(next, this.#period(next, at, undefined), entitlements, agreementId)
      period.to = at
      this.#events.ends(agreement, period, 'RENEWED')
    }
  }

  /** AWS takes nothing of the customer from `at` on, until it lets it go on. */
  suspend(suspension: Suspension): void {
    const { at = this.#now(), ...ids } = validated(suspensionSchema, suspension, 'suspension')
    const customer = this.#find(ids) ?? this.#add(ids, !this.#customersDeclared)
    customer.suspended = { from: at, to: Number.POSITIVE_INFINITY }
    this.#advise(customer, 'Issued', at)
  }

  resume(suspension: Suspension): void {
    const { at = this.#now(), ...ids } = validated(suspensionSchema, suspension, 'suspension')
    const customer = this.#find(ids)
    if (customer?.suspended === undefined || customer.suspended.to <= at) {
      throw new SimulatorConfigurationError('suspension: Expected a customer that is suspended')
    }
    customer.suspended.to = at
    this.#advise(customer, 'Resolved', at)
  }

  /** The customer's subscriptions to the product (or the one licence) end at `at`; all of them, if neither is named. */
  unsubscribe(change: SubscriptionEnd): void {
    const { at = this.#now(), status = 'CANCELLED', ...named } = validated(endSchema, change, 'subscription')
    const { product, licenseArn, ...ids } = named
    const customer = this.#find(ids) ?? this.#add(ids, !this.#customersDeclared)
    const ending = this.#matching(named)
    // Who was accepted freely was subscribed until now.
    if (ending.length === 0) {
      const agreement = this.#agreement(customer, product, licenseArn, 'subscription')
      this.#events.ends(agreement, this.#period(agreement, undefined, at), status)
    }
    for (const agreement of ending) {
      for (const period of agreement.periods) {
        if (period.to <= at) continue
        period.to = at
        this.#events.ends(agreement, period, status)
      }
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

  /** AWS's id of the agreement that usage of a time is under, if it is one that was declared. */
  agreementId({ accountId, customerIdentifier, product, licenseArn }: Series, at: number): string | undefined {
    const agreements =
      licenseArn === undefined
        ? this.#matching({ accountId, customerIdentifier, product }).filter(agreement => !agreement.licenseArn)
        : [this.#licences.get(licenseArn)]
    const periods = agreements.flatMap(agreement => agreement?.periods ?? [])
    // Timestamps are whole seconds, so the second in which an agreement began belongs to it.
    return periods.findLast(({ from, to }) => from < at + 1000 && at <= to)?.agreementId
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
    const customer: Customer = { accountId, customerIdentifier, open, suspended: undefined, agreements: [] }
    if (accountId !== undefined) this.#accounts.set(accountId, customer)
    if (customerIdentifier !== undefined) this.#identifiers.set(customerIdentifier, customer)
    return customer
  }

  /** The customer's agreements with this product and licence, where they are named. */
  #matching({ product, licenseArn, ...ids }: Omit<AgreementChange, 'at'>): Agreement[] {
    const { agreements = [] } = this.#find(ids) ?? {}
    return agreements.filter(
      agreement =>
        (product === undefined || agreement.product === product) &&
        (licenseArn === undefined || agreement.licenseArn === licenseArn),
    )
  }

  /** Those of them that are in force at a time, each with its period. */
  #inForce(named: Omit<AgreementChange, 'at'>, at: number): [Agreement, Period][] {
    const found = this.#matching(named).flatMap(agreement =>
      agreement.periods
        .filter(({ from, to }) => from <= at && at < to)
        .map((period): [Agreement, Period] => [agreement, period]),
    )
    if (found.length === 0) {
      throw new SimulatorConfigurationError('subscription: Expected one that is in force but there is none')
    }
    return found
  }

  #advise(customer: Customer, advice: 'Issued' | 'Resolved', at: number): void {
    for (const agreement of customer.agreements) {
      for (const period of agreement.periods) {
        if (period.from <= at && at < period.to) this.#events.advised(agreement, period, advice, at)
      }
    }
  }

  #begin(agreement: Agreement, period: Period, entitlements: readonly Entitled[], previousAgreementId?: string): void {
    this.#entitle(agreement, period, period.from, entitlements)
    this.#events.begins(agreement, period, previousAgreementId)
  }

  #entitle(agreement: Agreement, period: Period, since: number, entitlements: readonly Entitled[]): void {
    if (entitlements.length > 0 && agreement.product === undefined) {
      throw new SimulatorConfigurationError('entitlements: Expected a subscription to one product but it is to every')
    }
    for (const { dimension, ...terms } of entitlements) {
      this.entitlements.entitle(agreement, period, dimension, { since, ...terms })
    }
  }

  #period(agreement: Agreement, from = Number.NEGATIVE_INFINITY, to = Number.POSITIVE_INFINITY): Period {
    const agreementId = this.#events.newAgreementId()
    const period: Period = { from, to, activeAt: Number.NEGATIVE_INFINITY, agreementId, entitlements: new Map() }
    agreement.periods.push(period)
    return period
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
