import { setFlagsFromString } from 'node:v8'
import { Command } from 'commander'
import type { AuditNote, DecisionResult, Ledger, RecordDecision } from '../ledger/ledger.ts'
import { EventError } from '../reconcile/errors.ts'
import { type EventFile, eventFiles } from '../reconcile/event-files.ts'
import { decisionOf, type Finding, reconcile } from '../reconcile/reconcile.ts'
import { json } from '../text/json.ts'
import { newGroup } from './decide-records.ts'
import { CommandLineError } from './errors.ts'
import { withLedger } from './open-ledger.ts'
import {
  type CommonOptions,
  formatOption,
  ledgerOption,
  limit,
  nowOf,
  nowOption,
  type OutputFormat,
  whoOption,
} from './options.ts'
import { print, printError, screen } from './output.ts'
import { parsePeriod, TIME_HELP } from './period.ts'
import {
  needsPerson,
  type ReconciliationReport,
  type ReportedFinding,
  reconciliationCsv,
  reconciliationJson,
  reconciliationText,
} from './report/reconciliation.ts'
import { reconcileUsageReport } from './usage-report.ts'

interface Options extends CommonOptions {
  usageReport?: string[]
  accountFeed?: string[]
  product?: string[]
  caller?: string[]
  settle?: true
  settleAbsent?: true
  dryRun?: true
  who: string
  from?: string
  to?: string
  limit: number
  format: OutputFormat
}

export function reconcileCommand(): Command {
  return new Command('reconcile')
    .description(
      "hold CloudTrail's events, or AWS's usage report for sellers, against the ledger; settle what events prove",
    )
    .argument(
      '[path...]',
      'output of "aws cloudtrail lookup-events", files of a trail, or folders of them; - is standard input',
    )
    .addOption(ledgerOption())
    .option('--caller <arn>', "whose calls are this ledger's: a role's or user's ARN; may be repeated", collect)
    .option('--settle', 'settle records in doubt as events prove that AWS billed them, or did not; needs --caller')
    .option(
      '--settle-absent',
      'settle as not billed what is in doubt and in no event of a search without a gap, a day after its window',
    )
    .option('--dry-run', 'only say what would be settled')
    .option(
      '--usage-report <path...>',
      "in their place: AWS's Daily Usage feed or Marketplace Usage dataset, CSV files or folders",
    )
    .option('--account-feed <path...>', "with it: AWS's Account feed, by which customers are told apart")
    .option(
      '--product <names>',
      "with it: AWS's id or code of a product, =, and the ledger's; may be repeated",
      collect,
    )
    .option('--from <time>', `hours from the beginning of: ${TIME_HELP}`)
    .option('--to <time>', 'to the end of it')
    .option('--limit <number>', 'show at most so many of each kind', limit, 100)
    .addOption(whoOption())
    .addOption(formatOption('table', 'json', 'csv'))
    .addOption(nowOption())
    .addHelpText(
      'after',
      `
CloudTrail's event history has 90 days of each region, after about 15 minutes:

  aws cloudtrail lookup-events --region eu-central-1 --lookup-attributes \\
    AttributeKey=EventName,AttributeValue=BatchMeterUsage > events.json

A trail's .json and .json.gz files have all services' events; of a folder all in
it are read. Nothing is asked of AWS. CloudTrail is best effort: that an event is
not there proves nothing. Gaps are shown: hours of a region without any event.

An event proves that AWS billed a record, where a call of --caller got Success for
its quantity; and that it did not, where the hour is billed with another quantity
of somebody else's, or where each of the ledger's attempts is seen, and was
refused. Only that is settled, with the events' ids in the audit trail. The exit
status is 1 where a person has to look, and for events that could not be read.

--usage-report says what AWS has billed, by day and customer: the feed or dataset
as it is in S3 (.csv, .csv.gz), with the next month's file, which has what came
late. Nothing is settled by it. The exit status is 1 where something differs that
neither records in doubt nor a day that is not complete yet explain.`,
    )
    .action(async (paths: string[], options: Options) => {
      const now = nowOf(options)
      const period = parsePeriod(options.from, options.to, now)
      const [settle, settleAbsent, dryRun] = [options.settle, options.settleAbsent, options.dryRun].map(Boolean) as [
        ...[boolean, boolean, boolean],
      ]
      const { caller: callers = [], usageReport } = options
      // A month goes through memory record by record: V8 would let what is young grow to 128 MB, for no gain.
      setFlagsFromString('--semi-space-growth-factor=1')
      if (usageReport !== undefined) {
        if (paths.length > 0 || settle || settleAbsent || dryRun || callers.length > 0) {
          throw new CommandLineError('Expected --usage-report without events, --caller, --settle or --dry-run.')
        }
        await reconcileUsageReport({ ...options, usageReport }, period)
        return
      }
      if (options.accountFeed !== undefined || options.product !== undefined) {
        throw new CommandLineError('Expected --account-feed and --product with --usage-report.')
      }
      if (paths.length === 0) {
        throw new CommandLineError("Expected files of CloudTrail's events, or --usage-report with AWS's usage report.")
      }
      if ((settle || settleAbsent) && callers.length === 0) {
        throw new CommandLineError(
          "Expected --caller with --settle: the role or user that this ledger's calls are made with. Without --settle " +
            'the callers are shown.',
        )
      }
      if (dryRun && !settle && !settleAbsent) throw new CommandLineError('Expected --dry-run with --settle.')
      const { files, others } = filesOf(paths)
      const decides = (settle || settleAbsent) && !dryRun
      await withLedger(options.ledger, decides ? 'write' : 'read', async ledger => {
        const findings: ReportedFinding[] = []
        const shown = new Map<string, number>()
        let unsettled = 0
        const report = (reported: ReportedFinding) => {
          if (needsPerson(reported) || (dryRun && reported.settled !== undefined)) unsettled++
          const kind = `${reported.verdict} ${reported.settled ?? ''}`
          const count = (shown.get(kind) ?? 0) + 1
          shown.set(kind, count)
          if (count <= options.limit) findings.push(reported)
        }
        const settling = new Settling(ledger, { who: options.who, why: '', now, group: newGroup() }, report)
        const onFinding = async (finding: Finding) => {
          const decided = decisionOf(finding, { settle, settleAbsent, now })
          const { record } = finding
          if (decided === undefined || record === undefined) report(finding)
          else if (dryRun) report({ ...finding, settled: decided.decision, why: decided.why })
          else await settling.add({ finding, decision: { recordId: record.id, ...decided } })
        }
        const result = await reconcile(ledger, { files, callers, ...period, onFinding })
        await settling.end()
        const all: ReconciliationReport = { result, findings, dryRun, others }
        if (options.format === 'json') print(json(reconciliationJson(all)))
        else if (options.format === 'csv') print(reconciliationCsv(all))
        else print(reconciliationText(all, screen()))
        if ([...shown.values()].some(count => count > options.limit)) {
          printError(`There are more than these ${options.limit} of a kind: see --limit, or narrow it down.`)
        }
        if (unsettled > 0 || result.unread.count > 0) process.exitCode = 1
      })
    })
}

