import { Readable } from 'node:stream'
import type { RecordEntry } from '../../../src/ledger/ledger.ts'
import type { SqliteLedger } from '../../../src/ledger/sqlite/ledger.ts'
import { fileSource } from '../../../src/reconcile/event-files.ts'
import type { Verdict } from '../../../src/reconcile/judgement.ts'
import { decisionOf, type Finding, reconcile } from '../../../src/reconcile/reconcile.ts'
import type { BilledRecord, MarketplaceSimulator } from '../../../src/simulator/index.ts'
import { METER, otherEvent } from '../../reconcile/trail.ts'
import type { Plan } from '../plan.ts'
import { REGIONS } from '../plan.ts'
import { SeriesIndex } from '../strategy.ts'
import { DAY, HOUR } from '../time.ts'
import type { UsageBooks } from './books.ts'

/** How many violations are told; the first is what matters. */
const TOLD = 20

/**
 * When the month is over, the ledger is reconciled with what CloudTrail has of it. That must find what somebody else has
 * metered, settle what is in doubt as AWS has it, and find nothing else.
 */
export class Reconciliation {
  readonly violations: string[] = []
  /** Places at which somebody else has sent the quantity that AWS had billed already. */
  readonly #echoes = new Set<string>()
  readonly #plan: Plan
  readonly #simulator: MarketplaceSimulator
  readonly #books: UsageBooks
  readonly #index: SeriesIndex
  readonly #billed = new Map<string, BilledRecord>()

  constructor(plan: Plan, simulator: MarketplaceSimulator, books: UsageBooks) {
    this.#plan = plan
    this.#simulator = simulator
    this.#books = books
    this.#index = new SeriesIndex(plan.customers)
  }

  /** Somebody else meters what this package has metered in the last hours: a share says which of it. */
  echo(share: number, time: number): void {
    const billed = this.#simulator.billed({ from: time - 4 * HOUR }).filter(one => !one.foreign && one.quantity > 0)
    const entry = billed[Math.floor(share * billed.length)]
    if (entry === undefined) return
    const { product, region, timestamp, dimension, quantity, accountId, customerIdentifier, licenseArn } = entry
    const record = {
      ...{ Timestamp: new Date(timestamp), Dimension: dimension, Quantity: quantity },
      ...(accountId !== undefined && { CustomerAWSAccountId: accountId }),
      ...(customerIdentifier !== undefined && { CustomerIdentifier: customerIdentifier }),
      ...(licenseArn !== undefined && { LicenseArn: licenseArn }),
    }
    const request = { ...(licenseArn === undefined && { ProductCode: product as string }), UsageRecords: [record] }
    try {
      const [result] = this.#simulator.meterForeign(request, region).Results
      if (result?.Status === 'Success') this.#echoes.add(this.#placeOf(entry))
    } catch {
      // Its licence is over, or its dimension is not there.
    }
  }

