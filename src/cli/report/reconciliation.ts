import type { Sighting } from '../../reconcile/evidence.ts'
import type { Verdict } from '../../reconcile/judgement.ts'
import type { CallerFigures, Finding } from '../../reconcile/reconcile.ts'
import type { Run } from '../../reconcile/run.ts'
import type { SettledFinding } from '../../reconcile/settling.ts'
import { accountLabel } from '../../text/account.ts'
import { csv } from '../../text/csv.ts'
import { lines, wrapped } from '../../text/lines.ts'
import { plain } from '../../text/paint.ts'
import { printable } from '../../text/printable.ts'
import { type Column, indented, type TableOptions, table } from '../../text/table.ts'
import { iso, shortTime } from '../../text/time.ts'
import type { Reconciliation } from '../json.ts'

export type ReportedFinding = SettledFinding

export interface ReconciliationReport {
  readonly result: Run
  readonly findings: readonly ReportedFinding[]
  readonly dryRun: boolean
  /** Files of folders that are none of a trail's. */
  readonly others: readonly string[]
}

interface Words {
  readonly title: string
  /** What it means and what to do, in lines that fit a narrow terminal. */
  readonly means: string
}

/** In the order in which a person has to look. */
const VERDICTS: Readonly<Record<Verdict, Words>> = {
  missing: {
    title: 'metered, and not billed by AWS',
    means: lines(
      'The ledger has them as metered, and no event shows that AWS billed them, in a',
      'search without a gap. CloudTrail is best effort; ask AWS, with their',
      'MeteringRecordId, before you bill them in another way.',
    ),
  },
  'two-senders': {
    title: 'sent by two with equal quantities',
    means: lines(
      'Somebody else has metered the same customer, dimension and hour with the same',
      'quantity, and AWS took both for one: if both are usage, this much is not',
      'billed. Find who sends it, and stop it first. What is held and is to be billed',
      'still: settle <id> --not-billed --why "…".',
    ),
  },
  foreign: {
    title: 'billed by AWS, and not by this ledger',
    means: lines(
      'The ledger has no such record, or has given its quantity back. Somebody else',
      'meters: another ledger or tool, another product of yours, a leaked credential.',
      'CALLER, FROM and WITH say whose calls they are: stop them.',
    ),
  },
  'other-quantity': {
    title: 'billed by AWS with another quantity',
    means: lines(
      'AWS has one quantity for an hour, and it is not the ledger’s, which is not',
      'billed. Find who sent the other, and stop it first. Was it the same usage:',
      'settle <id> --billed --why "…"; was it other usage: settle <id> --not-billed.',
    ),
  },
  'other-id': {
    title: 'billed by AWS under another MeteringRecordId',
    means: 'The quantity is the same. Two ids of one hour are not known of AWS: ask it which it bills.',
  },
  billed: {
    title: 'billed by AWS, and not metered in the ledger',
    means: lines(
      'What is in doubt or in conflict: settle <id> --billed --why "…", or --settle with',
      '--caller. What is pending settles itself when it is sent again. What has',
      'returned was billed, and may be billed again with a later hour: then "adjust"',
      'gives it back. What is held for another reason is not to be released.',
    ),
  },
  absent: {
    title: 'in doubt, and not billed in any event of a search without a gap',
    means: lines(
      'Very probably AWS never got them, or refused them; no event proves it, and an',
      'event can come late. A day after their window --settle-absent settles them as',
      'not billed; leave them held until then.',
    ),
  },
  undecided: {
    title: 'in doubt, and no event proves anything',
    means: 'Leave them held until something does: nothing is lost.',
  },
  restored: {
    title: 'of before a restore, and may be billed',
    means: lines(
      "The ledger that was lost may have billed it with any hour since. AWS's quantity",
      'is what it billed of the customer and dimension, without records of this ledger.',
      'Where that is as much as is held, --settle with --caller settles it. Where it is',
      'less, read events of all hours from the backup until a day after the restore, and',
      '--settle-absent settles the part, a day later. What was held at the backup, and',
      'what else speaks against that, is for you: settle <id> --billed --quantity <units>.',
    ),
  },
  lost: { title: 'billed by the ledger that was lost', means: '' },
  agreed: { title: 'as the ledger has it', means: '' },
  'not-seen': { title: 'not in these events', means: '' },
}
const ORDER = Object.keys(VERDICTS) as Verdict[]

