import { setImmediate } from 'node:timers/promises'
import { HOUR, hourOf, MINUTE } from '../../ledger/hours.ts'
import type { Ledger, RecordEntry } from '../../ledger/ledger.ts'
import { closesAt } from '../../ledger/rules/lateness.ts'
import { iso } from '../../text/time.ts'
import { Splits } from './splits.ts'
import type { Unsettled } from './unsettled.ts'

/** How far back the page shows hours: twice as long as AWS takes them. */
const HOURS = 48
/** How many records of an hour are looked at. */
const COUNTED = 1000
/** A late answer can still change an hour that was settled. */
const RECOUNT_AFTER = 10 * MINUTE
/** So long after its time an hour is no longer about to be closed. That alone is no alarm: see `overdueClose`. */
const ABOUT_TO_CLOSE = 10 * MINUTE

/** What became of an hour. What came late is in the hour that took it along. */
export interface HourReport {
  /** Its first instant, ISO 8601. */
  readonly hour: string
  /**
   * `open` until it ends; `closing` until its usage is frozen into records; `late` where that is overdue; `closed`
   * when its records are final.
   */
  readonly state: 'open' | 'closing' | 'late' | 'closed'
  /** When it is closed at the earliest, ISO 8601. */
  readonly closesAt: string
  /** Records that it was frozen into. */
  readonly frozen: number
  /** Those of them that were sent to AWS at least once. */
  readonly sent: number
  /** Those that AWS answered `Success` to. */
  readonly metered: number
  readonly pending: number
  readonly held: number
  /** Those whose usage went into a later hour. */
  readonly returned: number
  /** Whether there are more records than were counted. */
  readonly more: boolean
  /** Whether there may be more pending and held ones, too: most of them are known beyond those that were counted. */
  readonly morePending: boolean
  readonly moreHeld: boolean
}

type Counts = Omit<HourReport, 'hour' | 'state' | 'closesAt'>

export interface HourFacts {
  readonly now: number
  readonly closeDelay: number
  readonly closedThrough: number | undefined
  readonly unsettled: Unsettled
}

/** Counts the records of the last hours; those of hours that are settled it remembers. */
export class HourCounter {
  readonly #ledger: Pick<Ledger, 'records'>
  readonly #settled = new Map<number, { readonly at: number; readonly counts: Counts }>()
  /** Of each hour, as it was counted last. */
  readonly #splits = new Map<number, Splits>()

  constructor(ledger: Pick<Ledger, 'records'>) {
    this.#ledger = ledger
  }

  /** The last two days, the oldest hour first. */
  async hours(facts: HourFacts): Promise<HourReport[]> {
    const { now, closeDelay } = facts
    const present = hourOf(now)
    const reports: HourReport[] = []
    for (let hour = present - (HOURS - 1) * HOUR; hour <= present; hour += HOUR) {
      const counts = await this.#counts(hour, facts)
      const closing = iso(closesAt(hour, closeDelay))
      reports.push({ hour: iso(hour), state: stateOf(hour, facts), closesAt: closing, ...counts })
    }
    for (const known of [this.#settled, this.#splits]) {
      for (const hour of known.keys()) if (hour <= present - HOURS * HOUR) known.delete(hour)
    }
    return reports
  }

  /** What of the records that were counted is for which tags. */
  splits(): Splits {
    return Splits.sum(this.#splits.values())
  }

  async #counts(hour: number, facts: HourFacts): Promise<Counts> {
    const unsettled = facts.unsettled.records.filter(record => record.hour === hour)
    const known = this.#settled.get(hour)
    if (known !== undefined && unsettled.length === 0 && Math.abs(facts.now - known.at) < RECOUNT_AFTER) {
      return known.counts
    }
    // An engine that answers at once does not hold up the event loop for all hours together.
    await setImmediate()
    const records = await this.#ledger.records({ from: hour, to: hour + HOUR, limit: COUNTED + 1 })
    const counts = countsOf(records, { ...facts.unsettled, records: unsettled })
    this.#splits.set(hour, Splits.of(records.slice(0, COUNTED)))
    const settled = stateOf(hour, facts) === 'closed' && counts.pending === 0 && counts.held === 0
    if (settled) this.#settled.set(hour, { at: facts.now, counts })
    else this.#settled.delete(hour)
    return counts
  }
}

function stateOf(hour: number, { now, closeDelay, closedThrough }: HourFacts): HourReport['state'] {
  if (closedThrough !== undefined && hour <= closedThrough) return 'closed'
  if (now < hour + HOUR) return 'open'
  if (now < closesAt(hour, closeDelay) + ABOUT_TO_CLOSE) return 'closing'
  // Before a ledger has closed its first hour there is nothing that could be late.
  return closedThrough === undefined ? 'closed' : 'late'
}

function countsOf(found: readonly RecordEntry[], unsettled: Unsettled): Counts {
  const records = found.slice(0, COUNTED)
  const more = found.length > COUNTED
  const count = (among: readonly RecordEntry[], state: RecordEntry['state']) =>
    among.reduce((sum, record) => sum + (record.state === state ? 1 : 0), 0)
  return {
    frozen: records.length,
    sent: records.reduce((sum, record) => sum + (record.attempts > 0 ? 1 : 0), 0),
    metered: count(records, 'metered'),
    pending: Math.max(count(records, 'pending'), count(unsettled.records, 'pending')),
    held: Math.max(count(records, 'held'), count(unsettled.records, 'held')),
    returned: count(records, 'returned'),
    ...{ more, morePending: more && unsettled.more.pending, moreHeld: more && unsettled.more.held },
  }
}
