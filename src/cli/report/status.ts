import { MIN_FREE_BYTES } from '../../ledger/disk.ts'
import { HOUR, windowClosesAt } from '../../ledger/hours.ts'
import type { AuditEntry, IncludedDimension, LaneAnswer, LedgerStatus } from '../../ledger/ledger.ts'
import { latePendingHour, overdueClose } from '../../ledger/rules/lateness.ts'
import type { Overflow } from '../../ledger/rules/overflow.ts'
import { COUNTER_ALARMS, type RecentAlarm } from '../../metering/counter-alarms.ts'
import { endpointText, type RefusedEndpoint, type RegionEndpoint, refusedText } from '../../metering/endpoints.ts'
import { CLOSE_DELAY } from '../../metering/options.ts'
import { type Finding, type FindingState, gravity } from '../../metering/preflight/finding.ts'
import { QUANTITY_ALERT } from '../../metering/quantity-alert.ts'
import { unknownContractText } from '../../metering/unknown-contracts.ts'
import type { ReconciledRegion } from '../../reconcile/notes.ts'
import {
  openText,
  recentFindings,
  reconcileCommand,
  reconciledJson,
  reconciledLines,
} from '../../reconcile/reconciled-text.ts'
import { OVERFLOW_ADVICE, overflowText } from '../../text/overflow.ts'
import { type Paint, plain } from '../../text/paint.ts'
import { oneLine, printable } from '../../text/printable.ts'
import { sizeText } from '../../text/size.ts'
import { distance, iso, shortTime } from '../../text/time.ts'
import { formatAmount } from '../../usage/amount.ts'
import type { Dimension } from '../../usage/dimension.ts'
import type { Endpoint, Status } from '../json.ts'
import { amountText } from './record-name.ts'

export interface LedgerOverview {
  readonly name: string
  /** Of the file, in bytes. */
  readonly size: number | undefined
  /** Of the file's disk, in bytes. */
  readonly free?: number
  readonly now: number
  readonly status: LedgerStatus
  /** That the ledger lacks commits. */
  readonly losses?: readonly Required<Finding>[]
  readonly alarms: readonly RecentAlarm[]
  /** What was told last of records above their dimension's `alertQuantity`. */
  readonly quantityAlert?: AuditEntry
  readonly dimensions: ReadonlyMap<string, Dimension>
  readonly answers: readonly LaneAnswer[]
  /** Where records go. */
  readonly endpoints: readonly RegionEndpoint[]
  /** Of processes that would send elsewhere, in the last day. */
  readonly refusedEndpoints?: readonly RefusedEndpoint[]
  /** Undefined where who looks may not fold what waits, without which balances are not known. */
  readonly overflows: readonly Overflow[] | undefined
  /** Of which dimensions it is not known what contracts include. */
  readonly unknown?: readonly IncludedDimension[]
  /** How many customers there are whom AWS says are not subscribed, and whose agreement has not ended. */
  readonly refused?: number
  readonly reconciled?: readonly ReconciledRegion[]
}

/** The figures to watch, for a person: what to look at first comes last, where the eye is. */
export function statusText(report: LedgerOverview, paint: Paint = plain): string {
  const { name, size, now, status, dimensions, answers, overflows, reconciled = [] } = report
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
    ['More than fits', overflowRow(overflows)],
    ['Sent to', report.endpoints.length === 0 ? ['nowhere yet'] : report.endpoints.map(sentTo)],
    ['Last answers', answers.length === 0 ? ['none'] : answers.map(answer => answerText(answer, now))],
    ['With AWS', reconciled.length === 0 ? ['nothing was sent yet'] : reconciledLines(reconciled)],
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
      : ['Look first at:', ...problems.map(({ message, advice }) => paint('yellow', `  ${message}: ${advice}`))]
  return [...facts, '', ...advice].join('\n')
}

