import { hash, randomBytes } from 'node:crypto'
import type { Agreement, Ledger } from '../../src/ledger/ledger.ts'
import { RecentMap } from '../../src/usage/recent-map.ts'
import { ApiError } from './api-error.ts'
import type { ApiCustomer, CustomerKeys } from './api-keys.ts'

export interface RegisteredKeysOptions {
  /** The registry of who registered: an agreement's tenant is the hash of its key. */
  readonly ledger: Pick<Ledger, 'agreements'>
  /** Keys that are listed by hand. */
  readonly listed: CustomerKeys
  /** What the ledger calls the product: its code, and the label of who comes with a licence. */
  readonly productCode: string
  readonly product?: string | undefined
  /** Whether AWS's events say when a licence is active. A key is good from its registration on where they do not. */
  readonly followsEvents: boolean
  /** Milliseconds since the epoch. */
  readonly now: () => number
}

/** For how long an answer of the ledger's holds, in milliseconds: of a key that is good, and of one that is refused. */
const HOLDS = 60_000
const HOLDS_REFUSED = 10_000
/** How many keys that this process has not seen before are looked up in a second: more than that are guesses. */
const MOST_NEW = 100
/** How many keys are remembered, at most twice over. */
const MOST_KNOWN = 50_000

const KEY = /^sk-[\w-]{43}$/

/** A new key, and what the ledger is told of it. */
export function newKey(): { key: string; tenant: string } {
  const key = `sk-${randomBytes(32).toString('base64url')}`
  return { key, tenant: tenantOf(key) }
}

/** 256 random bits need no salt. */
const tenantOf = (key: string): string => hash('sha256', key)

interface Known {
  readonly customer: ApiCustomer | ApiError
  readonly until: number
}

/** The keys of customers who registered, beside those that are listed by hand, in every process on the ledger. */
export class RegisteredKeys implements CustomerKeys {
  readonly #options: RegisteredKeysOptions
  readonly #known = new RecentMap<string, Known>(MOST_KNOWN)
  readonly #asked = new Map<string, Promise<Known | undefined>>()
  #second = 0
  #newInSecond = 0

  constructor(options: RegisteredKeysOptions) {
    this.#options = options
  }

  /** @throws ApiError where the key's subscription is over, or not active yet, or cannot be looked up now */
  async find(key: string): Promise<ApiCustomer | undefined> {
    const { listed, now } = this.#options
    const byHand = await listed.find(key)
    if (byHand !== undefined || !KEY.test(key)) return byHand
    const tenant = tenantOf(key)
    const known = this.#known.get(tenant)
    const time = now()
    // What holds for longer than it may is from a clock that was ahead.
    const holds = known !== undefined && known.until > time && known.until <= time + HOLDS
    const found = holds ? known : await this.#lookUp(tenant, known, time)
    if (found?.customer instanceof ApiError) throw found.customer
    return found?.customer
  }

  async #lookUp(tenant: string, before: Known | undefined, now: number): Promise<Known | undefined> {
    const asked = this.#asked.get(tenant) ?? this.#ask(tenant, before === undefined, now)
    this.#asked.set(tenant, asked)
    try {
      return await asked
    } catch (error) {
      // Who was let in goes on while the ledger cannot be read.
      if (before !== undefined && !(before.customer instanceof ApiError)) return before
      if (error instanceof ApiError) throw error
      throw new ApiError(503, 'API keys cannot be looked up right now. Try again.', {
        ...{ headers: { 'retry-after': '5' }, cause: error },
      })
    } finally {
      this.#asked.delete(tenant)
    }
  }

  async #ask(tenant: string, isNew: boolean, now: number): Promise<Known | undefined> {
    if (isNew) this.#limit(now)
    const customer = this.#customerOf(await this.#options.ledger.agreements({ tenant }))
    if (customer === undefined) {
      this.#known.delete(tenant)
      return undefined
    }
    const known = { customer, until: now + (customer instanceof ApiError ? HOLDS_REFUSED : HOLDS) }
    this.#known.set(tenant, known)
    return known
  }

  #limit(now: number): void {
    const second = Math.floor(now / 1000)
    if (second !== this.#second) this.#newInSecond = 0
    this.#second = second
    if (++this.#newInSecond > MOST_NEW) {
      throw new ApiError(429, 'Too many API keys are being looked up. Try again.', { headers: { 'retry-after': '1' } })
    }
  }

  /** A licence that is renewed may be another: the youngest that is good is billed. */
  #customerOf(agreements: readonly Agreement[]): ApiCustomer | ApiError | undefined {
    const { productCode, product } = this.#options
    const ours = agreements
      .filter(({ account }) => account.product === productCode || account.product === product)
      .toSorted((one, other) => (other.since ?? 0) - (one.since ?? 0))
    const best = ours.find(one => this.#isGood(one)) ?? ours.find(({ state }) => state !== 'ended') ?? ours[0]
    if (best === undefined) return undefined
    if (best.state === 'ended') return refused('Your subscription on AWS Marketplace has ended.', 'subscription_ended')
    return this.#isGood(best) ? customerOf(best) : refused(PENDING, 'subscription_pending')
  }

  /** Of customers without a licence AWS tells by SNS, which need not come to the queue. */
  #isGood({ state, account }: Agreement): boolean {
    const told = this.#options.followsEvents && account.licenseArn !== undefined
    return state === 'active' || (state === 'registered' && !told)
  }
}

const PENDING = 'AWS Marketplace has not told us yet that your subscription is active. Try again in a minute.'

const refused = (message: string, code: string) => new ApiError(403, message, { code })

function customerOf({ account }: Agreement): ApiCustomer {
  const { accountId, customerIdentifier, licenseArn } = account
  if (accountId === undefined) {
    return Object.freeze({
      name: `AWS customer ${customerIdentifier}`,
      customerIdentifier: customerIdentifier as string,
    })
  }
  return Object.freeze({ name: `AWS account ${accountId}`, accountId, ...(licenseArn !== undefined && { licenseArn }) })
}
