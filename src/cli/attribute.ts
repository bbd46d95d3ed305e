import { Command } from 'commander'
import { LedgerError } from '../ledger/errors.ts'
import type { Ledger, Period, StatementLine } from '../ledger/ledger.ts'
import { newGroup } from '../ledger/rules/audit.ts'
import { accountName } from '../text/account.ts'
import type { Account, CustomerAccount } from '../usage/account.ts'
import { formatAmount } from '../usage/amount.ts'
import type { Dimension } from '../usage/dimension.ts'
import { findAccount, namedCustomer } from './account.ts'
import { addBulk, type BulkOptions, checkConfirmed, confirmation } from './choice.ts'
import { undoText } from './decide-records.ts'
import { CommandLineError } from './errors.ts'
import { TO_DECIDE } from './exit-status.ts'
import type { Attributions } from './json.ts'
import { withLedger } from './open-ledger.ts'
import {
  exactlyOne,
  example,
  ledgerOption,
  type NoteOptions,
  noteOf,
  nowOf,
  nowOption,
  whoOption,
  whyOption,
} from './options.ts'
import { type Output, printAs } from './output.ts'
import { parsePeriod, TIME_HELP } from './period.ts'
import { amountText } from './report/record-name.ts'
import { eachRow, readRows } from './row-file.ts'

interface Options extends NoteOptions, BulkOptions {
  accountId?: string
  customerIdentifier?: string
  licenseArn?: string
  product?: string
  rules?: string
  dimension?: string
  from?: string
  to?: string
}

/** Whose usage of a dimension goes to whom. */
interface Gift {
  readonly from: Account
  readonly dimension: string
  readonly customer: CustomerAccount
  /** What there is, as far as it was looked at. */
  readonly amount: bigint
}

export function attributeCommand(): Command {
  const command = new Command('attribute')
    .description(
      'give usage to a customer, who will be billed for it: unattributed, or of another licence of its account',
    )
    .argument(
      '[account]',
      'the unattributed account, u-…, or the customer with the other licence, as "statement" shows them',
    )
    .argument('[dimension]', "the dimension's name; all by default")
    .addOption(ledgerOption())
    .option('--account-id <id>', "the customer's AWS account id, 12 digits")
    .option('--customer-identifier <id>', 'or the older identifier')
    .option('--license-arn <arn>', 'with --account-id, for products with Concurrent Agreements')
    .option(
      '--product <product>',
      "product code or label; by default that of the customer, where it is known, or else the unattributed account's",
    )
    .option('--rules <file>', 'instead of an account and a customer: whose usage goes to whom, as CSV or JSON')
    .option('--dimension <name>', 'with --rules: only this dimension')
    .option('--from <time>', `unattributed usage of hours from the beginning of: ${TIME_HELP}`)
    .option('--to <time>', 'to the end of it')
  return addBulk(command)
    .addOption(whoOption())
    .addOption(whyOption())
    .addOption(nowOption())
    .addHelpText(
      'after',
      `
--rules has a row for each value of an attribute of what is unattributed, which
"statement --json" shows as "evidence":

  attribute,value,account_id,license_arn
  tenant,acme,111122223333,arn:aws:license-manager::294406891311:license:l-…

and customer_identifier and product, where they are needed. With --from and --to
it is what was recorded in these hours, and is still in the balance; the same
again gives nothing twice.`,
    )
    .addHelpText(
      'after',
      example(
        'marketplace-meter attribute u-fc273356 --account-id 111122223333 \\\n' +
          '    --why "the tenant acme is theirs"',
      ),
    )
    .action(async (account: string | undefined, dimension: string | undefined, options: Options) => {
      checkOptions(account, options)
      const period = parsePeriod(options.from, options.to, nowOf(options))
      await withLedger(options.ledger, options.dryRun === true ? 'read' : 'write', async ledger => {
        const lines = await ledger.statement()
        const given = await linesOf(ledger, lines, period)
        const gifts =
          account === undefined
            ? giftsByRules(given, await rulesOf(ledger, lines, options), options.dimension)
            : await giftsOf(ledger, lines, given, findAccount(lines, account), dimension, options)
        checkConfirmed(gifts.length, 'balances', options)
        await give(ledger, gifts, lines, period, options)
      })
    })
}

function checkOptions(account: string | undefined, options: Options): void {
  const { accountId, customerIdentifier, licenseArn, rules, dimension } = options
  exactlyOne([
    ['an account', account],
    ['--rules', rules],
  ])
  if (account !== undefined) {
    exactlyOne([
      ['--account-id', accountId],
      ['--customer-identifier', customerIdentifier],
    ])
    if (dimension !== undefined) throw new CommandLineError('Expected the dimension after the account.')
  } else if ([accountId, customerIdentifier, licenseArn].some(option => option !== undefined)) {
    throw new CommandLineError('Expected the customers in the file of --rules.')
  }
}

