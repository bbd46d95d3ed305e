import { Command } from 'commander'
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
    .description(
      'give usage to a customer, who will be billed for it: unattributed, or of another licence of its account',
    )
    .argument(
      '<account>',
      'the unattributed account, u-…, or the customer with the other licence, as "statement" shows them',
    )
    .argument('<dimension>', "the dimension's name")
    .addOption(ledgerOption())
    .option('--account-id <id>', "the customer's AWS account id, 12 digits")
    .option('--customer-identifier <id>', 'or the older identifier')
    .option('--license-arn <arn>', 'with --account-id, for products with Concurrent Agreements')
    .option(
      '--product <product>',
      "product code or label; by default that of the customer, where it is known, or else the unattributed account's",
    )
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
        const named = namedCustomer(options.product ?? from.product, { accountId, customerIdentifier, licenseArn })
        const [agreement] = await ledger.agreements({ customer: named.key })
        const known = [agreement, ...lines].find(line => line?.account.key === named.key)?.account
        // A licence is known by itself, whatever the product is called: it keeps the name that it has.
        const customer =
          options.product === undefined && known?.kind === 'customer' ? { ...named, product: known.product } : named
        const amount = await ledger.attribute(from.key, dimension, customer, noteOf(options))
        const dimensions = new Map(lines.map(line => [line.dimension.name, line.dimension]))
        print(
          [
            `Attributed ${amountText(amount, dimension, dimensions)} of ${accountName(from)} to ${accountName(customer)}`,
            ...(known !== undefined
              ? []
              : [`  ${accountName(customer)} is new to this ledger: make sure that it is right.`]),
            "  It is in the customer's balance and goes out with the next hour that is closed.",
            from.kind === 'customer'
              ? '  With it went what was held and surely not billed. What is pending, in doubt or of two identities stays.'
              : from.reason === 'unknown-tenant'
                ? '  Usage to come goes to the customer by itself once "agreements" shows this tenant of it, and here until then.'
                : '  Usage to come with the same attributes goes to the unattributed account again: mend the application.',
          ].join('\n'),
        )
      })
    })
}