const collect = (value: string, all: string[] = []) => [...all, value]

function filesOf(paths: readonly string[]): { files: EventFile[]; others: string[] } {
  try {
    return eventFiles(paths, process.stdin)
  } catch (error) {
    if (error instanceof EventError) throw new CommandLineError(error.message, { cause: error })
    throw error
  }
}

/** A finding, and what it proves. */
interface Proven {
  readonly finding: Finding
  readonly decision: RecordDecision & { readonly decision: 'billed' | 'not-billed'; readonly why: string }
}

/** How many findings are settled together. */
const SETTLED_AT_ONCE = 500

/** Settles what findings prove, many at once. What was settled meanwhile, or may not be, is left as it is, and told. */
class Settling {
  readonly #ledger: Ledger
  readonly #by: AuditNote
  readonly #report: (reported: ReportedFinding) => void
  #waiting: Proven[] = []

  constructor(ledger: Ledger, by: AuditNote, report: (reported: ReportedFinding) => void) {
    this.#ledger = ledger
    this.#by = by
    this.#report = report
  }

  async add(proven: Proven): Promise<void> {
    this.#waiting.push(proven)
    if (this.#waiting.length === SETTLED_AT_ONCE) await this.end()
  }

  async end(): Promise<void> {
    const some = this.#waiting
    this.#waiting = []
    const decisions = some.map(({ decision }) => decision)
    const results = await this.#ledger.decideAll(decisions, this.#by)
    for (const [index, { finding, decision }] of some.entries()) {
      const { error } = results[index] as DecisionResult
      const { decision: settled, why } = decision
      this.#report(error === undefined ? { ...finding, settled, why } : { ...finding, left: error.message })
    }
  }
}
