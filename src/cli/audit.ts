import { Command } from 'commander'
import { json } from '../text/json.ts'
import { readDimensions } from './dimensions.ts'
import { withLedger } from './open-ledger.ts'
import { type CommonOptions, formatOption, ledgerOption, limit, type OutputFormat } from './options.ts'
import { print, screen } from './output.ts'
import { auditCsv, auditJson, auditTable } from './report/audit.ts'

interface Options extends CommonOptions {
  limit: number
  format: OutputFormat
}

export function auditCommand(): Command {
  return new Command('audit')
    .description("who did what, and what was found of others' counters, the youngest first")
    .addOption(ledgerOption())
    .option('--limit <number>', 'at most so many', limit, 100)
    .addOption(formatOption('table', 'json', 'csv'))
    .action(async ({ ledger: path, limit, format }: Options) => {
      const [entries, dimensions] = await withLedger(path, 'read', async ledger => [
        await ledger.audit({ limit }),
        await readDimensions(ledger),
      ])
      if (format === 'json') print(json(auditJson(entries)))
      else if (format === 'csv') print(auditCsv(entries))
      else print(auditTable(entries, dimensions, screen()))
    })
}
