import { gzipSync } from 'node:zlib'
import { HOUR, hourOf, MINUTE, SECOND } from '../../src/ledger/hours.ts'
import type { MeteringRecord, Outcome, RecordEntry } from '../../src/ledger/ledger.ts'
import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import type { UsageRecord } from '../../src/marketplace/client.ts'
import { outcomeOf, readAnswers, requestFor } from '../../src/metering/answers.ts'
import { MarketplaceSimulator } from '../../src/simulator/index.ts'
import { type Random, seeded, shuffled } from '../../src/simulator/random.ts'
import { customerAccount } from '../../src/usage/account.ts'
import { type Call, eventOf, LICENCE, lookupOutput, otherEvent } from './trail.ts'

const MILLION = 1_000_000n
export const START = Date.parse('2026-11-03T00:00:00Z')
const HOURS = 16
const CUSTOMERS = [
  customerAccount({ product: 'prod', accountId: '111122223333' }),
  customerAccount({ product: 'prod', customerIdentifier: 'bolt' }),
  customerAccount({ product: 'mine', accountId: '444455556666', licenseArn: LICENCE }),
]
const SOLD = ['requests', 'tokens'].map(name => ({ name, unit: '{unit}', baseUnit: '1' as const, size: MILLION }))

/** What becomes of a call, or of its answer. */
const FATES = [
  'heard',
  'heard',
  'lost',
  'lost',
  'never-arrives',
  'throttled',
  'failed',
  'failed-after',
  'unsubscribed',
] as const

type Write = Parameters<SqliteLedger['append']>[0]['entries'][number]

/**
 * Some hours of a ledger and of a simulator of AWS: calls that fail before and after AWS takes them, answers that are
 * lost, and somebody else who meters with other credentials. `events` are what CloudTrail has of it, without a gap.
 */
export class Month {
  readonly ledger = new SqliteLedger({ path: ':memory:' })
  readonly simulator = new MarketplaceSimulator({ quota: null, clock: START, seed: 1 })
  readonly events: Record<string, unknown>[] = []
  /** Records of ours that AWS has answered `Success`, heard or not, by their ids. */
  readonly taken = new Set<string>()
  /** Those whose hour somebody else has metered, by place; how much they sent. */
  readonly foreign = new Map<string, number>()
  now = START
  readonly #random: Random
  #sequence = 0

  constructor(seed: number) {
    this.#random = seeded(seed)
  }

  #below(number: number): number {
    return Math.floor(this.#random() * number)
  }

