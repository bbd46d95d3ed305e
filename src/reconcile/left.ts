import { DAY, hourOf, MINUTE, windowClosesAt } from '../ledger/hours.ts'
import { shortTime } from '../text/time.ts'
import { callsEndAt, type Span } from './coverage.ts'
import type { Lack } from './lack.ts'
import type { Finding } from './reconcile.ts'
import { DELAY } from './search.ts'

/** Why nothing was settled of what a finding is of, and what settles it when; nothing where events could prove nothing. */
export function leftText(finding: Finding, now: number): string | undefined {
  const { lack, proof, restored, hour, record } = finding
  if (record?.state !== 'held') return undefined
  if (proof !== undefined) return `Events prove that AWS has ${PROVEN[proof.decision]}: --settle settles it.`
  if (lack === undefined) return undefined
  const hours = restored?.hours ?? { from: hour, to: hour }
  return TEXTS[lack]({ hours, searchedTo: Math.min(now, finding.searchedTo), now })
}

const PROVEN = { billed: 'billed it', 'not-billed': 'not billed it' } as const

interface Context {
  /** Of which events tell of it: its own; or from the backup to the restore. */
  readonly hours: Span
  readonly searchedTo: number
  readonly now: number
}

const ASK_AWS =
  "AWS's usage report (reconcile --usage-report) tells only the sum of a customer and day, two days later: where that has " +
  'none of what is in doubt, or all of it, settle it so. Else ask AWS, with the request ids (--format json). ' +
  'Until then leave it held: nothing is lost.'

const FOR_YOU = 'It is for you to decide.'

/** When a search that is made counts as having reached a time, as a person writes it. */
const searched = (time: number) => shortTime(Math.ceil((time + DELAY) / MINUTE) * MINUTE)

/** What only waits for the search to reach a time; or for events to go on until it, where it is over. */
function until(time: number, { now }: Context, what: string, done: string): string {
  if (now < time + DELAY) return `Not settled yet: ${what}. Wait, it loses nothing: after ${searched(time)} ${done}.`
  return `Not settled: ${what}. Where events go on until ${shortTime(time)} (with a later --to, or none) ${done}.`
}

const TEXTS: Readonly<Record<Lack, (context: Context) => string>> = {
  callers: () => "It is not known whose calls are this ledger's: name them by --caller, as CALLER has them.",
  caller: () =>
    "It is not sure that these calls are this ledger's: --caller names nobody who called, or another session, or a role that " +
    'sends what this ledger never has, too. Name the sessions that are by --caller.',
  own: () =>
    "The other quantity is not surely somebody else's: with these credentials a ledger that was lost has sent it, perhaps, " +
    `with this usage in it. ${FOR_YOU}`,
  conflict: () => `A conflict: no event tells whether what AWS has was the same usage. ${FOR_YOU}`,
  'two-senders': () => `No event tells which of the two AWS has billed. ${FOR_YOU}`,
  gap: context => {
    const end = callsEndAt(hourOf(context.hours.to))
    if (context.searchedTo < end) {
      return until(end, context, `AWS could take it until ${shortTime(end)}`, 'reconcile again')
    }
    return (
      `Events may be missing from ${shortTime(context.hours.from)} to ${shortTime(end)}: read more of them, without a ` +
      `gap and of the right AWS account. What CloudTrail has left out (WITHOUT RECORDS) no event tells: then it is for you.`
    )
  },
  'left-out': () =>
    `CloudTrail has left out the records of calls (more than 100 KB), its perhaps. No event will tell. ${ASK_AWS}`,
  missing: () =>
    'Events are missing of what AWS has taken ("metered, and not billed by AWS"), so that none proves nothing. ' +
    `Reconcile again a day later, since events come late. ${ASK_AWS}`,
  unclear: () =>
    'AWS itself answered these calls with an error, or with nothing clear, and CloudTrail does not say whether it billed. ' +
    `No event will. ${ASK_AWS}`,
  duplicate: () =>
    'AWS answered DuplicateRecord: it has billed something for the hour, this perhaps, and the event of that is not there. ' +
    ASK_AWS,
  unknown: () =>
    'The ledger does not know all that became of it: it has lost commits since ("status"), or AWS takes two of its ' +
    `records for one. ${FOR_YOU}`,
  absence: context => absent(context, 'no event shows it as billed, and one may come late', 'as not billed'),
  less: context =>
    absent(
      context,
      'AWS has billed less than is held, as far as events show',
      'as billed by that much, the rest as not',
    ),
  'held-before': () =>
    `It was held at the backup: events settle it only where --caller has billed its own hour. ${FOR_YOU}`,
  'no-backup': () => `The audit trail does not say up to when its backup was. ${FOR_YOU}`,
  start: ({ hours }) =>
    `Not settled: all hours from the backup on have to be read. Reconcile with --from ${shortTime(hours.from)}, or ` +
    "without it; CloudTrail's event history has 90 days.",
  end: ({ hours }) =>
    `Not settled: the hours that are looked at end before the restore (${shortTime(hours.to)}). Give a later --to, or none.`,
  restore: context =>
    until(
      context.hours.to,
      context,
      `the search has to reach the restore (${shortTime(context.hours.to)})`,
      'the same command settles what AWS has billed',
    ),
  pruned: () => `The ledger's records of hours since the backup were pruned: nothing can be added up. ${FOR_YOU}`,
  'lost-before': () =>
    `A ledger that was lost before has billed more than was held: usage that is here, perhaps. ${FOR_YOU}`,
  'other-calls': () =>
    "Calls that are not by --caller, or have no clear answer, may have billed of it, too. Are they this ledger's, name " +
    'their callers. Else it is for you to decide.',
  resized: () => `Its dimension had another size since the backup. ${FOR_YOU}`,
  sibling: () =>
    `Of another licence or product of its AWS account more is billed than is held, of this perhaps. ${FOR_YOU}`,
  balances: () =>
    'What AWS has billed since the backup, beyond what else is held, may be this. When that is settled, reconcile again.',
}

function absent(context: Context, what: string, as: string): string {
  const end = windowClosesAt(hourOf(context.hours.to)) + DAY
  const done = `--settle-absent settles it ${as}`
  return context.searchedTo < end
    ? until(end, context, what, done)
    : `${what[0]?.toUpperCase()}${what.slice(1)}. ${done}.`
}
