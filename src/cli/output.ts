import { type Paint, paintFor } from '../text/paint.ts'

/** Where commands print, and how wide and colourful it may be. */

export function print(text: string): void {
  process.stdout.write(text.endsWith('\n') ? text : `${text}\n`)
}

export function screen(): { width: number | undefined; paint: Paint } {
  return { width: process.stdout.isTTY ? process.stdout.columns : undefined, paint: paintFor(process.stdout) }
}
