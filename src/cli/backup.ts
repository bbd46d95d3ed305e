import { existsSync, statSync } from 'node:fs'
import { Command } from 'commander'
import { LedgerError } from '../ledger/errors.ts'
import { sizeText } from '../text/size.ts'
import { withLedger } from './open-ledger.ts'
import { type CommonOptions, ledgerOption } from './options.ts'
import { print } from './output.ts'

export function backupCommand(): Command {
  return new Command('backup')
    .description('write a consistent copy while the exporter runs')
    .argument('<to>', 'a new file')
    .addOption(ledgerOption())
    .addHelpText('after', '\nA backup is used with "marketplace-meter restore", never by copying it into place.')
    .action(async (to: string, { ledger: path }: CommonOptions) => {
      await withLedger(path, 'read', async ledger => {
        // SQLite would write over it.
        if (existsSync(to))
          throw new LedgerError('ERR_LEDGER_IO', `There is a file at ${to}. Give the name of a new one.`)
        await ledger.backup(to)
      })
      print(`Backed ${path} up to ${to} (${sizeText(statSync(to).size)})`)
    })
}
