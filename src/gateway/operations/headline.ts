import { DAY, HOUR, hourOf, windowClosesAt } from '../../ledger/hours.ts'
import type { AuditEntry, IncludedDimension, LedgerStatus } from '../../ledger/ledger.ts'
import { closesAt, latePendingHour, overdueClose } from '../../ledger/rules/lateness.ts'
import { COUNTER_ALARMS, type RecentAlarm } from '../../metering/counter-alarms.ts'
import { type RefusedEndpoint, refusedText } from '../../metering/endpoints.ts'
import { TROUBLES } from '../../metering/faults.ts'
import type { SupplyAlarm } from '../../metering/feeds.ts'
import type { Finding as Found } from '../../metering/preflight/finding.ts'
import { QUANTITY_ALERT } from '../../metering/quantity-alert.ts'
import { isLogin, refusalAdvice, type SupplyFigures } from '../../metering/supply.ts'
import { unknownContractText } from '../../metering/unknown-contracts.ts'
import type { ReconciledRegion } from '../../reconcile/notes.ts'
import { openText, recentFindings } from '../../reconcile/reconciled-text.ts'
import { withoutCustomers } from '../../text/customer-data.ts'
import { DAMAGED } from '../../text/ledger-advice.ts'
import { OVERFLOW_ADVICE, overflowText } from '../../text/overflow.ts'
import { printable } from '../../text/printable.ts'
import { distance } from '../../text/time.ts'
import type { LaneTrouble, Pass } from './activity.ts'
import type { Advice } from './command.ts'
import { reconcileAgain } from './lookup.ts'
import type { CheckResult } from './readiness.ts'
import type { Stake } from './stake.ts'
import { agreementCounts, type Totals } from './totals.ts'

/** The answer to "is everything that was measured being billed?". */
export interface Headline {
  /** `trouble` when something is broken, `attention` when a person has something to decide, `empty` before any usage. */
  readonly level: 'good' | 'attention' | 'trouble' | 'empty'
  /**
   * Whether usage may never be billed unless somebody does something: what `marketplace-meter status --check` exits
   * with 2 for, and a gateway that takes no usage. The title says so.
   */
  readonly atRisk: boolean
  readonly title: string
  /** What to know and to do, the most urgent first. */
  readonly details: readonly string[]
  /** What a person types for that. */
  readonly commands: readonly Advice[]
}

export interface HeadlineFacts {
  readonly now: number
  readonly closeDelay: number
  readonly dryRun: boolean
  readonly status: LedgerStatus
  /** What is at stake when AWS stops to take the oldest hour that is pending. */
  readonly stake?: Stake | undefined
  readonly totals: Totals
  readonly troubles: readonly LaneTrouble[]
  readonly lastPass: Pass | undefined
  /** That the ledger lacks commits. */
  readonly loss?: Found | undefined
  readonly alarms: readonly RecentAlarm[]
  /** What was told last of records above their dimension's `alertQuantity`. */
  readonly quantityAlert?: AuditEntry | undefined
  readonly refusedEndpoints: readonly RefusedEndpoint[]
  /** Of which dimensions it is not known what contracts include. */
  readonly unknown: readonly IncludedDimension[]
  /** What is wrong with what comes in, and what has come. */
  readonly supplyAlarms: readonly SupplyAlarm[]
  readonly supply: SupplyFigures
  readonly checks: readonly CheckResult[]
  readonly reconciled?: readonly ReconciledRegion[]
  /** Why this process could not reconcile. */
  readonly reconcileFault?: string | undefined
  readonly commandOf: (command: string) => string
}

interface Finding {
  readonly level: 'trouble' | 'attention'
  readonly atRisk?: boolean
  /** The whole answer, where this is the gravest finding. */
  readonly title: string
  readonly detail: string
  readonly advice?: Advice
}

export function headlineOf(facts: HeadlineFacts): Headline {
  const findings = FINDINGS.flatMap(find => find(facts) ?? [])
  const { trouble = [], attention = [] } = Object.groupBy(findings, ({ level }) => level)
  const [gravest] = [...trouble, ...attention]
  if (gravest !== undefined) {
    const { level, title } = gravest
    const atRisk = findings.some(finding => finding.atRisk)
    const inOrder = [...trouble, ...attention]
    const commands = new Map(inOrder.flatMap(({ advice }) => (advice === undefined ? [] : [[advice.command, advice]])))
    return {
      ...{ level, atRisk, title: atRisk ? `AT RISK: ${title}` : title, details: inOrder.map(({ detail }) => detail) },
      commands: [...commands.values()].map(({ when, command }) => ({ when, command: facts.commandOf(command) })),
    }
  }
  if (isNothingRecorded(facts.totals)) {
    return {
      ...{ level: 'empty', atRisk: false },
      title: 'Nothing has been measured yet.',
      details: [
        'Usage shows up here as soon as the first data points that are billed have come in.',
        ...whatCame(facts.supply),
      ],
      commands: [],
    }
  }
  const title = 'Everything that was measured is billed or on its way.'
  return { level: 'good', atRisk: false, title, details: goodNews(facts), commands: [] }
}

