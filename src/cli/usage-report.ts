import { EventError } from '../reconcile/errors.ts'
import { type EventFile, eventFiles } from '../reconcile/event-files.ts'
import { compareUsageReport, type UsageFinding } from '../reconcile/usage-report/compare.ts'
import { CommandLineError } from './errors.ts'
import { TO_DECIDE } from './exit-status.ts'
import type { UsageComparison } from './json.ts'
import { withLedger } from './open-ledger.ts'
import { type FormatOptions, printAs, printError, screen } from './output.ts'
import type { Period } from './period.ts'
import { isUnexplained, usageReportCsv, usageReportJson, usageReportText } from './report/usage-report.ts'

interface Options extends FormatOptions {
  readonly ledger: string
  readonly usageReport: readonly string[]
  readonly accountFeed?: readonly string[]
  readonly product?: readonly string[]
  readonly limit: number
}

/** What `reconcile --usage-report` does: it changes nothing, and says what AWS's report and the ledger have differently. */
export async function reconcileUsageReport(options: Options, period: Period): Promise<void> {
  const { usageReport, accountFeed, product = [], limit } = options
  const input = {
    ...{ files: csvFiles(usageReport), products: new Map(product.map(pair)), ...period },
    ...(accountFeed !== undefined && { accountFeed: csvFiles(accountFeed) }),
  }
  await withLedger(options.ledger, 'read', async ledger => {
    const findings: UsageFinding[] = []
    const shown = new Map<string, number>()
    const onFinding = (finding: UsageFinding) => {
      const number = (shown.get(finding.verdict) ?? 0) + 1
      shown.set(finding.verdict, number)
      if (number <= limit) findings.push(finding)
    }
    const result = await compareUsageReport(ledger, { ...input, onFinding })
    const report = { result, findings }
    printAs<UsageComparison>(options, {
      json: () => usageReportJson(report),
      csv: () => usageReportCsv(report),
      text: () => usageReportText(report, screen()),
    })
    if ([...shown.values()].some(number => number > limit)) {
      printError(`There are more than these ${limit} of a kind: see --limit, or narrow it down.`)
    }
    const wrong = [...shown.keys()].some(verdict => isUnexplained({ verdict: verdict as UsageFinding['verdict'] }))
    if (wrong || result.unread.count > 0 || result.compared === undefined) process.exitCode = TO_DECIDE
  })
}

function csvFiles(paths: readonly string[]): EventFile[] {
  try {
    const { files } = eventFiles(paths, process.stdin, 'csv')
    if (files.length > 0) return files
  } catch (error) {
    if (error instanceof EventError) throw new CommandLineError(error.message, { cause: error })
    throw error
  }
  throw new CommandLineError(`There is no .csv or .csv.gz file in ${paths.join(', ')}.`)
}

function pair(text: string): [string, string] {
  const [, reported, known] = /^([^=]+)=(.+)$/.exec(text) ?? []
  if (reported !== undefined && known !== undefined) return [reported, known]
  throw new CommandLineError(
    `Expected --product as AWS's id or code and the ledger's code or label, prod-abc123=samplecode01, got ${JSON.stringify(text)}.`,
  )
}