/** Where none of the calls is by who was named: then what this ledger has sent seems to be sent by somebody else. */
const UNNAMED = lines(
  'None of these calls is by --caller: nothing is settled by them.',
  'Is its name right? Until it is, what this ledger has sent seems to be somebody',
  'else’s: settle nothing as not billed by what is said here.',
)

const NOBODY = 'By this ledger itself, perhaps: none of these calls is by --caller.'

/** A reconciliation for a person. */
export function reconciliationText(report: ReconciliationReport, options: TableOptions = {}): string {
  const { result, findings, dryRun, others } = report
  const { paint = plain } = options
  const unnamed = result.callers.length > 0 && result.callers.every(({ ours }) => ours === false)
  const parts = [
    ...[coverageText(result, options), callersText(result.callers, options)],
    ...(unnamed ? [paint(['bold', 'yellow'], UNNAMED)] : []),
    verdictsText(report, options),
  ]
  const settled = findings.filter(finding => finding.settled !== undefined)
  if (settled.length > 0) parts.push(settledText(settled, dryRun, options))
  const open = Map.groupBy(
    findings
      .filter(finding => finding.settled === undefined)
      .toSorted((one, other) => Number(isHeld(other)) - Number(isHeld(one))),
    ({ verdict }) => verdict,
  )
  // What is held waits for a person, however much is found of what is not.
  const hasHeld = (verdict: Verdict) => open.get(verdict)?.some(isHeld) === true
  for (const verdict of [...ORDER.filter(hasHeld), ...ORDER.filter(one => !hasHeld(one))]) {
    const group = open.get(verdict)
    if (group === undefined) continue
    const { title } = VERDICTS[verdict]
    const means = unnamed && verdict === 'two-senders' ? NOBODY : VERDICTS[verdict].means
    const findingsTable = table(FINDING_COLUMNS, group, options)
    const said = [means, ...leftTexts(group)].join('\n')
    parts.push(`${paint(['bold', 'yellow'], title)}\n${indented(said)}\n\n${indented(findingsTable)}`)
  }
  const { unread, inDoubtElsewhere, pruned, otherRegions, callers } = result
  if (unread.count > 0) {
    const more = unread.count > unread.first.length ? `\n  and ${unread.count - unread.first.length} more` : ''
    const first = unread.first.map(problem => `  ${printable(problem, 400)}`).join('\n')
    parts.push(`${paint(['bold', 'yellow'], 'not read, so nothing is taken for complete:')}\n${first}${more}`)
  }
  const notes = [
    ...callers
      .filter(({ shared }) => shared)
      .map(({ principal }) =>
        lines(
          `Nothing is settled by calls of ${printable(principal)}:`,
          'it also sends what this ledger never has. Name the sessions that are this',
          'ledger’s by --caller, or look only at hours since it began, by --from.',
        ),
      ),
    others.length > 0 &&
      `${others.length} files of other kinds were not read, the first ${printable(others[0] ?? '')}.`,
    inDoubtElsewhere > 0 && `${inDoubtElsewhere} records in doubt are of hours that these events are not of.`,
    pruned > 0 && `${pruned} are of hours whose records were pruned, and are held against nothing.`,
    otherRegions.length > 0 && `The ledger has records of other regions, too: ${printable(otherRegions.join(', '))}.`,
    ...notSearched(result),
    notedText(result),
  ].filter(note => typeof note === 'string')
  if (notes.length > 0) parts.push(notes.join('\n'))
  return parts.join('\n\n')
}

/** Once for all records of which it is the same. */
function leftTexts(findings: readonly ReportedFinding[]): string[] {
  const left = Map.groupBy(findings, finding => finding.left)
  return [...left].flatMap(([text, some]) => {
    if (text === undefined) return []
    const ids = some.map(({ record }) => printable(record?.id ?? ''))
    return [wrapped(`${ids.length === 1 ? 'Record' : 'Records'} ${someOf(ids)}: ${printable(text)}`, WIDTH)]
  })
}