/** What needs a person, the most urgent first. What the status page calls trouble is a fault. */
export function problemsOf({
  free,
  now,
  status,
  losses = [],
  alarms,
  quantityAlert,
  answers,
  overflows = [],
  unknown = [],
  refused = 0,
  reconciled = [],
  refusedEndpoints = [],
}: Pick<
  LedgerOverview,
  | 'free'
  | 'now'
  | 'status'
  | 'losses'
  | 'alarms'
  | 'quantityAlert'
  | 'answers'
  | 'overflows'
  | 'unknown'
  | 'refused'
  | 'refusedEndpoints'
  | 'reconciled'
>): Required<Finding>[] {
  const problems: Required<Finding>[] = [...losses]
  if (free !== undefined && free < MIN_FREE_BYTES) {
    const [there, enough] = [free, MIN_FREE_BYTES].map(bytes => Math.floor(bytes / 1e6))
    problems.push({
      ...{ name: 'disk', state: 'fault' },
      message: `${there} MB free of the ${enough} MB that the ledger's disk is to have`,
      advice: 'make room; once it is full, what is measured waits in memory',
    })
  }
  const oldest = latePendingHour(status, now)
  if (oldest !== undefined) {
    const failing = answers.filter(({ answer }) => answer !== 'Success').map(answer => answerText(answer, now))
    const said = failing.length === 0 ? '' : `; AWS answered last: ${failing.join('; ')}`
    problems.push({
      ...{ name: 'pending', state: 'fault', advice: 'marketplace-meter records --state pending, then doctor' },
      message: `Usage of ${shortTime(oldest)} is still pending; ${windowText(oldest, now)}${said}`,
    })
  }
  // The ledger does not know the delay that its exporters are configured with.
  if (overdueClose(status, CLOSE_DELAY, now) !== undefined) {
    problems.push({
      ...{
        name: 'passes',
        state: 'fault',
        advice: 'is an exporter or gateway running? Start it with this ledger, never with a new one',
      },
      message: `No hour was closed since ${shortTime(status.closedThrough as number)}`,
    })
  }
  for (const refused of refusedEndpoints) {
    const [name, state, advice] = ['endpoint', 'warning', 'marketplace-meter endpoint'] as const
    problems.push({ name, state, message: refusedText(refused), advice })
  }
  const { closedThrough } = status
  if (closedThrough !== undefined && closedThrough > now) {
    problems.push({
      ...{
        name: 'clock',
        state: 'warning',
        advice: 'look at the clocks of all that meter with this ledger, and at this one',
      },
      message: `The last closed hour, ${shortTime(closedThrough)}, is to come: a clock is or was wrong`,
    })
  }
  for (const overflow of overflows) {
    problems.push({
      ...{ name: 'overflow', state: 'warning', advice: OVERFLOW_ADVICE },
      message: overflowText(overflow),
    })
  }
  for (const one of unknown) {
    const message = unknownContractText(one, now)
    problems.push({ name: 'entitlements', state: 'warning', message, advice: 'marketplace-meter doctor' })
  }
  for (const { verdict, at } of alarms) {
    const { title, mend } = COUNTER_ALARMS[verdict]
    const message = `${title} Last seen ${distance(at, now)}. ${mend}`
    problems.push({ name: 'counters', state: 'warning', message, advice: 'marketplace-meter audit' })
  }
  if (quantityAlert !== undefined) {
    const { at, why, detail = '' } = quantityAlert
    problems.push({
      ...{ name: 'above alert', state: 'warning', advice: 'marketplace-meter audit --action above-alert' },
      message: `${QUANTITY_ALERT.title} ${printable(detail)}, ${distance(at, now)}: ${printable(why)}. ${QUANTITY_ALERT.mend}`,
    })
  }
  if (refused > 0) {
    const customers = `${refused === 1 ? 'a customer' : `${refused} customers`} with an agreement`
    problems.push({
      ...{ name: 'refused', state: 'warning', advice: 'marketplace-meter agreements' },
      message: `AWS does not take usage of ${customers}; it waits for a day, and is held then`,
    })
  }
  for (const { region, open, opened } of recentFindings(reconciled, now)) {
    const message = `Reconciled with AWS in ${printable(region)}: ${openText(open)}`
    problems.push({ name: 'reconciled', state: 'warning', message, advice: reconcileCommand(region, opened) })
  }
  const records = (doubtful: boolean) =>
    status.held.reduce((sum, { records, reason }) => sum + ((reason === 'in-doubt') === doubtful ? records : 0), 0)
  const [held, inDoubt] = [records(false), records(true)]
  const advice = 'marketplace-meter held'
  if (inDoubt > 0) {
    const message = `${counted(inDoubt)} in doubt, AWS may have billed ${inDoubt === 1 ? 'it' : 'them'}`
    problems.push({ name: 'in doubt', state: 'warning', message, advice })
  }
  if (held > 0) problems.push({ name: 'held', state: 'warning', message: `${counted(held)} held`, advice })
  if (status.unattributed.some(({ amount }) => amount !== 0n)) {
    problems.push({
      ...{ name: 'unattributed', state: 'warning', message: 'Usage is unattributed, nobody is billed for it' },
      advice: 'marketplace-meter statement, then attribute or write-off',
    })
  }
  return problems
}

