import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Ledger, RecordEntry } from '../../src/ledger/ledger.ts'
import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import type { BatchMeterUsageRequest, MeteringClient, UsageRecordResult } from '../../src/marketplace/client.ts'
import { type CycleEvent, MeteringCycle, type MeteringCycleOptions } from '../../src/metering/cycle.ts'
import { Pacer, type PacerClock } from '../../src/metering/pacer.ts'
import { MarketplaceSimulator, type SimulatorOptions, simulatorClient } from '../../src/simulator/index.ts'
import type { CustomerAccount } from '../../src/usage/account.ts'
import type { Dimension } from '../../src/usage/dimension.ts'

export const SECOND = 1000
export const MINUTE = 60 * SECOND
export const HOUR = 60 * MINUTE
/** Ten minutes into an hour in the middle of a month: the hour before is over and may be closed. */
export const NOW = Date.UTC(2026, 5, 10, 12, 10)
export const REGION = 'us-east-1'
export const PRODUCT = 'prod-inference'
export const REQUESTS: Dimension = { name: 'requests', unit: '{request}', baseUnit: '1', size: 1_000_000n }
/** Sold by the thousand, so that fractions stay in the balance. */
export const TOKENS: Dimension = { name: 'tokens', unit: '{token}', baseUnit: '1', size: 1_000_000_000n }

export const accountId = (number: number) => String(100_000_000_000 + number)

/** The customer of this number, under a product code. */
export function customer(number: number, product = PRODUCT): CustomerAccount {
  return { kind: 'customer', key: `${product},${accountId(number)}`, product, accountId: accountId(number) }
}

/** The same under the older identity. */
export function identified(number: number, product = PRODUCT): CustomerAccount {
  const customerIdentifier = `customer-${number}`
  return { kind: 'customer', key: `${product},customer=${customerIdentifier}`, product, customerIdentifier }
}

export const licenceArn = (number: number) =>
  `arn:aws:license-manager::123456789012:license:l-${String(number).padStart(32, '0')}`

/** The same under Concurrent Agreements. */
export function licensed(number: number, product = PRODUCT): CustomerAccount {
  const [account, licenseArn] = [accountId(number), licenceArn(number)]
  return { kind: 'customer', key: `${account},${licenseArn}`, product, accountId: account, licenseArn }
}

/** In so many turns of the event loop a ledger is done with what it gathers before it waits for the disk. */
const TURNS = 4

/** A clock that moves only when everything that could happen before has happened. */
export class VirtualClock implements PacerClock {
  #now = 0
  #sleepers: { at: number; wake: () => void }[] = []
  #ticking = false

  now(): number {
    return this.#now
  }

  sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.resolve()
    this.#tick()
    return new Promise(wake => {
      this.#sleepers.push({ at: this.#now + milliseconds, wake })
      signal?.addEventListener('abort', () => wake())
    })
  }

  #tick(): void {
    if (this.#ticking) return
    this.#ticking = true
    void turns(TURNS).then(() => {
      this.#ticking = false
      this.#sleepers.sort((a, b) => a.at - b.at)
      const next = this.#sleepers.shift()
      if (next === undefined) return
      this.#now = Math.max(this.#now, next.at)
      next.wake()
      this.#tick()
    })
  }
}

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await nextTurn()
}

type Send = MeteringClient['batchMeterUsage']

/** What was sent and when, before whatever `send` makes of it. */
export interface SentRequest {
  readonly at: number
  readonly region: string
  readonly request: BatchMeterUsageRequest
}

export interface BenchOptions {
  readonly simulator?: SimulatorOptions
  readonly cycle?: Partial<MeteringCycleOptions>
  /** Stands between the cycle and the simulator. */
  readonly send?: (send: Send) => Send
  /** Stands between the cycle and the ledger. */
  readonly wrap?: (ledger: SqliteLedger) => Ledger
  readonly now?: number
}

