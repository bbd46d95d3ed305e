import type { UsageBatch } from '../../../src/ledger/ledger.ts'
import { untaggedAccount } from '../../../src/usage/tagged-account.ts'
import type { Customer } from '../customers.ts'
import { DIMENSIONS } from '../dimensions.ts'
import { seriesOf } from '../strategy.ts'
import type { Call } from '../traffic.ts'

/** Amounts by series. */
export type Amounts = Map<number, bigint>

export const add = (to: Amounts, series: number, amount: bigint): void => {
  to.set(series, (to.get(series) ?? 0n) + amount)
}

/** What the harness itself knows of usage, to hold against what the ledger says. */
export class UsageBooks {
  /** What the application counted. */
  readonly measured: Amounts = new Map()
  /** What the exporter said is safe. */
  readonly acknowledged: Amounts = new Map()
  /** What is durable: each batch once, by its key. */
  readonly durable: Amounts = new Map()
  readonly #keys = new Set<string>()
  readonly #seriesOfAccount = new Map<string, number>()

  constructor(customers: readonly Customer[]) {
    for (const customer of customers) this.#seriesOfAccount.set(customer.account.key, seriesOf(customer, 0))
  }

  measure({ customer, amounts }: Call): void {
    for (const [dimension, amount] of amounts.entries()) add(this.measured, seriesOf(customer, dimension), amount)
  }

  acknowledge(usage: Amounts): void {
    for (const [series, amount] of usage) add(this.acknowledged, series, amount)
  }

  write({ writer, sequence, entries }: UsageBatch): void {
    const key = `${writer} ${sequence}`
    if (this.#keys.has(key)) return
    this.#keys.add(key)
    for (const { account, dimension, amount } of entries) {
      add(this.durable, this.series(untaggedAccount(account).key, dimension), amount)
    }
  }

  series(accountKey: string, dimension: string): number {
    const first = this.#seriesOfAccount.get(accountKey)
    const place = (DIMENSIONS as readonly string[]).indexOf(dimension)
    if (first === undefined || place < 0) throw new Error(`The ledger knows a series of ${accountKey}: ${dimension}`)
    return first + place
  }
}
