import { type Command, Option } from 'commander'
import { shellWord } from '../gateway/operations/command.ts'
import type { HeldReason, Ledger, RecordEntry } from '../ledger/ledger.ts'
import { customerQuery } from './account.ts'
import { CommandLineError } from './errors.ts'
import { heldRecords } from './held-records.ts'
import { limit, nowOf } from './options.ts'
import { parsePeriod, TIME_HELP } from './period.ts'

/** Which held records a person means: by their ids, or by what they have in common. */

export interface ChoiceOptions {
  reason?: HeldReason
  customer?: string
  dimension?: string
  from?: string
  to?: string
  now?: string
}

export interface BulkOptions {
  dryRun?: true
  confirm?: number
}

/** From so many on a person has to say how many there are. */
const MOST_UNCONFIRMED = 100

/** @param reasons those that there is a choice of */
export function addChoice(command: Command, reasons: readonly HeldReason[]): Command {
  return command
    .addOption(new Option('--reason <reason>', 'only what is held for this reason').choices(reasons))
    .option('--customer <id>', 'only of this account id, customer identifier, licence or account key')
    .option('--dimension <name>', 'only of this dimension')
    .option('--from <time>', `only hours from the beginning of: ${TIME_HELP}`)
    .option('--to <time>', 'to the end of it')
}

/** The options of what may be about many. */
export function addBulk(command: Command): Command {
  return command
    .option('--dry-run', 'only show what would be done, in sum')
    .option('--confirm <number>', `of more than ${MOST_UNCONFIRMED}: as many as --dry-run has shown, at most`, limit)
}

/** The same choice, but for the reason, for another command. */
export function choiceText({ customer, dimension, from, to }: ChoiceOptions): string {
  const given = Object.entries({ customer, dimension, from, to })
  return given.map(([name, value]) => (value === undefined ? '' : ` --${name} ${shellWord(value)}`)).join('')
}

/** What is held of all that a person chooses, the oldest first. */
export async function chosenRecords(
  ledger: Ledger,
  options: ChoiceOptions,
  reasons: readonly HeldReason[],
): Promise<RecordEntry[]> {
  const { reason, dimension, customer } = options
  const held = await ledger.records({
    ...{ state: 'held', limit: Number.MAX_SAFE_INTEGER },
    ...(await customerQuery(ledger, customer)),
    ...(dimension !== undefined && { dimension }),
    ...parsePeriod(options.from, options.to, nowOf(options)),
  })
  const wanted = new Set<string | undefined>(reason === undefined ? reasons : [reason])
  return held.filter(record => wanted.has(record.reason)).reverse()
}

/**
 * The records with these ids or, where there are none, those that were chosen.
 *
 * @param reasons what may be decided so
 */
export async function recordsMeant(
  ledger: Ledger,
  ids: readonly string[],
  options: ChoiceOptions & { all?: true },
  reasons: readonly HeldReason[],
): Promise<RecordEntry[]> {
  return ids.length > 0 ? await heldRecords(ledger, ids) : await chosenRecords(ledger, options, reasons)
}

/** @throws CommandLineError where it is not said which records are meant, or twice */
export function checkChoice(ids: readonly string[], options: ChoiceOptions & { all?: true }): void {
  const { reason, all, customer, dimension, from, to } = options
  if (ids.length > 0) {
    if ([reason, all, customer, dimension, from, to].every(option => option === undefined)) return
    throw new CommandLineError('Expected ids of records, or --reason or --all with what else they have in common.')
  }
  if ((reason === undefined) === (all === undefined)) {
    throw new CommandLineError('Expected ids of records, or one of --reason or --all: what they are held for.')
  }
}

/** @throws CommandLineError where there are more than a person has seen */
export function checkConfirmed(count: number, what: string, { dryRun, confirm }: BulkOptions): void {
  if (dryRun === true || count <= (confirm ?? MOST_UNCONFIRMED)) return
  const expected = `Expected --confirm ${count}, since so many ${what} would be decided`
  throw new CommandLineError(
    `${expected}${confirm === undefined ? '' : `, got ${confirm}`}. Look at them with --dry-run first. Nothing was changed.`,
  )
}

/** What to add to a command that was a dry run, where it is to be added. */
export function confirmation(count: number): string {
  return count <= MOST_UNCONFIRMED ? '' : `, and add --confirm ${count}`
}
