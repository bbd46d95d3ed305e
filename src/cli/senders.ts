import { Command } from 'commander'
import { json } from '../text/json.ts'
import { customerQuery } from './account.ts'
import { withLedger } from './open-ledger.ts'
import { type CommonOptions, formatOption, ledgerOption, type OutputFormat } from './options.ts'
import { print, screen } from './output.ts'
import { sendersCsv, sendersJson, sendersTable } from './report/senders.ts'

interface Options extends CommonOptions {
  format: OutputFormat
  sender?: string
  customer?: string
}

export function sendersCommand(): Command {
  return new Command('senders')
    .description('which customers each sender of a gateway feeds, and since when')
    .addOption(ledgerOption())
    .option('--sender <name>', 'only of one, as the configuration names its token')
    .option('--customer <name>', 'only who feeds this one: account id, identifier, licence or key')
    .addOption(formatOption('table', 'json', 'csv'))
    .addHelpText(
      'after',
      '\nWhen a token has leaked: these are the customers whose bills it may have\ntouched. Compare their statements.',
    )
    .action(async ({ ledger: path, format, sender, customer }: Options) => {
      const query = { actions: ['fed'], limit: Number.MAX_SAFE_INTEGER, ...(sender && { who: sender }) } as const
      const entries = await withLedger(path, 'read', async ledger =>
        ledger.audit({ ...query, ...(await customerQuery(ledger, customer)) }),
      )
      if (format === 'json') print(json(sendersJson(entries)))
      else if (format === 'csv') print(sendersCsv(entries))
      else print(sendersTable(entries, screen()))
    })
}