/** Of a line that is indented. */
const WIDTH = 78
const MOST_NAMED = 5

function someOf(names: readonly string[]): string {
  if (names.length === 1) return names[0] as string
  const named = names.slice(0, names.length > MOST_NAMED ? MOST_NAMED : -1)
  const more = names.length > MOST_NAMED ? `${names.length - MOST_NAMED} more` : names.at(-1)
  return `${named.join(', ')} and ${more}`
}

function coverageText({ files, regions, asked }: Run, options: TableOptions): string {
  const where = asked === undefined ? count(files, 'file') : "CloudTrail's event history"
  if (regions.length === 0) return `No events in ${where}.`
  const calls = regions.reduce((sum, region) => sum + region.calls, 0)
  const covered = table(
    [
      { title: 'REGION', of: ({ region }) => printable(region) },
      { title: 'FIRST EVENT', of: ({ from }) => (from === undefined ? 'none' : shortTime(from)) },
      { title: 'LAST EVENT', of: ({ to }) => (to === undefined ? 'none' : shortTime(to)) },
      { title: 'CALLS', of: region => String(region.calls), number: true },
      { title: 'WITHOUT RECORDS', of: ({ leftOut }) => String(leftOut), number: true, optional: true },
      asked === undefined
        ? { title: 'HOURS WITHOUT EVENTS', of: ({ gaps }) => gapsText(gaps) }
        : { title: 'SEARCHED', of: ({ searched }) => gapsText(searched) },
    ],
    regions,
    options,
  )
  return `${count(calls, 'call')} of BatchMeterUsage in ${where}\n${covered}`
}

/** What of the time in which AWS could have taken usage was not searched, or not for good. */
function notSearched({ regions, asked }: Run): string[] {
  if (asked === undefined) return []
  return regions.flatMap(({ region, searched }) => {
    const [first, last] = [searched[0], searched.at(-1)]
    return [
      first !== undefined &&
        first.from > asked.from &&
        `In ${printable(region)} nothing before ${shortTime(first.from)} was searched:\nCloudTrail's event history has 90 days.`,
      last !== undefined &&
        last.to < asked.to &&
        `In ${printable(region)} nothing from ${shortTime(last.to)} on counts as searched:\nevents come late.`,
    ].filter(text => text !== false)
  })
}

/** Up to where it was noted that the ledger is reconciled. */
function notedText({ reconciled, noted, refusal = '' }: Run): string | undefined {
  if (noted === 'dry-run') return undefined
  if (noted === 'nothing') return 'No hour was read or searched without a gap: nothing is noted as reconciled.'
  const hours = reconciled.map(
    ({ region, from, to }) => `\n  ${printable(region)} from ${shortTime(from)} to ${shortTime(to)}`,
  )
  if (noted === 'noted') return `Reconciled, and noted in the audit trail:${hours.join('')}`
  return (
    `Reconciled, and not noted in the audit trail:${hours.join('')}\n` +
    `Have a role that may write the ledger run it. ${printable(refusal)}`
  )
}

const MOST_GAPS = 3

function gapsText(gaps: Run['regions'][number]['gaps']): string {
  if (gaps.length === 0) return 'none'
  const first = gaps.slice(0, MOST_GAPS).map(({ from, to }) => `${shortTime(from)} to ${shortTime(to)}`)
  return `${first.join(', ')}${gaps.length > MOST_GAPS ? ` and ${gaps.length - MOST_GAPS} more` : ''}`
}

function callersText(callers: readonly CallerFigures[], options: TableOptions): string {
  if (callers.length === 0) return 'Nobody has metered anything in them.'
  return table(
    [
      { title: 'CALLER', of: ({ principal }) => printable(principal) },
      { title: 'OURS', of: ({ ours }) => (ours === undefined ? '?' : ours ? 'yes' : 'no') },
      { title: 'RECORDS', of: ({ records }) => String(records), number: true },
      { title: 'SUCCESS', of: ({ billed }) => String(billed), number: true },
      { title: 'AS IN THE LEDGER', of: ({ agreed }) => String(agreed), number: true },
      { title: 'FROM', of: ({ addresses }) => printable([...addresses].join(', '), 60), optional: true },
      { title: 'WITH', of: ({ userAgents }) => printable([...userAgents].join(', '), 60), optional: true },
    ],
    callers,
    options,
  )
}

