import { UsageWriter } from '../../src/ledger/clients/writer.ts'
import { DynamoDBLedger } from '../../src/ledger/dynamodb/ledger.ts'
import { HOUR, MINUTE } from '../../src/ledger/hours.ts'
import type { Ledger } from '../../src/ledger/ledger.ts'
import type { MeteringCycle } from '../../src/metering/cycle.ts'
import { Pacer, type PacerClock } from '../../src/metering/pacer.ts'
import { MarketplaceSimulator, simulatorClient } from '../../src/simulator/index.ts'
import type { CustomerAccount } from '../../src/usage/account.ts'
import type { Tally } from '../../src/usage/customer.ts'
import { seeded } from '../ledger/dynamodb/faults.ts'
import type { DynamoDBLocal } from '../ledger/dynamodb/server.ts'
import { type Cost, CostMeter } from './dynamodb-cost.ts'
import { assertDrained, cycleOf, NOW, REGION, REQUESTS, spreadCustomer } from './metering.ts'

export interface FleetOptions {
  readonly replicas: number
  /** Customers, each with one dimension: several of them share what one costs. */
  readonly series: number
  /** How often each series has usage, in every replica. */
  readonly active: 'each minute' | 'once an hour' | 'never'
}

export interface FleetCost {
  /** Of an hour, by method of the ledger and command. */
  readonly costs: ReadonlyMap<string, Cost>
  /** How many bytes of it stay in the table. */
  readonly kept: number
}

const REQUESTS_PER_SECOND = 10

interface Replica {
  readonly ledger: Ledger
  readonly writer: UsageWriter
  readonly cycle: MeteringCycle
  /** Where the customers' usage waits. */
  readonly tallies: Map<CustomerAccount, Tally>
}

/**
 * What an hour of some replicas' life costs: each brings its usage in every minute and then has its pass, all at once;
 * five minutes after the turn the hour before is closed, and its records are sent, at AWS's quota. Everything is as in
 * production but the clock, and AWS.
 */
export async function hourOfFleet(server: DynamoDBLocal, options: FleetOptions): Promise<FleetCost> {
  const time = new Time(Math.ceil(NOW / HOUR) * HOUR)
  const meter = new CostMeter()
  const tableName = await server.table(server.client())
  const client = simulatorClient(new MarketplaceSimulator({ now: time.now, quota: null }), { region: REGION })
  const replicas = Array.from({ length: options.replicas }, async (): Promise<Replica> => {
    const dynamodb = await DynamoDBLedger.open({ tableName, client: meter.watch(server.client()), now: time.now })
    const ledger = meter.label<Ledger>(dynamodb)
    const pacer = new Pacer(REQUESTS_PER_SECOND, time, async (region, turns, spacing) => {
      const first = await ledger.clock.takeTurns(region, turns, spacing, time.now())
      return first === undefined ? undefined : first - time.now()
    })
    const cycle = cycleOf({ ledger, client, now: time.now, pacer })
    return { ledger, writer: new UsageWriter(ledger), cycle, tallies: new Map() }
  })
  const all = await Promise.all(replicas)
  const [{ ledger }] = all as [Replica]
  await ledger.register([REQUESTS])
  const customers = Array.from({ length: options.series }, (_, number) => spreadCustomer(number))
  // In the first hour the accounts and series are made.
  await hour(all, customers, options, time)
  const before = meter.stored
  meter.take()
  await hour(all, customers, options, time)
  const costs = meter.take()
  const kept = meter.stored - before
  while ((await ledger.status()).pending.length > 0) await pass(all)
  await assertDrained(ledger)
  for (const { ledger } of all) await ledger.close()
  return { costs, kept }
}

async function hour(
  replicas: readonly Replica[],
  customers: readonly CustomerAccount[],
  { active }: FleetOptions,
  time: Time,
): Promise<void> {
  const random = seeded(7)
  const begun = time.now()
  for (let minute = 0; minute < 60; minute += 1) {
    time.reach(begun + minute * MINUTE)
    for (const { writer, tallies } of replicas) {
      for (const [number, account] of customers.entries()) {
        if (active === 'never' || (active === 'once an hour' && number % 60 !== minute)) continue
        const tally = tallies.get(account) ?? { source: 0, waiting: undefined }
        tallies.set(account, tally)
        const amount = BigInt(1 + Math.floor(random() * 4000)) * REQUESTS.size
        writer.add(account, REQUESTS.name, time.now(), amount, tally)
      }
    }
    await Promise.all(replicas.map(({ writer }) => writer.flush()))
    await pass(replicas)
  }
  time.reach(begun + HOUR)
}

/** As each replica has one after its export, its metrics included. */
async function pass(replicas: readonly Replica[]): Promise<void> {
  await Promise.all(
    replicas.map(async ({ ledger, cycle }) => {
      await cycle.pass()
      await cycle.nextPassAt()
      await ledger.status()
    }),
  )
}

/** Goes on when somebody waits. */
class Time implements PacerClock {
  #now: number

  constructor(now: number) {
    this.#now = now
  }

  readonly now = (): number => this.#now

  reach(at: number): void {
    this.#now = Math.max(this.#now, at)
  }

  async sleep(milliseconds: number): Promise<void> {
    this.reach(this.#now + milliseconds)
  }
}
