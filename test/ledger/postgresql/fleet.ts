import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { MINUTE } from '../../../src/ledger/hours.ts'
import type { Ledger, MeteringRecord, Outcome } from '../../../src/ledger/ledger.ts'
import { sum } from '../books.ts'
import {
  ALICE,
  BOB,
  CAROL,
  CONFLICT,
  closeOptions,
  closing,
  DORA,
  entry,
  hour,
  METERED,
  REQUESTS,
  TOKENS,
} from '../scene.ts'

const CUSTOMERS = [ALICE, BOB, CAROL, DORA]
const STEPS = 40

/** Replicas that append, close and send through ledgers of their own, whatever becomes of the server meanwhile. */
export class Fleet {
  readonly #ledgers: readonly Ledger[]
  /** What was acknowledged, by series. */
  readonly #acknowledged = new Map<string, bigint>()
  /** What AWS has, by series and time: the first quantity that came. */
  readonly #billed = new Map<string, number>()
  #conflicts = 0
  #time = hour(0)

  constructor(ledgers: readonly Ledger[]) {
    this.#ledgers = ledgers
  }

  /** @param trouble what happens beside it, after every so many steps of all */
  async live(every: number, trouble: () => Promise<void>): Promise<void> {
    let steps = 0
    let troubles = Promise.resolve()
    const step = () => {
      steps += 1
      if (steps % every === 0) troubles = troubles.then(trouble)
    }
    await Promise.all(this.#ledgers.map(ledger => this.#replica(ledger, step)))
    await troubles
  }

  async #replica(ledger: Ledger, step: () => void): Promise<void> {
    const writer = randomBytes(16).toString('hex')
    for (let sequence = 1; sequence <= STEPS; sequence += 1) {
      this.#time += 5 * MINUTE
      const n = Math.floor((this.#time - hour(0)) / (60 * MINUTE))
      const entries = CUSTOMERS.flatMap(one => [entry(one, REQUESTS, n, sequence), entry(one, TOKENS, n, 730)])
      await ledger.append({ writer, sequence, entries })
      for (const { account, dimension, amount } of entries) {
        const series = `${account.key} ${dimension}`
        this.#acknowledged.set(series, (this.#acknowledged.get(series) ?? 0n) + amount)
      }
      step()
      if (sequence % 4 === 0) await this.#pass(ledger, this.#time)
    }
  }

  async #pass(ledger: Ledger, now: number): Promise<void> {
    await ledger.closeHours(closeOptions(now))
    await ledger.expire(now)
    for (const lane of (await ledger.due(now)).lanes) {
      const records = await ledger.claim(lane, { now, limit: 25, claimedUntil: now + MINUTE })
      await ledger.settle(
        records.map(record => ({ record, outcome: this.#meter(record), answer: '' })),
        now,
      )
    }
  }

  #meter({ account, dimension, timestamp, quantity }: MeteringRecord): Outcome {
    const key = `${account.key} ${dimension} ${timestamp}`
    const first = this.#billed.get(key) ?? quantity
    this.#billed.set(key, first)
    if (first === quantity) return METERED
    this.#conflicts += 1
    return CONFLICT
  }

  /** Lets the hours end, and checks that all that was acknowledged is billed, once. */
  async check(): Promise<void> {
    const [ledger] = this.#ledgers as [Ledger]
    const last = Math.ceil((this.#time - hour(0)) / (60 * MINUTE))
    for (let n = last; n < last + 2; n += 1) await this.#pass(ledger, closing(n))
    assert.equal(this.#conflicts, 0)
    const lines = await ledger.statement()
    assert.equal(lines.length, this.#acknowledged.size)
    for (const { account, dimension, recorded, metered, pending, held, balance } of lines) {
      const series = `${account.key} ${dimension.name}`
      assert.equal(recorded, this.#acknowledged.get(series), `what was recorded of ${series}`)
      assert.deepEqual([pending, held], [0n, 0n])
      assert.equal(recorded, metered + balance)
      assert.ok(balance >= 0n && balance < dimension.size, `${balance} of ${series} is left`)
      const billed = [...this.#billed]
        .filter(([key]) => key.startsWith(`${series} `))
        .map(([, quantity]) => BigInt(quantity))
      assert.equal(sum(billed) * dimension.size, metered, `what was billed of ${series}`)
    }
  }
}
