import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { HOUR, MINUTE, type Span } from '../../src/ledger/hours.ts'
import type {
  CloseOptions,
  CloseResult,
  Ledger,
  MeteringRecord,
  Observation,
  Outcome,
  RecordEntry,
  SettledRecord,
  UsageEntry,
} from '../../src/ledger/ledger.ts'
import {
  type Account,
  type CustomerAccount,
  customerAccount,
  type UnattributedAccount,
} from '../../src/usage/account.ts'
import { formatAmount } from '../../src/usage/amount.ts'
import type { Dimension } from '../../src/usage/dimension.ts'
import { taggedAccount } from '../../src/usage/tagged-account.ts'
import { audited, Books } from './books.ts'

/** Whom and what the tests of ledgers are about. */

export const UNIT = 1_000_000n
export const CLOSE_DELAY = 5 * MINUTE
export const MARGIN = 10 * MINUTE
/** A day in the middle of a month. */
export const START = Date.UTC(2026, 2, 10)
export const REGION = 'us-east-1'

/** The n-th hour of the tests. */
export const hour = (n: number): number => START + n * HOUR
/** When the n-th hour may be closed. */
export const closing = (n: number): number => hour(n + 1) + CLOSE_DELAY

export const REQUESTS: Dimension = { name: 'requests', unit: '{request}', baseUnit: '1', size: UNIT }
export const TOKENS: Dimension = { name: 'tokens', unit: '{token}', baseUnit: '1', size: 1000n * UNIT }
export const GPU: Dimension = { name: 'gpu', unit: 'h', baseUnit: 's', size: 3600n * UNIT }
export const GUARDED: Dimension = { name: 'guarded', unit: '{job}', baseUnit: '1', size: UNIT, maxQuantity: 100 }
export const DIMENSIONS = [REQUESTS, TOKENS, GPU, GUARDED]

const customer = (product: string, accountId: string, licenseArn?: string): CustomerAccount => ({
  ...{ kind: 'customer', key: [product, accountId, licenseArn].filter(Boolean).join(), product, accountId },
  ...(licenseArn !== undefined && { licenseArn }),
})
export const ALICE = customer('prod-1', '111111111111')
export const BOB = customer('prod-1', '222222222222')
export const CAROL = customer('prod-2', '333333333333')
export const DORA = customer('label', '444444444444', 'arn:aws:license-manager::555555555555:license:l-1')
export const ERIN: CustomerAccount = {
  ...{ kind: 'customer', key: 'prod-1,customer=erin', product: 'prod-1', customerIdentifier: 'erin' },
}
export const NOBODY: UnattributedAccount = {
  ...{ kind: 'unattributed', key: 'prod-1,no-customer', product: 'prod-1', reason: 'no-customer', evidence: '{}' },
}
/** The writer of a test's batches, where there is one. */
export const WRITER = '0123456789abcdef0123456789abcdef'
export const BY = { who: 'ops', why: 'a test', now: hour(5) }

/** A ledger of an engine, for one test. */
export interface LedgerUnderTest {
  readonly ledger: Ledger
  /** Whether it takes dozens of requests to read it. */
  readonly dear?: boolean
  /** Whether it is a server that is asked: its books are not checked after each call. */
  readonly remote?: boolean
  /** Closes it and opens it again. */
  reopen(): Promise<Ledger>
  /** The same ledger as a second process has it. */
  another(): Promise<Ledger>
  dispose(): Promise<void>
}

/**
 * @param open opens the same ledger each time
 * @param dispose of what is behind it, once all are closed
 */
export async function ledgerUnderTest(
  open: () => Promise<Ledger>,
  dispose: () => Promise<void> = async () => {},
): Promise<LedgerUnderTest> {
  let ledger = await open()
  const others: Ledger[] = []
  return {
    ledger,
    reopen: async () => {
      await ledger.close()
      ledger = await open()
      return ledger
    },
    another: async () => {
      const other = await open()
      others.push(other)
      return other
    },
    dispose: async () => {
      for (const one of [ledger, ...others]) await one.close()
      await dispose()
    },
  }
}

