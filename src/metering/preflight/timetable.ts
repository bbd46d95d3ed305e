import { HOUR, hourOf, windowClosesAt } from '../../ledger/hours.ts'
import type { Ledger } from '../../ledger/ledger.ts'
import { closesAt } from '../../ledger/rules/lateness.ts'
import { amountText } from '../../text/quantity.ts'
import { distance, here, shortTime } from '../../text/time.ts'
import type { Finding } from './finding.ts'

export interface TimetableTerms {
  /** Milliseconds since the epoch. */
  readonly now: number
  /** In milliseconds, as for the exporter. */
  readonly closeDelay: number
  readonly deadlineMargin: number
}

/** When what is recorded now is billed: what there is of this hour, and what becomes of it when. */
export async function timetable(ledger: Ledger | undefined, terms: TimetableTerms): Promise<Finding[]> {
  const { now, closeDelay, deadlineMargin } = terms
  const name = 'timetable'
  const hour = hourOf(now)
  const lines = (await ledger?.statement({ from: hour, to: hour + HOUR })) ?? []
  const amounts = new Map<string, { dimension: (typeof lines)[number]['dimension']; amount: bigint }>()
  for (const { dimension, recorded } of lines) {
    const amount = (amounts.get(dimension.name)?.amount ?? 0n) + recorded
    if (amount !== 0n) amounts.set(dimension.name, { dimension, amount })
  }
  const recorded = [...amounts.values()].map(({ dimension, amount }) => amountText(amount, dimension))
  // Of a ledger that is not there, or cannot be read, nothing is said.
  const what =
    recorded.length > 0
      ? `Recorded of the hour ${shortTime(hour)}: ${recorded.join(', ')}. The hour`
      : ledger === undefined
        ? `The hour ${shortTime(hour)}`
        : `Nothing is recorded of the hour ${shortTime(hour)} yet. The hour`
  const at = (time: number) => `${shortTime(time)}${here(time)}`
  const closes = closesAt(hour, closeDelay)
  const window = windowClosesAt(hour)
  return [
    { name, state: 'ok', message: `${what} is over at ${at(hour + HOUR)}, ${distance(hour + HOUR, now)}.` },
    {
      name,
      state: 'ok',
      message:
        `Its whole units are frozen into records at ${at(closes)} and sent within a minute; while AWS does not answer, ` +
        `again until ${at(window - deadlineMargin)}. AWS takes them until ${at(window)}.`,
    },
  ]
}