function verdictsText({ result: { verdicts } }: ReconciliationReport, options: TableOptions): string {
  const found = ORDER.toReversed().filter(verdict => verdicts.has(verdict))
  if (found.length === 0) return 'The ledger has no records of these hours.'
  return table(
    [
      { title: 'VERDICT', of: verdict => VERDICTS[verdict].title },
      { title: 'RECORDS', of: verdict => String(verdicts.get(verdict)?.records), number: true },
      { title: 'QUANTITIES', of: verdict => quantitiesText(verdicts.get(verdict)?.quantities ?? new Map()) },
    ],
    found,
    options,
  )
}

function quantitiesText(quantities: ReadonlyMap<string, number>): string {
  return [...quantities].map(([dimension, sum]) => `${sum.toLocaleString('en-US')} ${printable(dimension)}`).join(', ')
}

function settledText(findings: readonly ReportedFinding[], dryRun: boolean, { paint = plain }: TableOptions): string {
  const each = findings.map(({ record, settled, quantity, restored, why }) => {
    const part = quantity === undefined ? '' : `, up to a quantity of ${quantity},`
    const what = `${dryRun ? 'Would settle' : 'Settled'} as ${settled === 'billed' ? 'billed' : 'not billed'}${part}`
    return `${what} record ${record?.id}: ${restored?.held ?? record?.quantity} ${printable(record?.dimension ?? '')} of ${
      record === undefined ? '' : accountLabel(record.account)
    }, ${shortTime(record?.hour ?? 0)}\n  ${printable(why ?? '')}`
  })
  return `${paint('bold', dryRun ? 'would be settled' : 'settled')}\n${each.join('\n')}`
}

const isHeld = ({ record }: Finding) => record?.state === 'held'
const first = ({ shown }: Finding): Sighting | undefined =>
  shown.find(({ outcome }) => outcome === 'success') ?? shown[0]
/** Whom it is that a person looks for: of several senders the one that is not ours comes last. */
const callers = ({ shown }: Finding) => [...new Set(shown.map(({ caller }) => caller.arn))]

function customer({ record, series }: Finding): string {
  if (record !== undefined) return accountLabel(record.account)
  return printable(series.accountId ?? series.customerIdentifier ?? '')
}

const FINDING_COLUMNS: Column<ReportedFinding>[] = [
  { title: 'ID', of: ({ record }) => record?.id ?? '-', number: true },
  { title: 'HOUR', of: ({ hour }) => shortTime(hour) },
  { title: 'REGION', of: ({ series }) => printable(series.region) },
  { title: 'CUSTOMER', of: customer },
  {
    title: 'LICENCE OR PRODUCT',
    of: ({ series }) => printable(series.licence ?? series.product ?? ''),
    optional: true,
  },
  { title: 'DIMENSION', of: ({ series }) => printable(series.dimension) },
  {
    title: 'QUANTITY',
    of: ({ record, restored }) => (restored?.held ?? record?.quantity)?.toLocaleString('en-US') ?? '-',
    number: true,
  },
  { title: 'STATE', of: stateText },
  {
    title: "AWS'S QUANTITY",
    of: finding => (finding.restored?.billed ?? first(finding)?.quantity)?.toLocaleString('en-US') ?? '-',
    number: true,
  },
  {
    title: 'CALLER',
    of: finding =>
      callers(finding)
        .map(arn => printable(arn))
        .join(', ') || '-',
  },
  { title: 'FROM', of: finding => printable(first(finding)?.caller.address ?? '-'), optional: true },
  { title: 'WITH', of: finding => printable(first(finding)?.caller.userAgent ?? '-', 40), optional: true },
  { title: 'EVENT', of: finding => printable(first(finding)?.eventId ?? '-'), optional: true },
]

function stateText({ record }: Finding): string {
  if (record === undefined) return '-'
  return record.reason === undefined ? record.state : `${record.state}: ${printable(record.reason)}`
}