/** A ledger in a file, a simulator, and a metering cycle between them, on one clock. */
export class Bench {
  now: number
  readonly path: string
  ledger: SqliteLedger
  readonly simulator: MarketplaceSimulator
  readonly clock = new VirtualClock()
  readonly events: CycleEvent[] = []
  readonly sent: SentRequest[] = []
  cycle: MeteringCycle
  readonly #options: BenchOptions
  #batches = 0

  constructor(test: TestContext, options: BenchOptions = {}) {
    const folder = mkdtempSync(join(tmpdir(), 'metering-'))
    this.#options = options
    this.now = options.now ?? NOW
    this.path = join(folder, 'ledger.sqlite')
    this.ledger = new SqliteLedger({ path: this.path })
    this.simulator = new MarketplaceSimulator({ now: () => this.now, seed: 7, quota: null, ...options.simulator })
    this.cycle = this.newCycle()
    test.after(async () => {
      await this.ledger.close()
      rmSync(folder, { recursive: true })
    })
  }

  /** A cycle as another process would have it. */
  newCycle(options: Partial<MeteringCycleOptions> = {}): MeteringCycle {
    return new MeteringCycle({
      ledger: this.#options.wrap?.(this.ledger) ?? this.ledger,
      clientFor: region => this.client(region),
      now: () => this.now,
      pacer: new Pacer(10, this.clock),
      region: REGION,
      closeDelay: 5 * MINUTE,
      deadlineMargin: 5 * MINUTE,
      zeroQuantityRecords: false,
      onConflict: 'hold',
      onNotSubscribed: 'hold',
      dryRun: false,
      requestTimeout: 5000,
      concurrency: 4,
      retention: Number.POSITIVE_INFINITY,
      report: event => this.events.push(event),
      random: () => 0.5,
      ...this.#options.cycle,
      ...options,
    })
  }

  client(region: string): MeteringClient {
    const inner = simulatorClient(this.simulator, { region })
    const send: Send = (request, options) => inner.batchMeterUsage(request, options)
    const batchMeterUsage = this.#options.send?.(send) ?? send
    return {
      batchMeterUsage: (request, options) => {
        this.sent.push({ at: this.now, region, request: structuredClone(request) })
        return batchMeterUsage(request, options)
      },
    }
  }

  /** Records usage, in the hour before the present one unless said otherwise. */
  async use(
    accounts: CustomerAccount | readonly CustomerAccount[],
    quantity: number,
    { dimension = REQUESTS, hoursAgo = 1 }: { dimension?: Dimension; hoursAgo?: number } = {},
  ): Promise<void> {
    const hour = Math.floor(this.now / HOUR) * HOUR - hoursAgo * HOUR
    const amount = BigInt(Math.round(quantity * 1000)) * (dimension.size / 1000n)
    await this.ledger.register([REQUESTS, TOKENS])
    await this.ledger.append({
      writer: 'f'.repeat(32),
      sequence: ++this.#batches,
      entries: [accounts].flat().map(account => ({ account, dimension: dimension.name, hour, amount })),
    })
  }

  /** A pass, after which the books must agree with what was billed. */
  async pass(signal?: AbortSignal): Promise<void> {
    await this.cycle.pass(signal)
    await this.audit()
  }

  /** Passes after `wait` milliseconds each. */
  async passes(times: number, wait: number): Promise<void> {
    for (let pass = 0; pass < times; pass++) {
      this.now += wait
      await this.pass()
    }
  }

  records(): Promise<RecordEntry[]> {
    return this.ledger.records({ limit: 100_000 })
  }

  /** Each record's state and reason, and how often, such as `held refused`. */
  async states(): Promise<Record<string, number>> {
    const counts: Record<string, number> = {}
    for (const { state, reason } of await this.records()) {
      const name = reason === undefined || state === 'metered' ? state : `${state} ${reason}`
      counts[name] = (counts[name] ?? 0) + 1
    }
    return counts
  }

