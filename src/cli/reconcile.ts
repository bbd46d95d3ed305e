import { setFlagsFromString } from 'node:v8'
import { Command, InvalidArgumentError } from 'commander'
import type { Ledger } from '../ledger/ledger.ts'
import { CALLER } from '../reconcile/callers.ts'
import { EventError } from '../reconcile/errors.ts'
import { eventFiles, fileSource } from '../reconcile/event-files.ts'
import type { EventSource } from '../reconcile/event-source.ts'
import { needsPerson, type ReconcilableLedger, runReconciliation } from '../reconcile/run.ts'
import { CommandLineError } from './errors.ts'
import { TO_DECIDE } from './exit-status.ts'
import type { Reconciliation } from './json.ts'
import { withLedger } from './open-ledger.ts'
import {
  type CommonOptions,
  example,
  formatOption,
  ledgerOption,
  limit,
  nowOf,
  nowOption,
  whoOption,
} from './options.ts'
import { printAs, printError, screen } from './output.ts'
import { parsePeriod, TIME_HELP } from './period.ts'
import {
  type ReconciliationReport,
  type ReportedFinding,
  reconciliationCsv,
  reconciliationJson,
  reconciliationText,
} from './report/reconciliation.ts'
import { reconcileUsageReport } from './usage-report.ts'

