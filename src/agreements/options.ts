import * as v from 'valibot'
import { check, strictObject } from '../check.ts'
import { MINUTE } from '../ledger/hours.ts'
import type { Ledger, AgreementOptions as NoteOptions } from '../ledger/ledger.ts'
import { regionOption } from '../marketplace/region.ts'
import { CLOSE_DELAY, DEADLINE_MARGIN } from '../metering/options.ts'
import { PRODUCT } from '../usage/options.ts'

/** Which product's agreements are followed, and into which ledger. */
export interface AgreementsOptions {
  /** The one that the product's usage is metered from. It is left open. */
  ledger: Ledger
  /**
   * AWS's code of the product: what is told of others is not of this ledger. Customers without a licence are metered by
   * it.
   */
  productCode: string
  /** The label that customers with a licence are metered under: the exporter's, or the gateway's, `product`. */
  product?: string
  /** The region that usage is metered in, by default that of `AWS_REGION`; events come from us-east-1 whatever it is. */
  region?: string
  /**
   * How long usage may be on its way into the ledger, in milliseconds: so long after an end what is owed is frozen, where
   * a queue is followed. 5 minutes by default, as the exporter's; at most half an hour, since AWS takes it for one.
   */
  closeDelay?: number
  /** How long before AWS's window closes a record is no longer sent, in milliseconds. 5 minutes by default. */
  deadlineMargin?: number
  /** Milliseconds since the epoch. `Date.now` by default. */
  now?: () => number
}

export interface ParsedAgreementsOptions extends Readonly<Omit<Required<AgreementsOptions>, 'product'>> {
  readonly product: string | undefined
}

const LONGEST_DELAY = 30 * MINUTE

const product = v.pipe(v.string(), v.regex(PRODUCT, '1 to 255 of -a-zA-Z0-9/=:_.@'))

const schema = strictObject({
  ledger: v.custom<Ledger>(
    value => typeof (value as Partial<Ledger> | null)?.noteAgreement === 'function',
    'a ledger (await what is opened: await openLedger(…))',
  ),
  productCode: product,
  product: v.optional(product),
  region: regionOption,
  closeDelay: v.optional(
    v.pipe(
      v.number(),
      v.check(delay => delay >= 0 && delay <= LONGEST_DELAY, 'from 0 to 1800000 milliseconds'),
    ),
    CLOSE_DELAY,
  ),
  deadlineMargin: v.optional(v.pipe(v.number(), v.minValue(0, 'milliseconds from 0')), DEADLINE_MARGIN),
  now: v.optional(
    v.custom<() => number>(value => typeof value === 'function', 'a function'),
    () => Date.now,
  ),
})

/** @throws ConfigurationError naming each option that is wrong */
export function parseOptions(options: AgreementsOptions): ParsedAgreementsOptions {
  const { product, ...rest } = check(schema, options)
  return { ...rest, product }
}

/** What a ledger is told news with. */
export async function noteOptions(
  { ledger, region, closeDelay, deadlineMargin, now }: ParsedAgreementsOptions,
  by: { who: string; why?: string },
): Promise<NoteOptions> {
  return { now: await ledger.clock.now(now()), region, closeDelay, deadlineMargin, ...by }
}