  /** The quantity that is billed, without that of other tools. */
  billed(): number {
    return this.simulator.billed().reduce((sum, { quantity, foreign }) => sum + (foreign ? 0 : quantity), 0)
  }

  /** Events of a type, in the order they came. */
  eventsOf<Type extends CycleEvent['type']>(type: Type): Extract<CycleEvent, { type: Type }>[] {
    return this.events.filter((event): event is Extract<CycleEvent, { type: Type }> => event.type === type)
  }

  /** What requests came to: `ok` or the fault. */
  faults(): string[] {
    return this.eventsOf('request').map(event => event.fault ?? 'ok')
  }

  /**
   * The promise: recorded = metered + pending + held + balance on every line, what is metered is billed, and what is
   * billed is metered or in sight as possibly billed.
   */
  async audit(): Promise<void> {
    const metered = new Map<string, bigint>()
    const byPlace = new Map<string, RecordEntry>()
    for (const record of await this.records()) {
      const { licenseArn, accountId, customerIdentifier, product } = record.account
      const owner = licenseArn === undefined ? [product, accountId ?? customerIdentifier] : [licenseArn]
      byPlace.set([record.region, ...owner, record.dimension, new Date(record.hour).toISOString()].join(), record)
      if (record.state !== 'metered') continue
      const line = `${record.account.key} ${record.dimension}`
      metered.set(line, (metered.get(line) ?? 0n) + BigInt(record.quantity) * record.size)
    }
    for (const line of await this.ledger.statement()) {
      assert.equal(line.recorded, line.metered + line.pending + line.held + line.balance, line.account.key)
      assert.equal(line.metered, metered.get(`${line.account.key} ${line.dimension.name}`) ?? 0n, line.account.key)
    }
    const billed = new Map<string, { quantity: number; foreign: boolean }>()
    for (const entry of this.simulator.billed()) {
      const { region, licenseArn, product, accountId, customerIdentifier, dimension, hour } = entry
      const owner = licenseArn === undefined ? [product, accountId ?? customerIdentifier] : [licenseArn]
      const place = [region, ...owner, dimension, hour].join()
      billed.set(place, entry)
      if (entry.foreign) continue
      const record = byPlace.get(place)
      assert.equal(record?.quantity, entry.quantity, `what is billed at ${place} was frozen`)
      assert.ok(record?.state === 'metered' || record?.inDoubt, `what is billed at ${place} is metered or in doubt`)
    }
    for (const [place, record] of byPlace) {
      if (record.state !== 'metered') continue
      assert.equal(billed.get(place)?.quantity, record.quantity, `what is metered at ${place} is billed`)
    }
  }

  /** That each unit recorded is billed, but for fractions of a unit. */
  async assertAllBilled(): Promise<void> {
    for (const line of await this.ledger.statement()) {
      assert.equal(line.pending + line.held, 0n, line.account.key)
      assert.ok(line.balance < line.dimension.size, line.account.key)
    }
    await this.audit()
  }
}

/** A client whose next answers are these; then the simulator's. */
export function answering(...answers: Send[]): (send: Send) => Send {
  return send => (request, options) => (answers.shift() ?? send)(request, options)
}

export const rejecting =
  (error: unknown): Send =>
  async () => {
    throw error
  }

/** An error as the AWS SDK makes it. */
export function awsError(name: string, members: object = {}): Error {
  return Object.assign(new Error(`said ${name}`), { name, ...members })
}

/** A whole answer of `Success`, for a test to spoil. */
export function successes(request: BatchMeterUsageRequest): { Results: UsageRecordResult[] } {
  return {
    Results: request.UsageRecords.map((UsageRecord, index) => ({
      UsageRecord,
      Status: 'Success',
      MeteringRecordId: `id-${index}`,
    })),
  }
}

/** The records of each request, as what would be on the wire. */
export const wired = (sent: readonly SentRequest[]) => sent.map(({ request }) => JSON.stringify(request))
