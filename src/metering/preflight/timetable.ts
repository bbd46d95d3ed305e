import { HOUR, hourOf, windowClosesAt } from '../../ledger/hours.ts'
import type { Ledger, StatementLine } from '../../ledger/ledger.ts'
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
  const isCustomers = ({ account }: StatementLine) => account.kind === 'customer'
  const waiting = balancesOf(lines.filter(isCustomers))
  const nobodys = balancesOf(lines.filter(line => !isCustomers(line)))
  // Of a ledger that is not there, or cannot be read, nothing is said.
  const what =
    waiting.length > 0
      ? `Of the hour ${shortTime(hour)} waits to be billed: ${waiting.join(', ')}. The hour`
      : ledger === undefined
        ? `The hour ${shortTime(hour)}`
        : `Nothing of the hour ${shortTime(hour)} waits to be billed yet. The hour`
  const at = (time: number) => `${shortTime(time)}${here(time)}`
  const closes = closesAt(hour, closeDelay)
  const window = windowClosesAt(hour)
  const unattributed: Finding = {
    ...{ name: 'customers', state: 'warning' },
    message: `Of the hour ${shortTime(hour)} has no customer, and is billed to nobody: ${nobodys.join(', ')}.`,
    advice: '"marketplace-meter statement" shows why: mend what records it, then "marketplace-meter attribute" it.',
  }
  return [
    ...(nobodys.length > 0 ? [unattributed] : []),
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

/** What is not frozen yet, by dimension. */
function balancesOf(lines: readonly StatementLine[]): string[] {
  return [...Map.groupBy(lines, ({ dimension }) => dimension.name).values()].flatMap(ofIt => {
    const amount = ofIt.reduce((sum, { balance }) => sum + balance, 0n)
    return amount > 0n ? [amountText(amount, (ofIt[0] as StatementLine).dimension)] : []
  })
}
