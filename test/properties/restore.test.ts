import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { HOUR, hourOf, MINUTE } from '../../src/ledger/hours.ts'
import type { Ledger, Outcome } from '../../src/ledger/ledger.ts'
import { RESTORED } from '../../src/ledger/rules/closing.ts'
import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import { outcomeOf, readAnswers, requestFor } from '../../src/metering/answers.ts'
import { fileSource } from '../../src/reconcile/event-files.ts'
import { decisionOf, type Finding, reconcile } from '../../src/reconcile/reconcile.ts'
import { MarketplaceSimulator } from '../../src/simulator/index.ts'
import { type Random, seeded } from '../../src/simulator/random.ts'
import { customerAccount } from '../../src/usage/account.ts'
import { TemporaryFolder } from '../ledger/sqlite-under-test.ts'
import { eventOf, LICENCE, METER, otherEvent } from '../reconcile/trail.ts'
import { RUNS, SEED } from './sequences.ts'

const UNIT = 1_000_000n
const START = Date.parse('2026-11-03T00:00:00Z')
const CUSTOMERS = [
  customerAccount({ product: 'prod', accountId: '111122223333' }),
  customerAccount({ product: 'prod', accountId: '444455556666' }),
  customerAccount({ product: 'mine', accountId: '444455556666', licenseArn: LICENCE }),
]
const BY = { who: 'a test', why: 'a test' }
const TOKENS = { name: 'tokens', unit: '{token}', baseUnit: '1' as const, size: UNIT }

/**
 * A ledger that is backed up, goes on for a while with all that can happen, is lost, and restored, perhaps twice. What is
 * used, and what AWS has billed, is known here.
 */
class World implements Disposable {
  readonly #folder = new TemporaryFolder()
  readonly #random: Random
  readonly simulator = new MarketplaceSimulator({ quota: null, clock: START, seed: 1 })
  readonly events: Record<string, unknown>[] = []
  /** By account, in millionths. */
  readonly used = new Map<string, bigint>()
  now = START
  ledger: SqliteLedger
  #files = 0
  #restored = false
  #writer = 0
  /** Whether AWS can be reached, and what it says of all. */
  #away = 0
  readonly wild: boolean
  readonly #onConflict: boolean

