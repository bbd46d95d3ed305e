import { HOUR, windowClosesAt } from '../../ledger/hours.ts'
import type { LedgerStatus } from '../../ledger/ledger.ts'
import { latePendingHour, overdueClose } from '../../ledger/rules/lateness.ts'
import { COUNTER_ALARMS, type RecentAlarm } from '../../metering/counter-alarms.ts'
import { CLOSE_DELAY } from '../../metering/options.ts'
import { type Paint, plain } from '../../text/paint.ts'
import { printable } from '../../text/printable.ts'
import { sizeText } from '../../text/size.ts'
import { distance, iso, shortTime } from '../../text/time.ts'
import { formatAmount } from '../../usage/amount.ts'
import type { Dimension } from '../../usage/dimension.ts'
import { amountText } from './record-name.ts'

export interface LedgerOverview {
  readonly name: string
  /** Of the file, in bytes. */
  readonly size: number | undefined
  readonly now: number
  readonly status: LedgerStatus
  readonly alarms: readonly RecentAlarm[]
  readonly dimensions: ReadonlyMap<string, Dimension>
}

/** The figures to watch, for a person: what to look at first comes last, where the eye is. */
export function statusText(report: LedgerOverview, paint: Paint = plain): string {
  const { name, size, now, status, dimensions } = report
  const { closedThrough, oldestPendingHour: oldest } = status
  const figures = (list: readonly { dimension: string; amount: bigint; records?: number; reason?: string }[]) =>
    list.length === 0
      ? ['none']
      : list.map(({ dimension, amount, records, reason }) =>
          [
            ...(reason === undefined ? [] : [`${reason}:`]),
            amountText(amount, dimension, dimensions),
            ...(records === undefined ? [] : [`in ${records} ${records === 1 ? 'record' : 'records'}`]),
          ].join(' '),
        )
  const notCounted = Object.entries(status.notCounted).filter(([, points]) => points > 0)
  const rows: [string, string[]][] = [
    ['Ledger', [size === undefined ? name : `${name}, ${sizeText(size)}`]],
    ['Closed through', [closedThrough === undefined ? 'no hour yet' : hourText(closedThrough, now)]],
    ['Oldest pending', [oldest === undefined ? 'none' : `${hourText(oldest, now)}; ${windowText(oldest, now)}`]],
    ['Pending', figures(status.pending)],
    ['Held', figures(status.held)],
    ['Unattributed', figures(status.unattributed.filter(({ amount }) => amount !== 0n))],
    ['Waiting', figures(status.waiting)],
    [
      'Not counted',
      notCounted.length === 0 ? ['none'] : notCounted.map(([reason, points]) => `${printable(reason)}: ${points}`),
    ],
  ]
  const facts = rows.map(([name, texts]) => `${name.padEnd(16)}${texts.join(`\n${' '.repeat(16)}`)}`)
  const problems = problemsOf(report)
  const advice =
    problems.length === 0
      ? [paint('green', 'Nothing to do.')]
      : ['Look first at:', ...problems.map(text => paint('yellow', `  ${text}`))]
  return [...facts, '', ...advice].join('\n')
}

/** What needs a person, the most urgent first. */
export function problemsOf({ now, status, alarms }: Pick<LedgerOverview, 'now' | 'status' | 'alarms'>): string[] {
  const problems: string[] = []
  const oldest = latePendingHour(status, now)
  if (oldest !== undefined) {
    problems.push(
      `Usage of ${shortTime(oldest)} is still pending; ${windowText(oldest, now)}: marketplace-meter records --state pending`,
    )
  }
  // The ledger does not know the delay that its exporters are configured with.
  if (overdueClose(status, CLOSE_DELAY, now) !== undefined) {
    problems.push(`No hour was closed since ${shortTime(status.closedThrough as number)}: is an exporter running?`)
  }
  for (const { verdict, at } of alarms) {
    const { title, mend } = COUNTER_ALARMS[verdict]
    problems.push(`${title} Last seen ${distance(at, now)}. ${mend}: marketplace-meter audit`)
  }
  const held = status.held.reduce((sum, { records }) => sum + records, 0)
  if (held > 0) problems.push(`${held} ${held === 1 ? 'record is' : 'records are'} held: marketplace-meter held`)
  if (status.unattributed.some(({ amount }) => amount !== 0n)) {
    problems.push('Usage has no customer: marketplace-meter statement, then attribute or write-off')
  }
  return problems
}

const hourText = (hour: number, now: number) => `${shortTime(hour)} (its end was ${distance(hour + HOUR, now)})`

function windowText(hour: number, now: number): string {
  const closes = windowClosesAt(hour)
  const verb = closes > now ? 'AWS takes it until' : 'AWS took it until'
  return `${verb} ${shortTime(closes)} (${distance(closes, now)})`
}

/** The figures to watch, for a program. Amounts are decimal numbers of `baseUnit`, as strings. */
export function statusJson(report: LedgerOverview): object {
  const { name, size, now, status, dimensions } = report
  const figure = <Rest extends { readonly dimension: string }>({
    amount,
    ...rest
  }: Rest & { readonly amount: bigint }) => ({
    ...rest,
    amount: formatAmount(amount),
    baseUnit: dimensions.get(rest.dimension)?.baseUnit ?? null,
  })
  return {
    at: iso(now),
    ledger: name,
    fileSize: size ?? null,
    closedThrough: status.closedThrough === undefined ? null : iso(status.closedThrough),
    oldestPendingHour: status.oldestPendingHour === undefined ? null : iso(status.oldestPendingHour),
    pending: status.pending.map(figure),
    held: status.held.map(figure),
    unattributed: status.unattributed.map(figure),
    waiting: status.waiting.map(figure),
    notCounted: status.notCounted,
    problems: problemsOf(report),
  }
}