  async run(): Promise<void> {
    await this.ledger.register(SOLD)
    // Other services are called before and after, too, so that all of it is covered.
    for (let n = -26; n < HOURS + 100; n++) this.events.push(otherEvent(START + n * HOUR + 20 * MINUTE))
    for (let n = 0; n < HOURS + 30; n++) {
      const hour = START + n * HOUR
      if (n < HOURS) await this.#use(hour)
      this.now = hour + HOUR + 6 * MINUTE
      this.simulator.clock.set(this.now)
      await this.ledger.closeHours({
        ...{ now: this.now, region: 'us-east-1', closeDelay: 5 * MINUTE, deadlineMargin: 5 * MINUTE },
      })
      if (this.#random() < 0.3) this.#intrude(hour)
      await this.#send()
      await this.ledger.expire(this.now)
    }
    this.now += 3 * 24 * HOUR
  }

  async #use(hour: number): Promise<void> {
    const entries: Write[] = []
    for (const account of CUSTOMERS) {
      for (const { name: dimension } of SOLD) {
        // Small quantities, so that two often send the same.
        if (this.#random() < 0.7)
          entries.push({ account, dimension, hour, amount: BigInt(1 + this.#below(3)) * MILLION })
      }
    }
    if (entries.length > 0) await this.ledger.append({ writer: 'a'.repeat(32), sequence: ++this.#sequence, entries })
  }

  async #send(): Promise<void> {
    for (const lane of (await this.ledger.due(this.now)).lanes) {
      const claimed = { now: this.now, limit: 1 + this.#below(4), claimedUntil: this.now + 10 * MINUTE }
      const records = await this.ledger.claim(lane, claimed)
      const product = lane.identity === 'product-code' ? lane.product : undefined
      const fate = FATES[this.#below(FATES.length)] as (typeof FATES)[number]
      const retry = (notTaken: boolean): Outcome => ({ type: 'retry', at: this.now + 30 * MINUTE, notTaken })
      let outcomes: Outcome[] = records.map(() => retry(fate === 'throttled'))
      if (fate === 'throttled' || fate === 'failed') {
        const errorCode = fate === 'throttled' ? 'ThrottlingException' : 'InternalServiceErrorException'
        this.#write({ product, errorCode, records: records.map(record => ({ ...named(record), ...record })) })
        // An answer that refuses is lost, too, now and then.
        if (this.#random() < 0.5) outcomes = records.map(() => retry(false))
      } else if (fate === 'unsubscribed') {
        this.#write({
          product,
          records: records.map(record => ({ ...named(record), ...record, said: 'CustomerNotSubscribed' })),
        })
        if (this.#random() < 0.5) outcomes = records.map(() => ({ type: 'not-subscribed' }))
      } else if (fate !== 'never-arrives') {
        const request = requestFor(lane, records)
        const result = this.simulator.batchMeterUsage(request)
        const { answers } = readAnswers(records, result)
        for (const { record, said } of answers) if (said === 'Success') this.taken.add(record.id)
        const met = answers.map(answer => ({ ...named(answer.record), ...answer.record, ...answer }))
        if (fate === 'failed-after') {
          this.#write({ product, errorCode: 'InternalServiceErrorException', records: met })
        } else {
          this.#write({ product, records: met })
        }
        if (fate === 'heard') {
          const terms = { retryAt: this.now + 30 * MINUTE, rollForward: false, repeated: false }
          outcomes = answers.map(answer => outcomeOf(answer, terms))
        }
      }
      const settlements = records.map((record, index) => ({
        record,
        outcome: outcomes[index] as Outcome,
        answer: fate,
      }))
      await this.ledger.settle(settlements, this.now)
    }
  }

  /** Somebody else meters an hour, before or after this ledger. */
  #intrude(hour: number): void {
    const account = CUSTOMERS[this.#below(CUSTOMERS.length)] as (typeof CUSTOMERS)[number]
    const dimension = SOLD[this.#below(SOLD.length)]?.name as string
    const [quantity, timestamp] = [1 + this.#below(3), hour + HOUR - SECOND]
    const product = account.licenseArn === undefined ? account.product : undefined
    const record = { ...named({ account }), dimension, quantity, timestamp }
    const request = { ...(product !== undefined && { ProductCode: product }), UsageRecords: [usageRecord(record)] }
    const [result] = this.simulator.meterForeign(request).Results
    const answer = {
      said: result?.Status,
      ...(result?.MeteringRecordId && { meteringRecordId: result.MeteringRecordId }),
    }
    this.foreign.set(`${account.key} ${dimension} ${hour}`, quantity)
    this.#write({
      ...{ product, role: 'intruder', session: 'x', address: '203.0.113.66', userAgent: 'curl/8' },
      records: [{ ...record, ...answer } as never],
    })
  }

  #write(call: Omit<Call, 'at' | 'product'> & { product: string | undefined }): void {
    const { product, ...rest } = call
    this.events.push(eventOf({ at: this.now, ...rest, ...(product !== undefined && { product }) }))
  }

  /** What is found of the events in two files: not all of them, some twice, some without members, in no order. */
  trail(): Buffer[] {
    const silent = new Set(Array.from({ length: this.#below(4) }, () => START + this.#below(HOURS + 8) * HOUR))
    const loss = this.#random() * 0.4
    const found = this.events.flatMap(event => {
      const at = hourOf(Date.parse(event.eventTime as string))
      if (silent.has(at) || this.#random() < loss) return []
      const copy = { ...event }
      if (this.#random() < 0.1) copy.requestParameters = null
      if (this.#random() < 0.1) copy.responseElements = null
      return this.#random() < 0.1 ? [copy, copy] : [copy]
    })
    const events = shuffled(found, this.#random)
    const half = this.#below(events.length + 1)
    return [Buffer.from(lookupOutput(events.slice(0, half))), gzipSync(JSON.stringify({ Records: events.slice(half) }))]
  }

  async records(): Promise<Map<string, RecordEntry>> {
    const records = await this.ledger.records({ limit: Number.MAX_SAFE_INTEGER })
    return new Map(records.map(record => [record.id, record]))
  }
}

function named({ account }: Pick<MeteringRecord, 'account'>) {
  const { accountId, customerIdentifier, licenseArn } = account
  return {
    ...(accountId !== undefined && { accountId }),
    ...(customerIdentifier !== undefined && { customerIdentifier }),
    ...(licenseArn !== undefined && { licenseArn }),
  }
}

type Sent = ReturnType<typeof named> & { dimension: string; quantity: number; timestamp: number }

function usageRecord({ accountId, customerIdentifier, licenseArn, dimension, quantity, timestamp }: Sent): UsageRecord {
  return {
    ...{ Timestamp: new Date(timestamp), Dimension: dimension, Quantity: quantity },
    ...(accountId !== undefined && { CustomerAWSAccountId: accountId }),
    ...(customerIdentifier !== undefined && { CustomerIdentifier: customerIdentifier }),
    ...(licenseArn !== undefined && { LicenseArn: licenseArn }),
  }
}
