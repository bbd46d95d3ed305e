import type { Random } from '../../../examples/inference-server/random.ts'
import { SqliteLedger } from '../../../src/ledger/sqlite/ledger.ts'
import type { MeteringClient } from '../../../src/marketplace/client.ts'
import type { EntitlementClient } from '../../../src/marketplace/entitlement-client.ts'
import { Contracts } from '../../../src/metering/contracts.ts'
import { MeteringCycle } from '../../../src/metering/cycle.ts'
import { Pacer } from '../../../src/metering/pacer.ts'
import { UsageMapper } from '../../../src/usage/mapper.ts'
import { type Customer, usageOptions } from '../customers.ts'
import type { Plan } from '../plan.ts'
import { HOUR, MINUTE, type VirtualClock } from '../time.ts'
import type { Call } from '../traffic.ts'
import type { UsageBooks } from './books.ts'
import { Crash, type LedgerFault, Life, mortalClient, mortalEntitlements, mortalLedger } from './life.ts'
import { DirectMeter, type Meter, SdkMeter } from './meter.ts'

/** What a process needs of the world around it. */
export interface World {
  readonly plan: Plan
  readonly path: string
  readonly clock: VirtualClock
  readonly books: UsageBooks
  readonly random: Random
  /** How AWS is reached now. */
  readonly client: (region: string) => MeteringClient
  readonly entitlements: EntitlementClient
}

/** One process of the application, which dies and comes back. Its ledger's file is what stays. */
export class Replica {
  /** How far its clock is off. */
  skew = 0
  crashes = 0
  readonly #world: World
  #life = new Life()
  #ledgerFails = false
  #ledger!: SqliteLedger
  #meter!: Meter
  #cycle!: MeteringCycle

  constructor(world: World) {
    this.#world = world
  }

  readonly #now = (): number => this.#world.clock.now() + this.skew

  async start(): Promise<void> {
    const { plan, path, clock, books, random, client, entitlements } = this.#world
    const life = new Life()
    this.#life = life
    this.#ledger = new SqliteLedger({ path })
    const time = clock.now()
    const tokensPer = plan.tokensPerAt(time)
    const fault: LedgerFault = () => (this.#ledgerFails ? (random() < 0.5 ? 'before' : 'after') : undefined)
    const ledger = mortalLedger(this.#ledger, life, fault, batch => books.write(batch))
    const { dimensions, included } = new UsageMapper(usageOptions('prod-by-code', [], tokensPer))
    await ledger.register(dimensions)
    const sampled = time >= plan.sample.from && time < plan.sample.to
    const now = this.#now
    this.#meter = sampled
      ? new SdkMeter({ ledger, now, books, customers: plan.customers, tokensPer })
      : new DirectMeter(ledger, now, books)
    const contracts = new Contracts({
      ...{ ledger, now, random, included, dimensions, closeDelay: 5 * MINUTE, requestTimeout: 10_000 },
      usage: { productCode: 'prod-by-code', product: 'prod-by-licence' },
      entitlements: { productCode: 'prod-by-licence', unknown: { after: 6 * HOUR, outcome: 'hold' } },
      client: mortalEntitlements(entitlements, life),
      report: () => {},
    })
    this.#cycle = new MeteringCycle({
      contracts,
      ...{ ledger, now, random, region: plan.regionAt(time), closeDelay: 5 * MINUTE, deadlineMargin: 5 * MINUTE },
      clientFor: region => mortalClient(client(region), life, () => this.skew),
      pacer: new Pacer(10, clock),
      ...{
        zeroQuantityRecords: false,
        onConflict: 'hold',
        onNotSubscribed: 'hold',
        dryRun: false,
        requestTimeout: 10_000,
        concurrency: 4,
      },
      retention: Number.POSITIVE_INFINITY,
      report: () => {},
    })
  }

  record(call: Call): void {
    this.#world.books.measure(call)
    this.#meter.record(call)
  }

  /** An export interval is over. What a ledger does not take stays here for the next. */
  async export(): Promise<void> {
    await this.#orDie(async () => {
      try {
        await this.#meter.export()
      } catch (error) {
        if (this.#life.over || !this.#ledgerFails) throw error
      }
    })
  }

  async pass(): Promise<void> {
    await this.#orDie(() => this.#cycle.pass())
  }

  async finalize(customer: Customer, endedAt: number): Promise<void> {
    await this.export()
    await this.#orDie(async () => {
      await this.#ledger.finalize(customer.account, { ...this.#cycle.closeOptions, endedAt })
      await this.#cycle.pass()
    })
  }

  /** With a ledger that fails it is spared: of what only its memory has, nothing is promised. */
  crashAfter(steps: number): void {
    if (!this.#ledgerFails) this.#life.endAfter(steps)
  }

  failLedger(fails: boolean): void {
    this.#ledgerFails = fails
    this.#life.spare()
  }

  /** An orderly end, and a new start. */
  async restart(): Promise<void> {
    await this.stop()
    await this.start()
  }

  async stop(): Promise<void> {
    const failing = this.#ledgerFails
    this.#ledgerFails = false
    await this.#orDie(async () => {
      await this.#meter.stop()
      await this.#cycle.pass()
    })
    this.#ledgerFails = failing
    await this.#ledger.close()
  }

  /** Runs what the process does, and puts a new process in its place where it dies. */
  async #orDie(work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      if (!this.#life.over && !(error instanceof Crash)) throw error
    }
    if (!this.#life.over) return
    this.crashes++
    await this.#ledger.close()
    await this.start()
  }
}
