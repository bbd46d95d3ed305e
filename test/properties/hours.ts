import assert from 'node:assert/strict'
import { HOUR, hourOf, windowClosesAt } from '../../src/ledger/hours.ts'
import type { CloseOptions, RecordEntry, StatementLine, UsageBatch } from '../../src/ledger/ledger.ts'
import { upTo } from './bill.ts'
import { ENTITLED, seriesOf } from './usage.ts'

/** More of anything may be more than one record can carry. */
const SURELY_ONE_RECORD = 1_000_000n * 2_000_000_000n

/**
 * In which hours usage was measured, and in which it may be billed: none before its own; and exactly the whole units of
 * the hours up to each, unless something is known to have moved a series' usage on.
 */
export class Hours {
  /** Whether the machine's clock was ever wrong: then hours mean little. */
  clockWasWrong = false
  readonly #recorded = new Map<string, Map<number, bigint>>()
  /** Hours of usage that none has closed yet. */
  readonly #open = new Map<number, Set<string>>()
  readonly #moved = new Set<string>()
  readonly #movedBeginnings = new Set<string>()
  readonly #batches = new Set<string>()
  #closedAt = Number.NEGATIVE_INFINITY

  append({ writer, sequence, entries }: UsageBatch, closeDelay: number): void {
    const key = `${writer} ${sequence}`
    if (this.#batches.has(key)) return
    this.#batches.add(key)
    for (const { account, dimension, hour, amount } of entries) {
      const series = seriesOf(account, dimension)
      const hours = this.#recorded.get(series) ?? new Map<number, bigint>()
      this.#recorded.set(series, hours.set(hour, (hours.get(hour) ?? 0n) + amount))
      if (amount > SURELY_ONE_RECORD || hour < hourOf(this.#closedAt - closeDelay)) this.#moved.add(series)
      this.#open.set(hour, (this.#open.get(hour) ?? new Set()).add(series))
    }
  }

  closed({ now, closeDelay, deadlineMargin }: CloseOptions): void {
    this.#closedAt = Math.max(this.#closedAt, now)
    for (const [hour, names] of this.#open) {
      if (hour + HOUR + closeDelay > now) continue
      if (windowClosesAt(hour) - deadlineMargin <= now) for (const name of names) this.#moved.add(name)
      this.#open.delete(hour)
    }
  }

  /** Something took usage of this series, or of all whose name begins so, out of its hour. */
  moved(beginning: string): void {
    this.#movedBeginnings.add(beginning)
  }

  /** What was somebody's is another's now; the hours in which it was measured stay. */
  given(from: string, to: string): void {
    const hours = this.#recorded.get(to) ?? new Map<number, bigint>()
    for (const [hour, amount] of this.#recorded.get(from) ?? []) hours.set(hour, (hours.get(hour) ?? 0n) + amount)
    this.#recorded.set(to, hours).delete(from)
    this.#moved.add(to)
  }

  /** The same of what is only in part another's now. */
  copied(from: string, to: string): void {
    const hours = this.#recorded.get(to) ?? new Map<number, bigint>()
    for (const [hour, amount] of this.#recorded.get(from) ?? []) hours.set(hour, (hours.get(hour) ?? 0n) + amount)
    this.#recorded.set(to, hours)
    this.#moved.add(to).add(from)
  }

  /** @param frozen what is billed or included of each series, by hour */
  check(frozen: ReadonlyMap<string, ReadonlyMap<number, bigint>>, records: readonly RecordEntry[]): void {
    for (const { account, dimension, state } of records) {
      if (state === 'held' || state === 'returned') this.#moved.add(seriesOf(account, dimension))
    }
    if (this.clockWasWrong) return
    for (const [series, hours] of frozen) {
      const recorded = this.#recorded.get(series) ?? new Map()
      for (const hour of hours.keys()) {
        const [most, is] = [upTo(hour, recorded), upTo(hour, hours)]
        assert.ok(is <= most, `${series}: ${is} of ${most} billed or included up to ${new Date(hour).toISOString()}`)
      }
    }
  }

  /**
   * When all is billed: what nothing moved is billed, or included, in its own hour, and so in its own month. Returns the
   * lines of such series.
   *
   * @param waited whether usage may have waited until it was known what is included of it
   */
  checkInTheirHours(
    frozen: ReadonlyMap<string, ReadonlyMap<number, bigint>>,
    lines: readonly StatementLine[],
    waited: boolean,
  ): StatementLine[] {
    if (this.clockWasWrong) return []
    const checked: StatementLine[] = []
    for (const line of lines) {
      const { account, dimension } = line
      const series = seriesOf(account, dimension.name)
      const moved =
        this.#moved.has(series) || [...this.#movedBeginnings].some(beginning => series.startsWith(beginning))
      if (moved || account.kind !== 'customer') continue
      const recorded = this.#recorded.get(series) ?? new Map<number, bigint>()
      if (recorded.size > 0) checked.push(line)
      for (const hour of recorded.keys()) {
        const until = waited && dimension.name === ENTITLED ? Number.POSITIVE_INFINITY : hour
        const whole = upTo(until, recorded) / dimension.size
        assert.equal(
          upTo(until, frozen.get(series) ?? new Map()),
          whole * dimension.size,
          `${series}: billed or included up to ${new Date(hour).toISOString()}`,
        )
      }
    }
    return checked
  }
}
