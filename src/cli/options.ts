import { InvalidArgumentError, Option } from 'commander'
import type { AuditNote } from '../ledger/ledger.ts'
import { userName } from '../ledger/system-user.ts'
import { CommandLineError } from './errors.ts'
import type { FormatOptions, OutputFormat } from './output.ts'
import { parseTime } from './period.ts'

/** The options that commands share, and how their help ends. */

export interface CommonOptions extends FormatOptions {
  readonly ledger: string
  readonly now?: string
}

export interface NoteOptions extends CommonOptions {
  readonly who: string
  readonly why: string
}

export const ledgerOption = () =>
  new Option('--ledger <address>', 'the ledger: a file, postgresql://… or dynamodb://table')
    .env('MARKETPLACE_LEDGER')
    .default('marketplace-ledger.sqlite')

export const nowOption = () => new Option('--now <time>', 'the present time, where it is not that of the clock')

export const formatOption = (...formats: OutputFormat[]) =>
  new Option('--format <format>', 'how to print it; by default a table').choices(formats)

export const jsonOption = () => new Option('--json', 'print JSON, for a program; errors too').conflicts('format')

/** The end of a command's help: what to type, which a test does. */
export const example = (line: string): string => `\nExample:\n  ${line}`

export const whoOption = () =>
  new Option('--who <name>', 'who does it').argParser(notEmpty).default(userName(), 'the user of the system')

/** @param usual where it need not be said */
export const whyOption = (usual?: string) => {
  const option = new Option('--why <text>', 'why, for the audit trail').argParser(notEmpty)
  return usual === undefined ? option.makeOptionMandatory() : option.default(usual)
}

/** The only place where a command reads the clock. */
export function nowOf({ now }: { now?: string }): number {
  return now === undefined ? Date.now() : parseTime(now, Date.now())
}

export function noteOf(options: NoteOptions): AuditNote {
  return { who: options.who, why: options.why, now: nowOf(options) }
}

export function limit(text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('Expected a number from 1 to 999999999.')
}

/** @throws CommandLineError where it is not exactly one of the two */
export function exactlyOne(given: readonly [string, unknown][]): void {
  const names = given.map(([name]) => name).join(' or ')
  if (given.filter(([, value]) => value !== undefined && value !== false).length !== 1) {
    throw new CommandLineError(`Expected one of ${names}.`)
  }
}

function notEmpty(text: string): string {
  const trimmed = text.trim()
  if (trimmed === '') throw new InvalidArgumentError('Expected a text that is not empty.')
  return trimmed
}