  constructor(seed: number) {
    this.#random = seeded(seed)
    this.wild = this.#random() < 0.7
    this.#onConflict = this.#random() < 0.5
    this.ledger = new SqliteLedger({ path: this.#path(), now: () => this.now })
    for (let n = -30; n < 260; n++) this.events.push(otherEvent(START + n * HOUR + 20 * MINUTE))
  }

  #path(): string {
    this.#files += 1
    return this.#folder.file(`ledger-${this.#files}.sqlite`)
  }

  below(number: number): number {
    return Math.floor(this.#random() * number)
  }

  likely(probability: number): boolean {
    return this.#random() < probability
  }

  async run(): Promise<void> {
    await this.ledger.register([TOKENS])
    await this.hours(2 + this.below(6))
    for (let restores = this.likely(0.3) ? 2 : 1; restores > 0; restores -= 1) {
      for (let n = this.below(4); n > 0; n -= 1) await this.use()
      const [backup, to] = [this.#path(), this.#path()]
      await this.ledger.backup(backup)
      await this.hours(this.below(this.likely(0.7) ? 3 : 30))
      await this.ledger.close()
      this.now += this.below(40) * MINUTE
      this.ledger = await SqliteLedger.restore({ from: backup, to, ...BY, now: this.now })
      this.#restored = true
      await this.ledger.close()
      this.ledger = new SqliteLedger({ path: to, now: () => this.now })
      await this.hours(this.below(4))
    }
    for (const hours of [1, 6, 12, 12, 40]) {
      this.now += hours * HOUR
      await this.turn()
    }
  }

  async hours(hours: number, used = true): Promise<void> {
    for (let n = 0; n < hours; n += 1) {
      if (used) await this.use()
      if (used && this.wild) await this.happen()
      this.now = hourOf(this.now) + HOUR + 6 * MINUTE
      await this.turn()
    }
  }

  /** Usage of this hour, or late, in whole units or halves. */
  async use(): Promise<void> {
    for (const account of CUSTOMERS) {
      if (this.likely(0.5)) continue
      const amount = (BigInt(1 + this.below(9)) * UNIT) / (this.likely(0.3) ? 2n : 1n)
      const hour = hourOf(this.now) - (this.likely(0.1) ? 2 * HOUR : 0)
      this.#writer += 1
      const writer = this.#writer.toString(16).padStart(32, '0')
      await this.ledger.append({ writer, sequence: 1, entries: [{ account, dimension: 'tokens', hour, amount }] })
      this.used.set(account.key, (this.used.get(account.key) ?? 0n) + amount)
    }
  }

  /** What a person or the way to AWS does now and then. */
  async happen(): Promise<void> {
    if (this.likely(0.03)) this.#away = this.below(40)
    const by = { ...BY, now: this.now }
    const [held] = await this.ledger.records({ state: 'held', limit: 1 })
    if (held !== undefined && this.likely(0.3)) {
      const { account, hour, quantity } = held
      const billed = this.simulator.billed().some(one => {
        const same = one.licenseArn === account.licenseArn && one.accountId === account.accountId
        return same && one.quantity === quantity && Date.parse(one.hour) === hour
      })
      if (held.reason === 'not-subscribed') await this.ledger.decide(held.id, 'release', by)
      // After a restore its own hour alone does not tell.
      if (held.reason === 'in-doubt' && !this.#restored)
        await this.ledger.decide(held.id, billed ? 'billed' : 'not-billed', by)
    }
    if (this.likely(0.03)) {
      const [, from, to] = CUSTOMERS
      await this.ledger.attribute(from?.key as string, 'tokens', to as never, by).catch(() => {})
    }
    if (this.likely(0.02)) await this.ledger.writeOff(CUSTOMERS[0]?.key as string, 'tokens', by).catch(() => {})
  }

  async turn(calm = !this.wild): Promise<void> {
    this.simulator.clock.set(this.now)
    await this.ledger.closeHours({
      ...{ now: this.now, region: 'us-east-1', closeDelay: 5 * MINUTE, deadlineMargin: 5 * MINUTE },
    })
    this.#away -= 1
    if (this.#away < 0) await this.#send(calm)
    await this.ledger.expire(this.now)
  }

  async #send(calm: boolean): Promise<void> {
    for (const lane of (await this.ledger.due(this.now)).lanes) {
      const claimed = { now: this.now, limit: 1 + this.below(4), claimedUntil: this.now + 10 * MINUTE }
      const records = await this.ledger.claim(lane, claimed)
      const product = lane.identity === 'product-code' ? { product: lane.product } : {}
      const call = { at: this.now, ...product }
      const named = records.map(record => ({ ...record, ...record.account }))
      const retry = (notTaken: boolean): Outcome => ({ type: 'retry', at: this.now + 30 * MINUTE, notTaken })
      const fate = calm ? 1 : this.#random()
      let outcomes = records.map(() => retry(false))
      if (fate < 0.08) {
        this.events.push(eventOf({ ...call, records: named.map(one => ({ ...one, said: 'CustomerNotSubscribed' })) }))
        outcomes = records.map(() => ({ type: 'not-subscribed' }))
      } else if (fate > 0.15) {
        const { answers } = readAnswers(records, this.simulator.batchMeterUsage(requestFor(lane, records)))
        this.events.push(
          eventOf({
            ...call,
            records: answers.map(answer => ({ ...answer.record.account, ...answer.record, ...answer })),
          }),
        )
        const terms = { retryAt: this.now + 30 * MINUTE, rollForward: this.#onConflict, repeated: false }
        if (fate > 0.3) outcomes = answers.map(answer => outcomeOf(answer, terms))
      }
      const settlements = records.map((record, at) => ({ record, outcome: outcomes[at] as Outcome, answer: '' }))
      await this.ledger.settle(settlements, this.now)
    }
  }

  /** What is left in the balances goes out. */
  async finish(): Promise<void> {
    for (let n = 0; n < 3; n += 1) {
      this.now = hourOf(this.now) + HOUR + 6 * MINUTE
      await this.turn(true)
    }
  }

  /** Some events are missing, and some hours. */
  trail(): Record<string, unknown>[] {
    const silent = START + this.below(60) * HOUR
    const loss = this.#random() * 0.4
    return this.events.filter(event => hourOf(Date.parse(event.eventTime as string)) !== silent && !this.likely(loss))
  }

  async figures(): Promise<Map<string, { billed: bigint; metered: bigint; used: bigint }>> {
    const lines = await this.ledger.statement()
    return new Map(
      CUSTOMERS.map(({ key, accountId, licenseArn }) => {
        const own = this.simulator.billed().filter(one => one.accountId === accountId && one.licenseArn === licenseArn)
        const billed = own.reduce((sum, { quantity }) => sum + BigInt(quantity), 0n) * UNIT
        const metered = lines.find(({ account }) => account.key === key)?.metered ?? 0n
        return [key, { billed, metered, used: this.used.get(key) ?? 0n }]
      }),
    )
  }

  [Symbol.dispose](): void {
    this.#folder[Symbol.dispose]()
  }
}

async function settle(
  ledger: Ledger,
  events: readonly object[],
  now: number,
  settleAbsent: boolean,
): Promise<Finding[]> {
  const findings: Finding[] = []
  const text = JSON.stringify({ Records: events })
  await reconcile(ledger, {
    events: [fileSource({ name: 'events', open: () => Readable.from([Buffer.from(text)]) })],
    callers: [METER],
    onFinding: async finding => {
      findings.push(finding)
      const decided = decisionOf(finding, { settle: true, settleAbsent, now })
      if (decided === undefined || finding.record === undefined) return
      await ledger.decide(finding.record.id, decided.decision, { ...BY, why: decided.why, now }, decided.quantity)
    },
  })
  return findings
}

const met = new Map<string, number>()
const meet = (what: string) => met.set(what, (met.get(what) ?? 0) + 1)

async function tryOne(seed: number): Promise<void> {
  using world = new World(seed)
  await world.run()
  const at = `PROPERTY_SEED=${seed}`
  // With events missing only what is proven is settled, and it is: what the ledger has as metered AWS has billed.
  const accountOf = (key: string) => (key === CUSTOMERS[0]?.key ? 'one' : 'two')
  const check = async () => {
    const all = new Map<string, { billed: bigint; metered: bigint; used: bigint }>()
    for (const [key, one] of await world.figures()) {
      const sum = all.get(accountOf(key)) ?? { billed: 0n, metered: 0n, used: 0n }
      all.set(accountOf(key), {
        ...{ billed: sum.billed + one.billed, metered: sum.metered + one.metered, used: sum.used + one.used },
      })
    }
    for (const [account, { billed, metered, used }] of all) {
      assert.ok(billed <= used, `${at}: ${account} has used ${used} and is billed ${billed}`)
      // Less than a unit for each customer and restore.
      assert.ok(metered < billed + 4n * UNIT, `${at}: ${account} has ${metered} as metered, and AWS ${billed}`)
    }
  }
  if (world.likely(0.5)) await settle(world.ledger, world.trail(), world.now, false)
  await check()
  const findings = await settle(world.ledger, world.events, world.now, true)
  await check()
  const left = (await world.ledger.records({ state: 'held' })).filter(({ region }) => region === RESTORED)
  for (const { verdict, restored, proof } of findings) {
    if (restored === undefined) continue
    const { rest } = restored
    meet(`${verdict}: ${proof?.decision ?? (rest === undefined ? 'open' : rest === 0 ? 'not-billed' : 'in part')}`)
  }
  // Usage of one licence may have gone to another of the same AWS account.
  if (!world.wild)
    assert.deepEqual(
      left.filter(({ account }) => account.key === CUSTOMERS[0]?.key),
      [],
      at,
    )
  meet(left.length === 0 ? 'all decided' : 'some left')
  await world.finish()
  await check()
  await world.ledger.close()
}

const WORLDS = Math.ceil(RUNS / 8)

test(`${WORLDS} ledgers are lost and restored: by what AWS billed since nothing is billed twice`, async () => {
  // Restored twice at the same time.
  await tryOne(89_503)
  for (let run = 0; run < WORLDS; run++) await tryOne(SEED + run)
  for (const kind of [
    'restored: billed',
    'restored: in part',
    'restored: not-billed',
    'restored: open',
    'absent: not-billed',
  ]) {
    assert.ok(met.has(kind), `${kind} of ${[...met.keys()].sort().join(', ')}`)
  }
})
