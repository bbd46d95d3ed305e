import { printableBut } from './printable.ts'

/** A value as indented JSON. What a terminal could take for a command, or nobody sees, is escaped. */
export function json(value: unknown): string {
  return printableBut('\n', JSON.stringify(value, null, 2))
}

/** The same on one line. */
export function jsonLine(value: unknown): string {
  return printableBut('', JSON.stringify(value))
}
