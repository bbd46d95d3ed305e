import assert from 'node:assert/strict'
import { HOUR } from '../../src/ledger/hours.ts'
import type { EntitlementNews, StatementLine } from '../../src/ledger/ledger.ts'
import type { Contract } from './usage.ts'
import { ENTITLED, INCLUDED, seriesOf } from './usage.ts'

const UNIT = 1_000_000n
/** An hour, in millionths of a second. */
const GPU_HOUR = 3600n * UNIT

/** What one customer was ever entitled to at AWS. */
interface Entitled {
  most: number
  least: number
  /** By which terms are told apart. */
  readonly ends: Set<number>
  /** How often an agreement of it may have begun anew. */
  beginnings: number
  /** Whether AWS's list ever had it no more. */
  vanished: boolean
}

/** By series: what was included in each hour. */
export type IncludedByHour = ReadonlyMap<string, ReadonlyMap<number, bigint>>

/** What contracts include, as AWS and the options have it: a model that knows the bounds, and not the rules. */
export class IncludedModel {
  readonly #contract: Contract | undefined
  readonly #entitled = new Map<string, Entitled>()
  /** What the ledger was told, the earliest first. */
  readonly #readings: EntitlementNews[] = []
  /** The most that a unit of tokens ever was. */
  #mostTokens = 1000
  #hours: IncludedByHour = new Map()

  constructor(contract: Contract | undefined) {
    this.#contract = contract
  }

  /** A size of tokens that a process sells by. */
  sold(per: number): void {
    this.#mostTokens = Math.max(this.#mostTokens, per)
  }

  /** What AWS has of a customer from now on. */
  entitle(key: string, amount: number, end: number): void {
    const known = this.#entitled.get(key) ?? {
      ...{ most: 0, least: amount, ends: new Set(), beginnings: 0, vanished: false },
    }
    known.ends.add(end)
    this.#entitled.set(key, {
      ...known,
      most: Math.max(known.most, amount),
      least: Math.min(known.least, amount),
    })
  }

  vanish(key: string): void {
    const known = this.#entitled.get(key)
    if (known !== undefined) known.vanished = true
  }

  /** An agreement of a customer may have begun anew, or somebody says so. */
  begin(key: string): void {
    const known = this.#entitled.get(key)
    if (known !== undefined) known.beginnings += 1
  }

  note(news: EntitlementNews): void {
    this.#readings.push(news)
    this.#readings.sort((one, other) => one.at - other.at)
  }

  /** Asserts what has to hold whatever happens. */
  check(hours: IncludedByHour): void {
    for (const [series, amounts] of hours) {
      const before = this.#hours.get(series)
      const [key, dimension] = [series.slice(0, series.lastIndexOf(' ')), series.slice(series.lastIndexOf(' ') + 1)]
      assert.ok(
        this.#contract !== undefined && (dimension === ENTITLED || dimension === INCLUDED),
        `included: ${series}`,
      )
      for (const [hour, amount] of amounts) {
        const more = amount > (before?.get(hour) ?? 0n)
        if (dimension === ENTITLED && more) assert.ok(this.#covers(key, hour), `${series}: ${at(hour)} is not covered`)
      }
      for (const [period, amount] of periodsOf(dimension, amounts)) {
        const most = this.#most(key, dimension)
        assert.ok(amount <= most, `${series}: ${amount} included of ${most}${period}`)
      }
    }
    this.#hours = hours
  }

  #most(key: string, dimension: string): bigint {
    if (dimension === INCLUDED) return BigInt((this.#contract?.quantity ?? 0) * this.#mostTokens) * UNIT
    const { most, ends, beginnings } = this.#entitled.get(key) ?? { most: 0, ends: new Set(), beginnings: 0 }
    return BigInt(most * (ends.size + beginnings)) * GPU_HOUR
  }

  /** Whether the last reading of before an hour, or a later one, says that an entitlement covers its beginning. */
  #covers(key: string, hour: number): boolean {
    const first = this.#readings.findLastIndex(reading => reading.at <= hour)
    return this.#readings
      .slice(Math.max(first, 0))
      .some(({ entitlements }) =>
        entitlements.some(({ account, until }) => account.key === key && (until === undefined || hour < until)),
      )
  }

  /**
   * Asserts, of a series that nothing moved, that all is included that could be.
   *
   * @param whole the whole units that were included or billed, by hour, in millionths
   */
  checkUsed({ account, dimension }: StatementLine, whole: ReadonlyMap<number, bigint>): boolean {
    const contract = this.#contract
    const series = seriesOf(account, dimension.name)
    const included = this.#hours.get(series) ?? new Map<number, bigint>()
    // The options are of one product.
    if (contract === undefined || account.product !== 'prod-a') return false
    if (dimension.name === INCLUDED) {
      const months = periodsOf(INCLUDED, included)
      for (const [month, used] of periodsOf(INCLUDED, whole)) {
        const least = lesser(used, BigInt(contract.quantity) * dimension.size)
        assert.equal(months.get(month) ?? 0n, least, `${series}: included${month}`)
      }
      return true
    }
    const entitled = this.#entitled.get(account.key)
    if (dimension.name !== ENTITLED || entitled === undefined) return false
    // What nobody was asked about in time is metered.
    if (entitled.vanished || contract.outcome === 'meter') return false
    const [most, all] = [Math.max(...whole.keys(), 0), sum(whole)]
    if (Math.max(...entitled.ends) <= most + HOUR || Math.min(...entitled.ends) <= most + HOUR) return false
    const [is, least] = [sum(included), lesser(all, BigInt(entitled.least) * GPU_HOUR)]
    assert.ok(is >= least, `${series}: ${is} included, at least ${least} of ${all}`)
    return true
  }
}

const at = (hour: number) => new Date(hour).toISOString()
const lesser = (one: bigint, other: bigint) => (one < other ? one : other)
const sum = (amounts: ReadonlyMap<number, bigint>) => [...amounts.values()].reduce((all, one) => all + one, 0n)

/** What falls into each month, or all of it. */
function periodsOf(dimension: string, amounts: ReadonlyMap<number, bigint>): Map<string, bigint> {
  const periods = new Map<string, bigint>()
  for (const [hour, amount] of amounts) {
    const period = dimension === INCLUDED ? ` in ${at(hour).slice(0, 7)}` : ''
    periods.set(period, (periods.get(period) ?? 0n) + amount)
  }
  return periods
}

/** Of the lines of hours. */
export function includedByHour(lines: readonly StatementLine[]): IncludedByHour {
  const hours = new Map<string, Map<number, bigint>>()
  for (const { account, dimension, span, included } of lines) {
    if (included === 0n || span === undefined) continue
    const series = seriesOf(account, dimension.name)
    hours.set(series, (hours.get(series) ?? new Map<number, bigint>()).set(span.from, included))
  }
  return hours
}
