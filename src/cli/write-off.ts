import { Command } from 'commander'
import type { Ledger } from '../ledger/ledger.ts'
import { newGroup } from '../ledger/rules/audit.ts'
import { accountName } from '../text/account.ts'
import type { Account } from '../usage/account.ts'
import { formatAmount } from '../usage/amount.ts'
import type { Dimension } from '../usage/dimension.ts'
import { findAccount } from './account.ts'
import {
  addBulk,
  addChoice,
  type BulkOptions,
  type ChoiceOptions,
  checkChoice,
  checkConfirmed,
  confirmation,
  recordsMeant,
} from './choice.ts'
import { decideRecords, planned, undoText } from './decide-records.ts'
import { readDimensions } from './dimensions.ts'
import { CommandLineError } from './errors.ts'
import type { WriteOffs } from './json.ts'
import { withLedger } from './open-ledger.ts'
import { example, ledgerOption, type NoteOptions, noteOf, nowOption, whoOption, whyOption } from './options.ts'
import { printAs } from './output.ts'
import { NOT_BILLED } from './release.ts'
import { amountText } from './report/record-name.ts'

interface Options extends NoteOptions, BulkOptions, ChoiceOptions {
  now?: string
  held?: true
  unattributed?: true
  all?: true
}

export function writeOffCommand(): Command {
  const command = new Command('write-off')
    .description("end what is in an account's balance, or held: nobody will be billed for it")
    .argument(
      '[account]',
      'account id, customer identifier, u-… or key, as "statement" shows them; with --held ids of records',
    )
    .argument('[dimension...]', "the dimension's name")
    .addOption(ledgerOption())
    .option('--unattributed', 'instead of an account: all that is unattributed')
    .option('--held', 'held records that AWS surely has not billed: by ids, or as the options say')
    .option('--all', 'with an account, of all dimensions; with --held, whatever the reason')
  return addBulk(addChoice(command, NOT_BILLED))
    .addOption(whoOption())
    .addOption(whyOption())
    .addOption(nowOption())
    .addHelpText('after', '\nThe whole balance goes, with the usage of the present hour.')
    .addHelpText('after', example('marketplace-meter write-off u-fc273356 --all --why "a test of ours"'))
    .action(async (account: string | undefined, more: string[], options: Options) => {
      if (options.held === true) await writeOffHeld(account === undefined ? more : [account, ...more], options)
      else await writeOffBalances(account, more, options)
    })
}

async function writeOffHeld(ids: readonly string[], options: Options): Promise<void> {
  if (options.unattributed === true) throw new CommandLineError('Expected one of --held or --unattributed.')
  checkChoice(ids, options)
  await withLedger(options.ledger, options.dryRun === true ? 'read' : 'write', async ledger => {
    const records = await recordsMeant(ledger, ids, options, NOT_BILLED)
    await decideRecords(ledger, planned(records, { decision: 'write-off' }), options)
  })
}

async function writeOffBalances(account: string | undefined, names: string[], options: Options): Promise<void> {
  const { reason, all, customer, from, to, unattributed, dryRun } = options
  if ([reason, customer, from, to].some(option => option !== undefined)) {
    throw new CommandLineError('Expected --reason, --customer, --from and --to with --held.')
  }
  if ((account === undefined) === (unattributed === undefined)) {
    throw new CommandLineError('Expected an account, --unattributed or --held.')
  }
  const named = [...names, ...(options.dimension === undefined ? [] : [options.dimension])]
  if (unattributed === undefined && (named.length === 0) === (all === undefined)) {
    throw new CommandLineError('Expected a dimension after the account, or --all.')
  }
  await withLedger(options.ledger, dryRun === true ? 'read' : 'write', async ledger => {
    const lines = await ledger.statement()
    const one = account === undefined ? undefined : findAccount(lines, account)
    const filled = lines
      .filter(line => (one === undefined ? line.account.kind === 'unattributed' : line.account.key === one.key))
      .filter(({ dimension, balance }) => balance > 0n && (named.length === 0 || named.includes(dimension.name)))
      .map(({ account, dimension, balance }): Balance => ({ account, dimension: dimension.name, amount: balance }))
    checkConfirmed(filled.length, 'balances', options)
    const dimensions = await readDimensions(ledger)
    if (dryRun === true) {
      print({ done: filled, dimensions, options })
      return
    }
    const exact = one === undefined ? [] : named.map(dimension => ({ account: one, dimension, amount: 0n }))
    await writeOffEach(ledger, exact.length > 0 ? exact : filled, dimensions, options)
  })
}

interface Balance {
  readonly account: Account
  readonly dimension: string
  readonly amount: bigint
}

async function writeOffEach(
  ledger: Ledger,
  balances: readonly Balance[],
  dimensions: ReadonlyMap<string, Dimension>,
  options: Options,
): Promise<void> {
  const group = newGroup()
  const done: Balance[] = []
  try {
    for (const balance of balances) {
      const { account, dimension } = balance
      const amount = await ledger.writeOff(account.key, dimension, { ...noteOf(options), group })
      done.push({ account, dimension, amount })
    }
  } catch (error) {
    // What was written off before stays so.
    if (done.length > 0) print({ done, dimensions, options, group })
    throw error
  }
  print({ done, dimensions, options, group })
}

/** @param group without one nothing was changed */
function print({
  done,
  dimensions,
  options,
  group,
}: {
  done: readonly Balance[]
  dimensions: ReadonlyMap<string, Dimension>
  options: Options
  group?: string
}): void {
  const name = ({ account, dimension, amount }: Balance) =>
    `${amountText(amount, dimension, dimensions)} of ${accountName(account)}`
  const text = (): string[] => {
    if (group === undefined) {
      const then = `Nothing was changed. To do it, leave out --dry-run${confirmation(done.length)}.`
      return [...done.map(balance => `Would write off ${name(balance)}`), then]
    }
    if (done.length === 0) return ['There is no such balance.']
    return [
      ...done.map(balance => `Wrote off ${name(balance)}`),
      '  Nobody is billed for it: it is neither recorded nor in the balance any more,',
      '  only in the audit trail.',
      undoText(group),
    ]
  }
  printAs<WriteOffs>(options, {
    json: () => ({
      ...{ dryRun: group === undefined, group: done.length === 0 ? null : (group ?? null) },
      writtenOff: done.map(({ account, dimension, amount }) => ({
        ...{ account, dimension, amount: formatAmount(amount) },
        baseUnit: dimensions.get(dimension)?.baseUnit ?? null,
      })),
    }),
    text: () => text().join('\n'),
  })
}
