import { MarketplaceMetering } from '@aws-sdk/client-marketplace-metering'
import { HOUR, MINUTE } from '../../src/ledger/hours.ts'
import type { Outcome, RecordEntry } from '../../src/ledger/ledger.ts'
import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import { outcomeOf, readAnswers, requestFor } from '../../src/metering/answers.ts'
import type { PacerClock } from '../../src/metering/pacer.ts'
import { type RunningSimulator, type ServerOptions, startSimulator } from '../../src/simulator/index.ts'
import { customerAccount } from '../../src/usage/account.ts'

export const START = Date.parse('2026-11-03T00:00:00Z')
export const ACME = customerAccount({ product: 'prod', accountId: '111122223333' })
const TOKENS = { name: 'tokens', unit: '{token}', baseUnit: '1', size: 1_000_000n } as const

/** What becomes of an hour's request: its answer is heard; or lost, so that its record is in doubt; or it never arrives; or AWS fails. */
export type Fate = 'heard' | 'lost' | 'never-arrives' | 'refused-and-lost' | 'fails'

/** A ledger that has metered some hours through the AWS SDK with a simulator behind a socket. */
export class Metered implements AsyncDisposable {
  readonly aws: RunningSimulator
  readonly ledger: SqliteLedger
  #hour = 0

  private constructor(aws: RunningSimulator, path: string) {
    this.aws = aws
    this.ledger = new SqliteLedger({ path })
  }

  static async begin(path = ':memory:', { cloudTrail, ...options }: ServerOptions = {}): Promise<Metered> {
    const aws = await startSimulator({ quota: null, clock: START, seed: 3, cloudTrail: { ...cloudTrail }, ...options })
    const metered = new Metered(aws, path)
    await metered.ledger.register([TOKENS])
    return metered
  }

  get now(): number {
    return this.aws.simulator.clock.now()
  }

  /** The pace goes by the simulator's clock: nobody waits. */
  readonly clock: PacerClock = {
    now: () => this.now,
    sleep: async time => {
      this.aws.simulator.clock.advance(time)
    },
  }

  /** An hour for each fate, each with one record of `10 + n` tokens. */
  async meter(fates: readonly Fate[], region = 'us-east-1', accessKeyId = 'm1'): Promise<void> {
    const { aws, ledger } = this
    const client = this.client(region, accessKeyId)
    for (const fate of fates) {
      const [n, hour] = [this.#hour, START + this.#hour * HOUR]
      this.#hour++
      const entry = { account: ACME, dimension: 'tokens', hour, amount: BigInt(10 + n) * 1_000_000n }
      await ledger.append({ writer: 'a'.repeat(32), sequence: n + 1, entries: [entry] })
      aws.simulator.clock.set(hour + HOUR + 6 * MINUTE)
      const { now } = this
      await ledger.closeHours({ now, region, closeDelay: 5 * MINUTE, deadlineMargin: 5 * MINUTE })
      for (const lane of (await ledger.due(now)).lanes) {
        const records = await ledger.claim(lane, {
          now,
          limit: 25,
          claimedUntil: now + MINUTE,
          unanswered: { from: 0, below: 1 },
        })
        let outcomes: Outcome[] = records.map(() => ({ type: 'retry', at: now + 400 * HOUR, notTaken: false }))
        const request = requestFor(lane, records)
        if (fate === 'refused-and-lost') aws.simulator.faults.add({ kind: 'throttling', next: 1 })
        if (fate === 'fails') aws.simulator.faults.add({ kind: 'internal-error', next: 1 })
        if (fate !== 'never-arrives') {
          const result = await client.batchMeterUsage(request).catch(() => undefined)
          const { answers } = readAnswers(records, result)
          const terms = { retryAt: now, rollForward: false, repeated: false }
          if (fate === 'heard') outcomes = answers.map(answer => outcomeOf(answer, terms))
        }
        const settlements = records.map((record, index) => ({
          record,
          outcome: outcomes[index] as Outcome,
          answer: fate,
        }))
        await ledger.settle(settlements, now)
      }
    }
    client.destroy()
  }

  client(region = 'us-east-1', accessKeyId = 'm1'): MarketplaceMetering {
    const credentials = { accessKeyId, secretAccessKey: 'any' }
    return new MarketplaceMetering({ endpoint: this.aws.url, region, credentials, maxAttempts: 1 })
  }

  /** Two days later windows are closed, and events have come. */
  async later(time = 50 * HOUR): Promise<void> {
    this.aws.simulator.clock.advance(time)
    await this.ledger.expire(this.now)
  }

  async record(id: string): Promise<RecordEntry> {
    const [record] = await this.ledger.records({ ids: [id] })
    return record as RecordEntry
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.ledger.close()
    await this.aws.close()
  }
}
