import { randomBytes } from 'node:crypto'
import type { Account } from '../usage/account.ts'
import { hourOf } from './hours.ts'
import type { Ledger, UsageBatch, UsageEntry } from './ledger.ts'

type Waiting = { -readonly [Member in keyof UsageEntry]: UsageEntry[Member] }

/**
 * Brings usage into a ledger, each unit once, and keeps it while the ledger cannot take it. A batch whose outcome is
 * unknown is repeated verbatim under its own key; what comes meanwhile adds up behind it, one amount for each series
 * and month, so that memory is bounded by the number of series and not by the length of an outage.
 */
export class UsageWriter {
  readonly #ledger: Ledger
  readonly #writer = randomBytes(16).toString('hex')
  #sequence = 0
  #inDoubt: UsageBatch | undefined
  /** By month (usage is not to move to another bill), dimension and account. */
  #waiting = new Map<number, Map<string, Map<Account, Waiting>>>()
  #month = { start: Number.NaN, end: Number.NaN }
  #flushes: Promise<void> = Promise.resolve()

  constructor(ledger: Ledger) {
    this.#ledger = ledger
  }

  /** Adds usage measured at `time`. Nothing is durable before `flush` resolves. */
  add(account: Account, dimension: string, time: number, amount: bigint): void {
    if (!(time >= this.#month.start && time < this.#month.end)) this.#month = monthOf(time)
    const dimensions = getOrMake(this.#waiting, this.#month.start, () => new Map<string, Map<Account, Waiting>>())
    const accounts = getOrMake(dimensions, dimension, () => new Map<Account, Waiting>())
    const hour = hourOf(time)
    const waiting = accounts.get(account)
    if (waiting === undefined) {
      accounts.set(account, { account, dimension, hour, amount })
    } else {
      waiting.amount += amount
      waiting.hour = Math.max(waiting.hour, hour)
    }
  }

  /** Resolves when everything added before is durable. Rejects with the ledger's error; then it is all still here. */
  flush(): Promise<void> {
    const flush = this.#flushes.then(() => this.#flush())
    this.#flushes = flush.catch(() => {})
    return flush
  }

  /** What is not in the ledger yet, as far as this process knows. */
  unwritten(): UsageEntry[] {
    return [...(this.#inDoubt?.entries ?? []), ...this.#entries()]
  }

  async #flush(): Promise<void> {
    if (this.#inDoubt !== undefined) await this.#append(this.#inDoubt)
    const entries = this.#entries()
    if (entries.length === 0) return
    this.#waiting = new Map()
    this.#sequence += 1
    this.#inDoubt = { writer: this.#writer, sequence: this.#sequence, entries }
    await this.#append(this.#inDoubt)
  }

  async #append(batch: UsageBatch): Promise<void> {
    await this.#ledger.append(batch)
    this.#inDoubt = undefined
  }

  #entries(): UsageEntry[] {
    const entries: UsageEntry[] = []
    for (const dimensions of this.#waiting.values()) {
      for (const accounts of dimensions.values()) {
        for (const waiting of accounts.values()) entries.push(waiting)
      }
    }
    return entries
  }
}

function monthOf(time: number): { start: number; end: number } {
  const date = new Date(time)
  const [year, month] = [date.getUTCFullYear(), date.getUTCMonth()]
  return { start: Date.UTC(year, month), end: Date.UTC(year, month + 1) }
}

function getOrMake<Key, Value>(map: Map<Key, Value>, key: Key, make: () => Value): Value {
  let value = map.get(key)
  if (value === undefined) {
    value = make()
    map.set(key, value)
  }
  return value
}
