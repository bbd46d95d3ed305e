import { readFileSync } from 'node:fs'
import * as v from 'valibot'
import { check } from '../check.ts'
import { ConfigurationError } from '../errors.ts'
import type { Agreement } from '../ledger/ledger.ts'
import { PRICE, parseMoney } from '../text/money.ts'
import type { Account } from '../usage/account.ts'
import { PRODUCT } from '../usage/options.ts'

/** What a listing charges for one quantity of its dimensions. */
export class RateCard {
  /** Three letters, such as `USD`. */
  readonly currency: string
  readonly #productCode: string | undefined
  /** In hundred-millionths of the currency, by dimension. */
  readonly #prices: ReadonlyMap<string, bigint>

  constructor(currency: string, prices: ReadonlyMap<string, bigint>, productCode?: string) {
    this.currency = currency
    this.#prices = prices
    this.#productCode = productCode
  }

  /**
   * The price of a customer's dimension; none where the card has none, or is of another product, as far as its code is
   * known: another product's dimension may have the same name.
   *
   * @param agreement what is known of the customer's
   */
  priceOf(dimension: string, account: Account, agreement?: Agreement): bigint | undefined {
    if (account.kind === 'unattributed') return undefined
    const code = account.licenseArn === undefined ? account.product : agreement?.productCode
    if (this.#productCode !== undefined && code !== undefined && code !== this.#productCode) return undefined
    return this.#prices.get(dimension)
  }
}

const schema = v.object({
  product: v.optional(v.object({ productCode: v.optional(v.string()) })),
  pricing: v.object({
    currency: v.pipe(v.string(), v.regex(/^[A-Z]{3}$/, 'three letters, such as USD')),
    rateCard: v.pipe(
      v.array(
        v.object({
          dimension: v.pipe(v.string(), v.nonEmpty("a dimension's API name")),
          price: v.pipe(v.string('a price as a string'), v.regex(PRICE, 'a price such as "0.00002"')),
        }),
      ),
      v.check(
        rates => new Set(rates.map(({ dimension }) => dimension)).size === rates.length,
        'one price for each dimension',
      ),
    ),
  }),
})

/**
 * Reads a listing's rate card; its other members are ignored. A product code that is not filled in yet is none.
 *
 * @throws ConfigurationError that names the file
 */
export function readRateCard(path: string): RateCard {
  try {
    const { product, pricing } = check(schema, JSON.parse(readFileSync(path, 'utf8')))
    const code = product?.productCode
    return new RateCard(
      pricing.currency,
      new Map(pricing.rateCard.map(({ dimension, price }) => [dimension, parseMoney(price)])),
      code !== undefined && PRODUCT.test(code) ? code : undefined,
    )
  } catch (error) {
    const problem = error instanceof ConfigurationError ? error.problems.join('; ') : (error as Error).message
    throw new ConfigurationError(
      `Expected --rate-card to be a listing in JSON, with pricing.currency and pricing.rateCard, got ${path}: ${problem}`,
      { cause: error },
    )
  }
}
