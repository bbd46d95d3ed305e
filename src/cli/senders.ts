import { Command } from 'commander'
import { customerQuery } from './account.ts'
import type { Sender } from './json.ts'
import { withLedger } from './open-ledger.ts'
import { type CommonOptions, example, formatOption, ledgerOption } from './options.ts'
import { noneSo, printAs, screen } from './output.ts'
import { sendersCsv, sendersJson, sendersTable } from './report/senders.ts'

interface Options extends CommonOptions {
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
    .addHelpText('after', example('marketplace-meter senders --sender plant-a'))
    .action(async ({ ledger: path, sender, customer, ...form }: Options) => {
      const query = { actions: ['fed'], limit: Number.MAX_SAFE_INTEGER, ...(sender && { who: sender }) } as const
      const entries = await withLedger(path, 'read', async ledger =>
        ledger.audit({ ...query, ...(await customerQuery(ledger, customer)) }),
      )
      printAs<Sender[]>(form, {
        json: () => sendersJson(entries),
        csv: () => sendersCsv(entries),
        text: () =>
          (entries.length === 0 && noneSo('No senders', 'senders', { sender, customer })) ||
          sendersTable(entries, screen()),
      })
    })
}
