import { existsSync, statSync } from 'node:fs'
import { Command } from 'commander'
import { LedgerError } from '../ledger/errors.ts'
import { ledgerFile, ledgerName } from '../ledger/open.ts'
import { SqliteLedger } from '../ledger/sqlite/ledger.ts'
import { sizeText } from '../text/size.ts'
import { CommandLineError } from './errors.ts'
import type { Backup } from './json.ts'
import { BUSY_TIMEOUT, refuseMissing } from './open-ledger.ts'
import { type CommonOptions, example, ledgerOption } from './options.ts'
import { printAs } from './output.ts'

export function backupCommand(): Command {
  return new Command('backup')
    .description('write a consistent copy while the exporter runs')
    .argument('<to>', 'a new file')
    .addOption(ledgerOption())
    .addHelpText('after', '\nA backup is used with "marketplace-meter restore", never by copying it\ninto place.')
    .addHelpText('after', example('marketplace-meter backup ledger-2026-11-21.sqlite'))
    .action(async (to: string, { ledger: address, ...form }: CommonOptions) => {
      const path = ledgerFile(address)
      if (path === undefined) {
        throw new CommandLineError(
          `${ledgerName(address)} is no file. Back it up by its database's own means (PostgreSQL: snapshots with ` +
            'point-in-time recovery, or pg_dump; DynamoDB: point-in-time recovery, or aws dynamodb create-backup), and ' +
            'once it is restored: marketplace-meter declare-restored',
        )
      }
      refuseMissing(path)
      // SQLite would write over it.
      if (existsSync(to))
        throw new LedgerError('ERR_LEDGER_IO', `There is a file at ${to}. Give the name of a new one.`)
      const ledger = new SqliteLedger({ path, readOnly: true, busyTimeout: BUSY_TIMEOUT })
      try {
        await ledger.backup(to)
      } finally {
        await ledger.close()
      }
      const { size } = statSync(to)
      printAs<Backup>(form, {
        json: () => ({ ledger: path, backup: to, size }),
        text: () => `Backed ${path} up to ${to} (${sizeText(size)})`,
      })
    })
}
