import assert from 'node:assert/strict'
import { inspect } from 'node:util'
import { UsageWriter } from '../../src/ledger/clients/writer.ts'
import { LedgerError } from '../../src/ledger/errors.ts'
import { HOUR, hourOf } from '../../src/ledger/hours.ts'
import type { AgreementNews, EntitlementNews, Ledger, UsageBatch, UsageEntry } from '../../src/ledger/ledger.ts'
import type { MeteringClient } from '../../src/marketplace/client.ts'
import type { EntitlementClient } from '../../src/marketplace/entitlement-client.ts'
import { Contracts } from '../../src/metering/contracts.ts'
import { MeteringCycle } from '../../src/metering/cycle.ts'
import { Pacer } from '../../src/metering/pacer.ts'
import { type MarketplaceSimulator, simulatorClient } from '../../src/simulator/index.ts'
import { UsageMapper } from '../../src/usage/mapper.ts'
import type { CustomerIdentity } from '../../src/usage/options.ts'
import {
  type Contract,
  collectionOf,
  customersOf,
  DIMENSIONS,
  type Identities,
  type Measurement,
  seriesOf,
  usageOptions,
} from './usage.ts'

export const CLOSE_DELAY = 5 * 60_000
const MARGIN = 5 * 60_000

/** How a process is deployed. */
export interface Deployment {
  readonly region: string
  /** How many tokens a quantity of one stands for. */
  readonly per: number
  readonly onConflict: 'hold' | 'roll-forward'
  readonly onNotSubscribed: 'hold' | 'roll-forward'
}

/** What processes share. */
export interface Surroundings {
  readonly identities: Identities
  readonly zeroQuantityRecords: boolean
  readonly contract: Contract | undefined
  readonly simulator: MarketplaceSimulator
  /** What the machine believes. */
  readonly now: () => number
  /** Requests that are still on their way, though their sender has given up. */
  readonly underWay: { region: string; request: Parameters<MarketplaceSimulator['batchMeterUsage']>[0] }[]
  /** What AWS said of entitlements and did not reach the ledger yet. */
  readonly late: (readonly [product: string, news: EntitlementNews])[]
  /** Hears of each call that the ledger fulfilled, before its caller does. */
  readonly note: (name: string, given: readonly unknown[], result: unknown) => void
}

export interface LedgerFault {
  readonly method:
    | 'noteAgreement'
    | 'noteEntitlements'
    | 'append'
    | 'closeHours'
    | 'expire'
    | 'due'
    | 'claim'
    | 'settle'
  /** Whether the ledger has done it all the same. */
  readonly done: boolean
}

/** One process: the exporter's parts on a ledger and a client that fail when told to, and that may end it at any call. */
export class Process {
  readonly ended: Promise<void>
  readonly cycle: MeteringCycle
  /** Faults that the next calls of their methods meet. */
  readonly faults: LedgerFault[] = []
  /** How many of the next requests get no answer and arrive when they please. */
  stranded = 0
  /** How many of the next times AWS does not say what customers are entitled to. */
  unread = 0
  /** What was exported here, by series. */
  readonly #exported = new Map<string, bigint>()
  readonly #mapper: UsageMapper
  readonly #ledger: Ledger
  readonly #writer: UsageWriter
  readonly #surroundings: Surroundings
  readonly #end: () => void
  #dead = false
  #callsLeft = Number.POSITIVE_INFINITY
  #registered = false
  #measured: Measurement[] = []
  /** What the ledger took of this process, and the last of it if the process does not know so. */
  readonly #taken: UsageEntry[] = []
  readonly #takenKeys = new Set<string>()
  readonly #keys = new Map<string, string>()
  #unknowing: readonly UsageEntry[] = []

