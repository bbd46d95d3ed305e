import { printableBut } from './printable.ts'

export type CsvCell = string | number | boolean | undefined

/**
 * Rows as CSV after RFC 4180, the header first. Cells that a spreadsheet would take for a formula are disarmed, and what a
 * terminal could take for a command is escaped.
 */
export function csv(header: readonly string[], rows: readonly (readonly CsvCell[])[]): string {
  return [header, ...rows].map(row => `${row.map(cell).join(',')}\r\n`).join('')
}

function cell(value: CsvCell): string {
  const text = disarm(printableBut('\t\n', String(value ?? '')))
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

/** See https://owasp.org/www-community/attacks/CSV_Injection. A negative number is no formula. */
function disarm(text: string): string {
  return /^[=+\-@\t\r\n＝＋－＠]/.test(text) && !/^-\d+(\.\d+)?$/.test(text) ? `'${text}` : text
}
