import { REQUESTS_METRIC } from '../../src/usage/instruments.ts'
import type { DimensionOptions } from '../../src/usage/options.ts'

/** What the month sells: one dimension by the piece, one by the thousand, one in hours, of which most are fractions. */
export const DIMENSIONS = ['inference-requests', 'tokens-1k', 'gpu-hours'] as const

/** What a millionth of the base unit (a request, a token, a second) costs, in millionths of a millionth of a dollar. */
export const PRICES: readonly bigint[] = [10_000n, 4n, 1_000n]
export const PER_DOLLAR = 1_000_000_000_000n

/** The dimension that contracts include requests by, as AWS names it. */
export const ENTITLEMENT = 'requests-committed'
/** What tokens are for. */
export const MODEL = 'model'

/** A million tokens in an hour look like a mistake until a person has looked at them. */
const MOST_TOKENS = 1_000_000

export function dimensionOptions(tokensPer: number): Record<string, DimensionOptions> {
  return {
    'inference-requests': {
      ...{ unit: '{request}', from: { metric: REQUESTS_METRIC } },
      included: { entitlement: ENTITLEMENT, per: 'term' },
    },
    'tokens-1k': {
      ...{ unit: '{token}', per: tokensPer, from: 'marketplace.tokens', maxQuantity: MOST_TOKENS / tokensPer },
      allocations: [MODEL],
    },
    'gpu-hours': { unit: 'h', from: 'marketplace.time' },
  }
}

/** The amount that a quantity of one stands for, in millionths of the base unit. */
export const sizes = (tokensPer: number): readonly bigint[] => [
  1_000_000n,
  BigInt(tokensPer) * 1_000_000n,
  3_600n * 1_000_000n,
]
