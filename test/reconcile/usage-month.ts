import { parse } from 'csv-parse/sync'
import { HOUR, MINUTE, SECOND } from '../../src/ledger/hours.ts'
import type { Lane, Outcome, Settlement } from '../../src/ledger/ledger.ts'
import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import { outcomeOf, readAnswers, requestFor } from '../../src/metering/answers.ts'
import { MarketplaceSimulator, type UsageReport } from '../../src/simulator/index.ts'
import { type Random, seeded } from '../../src/simulator/random.ts'
import { type CustomerAccount, customerAccount } from '../../src/usage/account.ts'
import { LICENCE } from './trail.ts'

export const START = Date.parse('2026-11-03T00:00:00Z')
export const DAY = 24 * HOUR
/** The days with usage: the last is not complete in the report. */
export const DAYS = 3
/** What a licence's product is called here; AWS's code of it is another. */
const LABEL = 'mine'
const CODE = 'minecode01'
export const LEGACY = 'legacycode01'
const MILLION = 1_000_000n
export const REGIONS = ['us-east-1', 'eu-central-1'] as const
const SOLD = ['requests', 'tokens'] as const
const [TWICE, OLD] = ['111122223333', '444455556666']
/** Of whom only somebody else meters anything. */
export const STRANGER = '777788889999'
const OTHER_LICENCE = LICENCE.replace(/.$/, '0')
export const CUSTOMERS: readonly CustomerAccount[] = [
  customerAccount({ product: LABEL, accountId: TWICE, licenseArn: LICENCE }),
  customerAccount({ product: LABEL, accountId: TWICE, licenseArn: OTHER_LICENCE }),
  customerAccount({ product: LEGACY, accountId: OLD }),
  customerAccount({ product: LEGACY, customerIdentifier: 'bolt' }),
]

/** A day and more without answers: what is sent of its first hours stays in doubt. */
const OUTAGE = 27
/** What becomes of a request, or of its answer. */
const FATES = ['heard', 'heard', 'heard', 'twice', 'lost', 'never-arrives', 'refused'] as const

/**
 * Days of a ledger and of a simulator of AWS, in two regions: usage that comes late, requests that are sent twice, answers
 * that are lost, hours that AWS refuses for a while; and, where `intruder` is set, somebody else who meters the same hours.
 */
export class UsageMonth {
  readonly ledger = new SqliteLedger({ path: ':memory:' })
  readonly simulator: MarketplaceSimulator
  readonly #random: Random
  readonly #intruder: boolean
  readonly #outage: number
  #now = START
  #sequence = 0

  constructor(seed: number, intruder = false) {
    this.#random = seeded(seed)
    this.#intruder = intruder
    this.#outage = START + this.#below((DAYS - 1) * 24) * HOUR
    const licensed = [LICENCE, OTHER_LICENCE].map(licenseArn => ({ product: CODE, licenseArn }))
    const customers = [
      { accountId: TWICE, subscriptions: licensed },
      { accountId: OLD, subscriptions: [{ product: LEGACY }] },
      { customerIdentifier: 'bolt', subscriptions: [{ product: LEGACY }] },
      { accountId: STRANGER, subscriptions: [{ product: LEGACY }] },
    ]
    this.simulator = new MarketplaceSimulator({ quota: null, clock: START, seed, catalogue: { customers } })
  }

  #below(number: number): number {
    return Math.floor(this.#random() * number)
  }

