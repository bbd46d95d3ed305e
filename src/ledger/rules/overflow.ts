import { type Dimension, MAX_QUANTITY } from '../../usage/dimension.ts'
import type { StatementLine } from '../ledger.ts'

/** A dimension whose customers have more in their balances than their next record takes. */
export interface Overflow {
  readonly dimension: Dimension
  /** How many such customers there are. */
  readonly customers: number
  /** In how many hours the balance of the one furthest behind is in records: more than one. */
  readonly hours: number
  /** That balance, in millionths of the base unit. */
  readonly amount: bigint
}

/** In how many hours a balance's whole units are in records: a series has one record an hour. */
export function hoursToFreeze(balance: bigint, { size }: Pick<Dimension, 'size'>): number {
  const most = BigInt(MAX_QUANTITY)
  const whole = balance > 0n ? balance / size : 0n
  return Number((whole + most - 1n) / most)
}

/** One for each dimension that has any, in the order of the lines. */
export function overflows(lines: readonly StatementLine[]): Overflow[] {
  const found = new Map<string, Overflow>()
  for (const { account, dimension, balance } of lines) {
    const hours = hoursToFreeze(balance, dimension)
    if (account.kind !== 'customer' || hours <= 1) continue
    const other = found.get(dimension.name)
    const worst = other !== undefined && other.amount > balance ? other : { hours, amount: balance }
    found.set(dimension.name, { ...worst, dimension, customers: (other?.customers ?? 0) + 1 })
  }
  return [...found.values()]
}
