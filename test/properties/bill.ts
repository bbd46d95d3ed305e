import assert from 'node:assert/strict'
import type { RecordEntry, StatementLine } from '../../src/ledger/ledger.ts'
import type { BilledRecord, BilledTotal, MarketplaceSimulator } from '../../src/simulator/index.ts'
import { seriesOf } from './usage.ts'

type Owner = { licenseArn?: string; product?: string; accountId?: string; customerIdentifier?: string }

/** What AWS bills apart: a region, a customer, a dimension and an hour. */
function placeOf(region: string, owner: Owner, dimension: string, hour: number): string {
  const { licenseArn, product, accountId, customerIdentifier } = owner
  const who = licenseArn === undefined ? [product, accountId ?? customerIdentifier] : [accountId, licenseArn]
  return [region, ...who, dimension, new Date(hour).toISOString()].join()
}

/** What AWS has billed, to be held against the ledger. */
export class Bill {
  readonly #simulator: MarketplaceSimulator
  /** What persons have let pass beside another identity, by series. */
  readonly passed = new Map<string, bigint>()
  /** Series of which they have let pass what is above the maximum. */
  readonly judged = new Set<string>()

  constructor(simulator: MarketplaceSimulator) {
    this.#simulator = simulator
  }

  #entries(): Map<string, BilledRecord> {
    const entries = this.#simulator.billed().map(entry => {
      const { region, dimension, hour } = entry
      return [placeOf(region, entry, dimension, Date.parse(hour)), entry] as const
    })
    return new Map(entries)
  }

  /** Whether AWS took a record of ours, as CloudTrail would show. */
  has({ region, account, dimension, hour, quantity }: RecordEntry): boolean {
    const entry = this.#entries().get(placeOf(region, account, dimension, hour))
    return entry !== undefined && !entry.foreign && entry.quantity === quantity
  }

  /** That no hour is billed by a product code and by a licence, but what persons have let pass. */
  #checkTwins(billed: ReadonlyMap<string, ReadonlyMap<number, bigint>>): void {
    for (const [series, hours] of billed) {
      const [, product, accountId, licence, dimension] = /^([^,]*,)?(\d{12})(,arn\S*)? (.*)$/.exec(series) ?? []
      if (product !== undefined || licence === undefined) continue
      const coded = [`prod-a,${accountId} ${dimension}`, `prod-b,${accountId} ${dimension}`]
      for (const code of coded) {
        let both = 0n
        for (const [hour, amount] of hours) {
          const other = billed.get(code)?.get(hour) ?? 0n
          both += amount < other ? amount : other
        }
        const let_ = (this.passed.get(series) ?? 0n) + (this.passed.get(code) ?? 0n)
        assert.ok(both <= let_, `${both} of ${series} and ${code} billed in one hour, ${let_} let pass`)
      }
    }
  }

  /** That what is billed by tags is what is billed, and that no record was sent again with another split. */
  #checkTags(): void {
    const left = new Map<string, number>()
    const add = (line: Omit<BilledTotal, 'records'>, sign: 1 | -1) => {
      const { region, product, licenseArn, accountId, customerIdentifier, dimension, quantity } = line
      const place = [region, product, licenseArn, accountId, customerIdentifier, dimension].join()
      left.set(place, (left.get(place) ?? 0) + sign * quantity)
    }
    for (const line of this.#simulator.totals()) add(line, 1)
    for (const line of this.#simulator.totalsByTags()) add(line, -1)
    for (const [place, quantity] of left) assert.equal(quantity, 0, `${place}: billed and not by tags`)
    assert.equal(this.#simulator.counters.resplits, 0, 'records that were sent again with another split')
  }

  /**
   * That each quantity billed is a record of ours, in its region, hour and window, and metered or known to be in doubt;
   * and that never more is billed than was recorded. Returns what is billed of each series, by hour.
   */
  check(lines: readonly StatementLine[], records: readonly RecordEntry[]): Map<string, Map<number, bigint>> {
    const ours = new Map(records.map(one => [placeOf(one.region, one.account, one.dimension, one.hour), one]))
    const billed = new Map<string, Map<number, bigint>>()
    const doubtful = new Map<string, bigint>()
    for (const [place, { quantity, foreign, timestamp, takenAt }] of this.#entries()) {
      if (foreign) continue
      const record = ours.get(place)
      assert.ok(record !== undefined, `billed at ${place}, where there is no record`)
      assert.equal(quantity, record.quantity, `billed at ${place}`)
      assert.equal(Date.parse(timestamp), record.timestamp, `the time of ${place}`)
      const taken = Date.parse(takenAt)
      assert.ok(taken >= record.timestamp && taken < closesAt(record.timestamp), `${place} taken at ${takenAt}`)
      const series = seriesOf(record.account, record.dimension)
      const amount = BigInt(quantity) * record.size
      const hours = billed.get(series) ?? new Map<number, bigint>()
      billed.set(series, hours.set(record.hour, amount))
      // Of nothing nothing is in doubt.
      if (record.state === 'metered' || quantity === 0) continue
      const doubted = record.state === 'pending' ? record.inDoubt : record.reason === 'in-doubt'
      assert.ok(record.state !== 'returned' && doubted, `billed at ${place}, and ${record.state} without a doubt`)
      doubtful.set(series, (doubtful.get(series) ?? 0n) + amount)
    }
    this.#checkTwins(billed)
    this.#checkTags()
    for (const { account, dimension, quantity, state } of records) {
      const guarded = dimension === 'images' && quantity > 100 && !this.judged.has(seriesOf(account, dimension))
      assert.ok(!guarded || state === 'held' || state === 'returned', `${quantity} images ${state} above the maximum`)
    }
    for (const { account, dimension, recorded, included, metered } of lines) {
      const series = seriesOf(account, dimension.name)
      const total = sum(billed.get(series)?.values() ?? [])
      assert.ok(total <= recorded - included, `${series}: ${total} billed of ${recorded}, ${included} included`)
      assert.equal(metered, total - (doubtful.get(series) ?? 0n), `${series}: metered`)
    }
    return billed
  }
}

/** When AWS takes no more usage of this time: a day later, or at 06:00 UTC on the 1st. */
function closesAt(timestamp: number): number {
  const date = new Date(timestamp)
  return Math.min(timestamp + 24 * 3_600_000, Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1, 6))
}

export function sum(amounts: Iterable<bigint>): bigint {
  let total = 0n
  for (const amount of amounts) total += amount
  return total
}

/** What of amounts by hour falls into hours up to this one. */
export function upTo(hour: number, amounts: ReadonlyMap<number, bigint>): bigint {
  return sum([...amounts].filter(([at]) => at <= hour).map(([, amount]) => amount))
}
