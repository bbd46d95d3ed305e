import { Command } from 'commander'
import { accountName } from '../text/account.ts'
import { findAccount } from './account.ts'
import { withLedger } from './open-ledger.ts'
import { ledgerOption, type NoteOptions, noteOf, nowOption, whoOption, whyOption } from './options.ts'
import { print } from './output.ts'
import { amountText } from './report/record-name.ts'

export function writeOffCommand(): Command {
  return new Command('write-off')
    .description("end what is in an account's balance: nobody will be billed for it")
    .argument('<account>', 'account id, customer identifier, u-… or key, as "statement" shows them')
    .argument('<dimension>', "the dimension's name")
    .addOption(ledgerOption())
    .addOption(whoOption())
    .addOption(whyOption())
    .addOption(nowOption())
    .addHelpText('after', '\nThe whole balance goes, with the usage of the present hour. It cannot be undone.')
    .action(async (text: string, dimension: string, options: NoteOptions) => {
      await withLedger(options.ledger, 'write', async ledger => {
        const lines = await ledger.statement()
        const account = findAccount(lines, text)
        const amount = await ledger.writeOff(account.key, dimension, noteOf(options))
        const dimensions = new Map(lines.map(line => [line.dimension.name, line.dimension]))
        print(
          `Wrote off ${amountText(amount, dimension, dimensions)} of ${accountName(account)}\n` +
            '  Nobody is billed for it: it is neither recorded nor in the balance any more, only in the audit trail.',
        )
      })
    })
}