/** A reconciliation for a program. Quantities are in units of the dimension. */
export function reconciliationJson({ result, findings, dryRun, others }: ReconciliationReport): Reconciliation {
  const { files, regions, callers, verdicts, unread, inDoubtElsewhere, pruned, otherRegions, reconciled, noted } =
    result
  const span = ({ from, to }: { readonly from: number; readonly to: number }) => ({ from: iso(from), to: iso(to) })
  return {
    files,
    dryRun,
    regions: regions.map(({ region, from, to, calls, leftOut, gaps, searched }) => ({
      ...{ region, from: from === undefined ? null : iso(from), to: to === undefined ? null : iso(to), calls, leftOut },
      ...{ gaps: gaps.map(span), searched: searched.map(span) },
    })),
    otherRegions,
    reconciled: reconciled.map(({ region, from, to }) => ({ region, ...span({ from, to }) })),
    noted: noted === 'noted',
    callers: callers.map(({ ours, first, last, addresses, userAgents, ...figures }) => ({
      ...{ ...figures, ours: ours ?? null, first: iso(first), last: iso(last) },
      ...{ addresses: [...addresses], userAgents: [...userAgents] },
    })),
    verdicts: Object.fromEntries(
      [...verdicts].map(([verdict, { records, quantities }]) => [
        verdict,
        { records, quantities: Object.fromEntries(quantities) },
      ]),
    ),
    findings: findings.map(finding => ({
      verdict: finding.verdict,
      record: finding.record?.id ?? null,
      state: finding.record?.state ?? null,
      reason: finding.record?.reason ?? null,
      hour: iso(finding.hour),
      ...finding.series,
      quantity: finding.restored?.held ?? finding.record?.quantity ?? null,
      billedSinceBackup: finding.restored?.billed ?? null,
      meteringRecordId: finding.record?.meteringRecordId ?? null,
      completeSearch: finding.record === undefined ? null : finding.complete,
      proves: finding.proof?.decision ?? null,
      settled: finding.settled ?? null,
      settledQuantity: finding.quantity ?? null,
      why: finding.why ?? null,
      left: finding.left ?? null,
      events: finding.shown.map(({ eventId, requestId, time, outcome, quantity, meteringRecordId, caller }) => ({
        ...{ eventId, requestId, time: iso(time), outcome, quantity, meteringRecordId: meteringRecordId ?? null },
        ...{ caller: caller.arn, address: caller.address, userAgent: caller.userAgent },
      })),
    })),
    unread,
    notRead: others,
    inDoubtElsewhere,
    pruned,
  }
}

/** The findings for a spreadsheet, a row for each. */
export function reconciliationCsv({ findings }: ReconciliationReport): string {
  const header = [
    ...['verdict', 'record', 'state', 'reason', 'hour', 'region', 'product', 'account_id', 'customer_identifier'],
    ...['licence', 'dimension', 'quantity', 'aws_quantity', 'metering_record_id', 'aws_metering_record_id', 'caller'],
    ...[
      'address',
      'user_agent',
      'event_id',
      'event_time',
      'complete_search',
      'proves',
      'settled',
      'why',
      'settled_quantity',
      'left',
    ],
  ]
  return csv(
    header,
    findings.map(finding => {
      const { verdict, record, hour, series, complete, proof, settled, quantity, restored, why, left } = finding
      const event = first(finding)
      return [
        ...[verdict, record?.id, record?.state, record?.reason, iso(hour), series.region],
        ...[record?.account.product ?? series.product, series.accountId, series.customerIdentifier, series.licence],
        ...[
          series.dimension,
          restored?.held ?? record?.quantity,
          restored?.billed ?? event?.quantity,
          record?.meteringRecordId,
          event?.meteringRecordId,
        ],
        ...[callers(finding).join(' '), event?.caller.address, event?.caller.userAgent, event?.eventId],
        ...[event && iso(event.time), record && complete, proof?.decision, settled, why, quantity, left],
      ]
    }),
  )
}

const count = (number: number, noun: string) => `${number.toLocaleString('en-US')} ${noun}${number === 1 ? '' : 's'}`