const SPANS: readonly Span[] = ['hour', 'day', 'month']
/** How many have ended. */
let scenes = 0

/** A ledger under test with its dimensions, its books, and what tests do with it again and again. */
export class Scene implements AsyncDisposable {
  readonly books = new Books()
  readonly #engine: LedgerUnderTest
  #ledger: Ledger
  readonly #writer = randomBytes(16).toString('hex')
  #sequence = 0

  private constructor(engine: LedgerUnderTest) {
    this.#engine = engine
    this.#ledger = audited(engine.ledger, this.books, engine.remote)
  }

  static async begin(open: () => Promise<LedgerUnderTest>): Promise<Scene> {
    const scene = new Scene(await open())
    await scene.ledger.register(DIMENSIONS)
    return scene
  }

  get ledger(): Ledger {
    return this.#ledger
  }

  /** Whether it takes dozens of requests to read the ledger. */
  get dear(): boolean {
    return this.#engine.dear === true
  }

  async another(): Promise<Ledger> {
    return audited(await this.#engine.another(), this.books, this.#engine.remote)
  }

  async reopen(): Promise<void> {
    this.#ledger = audited(await this.#engine.reopen(), this.books, this.#engine.remote)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.books.check(this.#ledger)
    scenes += 1
    // By turns; where it takes dozens of requests, of some scenes.
    if (!this.dear || scenes % 16 === 0) await this.books.checkSpans(this.#ledger, SPANS[scenes % 3] as Span)
    assert.deepEqual((await this.#ledger.verifyAudit()).breaks, [])
    await this.#engine.dispose()
  }

  /** Records usage of the n-th hour, in base units; a bigint is in millionths. */
  async use(account: Account, dimension: Dimension, n: number, amount: number | bigint): Promise<void> {
    await this.append([entry(account, dimension, n, amount)])
  }

  async append(entries: readonly UsageEntry[]): Promise<void> {
    this.#sequence += 1
    await this.ledger.append({ writer: this.#writer, sequence: this.#sequence, entries })
  }

  /** Appends points of others' counters, which are to add just this to usage, in base units. */
  async observe(
    points: readonly Observation[],
    ...adds: readonly (readonly [Account, Dimension, number])[]
  ): Promise<void> {
    for (const [account, { name }, amount] of adds) this.books.expect(account, name, BigInt(Math.round(amount * 1e6)))
    this.#sequence += 1
    await this.ledger.append({ writer: this.#writer, sequence: this.#sequence, entries: [], observations: points })
  }

  /** Closes what is over up to the n-th hour. */
  async close(n: number, options: Partial<CloseOptions> = {}): Promise<CloseResult> {
    return await this.ledger.closeHours({ ...closeOptions(closing(n)), ...options })
  }

  /** Claims all that is due. */
  async claim(now: number, { limit = 1000, claimedUntil = now + MINUTE } = {}): Promise<MeteringRecord[]> {
    const claimed: MeteringRecord[] = []
    for (const lane of (await this.ledger.due(now)).lanes) {
      claimed.push(...(await this.ledger.claim(lane, { now, limit, claimedUntil })))
    }
    return claimed
  }

  async settle(records: readonly MeteringRecord[], outcome: Outcome, now: number): Promise<SettledRecord[]> {
    return await this.ledger.settle(
      records.map(record => ({ record, outcome, answer: outcome.type })),
      now,
    )
  }

  /** Sends all that is due, and each gets the same answer. */
  async send(outcome: Outcome, now: number): Promise<SettledRecord[]> {
    return await this.settle(await this.claim(now), outcome, now)
  }

  /** `recorded = metered + pending + held + balance` of a series, in base units, with what is included before them. */
  async equation(account: Account, dimension: Dimension, from: Ledger = this.ledger): Promise<string> {
    const lines = await from.statement({ customer: account.key, dimension: dimension.name })
    const line = lines[0]
    if (line === undefined || lines.length > 1) return `${lines.length} lines`
    const [recorded, ...parts] = [line.recorded, line.metered, line.pending, line.held, line.balance].map(formatAmount)
    const included = line.included === 0n ? '' : `${formatAmount(line.included)} included + `
    return `${recorded} = ${included}${parts.join(' + ')}`
  }

  /** A series' records, the youngest first: `hour:quantity state reason`. */
  async history(account: Account, dimension: Dimension): Promise<string[]> {
    const records = await this.ledger.records({ customer: account.key, dimension: dimension.name })
    return records.map(({ hour, quantity, state, reason }) =>
      `${(hour - START) / HOUR}:${quantity} ${state} ${reason ?? ''}`.trim(),
    )
  }

  /** The only record in a state. */
  async only(state: RecordEntry['state']): Promise<RecordEntry> {
    const [record, ...others] = await this.ledger.records({ state })
    if (record === undefined || others.length > 0) throw new Error(`expected one ${state} record`)
    return record
  }
}

export function entry(account: Account, dimension: Dimension, n: number, amount: number | bigint): UsageEntry {
  const exact = typeof amount === 'bigint' ? amount : BigInt(Math.round(amount * 1e6))
  return { account, dimension: dimension.name, hour: hour(n), amount: exact }
}

/** Usage of so many customers in the first hour, a unit for each of so many sets of tags. */
export function taggedEntries(customers: number, tagSets: number): UsageEntry[] {
  return Array.from({ length: customers }, (_, n) =>
    customerAccount({ product: ALICE.product, accountId: String(n).padStart(12, '0') }),
  ).flatMap(one =>
    Array.from({ length: tagSets }, (_, n) => entry(taggedAccount(one, [['key', `k${n}`]]), REQUESTS, 0, 1)),
  )
}

export function closeOptions(now: number): CloseOptions {
  return { now, region: REGION, closeDelay: CLOSE_DELAY, deadlineMargin: MARGIN }
}

/** To close hours with: usage of customers that are not subscribed is kept for when they are back. */
export const ROLL_FORWARD = { onNotSubscribed: 'roll-forward' } as const

export const METERED: Outcome = { type: 'metered', meteringRecordId: 'id-1' }
export const NOT_SUBSCRIBED: Outcome = { type: 'not-subscribed' }
export const REFUSED: Outcome = { type: 'refused' }
export const CONFLICT: Outcome = { type: 'conflict', rollForward: false }
export const ROLLED_FORWARD: Outcome = { type: 'conflict', rollForward: true }
/** Nobody knows whether it was taken. */
export const lost = (at: number): Outcome => ({ type: 'retry', at, notTaken: false })
/** It surely was not. */
export const bounced = (at: number): Outcome => ({ type: 'retry', at, notTaken: true })

/** Tells ledgers of counters of ALICE's requests, minutes after the first hour began, as one writer. */
export function observing(writer: string) {
  let sequence = 0
  return async (ledger: Ledger, minute: number, value: number, kind: 'cumulative' | 'delta') => {
    sequence += 1
    const time = hour(0) + minute * MINUTE
    const counter = kind === 'delta' ? 'de'.repeat(16) : 'c0'.repeat(16)
    const point: Observation = {
      ...{ counter, kind, account: ALICE, dimension: REQUESTS.name },
      ...{ start: hour(0) * 1000 + 1, time: time * 1000, receivedAt: time, value: BigInt(value) * UNIT },
    }
    await ledger.append({ writer, sequence, entries: [], observations: [point] })
  }
}

/** What a gateway registers that meters each dimension by one metric, here without a name. */
export const sources = (product: string, now: number) => ({
  ...{ product, now },
  metrics: DIMENSIONS.map(({ name }) => ({ dimension: name, metric: '' })),
})

/** Sends two records of each lane that has any due, and each is metered. Returns how many it has sent. */
export async function sendSome(ledger: Ledger, now: number): Promise<number> {
  let sent = 0
  for (const lane of (await ledger.due(now)).lanes) {
    const records = await ledger.claim(lane, { now, limit: 2, claimedUntil: now + MINUTE })
    sent += records.length
    await ledger.settle(
      records.map(record => ({ record, outcome: METERED, answer: 'Success' })),
      now,
    )
  }
  return sent
}
