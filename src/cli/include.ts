import { Command, InvalidArgumentError } from 'commander'
import { LedgerError } from '../ledger/errors.ts'
import { accountName } from '../text/account.ts'
import { amountText } from '../text/quantity.ts'
import { iso, shortTime } from '../text/time.ts'
import { formatAmount } from '../usage/amount.ts'
import { findAccount } from './account.ts'
import { readDimensions } from './dimensions.ts'
import { CommandLineError } from './errors.ts'
import type { Inclusion } from './json.ts'
import { withLedger } from './open-ledger.ts'
import { example, ledgerOption, type NoteOptions, noteOf, nowOption, whoOption, whyOption } from './options.ts'
import { printAs } from './output.ts'
import { parseTime } from './period.ts'

interface Options extends NoteOptions {
  until?: string
}

export function includeCommand(): Command {
  return new Command('include')
    .description("say what a customer's contract includes of a dimension, where AWS has no entitlement that does")
    .argument(
      '<customer>',
      'account id, identifier, licence or key; one that has used nothing yet is taken in by "import-agreements"',
    )
    .argument('<dimension>', "the dimension's name; its options have included.quantity")
    .argument('<quantity>', 'how much, in what the dimension is sold in; 0 for nothing', wholeQuantity)
    .option('--until <time>', 'up to when; then it is what all customers have. Without it for good')
    .addOption(ledgerOption())
    .addOption(whoOption())
    .addOption(whyOption())
    .addOption(nowOption())
    .addHelpText(
      'after',
      `
It holds for hours that are closed from now on. What was used of it, or metered,
stays so; "entitlements" shows both.`,
    )
    .addHelpText(
      'after',
      example(
        'marketplace-meter include 111122223333 tokens-processed 5000 \\\n' + '    --until 2027-11 --why "order 1042"',
      ),
    )
    .action(async (customer: string, name: string, quantity: number, options: Options) => {
      const by = noteOf(options)
      const until = options.until === undefined ? undefined : parseTime(options.until, by.now)
      if (until !== undefined && until <= by.now) {
        throw new CommandLineError(`Expected --until to be a time to come, got ${options.until}.`)
      }
      await withLedger(options.ledger, 'write', async ledger => {
        const [lines, agreements, entitled] = await Promise.all([
          ledger.statement(),
          ledger.agreements(),
          ledger.entitlements(),
        ])
        const account = findAccount([...lines, ...agreements, ...entitled], customer, UNKNOWN)
        if (account.kind === 'unattributed') {
          throw new LedgerError('ERR_LEDGER_STATE', `${accountName(account)} is no customer; expected one.`)
        }
        const { product } = account
        const terms = (await ledger.included()).find(one => one.product === product && one.dimension === name)
        const dimension = (await readDimensions(ledger)).get(name)
        if (terms === undefined || dimension === undefined) {
          throw new LedgerError(
            'ERR_LEDGER_STATE',
            `Contracts of ${product} include nothing of ${name}: give the dimension included.quantity in the options of who ` +
              'meters, 1 where most customers have none, and say here who has more.',
          )
        }
        if (terms.quantity === undefined) {
          throw new LedgerError(
            'ERR_LEDGER_STATE',
            `What contracts include of ${name} is what AWS says of ${terms.entitlement}, and is read anew each hour: ` +
              'amend the agreement at AWS.',
          )
        }
        const amount = BigInt(quantity) * dimension.size
        const news = { at: by.now, dimensions: [name], complete: false }
        const entitlement = { account, dimension: name, amount, ...(until !== undefined && { until }) }
        const changed = await ledger.noteEntitlements(product, { ...news, entitlements: [entitlement] }, by)
        const what = `${amountText(amount, dimension)} ${terms.per === 'term' ? 'a term' : 'a month'}`
        const end = until === undefined ? '' : ` until ${shortTime(until)}`
        const { per } = terms
        printAs<Inclusion>(options, {
          json: () => ({
            ...{ account, dimension: name, included: formatAmount(amount), baseUnit: dimension.baseUnit, per },
            ...{ until: until === undefined ? null : iso(until), changed: changed > 0 },
          }),
          text: () =>
            changed === 0
              ? `It is known already that the contract of ${accountName(account)} includes ${what}${end}.`
              : `Noted: the contract of ${accountName(account)} includes ${what}${end}.`,
        })
      })
    })
}

const UNKNOWN =
  '"marketplace-meter statement" shows those there are; "import-agreements" takes in a customer that has used nothing yet.'

function wholeQuantity(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('Expected a whole number of 0 or more.')
}