  /** @returns how often what was found */
  async hold(ledger: SqliteLedger, time: number): Promise<Record<string, number>> {
    for (const entry of this.#simulator.billed()) this.#billed.set(this.#placeOf(entry), entry)
    const records = await ledger.records({ limit: 100_000_000 })
    const expected = new Map<string, Verdict>()
    for (const [place, { foreign, quantity }] of this.#billed)
      if (foreign && quantity > 0) expected.set(place, 'foreign')
    for (const record of records) {
      const [place, verdict] = [this.#placeOfRecord(record), this.#verdictOn(record)]
      if (verdict === undefined) expected.delete(place)
      else expected.set(place, verdict)
    }
    const counts: Record<string, number> = {}
    const seen = new Set<string>()
    const { unread, callers } = await reconcile(ledger, {
      events: [...this.#simulator.cloudTrail.files()]
        .map(({ name, content }) => fileOf(name, content))
        .concat(this.#others(time))
        .map(fileSource),
      callers: [METER],
      onFinding: async finding => {
        const { verdict, series, hour, record } = finding
        counts[`found ${verdict}`] = (counts[`found ${verdict}`] ?? 0) + 1
        const place =
          record === undefined
            ? this.#placeOf({ ...series, ...this.#licenceOf(series.licence), hour: new Date(hour).toISOString() })
            : this.#placeOfRecord(record)
        seen.add(place)
        if (!agrees(verdict, expected.get(place), finding)) {
          this.#accuse(`${place}: ${verdict} instead of ${expected.get(place)}`)
        }
        const entry = this.#billed.get(place)
        const billed = finding.shown.find(({ outcome }) => outcome === 'success')
        if (
          billed !== undefined &&
          (billed.quantity !== entry?.quantity || billed.meteringRecordId !== entry.meteringRecordId)
        ) {
          this.#accuse(`${place}: ${billed.quantity} is told, and ${entry?.quantity} billed`)
        }
        const decision = decisionOf(finding, { settle: true, settleAbsent: true, now: time + 3 * DAY })
        if (decision === undefined || record === undefined) return
        const right = entry !== undefined && !entry.foreign ? 'billed' : 'not-billed'
        if (decision.decision !== right) this.#accuse(`${place}: settled as ${decision.decision}, and it is ${right}`)
        await ledger.decide(record.id, decision.decision, { who: 'reconcile', why: decision.why, now: time })
        counts[`settled as ${right}`] = (counts[`settled as ${right}`] ?? 0) + 1
      },
    })
    for (const [place, verdict] of expected)
      if (!seen.has(place) && verdict !== 'missing') this.#accuse(`${place}: ${verdict} is not found`)
    if (unread.count > 0) this.#accuse(`${unread.count} events were not read: ${unread.first[0]}`)
    for (const { principal, shared } of callers) if (shared) this.#accuse(`${principal} is taken for shared`)
    return counts
  }

  /** What has to be found of a record, if anything. */
  #verdictOn(record: RecordEntry): Verdict | undefined {
    const place = this.#placeOfRecord(record)
    const entry = this.#billed.get(place)
    const { state, reason, quantity } = record
    if (entry === undefined || entry.quantity === 0)
      return reason === 'in-doubt' && state === 'held' ? 'absent' : undefined
    if (!entry.foreign && this.#echoes.has(place)) return state === 'returned' ? 'billed' : 'two-senders'
    if (entry.foreign) return state === 'returned' ? 'foreign' : 'other-quantity'
    return state === 'metered' || quantity === 0 ? undefined : 'billed'
  }

  #others(time: number) {
    const { start } = this.#plan
    const events = REGIONS.flatMap(region =>
      Array.from({ length: Math.ceil((time - start) / HOUR) + 52 }, (_, n) =>
        otherEvent(start + (n - 26) * HOUR, region),
      ),
    )
    return [fileOf('other services', Buffer.from(JSON.stringify({ Records: events })))]
  }

  /** The ARN of a customer's licence, by which AWS's book names it, of the id that is found. */
  #licenceOf(licence: string | undefined): { licenseArn?: string } {
    const found = this.#plan.customers.find(
      ({ identity }) => licence !== undefined && identity.licenseArn?.endsWith(licence),
    )
    return found?.identity.licenseArn === undefined ? {} : { licenseArn: found.identity.licenseArn }
  }

  #placeOf(entry: Parameters<SeriesIndex['of']>[0] & { region: string; hour: string }): string {
    return `${entry.region} ${this.#index.of(entry)} ${entry.hour}`
  }

  #placeOfRecord({ region, account, dimension, hour }: RecordEntry): string {
    return `${region} ${this.#books.series(account.key, dimension)} ${new Date(hour).toISOString()}`
  }

  #accuse(what: string): void {
    if (this.violations.length < TOLD) this.violations.push(`reconcile: ${what}`)
  }
}

const fileOf = (name: string, content: Buffer) => ({ name, open: () => Readable.from([content]) })

/** Whether it is what has to be found. Of a call that has failed no event tells what became of it. */
function agrees(verdict: Verdict, expected: Verdict | undefined, { shown, complete, record }: Finding): boolean {
  if (verdict === expected) return true
  const doubted = record?.state === 'held' && record.reason === 'in-doubt'
  const unclear = shown.some(({ outcome }) => outcome === 'unclear' || outcome === 'duplicate')
  return verdict === 'undecided' && doubted && (unclear || !complete)
}