const isNothingRecorded = ({ reports }: Totals): boolean => reports.every(({ recorded }) => recorded.amount === '0')

/** In the order of their urgency. */
const FINDINGS: readonly ((facts: HeadlineFacts) => Finding | readonly Finding[] | undefined)[] = [
  notAddingUp,
  lost,
  notReady,
  pendingLate,
  notClosing,
  refusedEndpoints,
  overflowing,
  counterAlarms,
  aboveAlert,
  unbillable,
  supplyAlarms,
  refusedRequests,
  laneTroubles,
  contractsUnknown,
  passFailed,
  refusedCustomers,
  heldOrUnattributed,
  notAsAws,
  notReconciled,
  dryRun,
]

function notAddingUp({ totals }: HeadlineFacts): Finding | undefined {
  const breaches = totals.reports.reduce((sum, report) => sum + report.breaches, 0)
  if (breaches === 0) return undefined
  return {
    level: 'trouble',
    title: 'The ledger does not add up.',
    detail: `For ${breaches.toLocaleString('en-US')} series, recorded is not included + metered + pending + held + balance. ${DAMAGED}`,
  }
}

function lost({ loss }: HeadlineFacts): Finding | undefined {
  if (loss === undefined) return undefined
  const title = 'The ledger has lost usage, and nothing is sent.'
  const advice = { when: 'When what was lost runs no more:', command: 'declare-restored --why "…"' }
  return { level: 'trouble', title, detail: `${loss.message} ${loss.advice}`, advice }
}

function notReady({ checks }: HeadlineFacts): Finding | undefined {
  const wrong = checks.filter(({ state }) => state !== 'ok')
  if (wrong.length === 0) return undefined
  const failed = wrong.some(({ state }) => state === 'failed')
  return {
    ...{ level: failed ? 'trouble' : 'attention', atRisk: failed },
    title: failed ? 'Usage cannot be taken now.' : 'Usage is taken, but something is wrong.',
    detail: wrong.map(({ name, message = '' }) => `Check ${name}: ${message}.`).join(' '),
  }
}

function pendingLate({ now, dryRun, status, stake }: HeadlineFacts): Finding | undefined {
  const oldest = latePendingHour(status, now)
  if (dryRun || oldest === undefined) return undefined
  const closes = windowClosesAt(oldest)
  const window = `AWS ${closes > now ? 'takes' : 'took'} it until ${timeText(closes)}, ${distance(closes, now)}.`
  const atStake = stake === undefined || stake.records === 0 ? '' : ` At stake: ${stake.text}.`
  return {
    ...{ level: 'trouble', atRisk: true },
    title: `Usage of ${distance(oldest, now)} has not been billed.`,
    detail: `Records of the hour ${timeText(oldest)} have no final answer from AWS yet. ${window}${atStake}`,
    advice: { when: 'The records, with AWS’s last answers:', command: 'records --state pending' },
  }
}

function notClosing({ now, closeDelay, status }: HeadlineFacts): Finding | undefined {
  const due = overdueClose(status, closeDelay, now)
  if (due === undefined) return undefined
  return {
    ...{ level: 'trouble', atRisk: true },
    title: `No hour has been closed since ${timeText(status.closedThrough as number)}.`,
    detail: `Usage of later hours is in the ledger and is not sent. The next one was to be closed ${distance(due, now)}.`,
  }
}

function refusedEndpoints({ refusedEndpoints }: HeadlineFacts): Finding[] {
  return refusedEndpoints.map(refused => ({
    level: 'attention',
    title: 'A process would send records elsewhere than the others.',
    detail: `${refusedText(refused)}.`,
    advice: { when: 'Where records go, and what to do:', command: 'endpoint' },
  }))
}

