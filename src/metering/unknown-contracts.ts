import { hourOf } from '../ledger/hours.ts'
import type { IncludedDimension, Ledger } from '../ledger/ledger.ts'
import { unknownSince, waitsUntil } from '../ledger/rules/entitlements.ts'
import { printable } from '../text/printable.ts'
import { shortTime } from '../text/time.ts'
import { CLOSE_DELAY } from './options.ts'

/** Of which dimensions it is not known what contracts include, though an hour that needs it would be closed. */
export async function unknownContracts(ledger: Pick<Ledger, 'included'>, now: number): Promise<IncludedDimension[]> {
  // AWS is asked in the first minutes of an hour; who is a little late is not late.
  const over = hourOf(now - 2 * CLOSE_DELAY)
  return (await ledger.included()).filter(one => {
    const since = unknownSince(one, now)
    // What is to come was said by a clock that was ahead.
    return one.entitlement !== undefined && (since < over || since > now)
  })
}

/** In words, as a sentence without its end. */
export function unknownContractText(contract: IncludedDimension, now: number): string {
  const { product, dimension, unknown } = contract
  const end = waitsUntil(contract, now)
  const becomes = unknown.outcome === 'hold' ? 'held' : 'metered by what was known last'
  const when = end > now ? `, and from ${time(end)} on it is` : `; since ${time(end)} it is`
  return (
    `What contracts of ${printable(product)} include of ${printable(dimension)} is not known since ${time(unknownSince(contract, now))}: usage waits` +
    `${when} ${becomes}`
  )
}

const time = (at: number): string => shortTime(Math.floor(at / 1000) * 1000)