  constructor(ledger: Ledger, deployment: Deployment, surroundings: Surroundings) {
    const { identities, zeroQuantityRecords, contract, now } = surroundings
    const { promise, resolve } = Promise.withResolvers<void>()
    this.ended = promise
    this.#end = resolve
    this.#surroundings = surroundings
    this.#ledger = this.#failing(ledger)
    const usage = usageOptions(identities, deployment.per, contract)
    this.#mapper = new UsageMapper(usage)
    this.#writer = new UsageWriter(this.#ledger)
    let paced = 0
    const sleep = async (wait: number) => {
      paced += wait
    }
    const contracts = new Contracts({
      ...{ usage, ledger: this.#ledger, included: this.#mapper.included, now, closeDelay: CLOSE_DELAY },
      entitlements: { productCode: 'prod-a', unknown: { after: 2 * HOUR, outcome: contract?.outcome ?? 'hold' } },
      ...{ client: this.#client('us-east-1'), requestTimeout: 1000, report: () => {}, random: () => 0 },
    })
    this.cycle = new MeteringCycle({
      ...{ contracts, ledger: this.#ledger, now, zeroQuantityRecords, ...deployment },
      ...(zeroQuantityRecords && { sold: { products: ['prod-a', 'prod-b'], dimensions: DIMENSIONS } }),
      clientFor: region => this.#client(region),
      pacer: new Pacer(10, { now: () => paced, sleep }),
      ...{ closeDelay: CLOSE_DELAY, deadlineMargin: MARGIN, requestTimeout: 1000, concurrency: 2, dryRun: false },
      retention: Number.POSITIVE_INFINITY,
      report: () => {},
      random: () => 0.5,
    })
  }

  get dead(): boolean {
    return this.#dead
  }

  /** Ends it after so many calls more, before or after the call is done. */
  endAfter(calls: number): void {
    this.#callsLeft = calls
  }

  endNow(): void {
    this.#dead = true
    this.#end()
  }

  measure(measurement: Measurement): void {
    this.#measured.push(measurement)
  }

  /** What the SDK's reader does at each interval. Resolves when the usage is durable. */
  export(): Promise<void> {
    const measured = this.#measured
    this.#measured = []
    const { identities, now } = this.#surroundings
    const time = now()
    this.#mapper.beginHour(hourOf(time))
    for (const { customer, sold, n } of measured) {
      const who = customersOf(identities)[customer]?.key ?? 'nobody'
      add(this.#exported, `${who} ${sold.name}`, sold.amount(n))
    }
    this.#mapper.map(collectionOf(measured), (account, { name }, amount, _, tally) =>
      this.#writer.add(account, name, time, amount, tally),
    )
    return this.flush()
  }

  async flush(): Promise<void> {
    if (!this.#registered) await this.#ledger.register(this.#mapper.dimensions)
    this.#registered = true
    await this.#writer.flush()
  }

  async finalize(customer: CustomerIdentity, endedAt: number): Promise<void> {
    const account = this.#mapper.account(customer)
    await this.flush()
    await this.#ledger.finalize(account, { ...this.cycle.closeOptions, endedAt })
    await this.cycle.pass()
  }

  /** What somebody tells of a customer's agreement. */
  async note(customer: CustomerIdentity, news: AgreementNews): Promise<void> {
    await this.#ledger.noteAgreement(this.#mapper.account(customer), news, this.cycle.closeOptions)
  }

  /** Each unit that was exported is in the ledger or waits here, once. */
  check(): void {
    const found = new Map<string, bigint>()
    for (const entry of [...this.#taken, ...this.#writer.unwritten()]) addEntry(found, entry)
    for (const entry of this.#unknowing) addEntry(found, { ...entry, amount: -entry.amount })
    for (const name of new Set([...found.keys(), ...this.#exported.keys()])) {
      assert.equal(
        found.get(name) ?? 0n,
        this.#exported.get(name) ?? 0n,
        `${name}: written and waiting, of what was exported`,
      )
    }
  }

  /** A point at which the process may end; then it goes no further. */
  async #point(): Promise<void> {
    this.#callsLeft -= 1
    if (this.#callsLeft <= 0) this.endNow()
    if (this.#dead) await new Promise(() => {})
  }

  #client(region: string): MeteringClient & EntitlementClient {
    const { simulator, underWay } = this.#surroundings
    const client = simulatorClient(simulator, { region, delay: async () => {} })
    return {
      getEntitlements: async request => {
        await this.#point()
        if (this.unread > 0) {
          this.unread -= 1
          throw new Error('no answer')
        }
        return await client.getEntitlements(request)
      },
      batchMeterUsage: async request => {
        await this.#point()
        if (this.stranded > 0) {
          this.stranded -= 1
          underWay.push({ region, request: structuredClone(request) })
          throw new Error('no answer')
        }
        try {
          return await client.batchMeterUsage(request)
        } finally {
          await this.#point()
        }
      },
    }
  }

  #failing(ledger: Ledger): Ledger {
    return new Proxy(ledger, {
      get: (_, name: keyof Ledger) => {
        if (typeof ledger[name] !== 'function') return ledger[name]
        return async (...given: unknown[]) => {
          await this.#point()
          const index = this.faults.findIndex(fault => fault.method === name)
          const [fault] = index < 0 ? [] : this.faults.splice(index, 1)
          if (name === 'append') this.#repeatedVerbatim(given[0] as UsageBatch)
          if (name === 'noteEntitlements')
            this.#surroundings.late.push(given as unknown as Surroundings['late'][number])
          if (fault?.done === false) throw new LedgerError('ERR_LEDGER_BUSY', 'a fault on purpose')
          const result = await (ledger[name] as (...given: unknown[]) => Promise<unknown>)(...given)
          this.#surroundings.note(name, given, result)
          if (name === 'append') this.#took(given[0] as UsageBatch, fault !== undefined)
          if (fault !== undefined) throw new LedgerError('ERR_LEDGER_IO', 'a fault on purpose')
          await this.#point()
          return result
        }
      },
    })
  }

  #repeatedVerbatim({ writer, sequence, entries }: UsageBatch): void {
    const key = `${writer} ${sequence}`
    const text = inspect(entries, { depth: 5, maxArrayLength: null })
    assert.equal(text, this.#keys.get(key) ?? text, 'a batch is repeated verbatim')
    this.#keys.set(key, text)
  }

  #took({ writer, sequence, entries }: UsageBatch, unknowing: boolean): void {
    if (!this.#takenKeys.has(`${writer} ${sequence}`)) this.#taken.push(...entries.map(entry => ({ ...entry })))
    this.#takenKeys.add(`${writer} ${sequence}`)
    this.#unknowing = unknowing ? entries : []
  }
}

function addEntry(amounts: Map<string, bigint>, { account, dimension, amount }: UsageEntry): void {
  add(amounts, seriesOf(account, dimension), amount)
}

export function add(amounts: Map<string, bigint>, name: string, amount: bigint): void {
  amounts.set(name, (amounts.get(name) ?? 0n) + amount)
}
