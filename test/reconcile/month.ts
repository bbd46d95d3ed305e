import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { HOUR, hourOf, MINUTE, SECOND } from '../../src/ledger/hours.ts'
import type { RecordEntry } from '../../src/ledger/ledger.ts'
import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import type { MeteringClient } from '../../src/marketplace/client.ts'
import { MeteringCycle } from '../../src/metering/cycle.ts'
import { Pacer } from '../../src/metering/pacer.ts'
import type { Caller } from '../../src/simulator/caller.ts'
import { type BilledRecord, type Fault, MarketplaceSimulator } from '../../src/simulator/index.ts'
import { type Answer, resultOf } from '../../src/simulator/marketplace.ts'
import { type Random, seeded, shuffled } from '../../src/simulator/random.ts'
import { UNDOCUMENTED, type Undocumented } from '../../src/simulator/undocumented.ts'
import { type CustomerAccount, customerAccount } from '../../src/usage/account.ts'
import { Crash, Life, mortalClient, mortalLedger } from '../chaos/ours/life.ts'
import { LICENCE, lookupOutput, METER, otherEvent, SELLER } from './trail.ts'

const MILLION = 1_000_000n
export const START = Date.parse('2026-11-03T00:00:00Z')
const HOURS = 14
const REGIONS = ['us-east-1', 'eu-west-1'] as const
const BUYER = { accountId: '011122223333' }
const LICENCES = [LICENCE, LICENCE.replace('l-00', 'l-f0')]
/** By product code, by the older identifier, and two licences of one account. */
const CUSTOMERS = [
  customerAccount({ product: 'prod', ...BUYER }),
  customerAccount({ product: 'prod', customerIdentifier: 'bolt' }),
  ...LICENCES.map(licenseArn => customerAccount({ product: 'mine', accountId: '444455556666', licenseArn })),
]
const SOLD = ['requests', 'tokens'].map(name => ({ name, unit: '{unit}', baseUnit: '1' as const, size: MILLION }))

const FAULTS: readonly Fault[] = [
  ...(['throttling', 'internal-error', 'internal-error-after', 'reset', 'html-after', 'access-denied'] as const),
  ...(['reset-after', 'reset-after', 'truncated', 'unprocessed', 'missing', 'shuffled'] as const),
].map(kind => ({ kind, rate: 0.08 }))

export const session = (role: string, name: string) => `arn:aws:sts::${SELLER}:assumed-role/${role}/${name}`

/** A ledger with its processes: who calls AWS, by access key. */
class Meter {
  readonly keys: readonly string[]
  /** AWS's ids of its requests. */
  readonly requests = new Set<string>()
  /** When AWS was called. */
  readonly calledAt = new Set<number>()
  readonly repeats: boolean
  ledger: SqliteLedger
  sequence = 0
  writer: string

  constructor(ledger: SqliteLedger, keys: readonly string[], repeats: boolean) {
    this.ledger = ledger
    this.keys = keys
    this.repeats = repeats
    this.writer = (keys[0] as string).charCodeAt(0).toString(16).padStart(32, '0')
  }
}

/**
 * Some hours of a ledger and of a simulator of AWS: its processes die, AWS fails before and after it takes records,
 * answers are lost, agreements end, buyers are suspended. Somebody else meters, perhaps a second ledger, with the same
 * credentials or others; the ledger is lost and made of a backup; or its client repeats calls by itself.
 */
export class Month {
  readonly simulator: MarketplaceSimulator
  readonly main: Meter
  /** A second ledger of the same customers, and with whose credentials. */
  readonly second: Meter | undefined
  readonly secondHas: 'its own role' | 'the same role' | 'the same session'
  /** As they are named to reconcile. */
  readonly callers: readonly string[]
  /** What became, in the lost ledger, of the records that its backup has; and when it was lost. */
  readonly lost = new Map<string, RecordEntry['state']>()
  restoredAt = Number.NEGATIVE_INFINITY
  now = START
  readonly #random: Random
  readonly #folder: string
  readonly #others: Record<string, unknown>[] = []
  readonly #restores: boolean
  readonly #zeros: boolean
  readonly #intruded: boolean
  readonly #ended = new Map<string, number>()