function overflowing({ totals }: HeadlineFacts): Finding[] {
  return totals.overflows.map(overflow => ({
    level: 'attention',
    title: `Not in time: more of ${printable(overflow.dimension.name)} is used than AWS takes.`,
    detail: `${overflowText(overflow)}. ${OVERFLOW_ADVICE}.`,
  }))
}

function counterAlarms({ now, alarms }: HeadlineFacts): Finding[] {
  return alarms.map(({ verdict, at }) => {
    const { title, usage, mend } = COUNTER_ALARMS[verdict]
    const detail = `${title} ${usage} ${mend}. Last seen ${distance(at, now)}: the audit trail says where.`
    return { level: 'attention', title, detail, advice: { when: 'Where it was seen:', command: 'audit' } }
  })
}

function aboveAlert({ now, quantityAlert }: HeadlineFacts): Finding | undefined {
  if (quantityAlert === undefined) return undefined
  const { at, why, detail = '' } = quantityAlert
  const { title, mend } = QUANTITY_ALERT
  return {
    level: 'attention',
    title,
    detail: `${printable(detail)}, ${distance(at, now)}: ${printable(why)}. ${mend}.`,
  }
}

/** So long is it shown what was turned away: as long as AWS takes usage of an hour. */
const SHOWN = DAY
/** What was turned away of who knows whom, such as somebody who tries ports. */
const SHOWN_OF_STRANGERS = HOUR
/** So many failed logins are more than somebody's who looks at the page. */
const LOGINS = 5

function unbillable({ now, supply }: HeadlineFacts): Finding[] {
  const recent = supply.unbillable.filter(({ at }) => now - at < SHOWN)
  return recent.map(({ metric, points, message, since, at }) => ({
    level: 'attention',
    title: `Not all: ${counted(points, 'data point')} of ${metric} cannot be billed.`,
    detail: `${message} ${counted(points, 'data point')} since ${timeText(since)}, the last ${distance(at, now)}.`,
  }))
}

function supplyAlarms({ supplyAlarms }: HeadlineFacts): Finding[] {
  return supplyAlarms.map(({ title, detail }) => ({ level: 'attention', title, detail }))
}

function refusedRequests({ now, supply, totals }: HeadlineFacts): Finding[] {
  if (supply.refused.length === 0) return []
  const nothing = isNothingRecorded(totals)
  const recent = supply.refused.filter(({ at, sender, code, recent }) => {
    if (sender !== undefined || nothing) return now - at < SHOWN
    // A browser learns by its first refusal that it is to ask for a token.
    return now - at < SHOWN_OF_STRANGERS && !(isLogin(code) && recent < LOGINS)
  })
  const total = recent.reduce((sum, { requests }) => sum + requests, 0)
  return recent.map(({ transport, code, sender = 'an unknown sender', requests, since, at, message }) => ({
    level: 'attention',
    title: `${counted(total, 'request')} ${total === 1 ? 'was' : 'were'} refused.`,
    detail:
      `Refused since ${timeText(since)}: ${counted(requests, 'request')} of ${sender} over ${transport} (${code}), the ` +
      `last ${distance(at, now)}. ${requests === 1 ? 'It' : 'The last'} was told: ${message}. ${refusalAdvice(code)}`,
  }))
}

function counted(number: number, one: string): string {
  return `${number.toLocaleString('en-US')} ${one}${number === 1 ? '' : 's'}`
}

/** Where nothing is measured although something came. */
function whatCame({ unnamed, unmatched, refused }: SupplyFigures): string[] {
  const requests = refused.reduce((sum, { requests }) => sum + requests, 0)
  const shown = unnamed.slice(0, SHOWN_NAMES)
  const more = unnamed.length - shown.length
  return [
    ...unmatched.map(
      ({ metric, points }) => `${counted(points, 'data point')} of ${metric} came with attributes that no rule takes.`,
    ),
    ...(shown.length === 0
      ? []
      : [`Metrics came that no rule names: ${shown.join(', ')}${more > 0 ? ` and ${more} more` : ''}.`]),
    ...(requests === 0
      ? []
      : [`${counted(requests, 'request')} ${requests === 1 ? 'was' : 'were'} refused since the start.`]),
  ]
}

const SHOWN_NAMES = 10

function laneTroubles({ troubles }: HeadlineFacts): Finding | undefined {
  if (troubles.length === 0) return undefined
  // A product whose customers have licences and others has two lanes, which fail alike.
  const each = new Set(
    troubles.map(
      ({ product, region, fault, message, since }) =>
        `${product} in ${region}, since ${timeText(since)}: ${TROUBLES[fault]} (${message}).`,
    ),
  )
  return {
    level: 'attention',
    title: 'All of it is kept, but sending to AWS does not succeed now.',
    detail: `${[...each].join(' ')} Usage stays in the ledger and is sent again by itself.`,
  }
}