/** What there is to give: balances, or as much of them as was recorded in some hours. */
async function linesOf(ledger: Ledger, lines: readonly StatementLine[], period: Period): Promise<StatementLine[]> {
  if (period.from === undefined && period.to === undefined) return [...lines]
  const balances = new Map(lines.map(line => [`${line.account.key} ${line.dimension.name}`, line.balance]))
  return (await ledger.statement(period)).map(line => {
    const balance = balances.get(`${line.account.key} ${line.dimension.name}`) ?? 0n
    return { ...line, balance: line.recorded < balance ? line.recorded : balance }
  })
}

async function giftsOf(
  ledger: Ledger,
  lines: readonly StatementLine[],
  given: readonly StatementLine[],
  from: Account,
  dimension: string | undefined,
  options: Options,
): Promise<Gift[]> {
  const customer = await customerOf(ledger, lines, options.product ?? from.product, options)
  const own = given
    .filter(({ account }) => account.key === from.key)
    .map(line => ({ from, dimension: line.dimension.name, customer, amount: line.balance }))
  if (dimension === undefined) return own.filter(({ amount }) => amount > 0n)
  return [own.find(gift => gift.dimension === dimension) ?? { from, dimension, customer, amount: 0n }]
}

/** A licence is known by itself, whatever the product is called: it keeps the name that it has. */
async function customerOf(
  ledger: Ledger,
  lines: readonly StatementLine[],
  product: string,
  names: Pick<Options, 'accountId' | 'customerIdentifier' | 'licenseArn' | 'product'>,
): Promise<CustomerAccount> {
  const { accountId, customerIdentifier, licenseArn } = names
  const named = namedCustomer(product, { accountId, customerIdentifier, licenseArn })
  const known = await knownAccount(ledger, lines, named)
  return names.product === undefined && known?.kind === 'customer' ? { ...named, product: known.product } : named
}

async function knownAccount(
  ledger: Ledger,
  lines: readonly StatementLine[],
  { key }: CustomerAccount,
): Promise<Account | undefined> {
  const [agreement] = await ledger.agreements({ customer: key })
  return [agreement, ...lines].find(line => line?.account.key === key)?.account
}

interface Rule {
  readonly attribute: string
  readonly value: string
  /** Of usage of a product. */
  readonly customerOf: (product: string) => CustomerAccount
}

async function rulesOf(ledger: Ledger, lines: readonly StatementLine[], options: Options): Promise<Rule[]> {
  const products = new Set(lines.flatMap(({ account }) => (account.kind === 'unattributed' ? account.product : [])))
  const rows = readRows(options.rules as string, ['attribute', 'value'])
  const named = eachRow(rows, ({ cells }) => {
    const { attribute, value, account_id, customer_identifier, license_arn } = cells
    if (!attribute || !value) throw new CommandLineError('Expected an attribute and its value.')
    const product = cells.product || options.product
    const names = {
      ...(account_id && { accountId: account_id }),
      ...(customer_identifier && { customerIdentifier: customer_identifier }),
      ...(license_arn && { licenseArn: license_arn }),
      ...(product && { product }),
    }
    // What is wrong with it is told of its row.
    namedCustomer(product ?? 'any', names)
    return { attribute, value, names }
  })
  const rules: Rule[] = []
  for (const { attribute, value, names } of named) {
    const customers = new Map<string, CustomerAccount>()
    for (const product of products) {
      customers.set(product, await customerOf(ledger, lines, names.product ?? product, names))
    }
    rules.push({ attribute, value, customerOf: product => customers.get(product) as CustomerAccount })
  }
  return rules
}

/** @throws CommandLineError where two rules give one account's usage to two customers */
function giftsByRules(lines: readonly StatementLine[], rules: readonly Rule[], wanted: string | undefined): Gift[] {
  return lines.flatMap(({ account, dimension: { name }, balance }): Gift[] => {
    if (account.kind !== 'unattributed' || balance <= 0n || name !== (wanted ?? name)) return []
    const evidence = attributesOf(account.evidence)
    const matching = rules.filter(({ attribute, value }) => evidence.get(attribute) === value)
    const customers = new Map(
      matching.map(({ customerOf }) => customerOf(account.product)).map(customer => [customer.key, customer]),
    )
    const [customer, other] = customers.values()
    if (customer === undefined) return []
    if (other === undefined) return [{ from: account, dimension: name, customer, amount: balance }]
    const whom = `${accountName(customer)} and ${accountName(other)}`
    throw new CommandLineError(`Expected one customer for ${accountName(account)}, got ${whom}. Nothing was changed.`)
  })
}