  constructor(seed: number) {
    this.#random = seeded(seed)
    const undocumented = Object.fromEntries(
      Object.entries(UNDOCUMENTED).map(([question, answers]) => [question, this.#one(answers as readonly string[])]),
    ) as Undocumented
    this.simulator = new MarketplaceSimulator({
      ...{
        now: () => this.now,
        quota: null,
        seed,
        logSize: 0,
        undocumented: { ...undocumented, unknownDimension: 'Success' },
      },
      faults: this.#chance(0.9) ? FAULTS.map(fault => ({ ...fault })) : [],
      cloudTrail: {
        accountId: SELLER,
        identities: {
          ...{ A1: { role: 'meter', session: 'm1' }, A2: { role: 'meter', session: 'm2' } },
          ...{ C1: { role: 'meter', session: 'm3' }, D1: { role: 'meter', session: 'm1' } },
          ...{ E1: { role: 'another', session: 'm1' } },
        },
      },
      catalogue: {
        products: ['prod', 'mine'].map(code => ({ code, dimensions: SOLD.map(({ name }) => name) })),
        customers: [
          { ...BUYER, subscriptions: [{ product: 'prod' }] },
          { customerIdentifier: 'bolt', subscriptions: [{ product: 'prod' }] },
          {
            accountId: '444455556666',
            subscriptions: LICENCES.map(licenseArn => ({ product: 'mine', licenseArn })),
          },
        ],
      },
    })
    this.#restores = this.#chance(0.25)
    this.#zeros = this.#chance(0.3)
    this.#intruded = this.#chance(0.6)
    this.#folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'reconciled-'))
    const path = this.#restores ? join(this.#folder, 'ledger.sqlite') : ':memory:'
    this.main = new Meter(new SqliteLedger({ path }), ['A1', 'A2'], this.#chance(0.2))
    this.secondHas = this.#one(['its own role', 'the same role', 'the same session'] as const)
    const key = { 'its own role': 'E1', 'the same role': 'C1', 'the same session': 'D1' }[this.secondHas]
    if (this.#chance(0.4)) this.second = new Meter(new SqliteLedger({ path: ':memory:' }), [key], this.#chance(0.2))
    this.callers = this.#chance(0.7) ? [METER] : [session('meter', 'm1'), session('meter', 'm2')]
  }

  #chance(share: number): boolean {
    return this.#random() < share
  }

  #below(number: number): number {
    return Math.floor(this.#random() * number)
  }

  #one<One>(things: readonly One[]): One {
    return things[this.#below(things.length)] as One
  }

  get meters(): Meter[] {
    return this.second === undefined ? [this.main] : [this.main, this.second]
  }

  async run(): Promise<void> {
    for (const { ledger } of this.meters) {
      await ledger.register(SOLD)
      for (const account of CUSTOMERS.slice(2)) {
        await ledger.noteAgreement(account, { what: 'active', at: START - HOUR }, this.#closing('us-east-1'))
      }
    }
    // Other services are called before and after, too, so that all of it is covered.
    for (let n = -26; n < HOURS + 90; n++)
      for (const region of REGIONS) this.#others.push(otherEvent(START + n * HOUR + 20 * MINUTE, region))
    const moved = this.#chance(0.3) ? this.#below(HOURS) : HOURS
    const [backup, lost] = [2 + this.#below(HOURS - 6), HOURS - 2 - this.#below(3)]
    const [ends, suspended] = [this.#below(2 * HOURS), this.#below(2 * HOURS)]
    for (let n = 0; n < HOURS + 28; n++) {
      const hour = START + n * HOUR
      const region = REGIONS[n < moved ? 0 : 1] as string
      if (this.#restores && n === backup) {
        await this.main.ledger.backup(join(this.#folder, 'backup.sqlite'))
        for (const id of (await this.records()).keys()) this.lost.set(id, 'pending')
      }
      if (n < HOURS) for (const meter of this.meters) await this.#use(meter, hour)
      if (n === ends) await this.#end(this.#one(CUSTOMERS.slice(2)), hour + 20 * MINUTE, region)
      if (n === suspended) this.simulator.catalogue.suspend(BUYER)
      if (n === suspended + 3) this.simulator.catalogue.resume(BUYER)
      for (const minute of n < HOURS + 4 ? [6, 25, 45] : [6]) {
        this.now = Math.max(this.now + 1, hour + HOUR + minute * MINUTE)
        if (this.#intruded && this.#chance(0.15)) this.#intrude(hour, region)
        for (const meter of shuffled(this.meters, this.#random)) await this.#pass(meter, region)
      }
      if (this.#restores && n === lost) await this.#lose()
    }
    this.now += 60 * HOUR
    this.simulator.faults.clear()
  }

  #closing(region: string) {
    const { now } = this
    return { now, region, closeDelay: 5 * MINUTE, deadlineMargin: 5 * MINUTE, zeroQuantityRecords: this.#zeros }
  }

  async #use(meter: Meter, hour: number): Promise<void> {
    const entries = CUSTOMERS.flatMap(account =>
      SOLD.filter(() => this.#chance(0.5) && hour < (this.#ended.get(account.key) ?? hour + 1)).map(({ name }) => ({
        // Small quantities, so that two often send the same.
        ...{ account, dimension: name, hour, amount: BigInt(1 + this.#below(3)) * MILLION },
      })),
    )
    if (entries.length === 0) return
    await meter.ledger.append({ writer: meter.writer, sequence: ++meter.sequence, entries })
  }

  /** An agreement ends, and whoever meters hears of it; what it owes is stamped inside it. */
  async #end(account: CustomerAccount, at: number, region: string): Promise<void> {
    const { kind: _, key, ...agreement } = account
    this.now = Math.max(this.now + 1, at + this.#below(50) * MINUTE)
    this.#ended.set(key, at)
    this.simulator.catalogue.unsubscribe({ ...agreement, at })
    for (const { ledger } of this.meters)
      await ledger.noteAgreement(account, { what: 'ended', at }, this.#closing(region))
  }

  /** One of a ledger's processes does what is due, or dies of it. */
  async #pass(meter: Meter, region: string): Promise<void> {
    const life = new Life()
    const accessKeyId = this.#one(meter.keys)
    if (this.#chance(0.25)) life.endAfter(1 + this.#below(20))
    const cycle = new MeteringCycle({
      ledger: mortalLedger(
        meter.ledger,
        life,
        () => undefined,
        () => {},
      ),
      ...{ now: () => this.now, random: this.#random, region, closeDelay: 5 * MINUTE, deadlineMargin: 5 * MINUTE },
      clientFor: one => mortalClient(this.#client(meter, accessKeyId, one), life, () => 0),
      ...{ pacer: new Pacer(Number.POSITIVE_INFINITY), zeroQuantityRecords: this.#zeros, dryRun: false },
      ...{ onConflict: 'hold', onNotSubscribed: 'hold', requestTimeout: 10_000, concurrency: 1 },
      ...{ retention: Number.POSITIVE_INFINITY, report: () => {} },
    })
    try {
      await cycle.pass()
    } catch (error) {
      if (!life.over && !(error instanceof Crash)) throw error
    }
  }

  #client(meter: Meter, accessKeyId: string, region: string): MeteringClient {
    const caller: Caller = { region, accessKeyId, sourceIPAddress: `192.0.2.${accessKeyId.charCodeAt(0)}` }
    return {
      batchMeterUsage: async request => {
        for (let attempts = 1; ; attempts++) {
          // Each call has an instant of its own, by which AWS's book tells whose it was.
          this.now++
          meter.calledAt.add(this.now)
          const answer = this.simulator.answer('BatchMeterUsage', request as never, caller)
          meter.requests.add(answer.requestId)
          if (meter.repeats && attempts < 3 && mayPass(answer)) continue
          const $metadata = { attempts, httpStatusCode: 200, requestId: answer.requestId }
          try {
            return { ...resultOf(answer), $metadata } as never
          } catch (error) {
            throw Object.assign(error as Error, { $metadata: { ...$metadata, httpStatusCode: 500 } })
          }
        }
      },
    }
  }

  /** Somebody else meters an hour, before or after this ledger, with its quantity perhaps. */
  #intrude(hour: number, region: string): void {
    const account = this.#one(CUSTOMERS)
    const { product, accountId, customerIdentifier, licenseArn } = account
    this.now++
    const record = {
      ...{ Timestamp: new Date(hour + HOUR - SECOND), Dimension: this.#one(SOLD).name, Quantity: 1 + this.#below(3) },
      ...(accountId !== undefined && { CustomerAWSAccountId: accountId }),
      ...(customerIdentifier !== undefined && { CustomerIdentifier: customerIdentifier }),
      ...(licenseArn !== undefined && { LicenseArn: licenseArn }),
    }
    const request = { ...(licenseArn === undefined && { ProductCode: product }), UsageRecords: [record] }
    try {
      this.simulator.meterForeign(request, region)
    } catch {
      // The licence is over.
    }
  }

  /** The ledger is lost, and made of its backup. */
  async #lose(): Promise<void> {
    // A person has settled what the backup may have as pending: it goes out with another hour.
    for (const { id, state, reason } of (await this.records()).values()) {
      if (state !== 'held' || reason !== 'conflict') continue
      await this.main.ledger.decide(id, 'not-billed', { who: 'a test', why: 'it was other usage', now: this.now })
    }
    for (const [id, { state }] of await this.records()) if (this.lost.has(id)) this.lost.set(id, state)
    await this.main.ledger.close()
    const to = join(this.#folder, 'restored.sqlite')
    const from = join(this.#folder, 'backup.sqlite')
    this.restoredAt = this.now
    this.main.ledger = await SqliteLedger.restore({ from, to, who: 'a test', why: 'it was lost', now: this.now })
    this.main.writer = 'f'.repeat(32)
    this.main.sequence = 0
  }

  /** All events that there are, of other services too. */
  events(): Record<string, unknown>[] {
    return [...this.#others, ...(this.simulator.cloudTrail.events() as never)]
  }

  whole(): Buffer[] {
    return [Buffer.from(JSON.stringify({ Records: this.events() }))]
  }

  /** What is found of the events: not all of them, some twice, some without members, in no order, in files that are cut. */
  partial(): Buffer[] {
    const silent = new Set(Array.from({ length: this.#below(4) }, () => START + this.#below(HOURS + 8) * HOUR))
    const [loss, leftOut] = [this.#random() ** 2, this.#random() * 0.3]
    const found = this.events().flatMap(event => {
      if (silent.has(hourOf(Date.parse(event.eventTime as string))) || this.#chance(loss)) return []
      const copy = { ...event }
      if (this.#chance(leftOut)) copy.requestParameters = null
      if (this.#chance(leftOut)) copy.responseElements = null
      return this.#chance(0.1) ? [copy, copy] : [copy]
    })
    const events = shuffled(found, this.#random)
    const [one, two] = [this.#below(events.length + 1), this.#below(events.length + 1)].sort((a, b) => a - b)
    const parts = [events.slice(0, one), events.slice(one, two), events.slice(two)] as const
    const files = [
      Buffer.from(lookupOutput(parts[0])),
      Buffer.concat([gzipSync(JSON.stringify({ Records: parts[1] })), gzipSync(JSON.stringify({ Records: [] }))]),
      Buffer.from(parts[2].map(event => JSON.stringify(event)).join('\n')),
    ]
    return files.map(file => (this.#chance(0.1) ? file.subarray(0, this.#below(file.length)) : file))
  }

  async records(): Promise<Map<string, RecordEntry>> {
    const records = await this.main.ledger.records({ limit: Number.MAX_SAFE_INTEGER })
    return new Map(records.map(record => [record.id, record]))
  }

  /** What AWS has billed, by place. */
  billed(): Map<string, BilledRecord> {
    return new Map(
      this.simulator.billed().map(entry => {
        const { product = '', ...named } = entry
        return [placeOf(customerAccount({ ...named, product }), entry, Date.parse(entry.hour)), entry]
      }),
    )
  }

  async close(): Promise<void> {
    for (const { ledger } of this.meters) await ledger.close()
    rmSync(this.#folder, { recursive: true })
  }
}

export const placeOf = (
  { key }: CustomerAccount,
  { region, dimension }: { region: string; dimension: string },
  hour: number,
) => `${key} ${region} ${dimension} ${hour}`

/** Whether the AWS SDK's own settings would try again. */
function mayPass(answer: Answer): boolean {
  if (answer.type === 'result' || answer.type === 'empty') return false
  return answer.type !== 'error' || answer.error.$fault === 'server' || answer.error.name === 'ThrottlingException'
}
