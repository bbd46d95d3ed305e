import { setFlagsFromString } from 'node:v8'
import { Command } from 'commander'
import { LedgerError } from '../ledger/errors.ts'
import type { Ledger } from '../ledger/ledger.ts'
import { EventError } from '../reconcile/errors.ts'
import { type EventFile, eventFiles } from '../reconcile/event-files.ts'
import { decisionOf, type Finding, reconcile } from '../reconcile/reconcile.ts'
import { json } from '../text/json.ts'
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

interface Options extends CommonOptions {
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
    .description("hold CloudTrail's events of BatchMeterUsage against the ledger, and settle what they prove")
    .argument(
      '<path...>',
      'output of "aws cloudtrail lookup-events", files of a trail, or folders of them; - is standard input',
    )
    .addOption(ledgerOption())
    .option(
      '--caller <arn>',
      "whose calls are this ledger's: the ARN of a role, user or session; may be repeated",
      collect,
    )
    .option('--settle', 'settle records in doubt as events prove that AWS billed them, or did not; needs --caller')
    .option(
      '--settle-absent',
      'settle as not billed what is in doubt and not billed in any event of a search without a gap, a day after its window',
    )
    .option('--dry-run', 'only say what would be settled')
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
of somebody else's. Only that is settled, with the events' ids in the audit trail;
nothing by calls of a role that also sends what this ledger never has: name the
sessions that are this ledger's. The exit status is 1 where a person has to look,
and for events that could not be read.`,
    )
    .action(async (paths: string[], options: Options) => {
      const now = nowOf(options)
      const period = parsePeriod(options.from, options.to, now)
      const [settle, settleAbsent, dryRun] = [options.settle, options.settleAbsent, options.dryRun].map(Boolean) as [
        ...[boolean, boolean, boolean],
      ]
      const { caller: callers = [] } = options
      if ((settle || settleAbsent) && callers.length === 0) {
        throw new CommandLineError(
          "Expected --caller with --settle: the role or user that this ledger's calls are made with. Without --settle " +
            'the callers are shown.',
        )
      }
      if (dryRun && !settle && !settleAbsent) throw new CommandLineError('Expected --dry-run with --settle.')
      const { files, others } = filesOf(paths)
      // A month goes through memory record by record: V8 would let what is young grow to 128 MB, and what is garbage to
      // several times what is not, for no gain.
      for (const flag of ['--semi-space-growth-factor=1', '--heap-growing-percent=20']) setFlagsFromString(flag)
      const decides = (settle || settleAbsent) && !dryRun
      await withLedger(options.ledger, decides ? 'write' : 'read', async ledger => {
        const findings: ReportedFinding[] = []
        const shown = new Map<string, number>()
        let unsettled = 0
        const onFinding = async (finding: Finding) => {
          const reported = await decide(ledger, finding, { settle, settleAbsent, dryRun, now, who: options.who })
          if (needsPerson(reported) || (dryRun && reported.settled !== undefined)) unsettled++
          const kind = `${finding.verdict} ${reported.settled ?? ''}`
          const count = (shown.get(kind) ?? 0) + 1
          shown.set(kind, count)
          if (count <= options.limit) findings.push(reported)
        }
        const result = await reconcile(ledger, { files, callers, ...period, onFinding })
        const report: ReconciliationReport = { result, findings, dryRun, others }
        if (options.format === 'json') print(json(reconciliationJson(report)))
        else if (options.format === 'csv') print(reconciliationCsv(report))
        else print(reconciliationText(report, screen()))
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

/** Settles what a finding proves. What was settled meanwhile, or may not be, is left as it is, and told. */
async function decide(
  ledger: Ledger,
  finding: Finding,
  options: { settle: boolean; settleAbsent: boolean; dryRun: boolean; now: number; who: string },
): Promise<ReportedFinding> {
  const decided = decisionOf(finding, options)
  const { record } = finding
  if (decided === undefined || record === undefined) return finding
  const { decision, why } = decided
  if (options.dryRun) return { ...finding, settled: decision, why }
  try {
    await ledger.decide(record.id, decision, { who: options.who, why, now: options.now })
    return { ...finding, settled: decision, why }
  } catch (error) {
    if (!(error instanceof LedgerError) || error.code !== 'ERR_LEDGER_STATE') throw error
    return { ...finding, left: error.message }
  }
}
