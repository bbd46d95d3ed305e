import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { HOUR, MINUTE } from '../../src/ledger/hours.ts'
import type { Ledger, MeteringRecord, Outcome, RecordDecision, RecordEntry } from '../../src/ledger/ledger.ts'
import { UNDOABLE } from '../../src/ledger/rules/undo.ts'
import type { CustomerAccount } from '../../src/usage/account.ts'
import { sum } from './books.ts'
import {
  ALICE,
  BOB,
  BY,
  bounced,
  CONFLICT,
  closeOptions,
  closing,
  DORA,
  entry,
  GUARDED,
  hour,
  lost,
  METERED,
  NOBODY,
  NOT_SUBSCRIBED,
  REFUSED,
  REQUESTS,
  ROLLED_FORWARD,
  Scene,
  TOKENS,
  UNIT,
} from './scene.ts'
import { openSqlite } from './sqlite-under-test.ts'

const SEED = Number(process.env.LEDGER_SEED ?? 20_260_310)
const RUNS = Number(process.env.LEDGER_RUNS ?? 150)

const CUSTOMERS = [ALICE, BOB, DORA]
const SOLD = [REQUESTS, TOKENS, GUARDED]

/** What AWS has: for each customer, dimension and hour the first quantity that came. Its clock is always right. */
class PretendAws {
  /** By customer, dimension and hour. `amount` is what of our usage it stands for; none for somebody else's. */
  readonly taken = new Map<string, { quantity: number; amount: bigint; series: string }>()
  readonly unsubscribed = new Set<string>()

  meter({ account, dimension, quantity, timestamp }: MeteringRecord, size: bigint, now: number): Outcome {
    const at = Math.floor(timestamp / HOUR)
    if (timestamp > now || at * HOUR + 24 * HOUR <= now) return bounced(now + MINUTE)
    if (this.unsubscribed.has(account.key)) return NOT_SUBSCRIBED
    const series = `${account.key} ${dimension}`
    const first = this.taken.get(`${series} ${at}`)
    if (first !== undefined) return first.quantity === quantity ? METERED : CONFLICT
    this.taken.set(`${series} ${at}`, { quantity, amount: BigInt(quantity) * size, series })
    return METERED
  }

  /** Somebody else meters an hour of a customer's. */
  intrude(account: CustomerAccount, dimension: string, at: number): void {
    const series = `${account.key} ${dimension}`
    const key = `${series} ${at / HOUR}`
    if (!this.taken.has(key)) this.taken.set(key, { quantity: -1, amount: 0n, series })
  }

  billed(series: string): bigint {
    return sum([...this.taken.values()].filter(one => one.series === series).map(one => one.amount))
  }

  has(account: string, dimension: string, at: number): boolean {
    return (this.taken.get(`${account} ${dimension} ${at / HOUR}`)?.amount ?? 0n) > 0n
  }
}

/** A record on its way to AWS, or its answer on its way back. */
interface Flight {
  readonly record: MeteringRecord
  answer?: Outcome
}

/** A ledger in a world where time passes, answers are lost, clocks are wrong and persons do things. */
class World {
  readonly scene: Scene
  readonly aws = new PretendAws()
  #time = closing(0)
  #skew = 0
  #flights: Flight[] = []
  /** Sizes by record, since a dimension's may change. */
  readonly #sizes = new Map<string, bigint>()
  readonly ended = new Set<string>()
  /** The series that have more than hours can bill. */
  readonly #endless = new Set<string>()

  constructor(scene: Scene) {
    this.scene = scene
  }