function contractsUnknown({ unknown, now }: HeadlineFacts): Finding | undefined {
  if (unknown.length === 0) return undefined
  return {
    level: 'attention',
    title: 'All of it is kept, but what contracts include is not known now.',
    detail: `${unknown.map(one => `${unknownContractText(one, now)}.`).join(' ')} The log says what AWS answered.`,
    advice: { when: 'Why AWS does not say it:', command: 'doctor' },
  }
}

function passFailed({ lastPass }: HeadlineFacts): Finding | undefined {
  if (lastPass?.error === undefined) return undefined
  return {
    level: 'attention',
    title: 'All of it is kept, but the last metering pass failed.',
    detail: `The last pass ended with ${lastPass.error}. It is tried again by itself.`,
  }
}

function refusedCustomers({ totals }: HeadlineFacts): Finding | undefined {
  const { refused } = agreementCounts(totals.agreements.values())
  if (refused === 0) return undefined
  const customers = refused === 1 ? 'a customer' : `${refused.toLocaleString('en-US')} customers`
  return {
    level: 'attention',
    title: `AWS does not take usage of ${customers} with an agreement.`,
    detail:
      `AWS says that ${customers} ${refused === 1 ? 'is' : 'are'} not subscribed whose agreements have not ended, as far as is ` +
      'known here: a licence may come late, or an account be suspended. Usage waits for a day, each hour for itself, and is ' +
      'held then. AWS knows why.',
    advice: { when: 'Which customers:', command: 'agreements' },
  }
}

function heldOrUnattributed({ status, alarms }: HeadlineFacts): Finding | undefined {
  const held = status.held.reduce((sum, { records }) => sum + records, 0)
  const unattributed = status.unattributed.some(({ amount }) => amount !== 0n)
  const parts = [
    ...(held > 0 ? [`${held.toLocaleString('en-US')} held ${held === 1 ? 'record' : 'records'}`] : []),
    ...(unattributed ? ['usage without a customer'] : []),
  ]
  if (parts.length === 0) return undefined
  return {
    level: 'attention',
    title: `All but ${parts.join(' and ')}.`,
    detail: `${alarms.length > 0 ? 'A' : 'Nothing is lost, but a'} person has to decide about ${parts.join(' and ')}: what to do is below.`,
  }
}

function notAsAws({ now, reconciled = [] }: HeadlineFacts): Finding[] {
  return recentFindings(reconciled, now).map(({ region, open, opened }) => ({
    level: 'attention',
    title: 'AWS does not have what the ledger has.',
    detail: `Reconciled with AWS in ${printable(region)}, ${timeText(opened.from)} to ${timeText(opened.to)}: ${openText(open)}.`,
    advice: { when: 'What it is and what to do:', command: reconcileAgain(region, opened) },
  }))
}

function notReconciled({ reconcileFault }: HeadlineFacts): Finding | undefined {
  if (reconcileFault === undefined) return undefined
  return {
    level: 'attention',
    title: 'All of it is kept, but it could not be reconciled with AWS.',
    detail: `${printable(withoutCustomers(reconcileFault), 1000)} It is tried again by itself.`,
  }
}

function dryRun({ dryRun }: HeadlineFacts): Finding | undefined {
  if (!dryRun) return undefined
  return {
    level: 'attention',
    title: 'This is a dry run: nothing is sent to AWS.',
    detail: 'Hours are closed and reported, and their records wait.',
  }
}

function goodNews({ now, closeDelay, status: { pending, closedThrough } }: HeadlineFacts): string[] {
  const records = pending.reduce((sum, figure) => sum + figure.records, 0)
  const sent =
    records > 0
      ? `${records.toLocaleString('en-US')} ${records === 1 ? 'record is' : 'records are'} on the way to AWS.`
      : closedThrough === undefined
        ? 'No hour has been closed yet.'
        : `AWS has taken all that was due, up to the hour ${timeText(closedThrough)}.`
  return [`${sent} The present hour is closed at ${timeText(closesAt(hourOf(now), closeDelay))}.`]
}

const TIME = new Intl.DateTimeFormat('en-GB', {
  ...{ timeZone: 'UTC', day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' },
})

/** `10 Jun, 11:00`, as the page has it elsewhere. */
function timeText(time: number): string {
  return TIME.format(time)
}
