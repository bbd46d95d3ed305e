import type { CustomerAccount } from '../../usage/account.ts'
import { LedgerError } from '../errors.ts'
import { HOUR, SECOND, wholeSecond, windowClosesAt } from '../hours.ts'
import type { Agreement, AgreementNews, AgreementState, CloseOptions } from '../ledger.ts'
import { checkTime } from './validation.ts'

/**
 * What is known of a customer's agreement: marks on the time line, each with what began or ended there. What is told
 * twice is the same mark, and in whatever order they come they lie in the order of their times: so news may be late,
 * doubled and out of order, and an old one never revives what has ended since.
 */

/** Milliseconds since the epoch, and what happened then. */
export type AgreementMark = readonly [at: number, what: AgreementNews['what']]

/** As it is stored, as JSON. */
export interface BookedAgreement {
  /** The earliest first. */
  readonly marks: readonly AgreementMark[]
  readonly tenant?: string
  /** Of the product that the licence is of. */
  readonly productCode?: string
  readonly agreementId?: string
  /** Of a customer that is known by its AWS account. */
  readonly customerIdentifier?: string
  /** The token that it came with last, as a digest. */
  readonly registration?: string
}

/** So many marks are kept, the latest. AWS takes usage for a day, in which there are few. */
const MOST_MARKS = 64
/** AWS takes what is left for about so long after an agreement's end. */
export const GRACE = HOUR

/** Of two at one time the end is the later: what is over is not revived by what came with it. */
const ORDER = { registered: 0, active: 1, ended: 2 } as const
const NAMES = ['tenant', 'productCode', 'agreementId', 'customerIdentifier', 'registration'] as const

/** What is known after news. The same object where they say nothing new. */
export function afterNews(before: BookedAgreement | null, news: AgreementNews): BookedAgreement {
  const { what, at } = news
  checkTime('at', at)
  if (!(what in ORDER)) {
    throw new LedgerError('ERR_LEDGER_INVALID', `Expected registered, active or ended, got "${what}".`)
  }
  const known = before?.marks ?? []
  const mark = [at, what] as const
  const all = withoutRepeated([...known, mark].sort(([a, x], [b, y]) => a - b || ORDER[x] - ORDER[y])).slice(
    -MOST_MARKS,
  )
  // A page that is loaded again says nothing of the agreement: nor undoes it an end that is told late.
  const again = news.registration !== undefined && news.registration === before?.registration
  // One that is older than all that are kept says nothing, either.
  const same = again || known.some(one => one[0] === at && one[1] === what) || !all.includes(mark)
  const told = news.keepTenant === true ? { ...news, tenant: before?.tenant ?? news.tenant } : news
  const names = Object.fromEntries(
    NAMES.map(name => [name, told[name] ?? before?.[name]]).filter(([, text]) => text !== undefined),
  )
  if (before !== null && same && NAMES.every(name => names[name] === before[name])) return before
  return { marks: same ? known : all, ...names }
}

/** Of registrations in a row the first and the last say all. */
function withoutRepeated(marks: readonly AgreementMark[]): AgreementMark[] {
  return marks.filter(
    (_, index) =>
      marks.slice(Math.max(0, index - 1), index + 2).some(([, what]) => what !== 'registered') ||
      index === 0 ||
      index === marks.length - 1,
  )
}

/** When an agreement ended that has not begun again since; null where it has not ended, as far as is known. */
export function endOf(agreement: BookedAgreement | null): number | null {
  const marks = agreement?.marks ?? []
  // An end may be told in several ways: the first of them is it.
  const lastBegun = marks.findLastIndex(([, what]) => what !== 'ended')
  return marks[lastBegun + 1]?.[0] ?? null
}

/** Whether an agreement has ended at `time` or later, begun again or not. */
export function endedSince(agreement: BookedAgreement | null, time: number): boolean {
  return agreement?.marks.some(([at, what]) => what === 'ended' && at >= time) ?? false
}

/** Since which time records of quantity 0 are due; undefined where none are, as the agreement is not in force. */
export function idleSince(agreement: BookedAgreement | null): number | undefined {
  return agreement === null || endOf(agreement) !== null ? undefined : agreement.marks[0]?.[0]
}

