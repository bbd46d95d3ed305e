import assert from 'node:assert/strict'
import { Gateway } from '../../../src/gateway/gateway.ts'
import { HOUR } from '../../../src/ledger/hours.ts'
import type { StatementLine } from '../../../src/ledger/ledger.ts'
import { SqliteLedger } from '../../../src/ledger/sqlite/ledger.ts'
import { type RunningSimulator, simulatorClient, startSimulator } from '../../../src/simulator/index.ts'
import type { Account } from '../../../src/usage/account.ts'
import type { DimensionOptions } from '../../../src/usage/options.ts'
import { TemporaryFolder } from '../../ledger/sqlite-under-test.ts'
import { LossyProxy } from './lossy-proxy.ts'

export const PRODUCT = 'prod-inference'
export const CUSTOMERS = ['111122223333', '444455556666', '777788889999']
export const CUSTOMER = 'marketplace.customer.account_id'

export const DIMENSIONS: Record<string, DimensionOptions> = {
  'tokens-1k': { unit: '{token}', per: 1000, from: { metric: ['app.tokens', 'vllm:generation_tokens'], unit: '1' } },
  requests: { unit: '{request}', from: { metric: 'app.request.duration', value: 'count' } },
  'compute-minutes': { unit: 'min', from: { metric: 'app.request.duration', unit: 's' } },
  'queue-seconds': { unit: 's', from: { metric: 'app.queue.duration', unit: 's' } },
  'gpu-minutes': { unit: 'min', from: { metric: 'app.gpus', value: 'integral', unit: '1', maxGap: HOUR } },
}

/** What was measured of each series, in millionths of the base unit. */
export class Measured {
  readonly #amounts = new Map<string, bigint>()

  add(customer: string, dimension: string, amount: bigint): void {
    const series = `${customer} ${dimension}`
    this.#amounts.set(series, (this.#amounts.get(series) ?? 0n) + amount)
  }

  entries(): Record<string, bigint> {
    return Object.fromEntries([...this.#amounts].filter(([, amount]) => amount > 0n).sort())
  }
}

/** A gateway between two proxies and an AWS of its own, which outlive it. */
export class World implements AsyncDisposable {
  readonly http: LossyProxy
  readonly grpc: LossyProxy
  readonly measured = new Measured()
  readonly folder = new TemporaryFolder()
  readonly aws: RunningSimulator
  readonly ledgerFile = this.folder.file()
  readonly #now: () => number
  #running: { gateway: Gateway; ledger: SqliteLedger } | undefined

  private constructor(now: () => number, aws: RunningSimulator, http: LossyProxy, grpc: LossyProxy) {
    this.#now = now
    this.aws = aws
    this.http = http
    this.grpc = grpc
  }

  static async open(now: () => number): Promise<World> {
    const aws = await startSimulator({ now, quota: null })
    const world = new World(now, aws, await LossyProxy.open(), await LossyProxy.open())
    await world.start()
    return world
  }

  async start(): Promise<void> {
    assert.equal(this.#running, undefined)
    const ledger = new SqliteLedger({ path: this.ledgerFile })
    const gateway = await Gateway.start({
      ...{ productCode: PRODUCT, dimensions: DIMENSIONS, region: 'us-east-1', now: this.#now, ledger },
      client: simulatorClient(this.aws.simulator, { region: 'us-east-1' }),
      ...{ http: { port: 0 }, grpc: { port: 0 }, wakeInterval: 20 },
    })
    this.#running = { gateway, ledger }
    this.http.target = portOf(gateway.addresses.http)
    this.grpc.target = portOf(gateway.addresses.grpc)
  }

  async stop(): Promise<void> {
    if (this.#running === undefined) return
    const { gateway, ledger } = this.#running
    this.#running = undefined
    this.http.target = undefined
    this.grpc.target = undefined
    await gateway.close()
    await ledger.close()
  }

  async restart(): Promise<void> {
    await this.stop()
    await this.start()
  }

  async statement(): Promise<StatementLine[]> {
    assert.ok(this.#running)
    return this.#running.ledger.statement()
  }

  /**
   * That what was measured is recorded, and what is recorded is billed, up to less than one unit, and nothing else; after
   * a few hours in which nothing is pending any more.
   */
  async checkBill(): Promise<void> {
    assert.deepEqual(await this.recorded(), this.measured.entries())
    while ((await this.statement()).some(({ pending }) => pending > 0n)) await new Promise(setImmediate)
    const billed = new Map(
      this.aws.simulator
        .totals()
        .map(({ accountId, dimension, quantity }) => [`${accountId} ${dimension}`, BigInt(quantity)]),
    )
    for (const { account, dimension, recorded, metered, held, balance } of await this.statement()) {
      const series = `${ownerOf(account)} ${dimension.name}`
      assert.equal(metered, (billed.get(series) ?? 0n) * dimension.size, `${series}: metered is what AWS billed`)
      assert.equal(metered + balance, recorded, `${series}: what is not billed is in the balance`)
      assert.ok(balance < dimension.size, `${series}: what is left is no whole unit`)
      assert.equal(held, 0n, series)
    }
    assert.ok([...billed.values()].some(quantity => quantity > 0n))
  }

  /** As `Measured` has it; what has no customer by the reason. */
  async recorded(): Promise<Record<string, bigint>> {
    const all = new Measured()
    for (const { account, dimension, recorded } of await this.statement()) {
      all.add(ownerOf(account), dimension.name, recorded)
    }
    return all.entries()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
    await this.aws.close()
    await this.http[Symbol.asyncDispose]()
    await this.grpc[Symbol.asyncDispose]()
    this.folder[Symbol.dispose]()
  }
}

/** After how long an hour is surely closed and sent. */
export const CLOSED = HOUR + HOUR / 2

const ownerOf = (account: Account) => String(account.kind === 'customer' ? account.accountId : account.reason)

const portOf = (address = '') => Number(address.slice(address.lastIndexOf(':') + 1))
