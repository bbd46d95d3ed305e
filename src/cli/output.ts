import { BYTE_ORDER_MARK } from '../text/csv.ts'
import { json, jsonLine } from '../text/json.ts'
import { type Paint, paintFor } from '../text/paint.ts'
import { printableBut } from '../text/printable.ts'
import { FAILED } from './exit-status.ts'

/** Where commands print, in which form, and how wide and colourful it may be. */

export type OutputFormat = 'table' | 'json' | 'csv'

export interface FormatOptions {
  readonly json?: true
  readonly format?: OutputFormat
}

/** What a command has to say, in the forms that it has: for a program, for a person, and for a spreadsheet. */
export interface Output<Json extends object> {
  readonly json: () => Json
  readonly text: () => string
  readonly csv?: () => string
}

export const isJson = ({ json, format }: FormatOptions): boolean => json === true || format === 'json'

/** Prints the form that is asked for. As JSON it is one value, and all that there is on standard output; see json.md. */
export function printAs<Json extends object>(options: FormatOptions, output: Output<Json>): void {
  if (isJson(options)) print(json(output.json()))
  else if (options.format === 'csv' && output.csv !== undefined) print(output.csv())
  else print(output.text())
}

/** What a program waits for that starts a command which goes on: one line. */
export function printReady<Json extends object>(options: FormatOptions, ready: Json): void {
  if (isJson(options)) print(jsonLine(ready))
}

/** Whether a command line asks for JSON, also one that is wrong. */
export function asksForJson(args: readonly string[]): boolean {
  return args.some(
    (arg, at) => arg === '--json' || arg === '--format=json' || (arg === 'json' && args[at - 1] === '--format'),
  )
}

export function print(text: string): void {
  const mark = text.startsWith(BYTE_ORDER_MARK) ? BYTE_ORDER_MARK : ''
  process.stdout.write(mark + safe(text.slice(mark.length).replace(/\n?$/, '\n')))
}

/** What is wrong, beside what is printed. It may quote an address, whose password is not shown. */
export function printError(text: string): void {
  const shown = withoutPasswords(text)
  process.stderr.write(safe(shown.endsWith('\n') ? shown : `${shown}\n`))
}

/** The same for a program: each text by itself, since what hides a password may take in what stands between two. */
export function printErrorJson(value: object): void {
  const shown = JSON.stringify(value, (_, one) => (typeof one === 'string' ? withoutPasswords(one) : one))
  process.stderr.write(`${jsonLine(JSON.parse(shown))}\n`)
}

const withoutPasswords = (text: string): string => text.replace(USER, '://…@')

/**
 * Ends the process where what it prints cannot be written, and says so; quietly where whoever reads has stopped early, as
 * in `marketplace-meter records | head`.
 */
export function endWhereUnwritable(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit()
    printError(`error: The output cannot be written: ${error.message}. What the command was to do is done.`)
    process.exit(FAILED)
  })
  // Then there is nowhere left to say it, and a gateway goes on.
  process.stderr.on('error', () => {})
}

const USER = /:\/\/\S{0,500}@/g

/** What reports make of others' texts is printable already; here it is made sure of for all that a terminal gets. */
function safe(text: string): string {
  const parts = text.split(COLOUR)
  return parts.map((part, index) => (index % 2 === 1 ? part : printableBut('\t\r\n', part))).join('')
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: it is what begins a colour.
const COLOUR = /(\u001b\[[\d;]{1,20}m)/

/**
 * What is said where nothing is as it was asked for: a customer that is misspelt would seem to have nothing.
 *
 * @param none such as `No records`
 * @param chosen by what was asked for; nothing is said where by nothing
 */
export function noneSo(none: string, command: string, chosen: Readonly<Record<string, unknown>>): string | undefined {
  if (Object.values(chosen).every(value => value === undefined)) return undefined
  return `${none} so. "marketplace-meter ${command}" shows all.`
}

export function screen(): { width: number | undefined; paint: Paint } {
  return { width: process.stdout.isTTY ? process.stdout.columns : undefined, paint: paintFor(process.stdout) }
}
