import { BYTE_ORDER_MARK } from '../text/csv.ts'
import { type Paint, paintFor } from '../text/paint.ts'
import { printableBut } from '../text/printable.ts'

/** Where commands print, and how wide and colourful it may be. */

export function print(text: string): void {
  const mark = text.startsWith(BYTE_ORDER_MARK) ? BYTE_ORDER_MARK : ''
  process.stdout.write(mark + safe(text.slice(mark.length).replace(/\n?$/, '\n')))
}

/** What is wrong, beside what is printed. It may quote an address, whose password is not shown. */
export function printError(text: string): void {
  const shown = text.replace(USER, '://…@')
  process.stderr.write(safe(shown.endsWith('\n') ? shown : `${shown}\n`))
}

/**
 * Ends the process where what it prints cannot be written, and says so; quietly where whoever reads has stopped early, as
 * in `marketplace-meter records | head`.
 */
export function endWhereUnwritable(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit()
    printError(`error: The output cannot be written: ${error.message}. What the command was to do is done.`)
    process.exit(1)
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

export function screen(): { width: number | undefined; paint: Paint } {
  return { width: process.stdout.isTTY ? process.stdout.columns : undefined, paint: paintFor(process.stdout) }
}