  get #ledger(): Ledger {
    return this.scene.ledger
  }

  /** What the ledger's machine believes. */
  get #now(): number {
    return this.#time + this.#skew
  }

  async record(customer: number, dimension: number, amount: number, late: number): Promise<void> {
    const n = Math.max(0, Math.floor((this.#now - hour(0)) / HOUR) - late)
    const account = [...CUSTOMERS, NOBODY][customer % 4] ?? NOBODY
    const sold = SOLD[dimension % 3] ?? REQUESTS
    await this.scene.append([entry(account, sold, n, BigInt(amount) * (sold === TOKENS ? 997_001n * 1000n : 997_001n))])
  }

  /** 10^18 millionths and far more, which ledgers keep apart. */
  async recordMuch(customer: number, dimension: number, digits: number): Promise<void> {
    const n = Math.max(0, Math.floor((this.#now - hour(0)) / HOUR))
    const account = [...CUSTOMERS, NOBODY][customer % 4] ?? NOBODY
    const sold = SOLD[dimension % 3] ?? REQUESTS
    this.#endless.add(`${account.key} ${sold.name}`)
    await this.scene.append([entry(account, sold, n, 10n ** BigInt(digits) + 7n), entry(account, sold, n, 1)])
  }

  async pass(minutes: number): Promise<void> {
    this.#time += minutes * MINUTE
  }

  async jump(hours: number): Promise<void> {
    this.#skew = hours * HOUR
  }

  async close(): Promise<void> {
    await this.#ledger.closeHours({ ...closeOptions(this.#now), zeroQuantityRecords: this.#time % HOUR < 20 * MINUTE })
  }

  async expire(): Promise<void> {
    await this.#ledger.expire(this.#now)
  }

  async claim(limit: number): Promise<void> {
    for (const record of await this.scene.claim(this.#now, { limit })) {
      await this.#know(record)
      this.#flights.push({ record })
    }
  }

  /** Sends all that is due; each fate is that of a record. */
  async attempt(fates: readonly number[]): Promise<void> {
    const again = this.#now + 2 * MINUTE
    for (const [index, record] of (await this.scene.claim(this.#now)).entries()) {
      await this.#know(record)
      const fate = fates[index % fates.length] ?? 0
      if (fate < 2) {
        // Surely not taken; and it may be written down twice.
        for (let times = 0; times <= fate; times += 1) await this.#settle(record, bounced(again))
      } else if (fate === 2) await this.#settle(record, REFUSED)
      else if (fate === 3) await this.#settle(record, lost(again))
      else {
        const answer = this.aws.meter(record, this.#sizes.get(record.id) ?? 0n, this.#time)
        if (fate === 4) await this.#settle(record, lost(again))
        else if (fate === 5) this.#flights.push({ record, answer })
        else await this.#settle(record, answer)
      }
    }
    this.#time += 3 * MINUTE
  }

  async #know(record: MeteringRecord): Promise<void> {
    if (this.#sizes.has(record.id)) return
    for (const { id, size } of await this.#ledger.records({ limit: 100_000 })) this.#sizes.set(id, size)
  }

  /** Something becomes of the request that has been under way for a while. */
  async arrive(which: number, fate: number): Promise<void> {
    const flight = this.#flights[which % Math.max(this.#flights.length, 1)]
    if (flight === undefined || flight.answer !== undefined) return
    if (fate % 8 === 0) flight.answer = bounced(this.#now + MINUTE)
    else if (fate % 8 === 1) flight.answer = REFUSED
    else flight.answer = this.aws.meter(flight.record, this.#sizes.get(flight.record.id) ?? 0n, this.#time)
  }

  /** An answer comes, comes twice, or never; or the sender gives up before the request has even arrived. */
  async answer(which: number, fate: number): Promise<void> {
    const index = which % Math.max(this.#flights.length, 1)
    const flight = this.#flights[index]
    if (flight === undefined) return
    const { record } = flight
    const gaveUp = lost(this.#now + fate * MINUTE)
    if (flight.answer === undefined) return void (await this.#settle(record, gaveUp))
    if (fate % 5 === 0) await this.#settle(record, gaveUp)
    else {
      const answer = flight.answer.type === 'conflict' && fate % 2 === 0 ? ROLLED_FORWARD : flight.answer
      await this.#settle(record, answer)
      if (fate % 5 === 1) await this.#settle(record, answer)
      if (fate % 5 === 2) return
    }
    this.#flights.splice(index, 1)
  }

  async #settle(record: MeteringRecord, outcome: Outcome): Promise<void> {
    await this.scene.settle([record], outcome, this.#now)
  }

  async subscription(customer: number, subscribed: boolean): Promise<void> {
    const account = CUSTOMERS[customer % 3] ?? ALICE
    if (subscribed) this.aws.unsubscribed.delete(account.key)
    else this.aws.unsubscribed.add(account.key)
  }

  async intrude(customer: number, dimension: number, back: number): Promise<void> {
    const account = CUSTOMERS[customer % 3] ?? ALICE
    this.aws.intrude(account, SOLD[dimension % 3]?.name ?? '', Math.floor(this.#time / HOUR - back) * HOUR)
  }

  async finalize(customer: number, ago: number): Promise<void> {
    const account = CUSTOMERS[customer % 3] ?? ALICE
    this.ended.add(account.key)
    await this.#ledger.finalize(account, { ...closeOptions(this.#now), endedAt: this.#now - ago * MINUTE })
  }

  /** A person decides about something that is held, and knows the truth. */
  async judge(which: number): Promise<void> {
    const held = await this.#ledger.records({ state: 'held' })
    const record = held[which % Math.max(held.length, 1)]
    if (record === undefined || this.#isUnderWay(record)) return
    const { recordId, decision } = this.#judgement(record)
    await this.#ledger.decide(recordId, decision, { ...BY, now: this.#now })
  }

  /** A person decides about all that is held at once, and some of it is to be billed to nobody. */
  async judgeAll(writtenOff: number): Promise<void> {
    const held = (await this.#ledger.records({ state: 'held' })).filter(record => !this.#isUnderWay(record))
    const decisions = held.map((record, index): RecordDecision => {
      const { recordId, decision } = this.#judgement(record)
      return { recordId, decision: decision === 'release' && index % 4 === writtenOff ? 'write-off' : decision }
    })
    const results = await this.#ledger.decideAll(decisions, { ...BY, now: this.#now, group: 'a1' })
    assert.deepEqual(
      results.filter(({ error }) => error !== undefined),
      [],
    )
  }

  /** CloudTrail does not show a request that has not arrived. */
  #isUnderWay({ id }: RecordEntry): boolean {
    return this.#flights.some(flight => flight.record.id === id && flight.answer === undefined)
  }

  #judgement({ id: recordId, reason, account, dimension, hour }: RecordEntry): RecordDecision {
    if (reason === 'in-doubt') {
      return { recordId, decision: this.aws.has(account.key, dimension, hour) ? 'billed' : 'not-billed' }
    }
    if (reason === 'agreement-ended') this.ended.delete(account.key)
    return { recordId, decision: reason === 'conflict' ? 'not-billed' : 'release' }
  }

  /** A person takes back what was decided, once, if that is still possible. */
  async undo(which: number, several: boolean): Promise<void> {
    const all = await this.#ledger.audit({ actions: UNDOABLE, limit: 20 })
    const entries = several ? all.slice(which) : all.slice(which, which + 1)
    for (const entry of entries) {
      // What is given back is theirs again who had it.
      const theirs = [entry.account?.key, entry.detail?.replace(/; .*/, '')].map(key => `${key} ${entry.dimension}`)
      if (theirs.some(series => this.#endless.has(series))) for (const series of theirs) this.#endless.add(series)
    }
    for (const { error } of await this.#ledger.undo(entries, { ...BY, now: this.#now })) if (error) expected(error)
  }

  async attribute(dimension: number, customer: number): Promise<void> {
    const name = SOLD[dimension % 3]?.name ?? ''
    const account = CUSTOMERS[customer % 3] ?? ALICE
    if (this.#endless.has(`${NOBODY.key} ${name}`)) this.#endless.add(`${account.key} ${name}`)
    await this.#ledger.attribute(NOBODY.key, name, account, { ...BY, now: this.#now }).catch(expected)
  }

  async writeOff(customer: number, dimension: number): Promise<void> {
    const account = CUSTOMERS[customer % 3] ?? ALICE
    await this.#ledger.writeOff(account.key, SOLD[dimension % 3]?.name ?? '', { ...BY, now: this.#now }).catch(expected)
  }

  async resize(tokens: number): Promise<void> {
    await this.#ledger.register([{ ...TOKENS, size: BigInt(tokens) * UNIT }])
  }

  async reopen(): Promise<void> {
    await this.scene.reopen()
  }

  async prune(): Promise<void> {
    await this.#ledger.prune(this.#time - 48 * HOUR)
  }

  /** Never more billed than was recorded, and what the ledger has as metered is what AWS has, but for the doubts. */
  check(): void {
    const { lines, records } = this.scene.books.latest
    for (const { account, dimension, recorded, metered } of lines) {
      const series = `${account.key} ${dimension.name}`
      const billed = this.aws.billed(series)
      assert.ok(billed <= recorded, `${series}: billed ${billed} of ${recorded}`)
      const unsettled = records.filter(
        record =>
          `${record.account.key} ${record.dimension}` === series &&
          record.state !== 'metered' &&
          this.aws.has(account.key, dimension.name, record.hour),
      )
      for (const record of unsettled) {
        assert.ok(record.state !== 'returned', `${series}: what AWS billed was given back`)
        const doubted = record.state === 'held' ? record.reason === 'in-doubt' : record.inDoubt
        assert.ok(doubted, `${series}: AWS billed what is not in doubt`)
      }
      assert.equal(metered, billed - sum(unsettled.map(one => BigInt(one.quantity) * one.size)), `${series}: metered`)
    }
  }

  /** Faults stop, the clock is right, everybody is subscribed, and hours pass. */
  async calm(): Promise<void> {
    this.#skew = 0
    this.aws.unsubscribed.clear()
    this.scene.books.paused = true
    for (let hours = 0; hours < 54; hours += 1) {
      this.#time += HOUR
      await this.close()
      await this.expire()
      for (const record of await this.scene.claim(this.#now)) {
        await this.#know(record)
        await this.#settle(record, this.aws.meter(record, this.#sizes.get(record.id) ?? 0n, this.#time))
      }
    }
    this.scene.books.paused = false
    await this.scene.books.check(this.#ledger)
  }

  /**
   * Then all that is whole is billed, but for what is held in sight, and what may have been taken under a clock that
   * was ahead: it is sent again when its time has come.
   */
  checkCalm(): void {
    this.check()
    const { lines, records } = this.scene.books.latest
    for (const record of records.filter(record => record.state === 'pending')) {
      assert.ok(record.inDoubt && record.timestamp > this.#time, `record ${record.id} is pending`)
    }
    for (const { account, dimension, balance } of lines) {
      if (account.kind === 'unattributed') continue
      const series = `${account.key} ${dimension.name}`
      assert.ok(balance < dimension.size || this.#endless.has(series), `${series}: ${balance} was not billed`)
      assert.ok(balance >= 0n, `${series}: ${balance} is owed`)
    }
  }
}

function expected(error: { code?: string }): void {
  assert.match(error.code ?? '', /^ERR_LEDGER_(STATE|NOT_FOUND)$/)
}

type Step = [name: Exclude<keyof World, 'scene' | 'aws' | 'ended' | 'check' | 'calm' | 'checkCalm'>, ...given: never[]]

const natural = (max: number) => fc.integer({ min: 0, max })
const step = <Given extends unknown[]>(
  name: Step[0],
  weight: number,
  ...given: { [At in keyof Given]: fc.Arbitrary<Given[At]> }
) => ({
  arbitrary: fc.tuple(...(given as fc.Arbitrary<unknown>[])).map(values => [name, ...values] as Step),
  weight,
})

const steps = fc.array(
  fc.oneof(
    step(
      'record',
      12,
      natural(3),
      natural(2),
      natural(150).map(n => n + 1),
      natural(3),
    ),
    step(
      'recordMuch',
      1,
      natural(3),
      natural(2),
      natural(18).map(n => n + 18),
    ),
    step('pass', 8, natural(90)),
    step('pass', 1, natural(30 * 60)),
    step('jump', 2, fc.constantFrom(0, 0, 0, 1, 24, -24, 400, -3)),
    step('close', 8),
    step('expire', 4),
    step('attempt', 14, fc.array(natural(7), { minLength: 1, maxLength: 3 })),
    step(
      'claim',
      4,
      natural(4).map(n => n + 1),
    ),
    step('arrive', 6, natural(9), natural(30)),
    step('answer', 6, natural(9), natural(30)),
    step('subscription', 2, natural(2), fc.boolean()),
    step('intrude', 1, natural(2), natural(2), natural(3)),
    step('finalize', 1, natural(2), natural(90)),
    step('judge', 3, natural(9)),
    step('judgeAll', 1, natural(7)),
    step('undo', 2, natural(9), fc.boolean()),
    step('attribute', 1, natural(2), natural(2)),
    step('writeOff', 1, natural(2), natural(2)),
    step('resize', 1, fc.constantFrom(1, 500, 1000, 7000)),
    step('reopen', 1),
    step('prune', 1),
  ),
  { minLength: 10, maxLength: 80 },
)

test(`whatever happens, each unit is billed once or held in sight (LEDGER_SEED=${SEED})`, async () => {
  await fc.assert(
    fc.asyncProperty(steps, async script => {
      await using scene = await Scene.begin(openSqlite)
      const world = new World(scene)
      for (const [name, ...given] of script) {
        await (world[name] as (...given: never[]) => Promise<void>).apply(world, given)
        world.check()
      }
      await world.calm()
      world.checkCalm()
    }),
    { seed: SEED, numRuns: RUNS },
  )
})