function attributesOf(evidence: string): Map<string, string> {
  try {
    const entries = Object.entries(JSON.parse(evidence) as Record<string, unknown>)
    return new Map(entries.map(([name, value]) => [name, typeof value === 'string' ? value : JSON.stringify(value)]))
  } catch {
    return new Map()
  }
}

async function give(
  ledger: Ledger,
  gifts: readonly Gift[],
  lines: readonly StatementLine[],
  period: Period,
  options: Options,
): Promise<void> {
  const dimensions = new Map(lines.map(line => [line.dimension.name, line.dimension]))
  const { dryRun = false } = options
  const group = newGroup()
  const attributed: Given[] = []
  const left: (Gift & { readonly error: LedgerError })[] = []
  const known = new Set<string>()
  const show = () => printAs(options, shown({ attributed, left, period, dimensions, dryRun, group }))
  try {
    for (const gift of gifts) {
      const { key } = gift.customer
      const newCustomer = !known.has(key) && (await knownAccount(ledger, lines, gift.customer)) === undefined
      known.add(key)
      if (dryRun) attributed.push({ ...gift, newCustomer })
      else {
        try {
          const by = { ...noteOf(options), group }
          const amount = await ledger.attribute(gift.from.key, gift.dimension, gift.customer, by, period)
          attributed.push({ ...gift, amount, newCustomer })
        } catch (error) {
          // Of many, some may be given by somebody else meanwhile.
          if (gifts.length === 1 || !(error instanceof LedgerError && error.code === 'ERR_LEDGER_STATE')) throw error
          left.push({ ...gift, error })
        }
      }
    }
  } catch (error) {
    // What was given before stays so.
    if (attributed.length > 0 && !dryRun) show()
    throw error
  }
  show()
  if (left.length > 0) process.exitCode = TO_DECIDE
}

interface Given extends Gift {
  readonly newCustomer: boolean
}

interface Attributed {
  readonly attributed: readonly Given[]
  /** What somebody else has given away meanwhile. */
  readonly left: readonly (Gift & { readonly error: LedgerError })[]
  readonly period: Period
  readonly dimensions: ReadonlyMap<string, Dimension>
  readonly dryRun: boolean
  readonly group: string
}

function shown(done: Attributed): Output<Attributions> {
  const { attributed, left, dimensions, dryRun, group } = done
  return {
    json: () => ({
      ...{ dryRun, group: dryRun || attributed.length === 0 ? null : group },
      attributed: attributed.map(({ from, customer: to, dimension, amount, newCustomer }) => ({
        ...{ from, to, newCustomer, dimension, amount: formatAmount(amount) },
        baseUnit: dimensions.get(dimension)?.baseUnit ?? null,
      })),
      notAttributed: left.map(({ from, customer: to, dimension, error: { code, message } }) => {
        return { from, to, dimension, code, message }
      }),
    }),
    text: () => attributionsText(done),
  }
}

function attributionsText({ attributed, left, period, dimensions, dryRun, group }: Attributed): string {
  if (attributed.length + left.length === 0) return 'There is nothing to attribute so.'
  const name = ({ from, dimension, customer, amount }: Gift) =>
    `${amountText(amount, dimension, dimensions)} of ${accountName(from)} to ${accountName(customer)}`
  if (dryRun) {
    // What was taken away since may have been of these hours.
    const most = period.from === undefined && period.to === undefined ? '' : 'at most '
    return [
      ...attributed.map(gift => `Would attribute ${most}${name(gift)}`),
      ...(attributed.some(({ from }) => from.kind === 'customer')
        ? ['  With it goes what is held and surely not billed.']
        : []),
      `Nothing was changed. To do it, leave out --dry-run${confirmation(attributed.length)}.`,
    ].join('\n')
  }
  return [
    ...attributed.flatMap(gift => [
      `Attributed ${name(gift)}`,
      ...(gift.newCustomer
        ? [`  ${accountName(gift.customer)} is new to this ledger: make sure that it is right.`]
        : []),
    ]),
    ...left.map(gift => `Left ${name(gift)}: ${gift.error.message}`),
    ...(attributed.length === 0
      ? []
      : [
          "  It is in the customer's balance and goes out with the next hour that is closed.",
          ...[...new Set(attributed.map(({ from }) => usageToCome(from)))].map(text => `  ${text}`),
          undoText(group),
        ]),
  ].join('\n')
}

function usageToCome(from: Account): string {
  if (from.kind === 'customer') {
    return 'With it went what was held and surely not billed. What is pending, in doubt or\n  of two identities stays.'
  }
  return from.reason === 'unknown-tenant'
    ? 'Usage to come goes to the customer by itself once "agreements" shows this tenant\n  of it, and here until then.'
    : 'Usage to come with the same attributes is unattributed again: mend the application.'
}
