import { Command } from 'commander'
import { diskOf } from '../ledger/disk.ts'
import { LedgerError } from '../ledger/errors.ts'
import type { Ledger } from '../ledger/ledger.ts'
import { openLoss } from '../ledger/loss.ts'
import { ledgerFile, ledgerName } from '../ledger/open.ts'
import { type Overflow, overflows } from '../ledger/rules/overflow.ts'
import { fileSize } from '../ledger/sqlite/place.ts'
import { recentAlarms } from '../metering/counter-alarms.ts'
import { Endpoints } from '../metering/endpoints.ts'
import { lossFinding } from '../metering/loss.ts'
import { gravity } from '../metering/preflight/finding.ts'
import { recentQuantityAlert } from '../metering/quantity-alert.ts'
import { unknownContracts } from '../metering/unknown-contracts.ts'
import { reconciledRegions } from '../reconcile/notes.ts'
import { readDimensions } from './dimensions.ts'
import type { Status } from './json.ts'
import { withLedger } from './open-ledger.ts'
import { type CommonOptions, example, formatOption, ledgerOption, nowOf, nowOption } from './options.ts'
import { printAs, screen } from './output.ts'
import { checkText, type LedgerOverview, problemsOf, statusJson, statusText } from './report/status.ts'

interface Options extends CommonOptions {
  check?: true
}

export function statusCommand(): Command {
  return new Command('status')
    .description('what to look at first: pending, held, unattributed, hours closed, what AWS answered last')
    .option('--check', 'only what needs a person; exit status 1 for warnings, 2 where usage is at risk')
    .addOption(ledgerOption())
    .addOption(formatOption('table', 'json'))
    .addOption(nowOption())
    .addHelpText(
      'after',
      `
With --check it is for cron and monitoring: a line for each finding, or one line
when all is well. The exit status is 2 where usage is pending for long, no hour
was closed for long, the ledger's disk is nearly full, or it cannot be read. It
is 1 for what a person has to look at: a ledger that has lost what it had
acknowledged, so that nothing is sent; what is held, in doubt or unattributed;
usage that AWS does not take, though there is an agreement; contracts of which
AWS does not say what they include; more than AWS takes in an hour; counters
that were not simply counted; a process that would send elsewhere than the
ledger's records go; and what a reconciliation with AWS has found.`,
    )
    .addHelpText('after', example('marketplace-meter status --check'))
    .action(async (options: Options) => {
      const { check = false } = options
      const report = await read(options)
      const problems = problemsOf(report)
      if (check) process.exitCode = gravity(problems)
      printAs<Status>(options, {
        json: () => statusJson(report),
        text: () => (check ? checkText(problems, report.status, report.now) : statusText(report, screen().paint)),
      })
    })
}

async function read(options: Options): Promise<LedgerOverview> {
  const { ledger: address } = options
  return await withLedger(address, 'read', async ledger => {
    const now = nowOf(options)
    const status = await ledger.status()
    const loss = await openLoss(ledger)
    const alarms = await recentAlarms(ledger, status, now)
    const quantityAlert = await recentQuantityAlert(ledger, now)
    const [dimensions, answers] = [await readDimensions(ledger), await ledger.answers()]
    const endpoints = await new Endpoints(ledger).read()
    const behind = await readOverflows(ledger)
    const refused = (await ledger.agreements()).filter(
      ({ state, refusedSince }) => state !== 'ended' && refusedSince !== undefined,
    ).length
    const free = ledger.folder === undefined ? undefined : (await diskOf(ledger.folder)).free
    const file = { name: ledgerName(address), size: sizeOf(address), ...(free !== undefined && { free }) }
    const reconciled = await reconciledRegions(ledger)
    const unknown = await unknownContracts(ledger, now)
    const losses = loss === undefined ? [] : [lossFinding(loss, status)]
    const alerts = { losses, alarms, ...(quantityAlert && { quantityAlert }) }
    const sent = { endpoints: endpoints.all(), refusedEndpoints: endpoints.refused(now) }
    return {
      ...file,
      now,
      status,
      ...alerts,
      dimensions,
      answers,
      ...sent,
      overflows: behind,
      unknown,
      refused,
      reconciled,
    }
  })
}

/** A statement takes a second for 100,000 series; the figures of `status()` are for who asks every few seconds. */
async function readOverflows(ledger: Ledger): Promise<Overflow[] | undefined> {
  try {
    return overflows(await ledger.statement())
  } catch (error) {
    if (error instanceof LedgerError && error.code === 'ERR_LEDGER_READ_ONLY') return undefined
    throw error
  }
}

/** Of a file, with the write-ahead log, which is part of it. */
function sizeOf(address: string): number | undefined {
  const path = ledgerFile(address)
  if (path === undefined) return undefined
  return [path, `${path}-wal`].reduce((sum, file) => sum + (fileSize(file) ?? 0), 0)
}
