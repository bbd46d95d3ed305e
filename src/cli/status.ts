import { statSync } from 'node:fs'
import { Command } from 'commander'
import { ledgerFile, ledgerName } from '../ledger/open.ts'
import { recentAlarms } from '../metering/counter-alarms.ts'
import { json } from '../text/json.ts'
import { readDimensions } from './dimensions.ts'
import { withLedger } from './open-ledger.ts'
import { type CommonOptions, formatOption, ledgerOption, nowOf, nowOption, type OutputFormat } from './options.ts'
import { print, screen } from './output.ts'
import { statusJson, statusText } from './report/status.ts'

interface Options extends CommonOptions {
  format: OutputFormat
}

export function statusCommand(): Command {
  return new Command('status')
    .description('what to look at first: pending, held, without a customer, hours closed')
    .addOption(ledgerOption())
    .addOption(formatOption('table', 'json'))
    .addOption(nowOption())
    .action(async (options: Options) => {
      const { ledger: address, format } = options
      const report = await withLedger(address, 'read', async ledger => {
        const now = nowOf(options)
        const status = await ledger.status()
        const alarms = await recentAlarms(ledger, status, now)
        const dimensions = await readDimensions(ledger)
        return { name: ledgerName(address), size: fileSize(address), now, status, alarms, dimensions }
      })
      print(format === 'json' ? json(statusJson(report)) : statusText(report, screen().paint))
    })
}

/** Of a file, with the write-ahead log, which is part of it. */
function fileSize(address: string): number | undefined {
  const path = ledgerFile(address)
  if (path === undefined) return undefined
  return [path, `${path}-wal`].reduce((sum, file) => sum + (statSync(file, { throwIfNoEntry: false })?.size ?? 0), 0)
}