interface Options extends CommonOptions {
  cloudtrail?: true
  region?: string[]
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
    .option('--cloudtrail', "ask CloudTrail's event history instead")
    .option('--region <region>', 'where to ask; may be repeated. By default where the records were sent', collect)
    .addOption(ledgerOption())
    .option(
      '--caller <arn>',
      "whose calls are this ledger's: the ARN of a role, user or session; may be repeated",
      (arn: string, all?: string[]) => collect(callerArn(arn), all),
    )
    .option('--settle', 'settle records in doubt as events prove that AWS billed them, or did not; needs --caller')
    .option(
      '--settle-absent',
      'settle as not billed what is in doubt and not billed in any event of a search without a gap, a day after its window',
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
CloudTrail's event history has 90 days of each region, after about 15 minutes.
It is asked with --cloudtrail, which takes @aws-sdk/client-cloudtrail, and
credentials that may cloudtrail:LookupEvents: by default of what no run has
reconciled yet, or is in doubt. A month of 2 million records takes a quarter of
an hour, at the 2 requests a second that AWS answers.

A trail's .json and .json.gz files have all services' events; of a folder all in
it are read. Gaps of files are shown: hours of a region without any event.
CloudTrail is best effort: that an event is not there proves nothing.

What was read or searched without a gap is noted in the audit trail, and
"verify" and "status" say up to where.

An event proves that AWS billed a record, where a call of --caller got Success
for its quantity; and that it did not, where the hour is billed with another
quantity of somebody else's. Only that is settled, with the events' ids in the
audit trail; nothing by calls of a role that also sends what this ledger never
has: name the sessions that are this ledger's. The exit status is 1 where a
person has to look, and for events that could not be read.

--usage-report says what AWS has billed, by day and customer: the feed or
dataset as it is in S3 (.csv, .csv.gz), with the next month's file, which has
what came late. Nothing is settled by it. The exit status is 1 where something
differs that neither records in doubt nor a day that is not complete yet
explain.`,
    )
    .addHelpText('after', example('marketplace-meter reconcile events.json --from 2026-11-20 --to 2026-11-21'))
    .action(async (paths: string[], options: Options) => {
      const now = nowOf(options)
      const period = parsePeriod(options.from, options.to, now)
      const [settle, settleAbsent, dryRun] = [options.settle, options.settleAbsent, options.dryRun].map(Boolean) as [
        ...[boolean, boolean, boolean],
      ]
      const { caller: callers = [], usageReport, cloudtrail = false, region: regions } = options
      // A month goes through memory record by record: V8 would let what is young grow to 128 MB, and what is garbage to
      // several times what is not, for no gain.
      for (const flag of ['--semi-space-growth-factor=1', '--heap-growing-percent=20']) setFlagsFromString(flag)
      if (usageReport !== undefined) {
        if (paths.length > 0 || cloudtrail || settle || settleAbsent || dryRun || callers.length > 0) {
          throw new CommandLineError('Expected --usage-report without events, --caller, --settle or --dry-run.')
        }
        await reconcileUsageReport({ ...options, usageReport }, period)
        return
      }
      if (options.accountFeed !== undefined || options.product !== undefined) {
        throw new CommandLineError('Expected --account-feed and --product with --usage-report.')
      }
      if (paths.length === 0 && !cloudtrail) {
        throw new CommandLineError(
          "Expected files of CloudTrail's events, or --usage-report with AWS's usage report, or --cloudtrail.",
        )
      }
      if ((settle || settleAbsent) && callers.length === 0) {
        throw new CommandLineError(
          "Expected --caller with --settle: the role or user that this ledger's calls are made with. Without --settle " +
            'the callers are shown.',
        )
      }
      if (dryRun && !settle && !settleAbsent) throw new CommandLineError('Expected --dry-run with --settle.')
      if (cloudtrail && paths.length > 0) throw new CommandLineError('Expected files of events, or --cloudtrail.')
      if (!cloudtrail && regions !== undefined) throw new CommandLineError('Expected --region with --cloudtrail.')
      const { events, others } = cloudtrail
        ? { events: { ...(regions !== undefined && { regions }) }, others: [] }
        : filesOf(paths)
      const work = async (ledger: ReconcilableLedger) => {
        const findings: ReportedFinding[] = []
        const shown = new Map<string, number>()
        let unsettled = 0
        const onFinding = (finding: ReportedFinding) => {
          if (needsPerson(finding) || (dryRun && finding.settled !== undefined)) unsettled++
          // What is held is not lost among what is not.
          const kind = `${finding.verdict} ${finding.settled ?? finding.record?.state === 'held'}`
          const count = (shown.get(kind) ?? 0) + 1
          shown.set(kind, count)
          if (count <= options.limit) findings.push(finding)
        }
        const run = {
          ...{ events, callers, settle, settleAbsent, dryRun, now, who: options.who },
          ...period,
          onFinding,
        }
        const result = await runReconciliation(ledger, run)
        const report: ReconciliationReport = { result, findings, dryRun, others }
        printAs<Reconciliation>(options, {
          json: () => reconciliationJson(report),
          csv: () => reconciliationCsv(report),
          text: () => reconciliationText(report, screen()),
        })
        if ([...shown.values()].some(count => count > options.limit)) {
          printError(`There are more than these ${options.limit} of a kind: see --limit, or narrow it down.`)
        }
        if (unsettled > 0 || result.unread.count > 0) process.exitCode = TO_DECIDE
      }
      const decides = (settle || settleAbsent) && !dryRun
      await withLedger(options.ledger, decides ? 'write' : 'read', ledger =>
        work(decides ? ledger : notedElsewhere(ledger, options.ledger)),
      )
    })
}

const collect = (value: string, all: string[] = []) => [...all, value]

/** Under a wrong name all that this ledger has sent seems to be somebody else's. */
function callerArn(text: string): string {
  if (CALLER.test(text)) return text
  throw new InvalidArgumentError('Expected an ARN, such as arn:aws:iam::123456789012:role/meter.')
}

function filesOf(paths: readonly string[]): { events: EventSource[]; others: string[] } {
  try {
    const { files, others } = eventFiles(paths, process.stdin)
    return { events: files.map(fileSource), others }
  } catch (error) {
    if (error instanceof EventError) throw new CommandLineError(error.message, { cause: error })
    throw error
  }
}

/** Who only looks opens a ledger of an older version as little as other commands do; the note alone is written. */
function notedElsewhere(ledger: Ledger, address: string): ReconcilableLedger {
  return {
    records: query => ledger.records(query),
    audit: query => ledger.audit(query),
    answers: () => ledger.answers(),
    decideAll: (...decisions) => ledger.decideAll(...decisions),
    dimensions: () => ledger.dimensions(),
    note: note => withLedger(address, 'write', writable => writable.note(note)),
  }
}
