import { DAY, HOUR } from '../ledger/hours.ts'
import { printable } from '../text/printable.ts'
import { iso, shortTime } from '../text/time.ts'
import type { Span } from './coverage.ts'
import type { Verdict } from './judgement.ts'
import type { ReconciledRegion } from './notes.ts'

/** Whether and up to when a ledger was held against what AWS wrote down, in words. */

/** What a run finds. */
const OPEN: Partial<Record<Verdict, string>> = {
  missing: 'metered, and in no event of AWS',
  'two-senders': 'sent by two with equal quantities',
  foreign: 'billed by AWS, and not by this ledger',
  'other-quantity': 'billed by AWS with another quantity',
  'other-id': 'billed by AWS under another MeteringRecordId',
  billed: 'billed by AWS, and not metered in the ledger',
  absent: 'in doubt, and in no event billed by AWS',
  undecided: 'in doubt, and no event proves anything',
  restored: 'of before a restore, and may be billed',
}

/** `2 metered, and in no event of AWS; 1 …` */
export function openText(open: ReconciledRegion['open']): string {
  return [...open].map(([verdict, count]) => `${count} ${OPEN[verdict] ?? printable(verdict)}`).join('; ')
}

/** A line for each region; none where nothing was ever sent. */
export function reconciledLines(regions: readonly ReconciledRegion[]): string[] {
  return regions.flatMap(({ region, hours, open, leftOut, opened }) => {
    const name = printable(region)
    const last = hours.at(-1)
    if (last === undefined) return [`${name}: not reconciled with AWS yet (reconcile --cloudtrail)`]
    const gap = hours.length > 1 ? `, with gaps before since ${shortTime(hours[0]?.from ?? 0)}` : ''
    return [
      `${name}: reconciled with AWS from ${shortTime(last.from)} to ${shortTime(last.to)}${gap}`,
      ...(opened === undefined
        ? []
        : [`  left open: ${openText(open)}`, ...reconcileCommand(region, opened, ' \\\n  ').split('\n').map(indented)]),
      ...(leftOut === 0 ? [] : [`  ${leftOut} calls of which CloudTrail has left out the records`]),
    ]
  })
}

const indented = (line: string) => `  ${line}`

/** What shows the findings of some hours of a region once more. */
export function reconcileCommand(region: string, { from, to }: Span, space = ' '): string {
  // The end is named by its last hour.
  const hour = (time: number) => iso(time).slice(0, 13)
  const period = `--from ${hour(from)} --to ${hour(to - HOUR)}`
  return `marketplace-meter reconcile --cloudtrail --region ${printable(region)}${space}${period}`
}

/** So long is something that was found a warning: a person comes back from a weekend. */
const SHOWN = 7 * DAY

/** The regions in which runs have lately found what a person has to look at. */
export function recentFindings(regions: readonly ReconciledRegion[], now: number): Required<ReconciledRegion>[] {
  return regions.filter(
    (region): region is Required<ReconciledRegion> => region.opened !== undefined && region.opened.at > now - SHOWN,
  )
}

/** The same for a program. Times are ISO 8601. */
export interface ReconciledReport {
  readonly region: string
  /** Null where it was never reconciled. */
  readonly until: string | null
  readonly hours: readonly { readonly from: string; readonly to: string }[]
  /** What is left open, by its verdict. */
  readonly open: Readonly<Partial<Record<string, number>>>
  readonly leftOut: number
}

export function reconciledJson(regions: readonly ReconciledRegion[]): ReconciledReport[] {
  return regions.map(({ region, hours, open, leftOut }) => ({
    region,
    until: isoOrNull(hours.at(-1)?.to),
    hours: hours.map(({ from, to }) => ({ from: iso(from), to: iso(to) })),
    ...{ open: Object.fromEntries(open), leftOut },
  }))
}

const isoOrNull = (time: number | undefined) => (time === undefined ? null : iso(time))