  async run(): Promise<void> {
    await this.ledger.register(SOLD.map(name => ({ name, unit: '{unit}', baseUnit: '1' as const, size: MILLION })))
    const terms = { closeDelay: 5 * MINUTE, deadlineMargin: 5 * MINUTE }
    for (const account of CUSTOMERS.filter(({ licenseArn }) => licenseArn !== undefined)) {
      const news = { what: 'active', at: START - DAY, productCode: CODE } as const
      await this.ledger.noteAgreement(account, news, { ...terms, now: START, region: 'us-east-1' })
    }
    for (let n = 0; n < DAYS * 24 + 30; n++) {
      const hour = START + n * HOUR
      if (n < DAYS * 24) await this.#use(hour)
      this.#now = hour + HOUR + 6 * MINUTE
      this.simulator.clock.set(this.#now)
      await this.ledger.closeHours({ ...terms, now: this.#now, region: REGIONS[this.#below(2)] as string })
      if (this.#intruder && n < DAYS * 24 && this.#random() < 0.9) {
        const account = CUSTOMERS[this.#below(CUSTOMERS.length)] as CustomerAccount
        this.meterForeign(account, hour, REGIONS[this.#below(2)] as string, 1 + this.#below(9))
      }
      for (const lane of (await this.ledger.due(this.#now)).lanes) await this.#send(lane)
      await this.ledger.expire(this.#now)
    }
    this.simulator.clock.set(this.#now + 3 * DAY)
  }

  async #use(hour: number): Promise<void> {
    const entries = CUSTOMERS.flatMap(account =>
      SOLD.flatMap(dimension => {
        if (this.#random() > 0.4) return []
        // Usage comes late, and is of the day before then.
        const late = this.#random() < 0.1 ? this.#below(20) * HOUR : 0
        return [{ account, dimension, hour: hour - late, amount: (BigInt(1 + this.#below(90)) * MILLION) / 4n }]
      }),
    )
    if (entries.length > 0) await this.ledger.append({ writer: 'a'.repeat(32), sequence: ++this.#sequence, entries })
  }

  async #send(lane: Lane): Promise<void> {
    const now = this.#now
    const records = await this.ledger.claim(lane, { now, limit: 1 + this.#below(6), claimedUntil: now + 10 * MINUTE })
    if (now > this.#outage && now < this.#outage + OUTAGE * HOUR) {
      // Of each second record AWS has heard.
      const arrived = records.filter(({ id }) => Number(id) % 2 === 0)
      if (arrived.length > 0) this.simulator.batchMeterUsage(requestFor(lane, arrived), { region: lane.region })
      const outcome: Outcome = { type: 'retry', at: now + 30 * MINUTE, notTaken: false }
      await this.ledger.settle(
        records.map(record => ({ record, outcome, answer: 'TimeoutError' })),
        now,
      )
      return
    }
    const fate = FATES[this.#below(FATES.length)] as (typeof FATES)[number]
    const retry = (notTaken: boolean): Outcome => ({ type: 'retry', at: now + 30 * MINUTE, notTaken })
    let settlements: Settlement[] = records.map(record => ({
      record,
      outcome: retry(fate === 'refused'),
      answer: fate,
    }))
    if (fate === 'heard' || fate === 'twice' || fate === 'lost') {
      const send = () => this.simulator.batchMeterUsage(requestFor(lane, records), { region: lane.region })
      if (fate === 'twice') send()
      const { answers } = readAnswers(records, send())
      const terms = { retryAt: now + 30 * MINUTE, rollForward: false, repeated: false }
      const heard = answers.map(answer => ({
        record: answer.record,
        outcome: outcomeOf(answer, terms),
        answer: answer.said,
      }))
      if (fate !== 'lost') settlements = heard
    }
    await this.ledger.settle(settlements, now)
  }

  /** Somebody else meters an hour, where it is free. */
  meterForeign(account: CustomerAccount, hour: number, region: string, quantity: number): void {
    const { accountId, customerIdentifier, licenseArn } = account
    const record = {
      ...{ Timestamp: new Date(hour + HOUR - SECOND), Dimension: SOLD[0], Quantity: quantity },
      ...(accountId !== undefined && { CustomerAWSAccountId: accountId }),
      ...(customerIdentifier !== undefined && { CustomerIdentifier: customerIdentifier }),
      ...(licenseArn !== undefined && { LicenseArn: licenseArn }),
    }
    const product = licenseArn === undefined ? { ProductCode: account.product } : {}
    this.simulator.meterForeign({ ...product, UsageRecords: [record] }, region)
  }

  /** AWS's ids of products, with its codes: without revisions both reports have the same lines in the same order. */
  productIds(): Map<string, string> {
    const { usage, dataset } = this.simulator.usageReport()
    const codes = rowsOf(dataset).map(row => row.product_code as string)
    return new Map(rowsOf(usage).map((row, index) => [row.product_id as string, codes[index] as string]))
  }

  /** The report, where half of it was revised. */
  report(): UsageReport {
    return this.simulator.usageReport({ revisions: 0.5 })
  }
}

export type Row = Record<string, string>
export const rowsOf = (text: string): Row[] => parse(text, { columns: true })
export const csvOf = (rows: readonly Row[]): string =>
  [Object.keys(rows[0] ?? {}), ...rows.map(row => Object.values(row))]
    .map(cells => `${cells.map(cell => `"${cell.replaceAll('"', '""')}"`).join(',')}\r\n`)
    .join('')
