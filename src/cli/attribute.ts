import { Command } from 'commander'
import { LedgerError } from '../ledger/errors.ts'
import { accountName } from '../text/account.ts'
import { findAccount, namedCustomer } from './account.ts'
import { withLedger } from './open-ledger.ts'
import { exactlyOne, ledgerOption, type NoteOptions, noteOf, nowOption, whoOption, whyOption } from './options.ts'
import { print } from './output.ts'
import { amountText } from './report/record-name.ts'

interface Options extends NoteOptions {
  accountId?: string
  customerIdentifier?: string
  licenseArn?: string
  product?: string
}

export function attributeCommand(): Command {
  return new Command('attribute')
    .description('give unattributed usage to a customer, who will be billed for it')
    .argument('<account>', 'the unattributed account: u-…, as "statement" shows it, or its key')
    .argument('<dimension>', "the dimension's name")
    .addOption(ledgerOption())
    .option('--account-id <id>', "the customer's AWS account id, 12 digits")
    .option('--customer-identifier <id>', 'or the older identifier')
    .option('--license-arn <arn>', 'with --account-id, for products with Concurrent Agreements')
    .option('--product <product>', "product code or label; by default the unattributed account's")
    .addOption(whoOption())
    .addOption(whyOption())
    .addOption(nowOption())
    .action(async (account: string, dimension: string, options: Options) => {
      const { accountId, customerIdentifier, licenseArn } = options
      exactlyOne([
        ['--account-id', accountId],
        ['--customer-identifier', customerIdentifier],
      ])
      await withLedger(options.ledger, 'write', async ledger => {
        const lines = await ledger.statement()
        const from = findAccount(lines, account)
        if (from.kind !== 'unattributed') {
          throw new LedgerError(
            'ERR_LEDGER_STATE',
            `${accountName(from)} is a customer; expected an unattributed account.`,
          )
        }
        const customer = namedCustomer(options.product ?? from.product, { accountId, customerIdentifier, licenseArn })
        const isNew = lines.every(line => line.account.key !== customer.key)
        const amount = await ledger.attribute(from.key, dimension, customer, noteOf(options))
        const dimensions = new Map(lines.map(line => [line.dimension.name, line.dimension]))
        print(
          [
            `Attributed ${amountText(amount, dimension, dimensions)} of ${accountName(from)} to ${accountName(customer)}`,
            ...(isNew ? [`  ${accountName(customer)} is new to this ledger: make sure that it is right.`] : []),
            "  It is in the customer's balance and goes out with the next hour that is closed.",
            '  Usage to come with the same attributes goes to the unattributed account again: mend the application.',
          ].join('\n'),
        )
      })
    })
}
