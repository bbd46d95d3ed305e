import { existsSync } from 'node:fs'
import { Command } from 'commander'
import { shellWord } from '../gateway/operations/command.ts'
import { LedgerError } from '../ledger/errors.ts'
import { ledgerFile, ledgerName } from '../ledger/open.ts'
import { SqliteLedger } from '../ledger/sqlite/ledger.ts'
import { CommandLineError } from './errors.ts'
import type { Restored } from './json.ts'
import { example, type NoteOptions, noteOf, nowOption, whoOption, whyOption } from './options.ts'
import { printAs } from './output.ts'

export function restoreCommand(): Command {
  return new Command('restore')
    .description('make a ledger of a backup')
    .argument('<from>', 'the backup')
    .argument('<to>', 'the new ledger; there must be no file yet')
    .addOption(whoOption())
    .addOption(whyOption())
    .addOption(nowOption())
    .addHelpText(
      'after',
      `
Stop the exporter first, and move what is left of the lost ledger (its file,
-wal and -shm, together) to another folder: keep it. A backup does not know what
was billed after it was made. So that nothing is billed twice, every balance is
held until you settle it, by what AWS has billed since: all of it, a part, or
nothing; see "held". What was pending is sent again identically, and AWS takes
it once. Usage recorded after the backup was made is not in it.`,
    )
    .addHelpText(
      'after',
      example('marketplace-meter restore backup.sqlite marketplace-ledger.sqlite \\\n    --why "disk lost"'),
    )
    .action(async (from: string, to: string, options: NoteOptions) => {
      for (const address of [from, to]) {
        if (ledgerFile(address) !== undefined) continue
        throw new CommandLineError(
          `${ledgerName(address)} is no file. Restore it by its database's own means, then: marketplace-meter declare-restored`,
        )
      }
      const left = [to, `${to}-wal`, `${to}-shm`].filter(path => existsSync(path))
      if (left.length > 0) {
        throw new LedgerError(
          'ERR_LEDGER_IO',
          `There is ${left.join(', ')} of another ledger, with usage in it perhaps that no backup has. Stop what uses it, ` +
            'and move all of its files to another folder, together; delete none.',
        )
      }
      if (!existsSync(from)) throw new LedgerError('ERR_LEDGER_NOT_FOUND', `There is no backup at ${from}.`)
      const ledger = await SqliteLedger.restore({ from, to, ...noteOf(options) })
      try {
        const { held, pending } = await ledger.status()
        const restored = held.reduce((sum, { records }) => sum + records, 0)
        const unsettled = pending.reduce((sum, { records }) => sum + records, 0)
        printAs<Restored>(options, {
          json: () => ({ ledger: to, held: restored, pending: unsettled }),
          text: () =>
            [
              `Restored ${from} to ${to}`,
              `  Held: ${restored} (AWS may have billed it after the backup was made)`,
              `    marketplace-meter held --ledger ${shellWord(to)}`,
              `  Pending: ${unsettled} (sent again identically; AWS takes it once)`,
              '  Usage recorded after the backup was made is not in it.',
              '  Start the exporter or gateway again with this ledger: what is held waits.',
              '  Never start it with a new one, which does not know what was billed.',
            ].join('\n'),
        })
      } finally {
        await ledger.close()
      }
    })
}