const counted = (records: number) => `${records} ${records === 1 ? 'record is' : 'records are'}`

function overflowRow(overflows: readonly Overflow[] | undefined): string[] {
  if (overflows === undefined) return ['not known: usage waits to be folded, and this role may only read']
  if (overflows.length === 0) return ['none']
  return overflows.map(({ dimension, customers, hours }) => {
    return `${printable(dimension.name)}: ${customers} ${customers === 1 ? 'customer' : 'customers'}, for up to ${hours} hours`
  })
}

/** `AWS`, or `us-east-1: proxy.internal` of a region by itself. */
export function sentTo({ region, endpoint }: RegionEndpoint): string {
  return region === undefined ? endpointText(endpoint) : `${printable(region)}: ${endpointText(endpoint)}`
}

export function endpointsJson(endpoints: readonly RegionEndpoint[]): Endpoint[] {
  return endpoints.map(({ region = null, at, ...rest }) => ({ region, ...rest, since: iso(at) }))
}

/** `prod in us-east-1: Success, 3 min ago` */
function answerText({ product, region, answer, at }: LaneAnswer, now: number): string {
  return `${printable(product)} in ${region}: ${printable(oneLine(answer), LONGEST_ANSWER)}, ${distance(at, now)}`
}

/** In characters. */
const LONGEST_ANSWER = 300

/** One line for each finding, or one that says that there is none, as monitoring takes it. */
export function checkText(problems: readonly Finding[], { closedThrough }: LedgerStatus, now: number): string {
  if (problems.length === 0) {
    const closed = closedThrough === undefined ? 'no hour yet' : shortTime(closedThrough)
    return `OK: nothing to do at ${shortTime(now)}, closed through ${closed}`
  }
  return problems.map(({ state, message, advice }) => `${LEVELS[state]}: ${message}: ${advice}`).join('\n')
}

const LEVELS: Readonly<Record<FindingState, string>> = { ok: 'OK', warning: 'WARNING', fault: 'CRITICAL' }

const hourText = (hour: number, now: number) => `${shortTime(hour)} (its end was ${distance(hour + HOUR, now)})`

function windowText(hour: number, now: number): string {
  const closes = windowClosesAt(hour)
  const verb = closes > now ? 'AWS takes it until' : 'AWS took it until'
  return `${verb} ${shortTime(closes)} (${distance(closes, now)})`
}

/** The figures to watch, for a program. Amounts are decimal numbers of `baseUnit`, as strings. */
export function statusJson(report: LedgerOverview): Status {
  const { name, size, now, status, answers, dimensions, overflows, reconciled = [] } = report
  const problems = problemsOf(report)
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
    overflows:
      overflows?.map(({ dimension, amount, ...rest }) => ({
        ...rest,
        ...figure({ dimension: dimension.name, amount }),
      })) ?? null,
    endpoints: endpointsJson(report.endpoints),
    answers: answers.map(({ at, ...answer }) => ({ ...answer, at: iso(at) })),
    reconciled: reconciledJson(reconciled),
    exitStatus: gravity(problems),
    problems: problems.map(({ state, ...said }) => ({
      ...{ level: state === 'fault' ? 'CRITICAL' : 'WARNING', message: said.message, advice: said.advice },
    })),
  }
}