/** Its state, and since and until when. Without any mark nothing is known. */
export function stateOf(agreement: BookedAgreement): { state: AgreementState; since?: number; until?: number } {
  const { marks } = agreement
  const until = endOf(agreement)
  const begun = until === null ? marks : marks.filter(([at]) => at < until)
  const endedBefore = begun.findLastIndex(([, what]) => what === 'ended')
  const lately = begun.slice(endedBefore + 1)
  const [first] = lately
  const since = first && { since: first[0] }
  if (until !== null) return { state: 'ended', ...since, until }
  return { state: lately.some(([, what]) => what === 'active') ? 'active' : 'registered', ...since }
}

/** What is told of a customer's agreement. */
export function toldAgreement(
  account: CustomerAccount,
  { marks, registration: _, ...names }: BookedAgreement,
  refusedSince: number | null,
): Agreement {
  return { account, ...stateOf({ marks }), ...(refusedSince !== null && { refusedSince }), ...names }
}

/** The whole seconds of an hour in which an agreement was in force, and what is known of that. */
export interface SecondsInside {
  /** Of those that are known to be, where there are any. */
  readonly first: number
  readonly last: number
  /** Whether it is known that it was, and not only unknown that it was not. */
  readonly known: boolean
  /** When it ended, after the last of them; undefined where it has not, as far as is known. */
  readonly end: number | undefined
}

/**
 * Those of an hour, undefined where an agreement was surely over: after an end, and before it began again. Before the
 * first mark nothing is known, for the first that is heard of an agreement may come long after its beginning.
 */
export function secondsInside(agreement: BookedAgreement | null, hour: number): SecondsInside | undefined {
  const hourEnd = hour + HOUR
  if (agreement === null) return { first: hour, last: hourEnd - SECOND, known: false, end: undefined }
  const { marks } = agreement
  let [first, last, known] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, false]
  let inside: 'unknown' | 'known' | 'over' = 'unknown'
  for (const [index, from] of [Number.NEGATIVE_INFINITY, ...marks.map(([at]) => at)].entries()) {
    if (index > 0) inside = (marks[index - 1] as AgreementMark)[1] === 'ended' ? 'over' : 'known'
    const to = marks[index]?.[0] ?? Number.POSITIVE_INFINITY
    if (from >= hourEnd) break
    if (inside === 'over' || to <= hour) continue
    const begins = from <= hour ? hour : Math.ceil(from / SECOND) * SECOND
    const ends = Math.min(hourEnd - SECOND, wholeSecond(to - 1))
    if (begins > ends) continue
    // The second that is tried where AWS refuses the last: before one that is known to be inside, none may be.
    first = inside === 'known' && !known ? begins : Math.min(first, begins)
    last = ends
    known ||= inside === 'known'
  }
  if (first > last) return undefined
  const end = marks.find(([at, what]) => what === 'ended' && at > last)?.[0]
  return { first, last, known, end }
}

/** When a record of an hour is stamped, and until when it is sent. */
export interface RecordTime {
  /** Whole seconds. */
  readonly timestamp: number
  readonly deadline: number
}

/** Where usage of an hour falls that an agreement covers: its last second that is covered, and not after now. */
export function timeInside(
  { last, end = Number.POSITIVE_INFINITY }: SecondsInside,
  hour: number,
  { now, deadlineMargin }: Pick<CloseOptions, 'now' | 'deadlineMargin'>,
): RecordTime {
  const deadline = Math.min(windowClosesAt(hour), end + GRACE) - deadlineMargin
  return { timestamp: Math.min(last, Math.max(hour, wholeSecond(now))), deadline }
}

/**
 * An earlier second of a refused record's hour that AWS may take: hours are told apart, not seconds, and the refusal
 * proves that nothing was taken.
 *
 * @param licence whether AWS said that it is out of its licence's time: then an agreement may have ended in that hour
 * that nobody has told of
 */
export function earlierSecond(
  seconds: SecondsInside | undefined,
  timestamp: number,
  licence: boolean,
): number | undefined {
  if (seconds === undefined) return undefined
  if (seconds.last < timestamp) return seconds.last
  return licence && seconds.first < timestamp ? seconds.first : undefined
}
