import { Command } from 'commander'
import { json } from '../text/json.ts'
import { customerQuery } from './account.ts'
import { readDimensions } from './dimensions.ts'
import { withLedger } from './open-ledger.ts'
import { type CommonOptions, formatOption, ledgerOption, type OutputFormat } from './options.ts'
import { print, screen } from './output.ts'
import { heldText } from './report/held.ts'
import { recordsJson } from './report/records.ts'

interface Options extends CommonOptions {
  customer?: string
  format: OutputFormat
}

export function heldCommand(): Command {
  return new Command('held')
    .description('what a person has to decide, and how')
    .addOption(ledgerOption())
    .option('--customer <id>', 'only this account id, customer identifier, licence or account key')
    .addOption(formatOption('table', 'json'))
    .action(async ({ ledger: path, customer, format }: Options) => {
      const query = { state: 'held' as const, limit: Number.MAX_SAFE_INTEGER }
      const [records, dimensions] = await withLedger(path, 'read', async ledger => [
        await ledger.records({ ...query, ...(await customerQuery(ledger, customer)) }),
        await readDimensions(ledger),
      ])
      print(format === 'json' ? json(recordsJson(records, dimensions)) : heldText(records, dimensions, screen()))
    })
}
