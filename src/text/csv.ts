import { formatAmount } from '../usage/amount.ts'
import { printableBut } from './printable.ts'

/** A string is text and stays text; numbers are told apart from it by their type. */
export type CsvCell = string | number | boolean | CsvValue | undefined

/** What a spreadsheet is to take for a number or a date. */
export interface CsvValue {
  readonly value: string
}

/** An amount, in its base unit, as a number of any length. */
export const csvAmount = (amount: bigint): CsvValue => ({ value: formatAmount(amount) })
/** The day (UTC) of an instant. */
export const csvDay = (time: number): CsvValue => ({ value: new Date(time).toISOString().slice(0, 10) })

/**
 * Rows as CSV after RFC 4180, the header first, so that a spreadsheet opens it as it is: text that it would take for a
 * formula, a number, a date or a truth value begins with an apostrophe, for which quotes alone do not help, and what is
 * not ASCII comes behind a byte order mark, without which Excel does not know UTF-8. What a terminal could take for a
 * command is escaped.
 */
export function csv(header: readonly string[], rows: readonly (readonly CsvCell[])[]): string {
  const text = [header, ...rows].map(row => `${row.map(cell).join(',')}\r\n`).join('')
  return NOT_ASCII.test(text) ? `${BYTE_ORDER_MARK}${text}` : text
}

export const BYTE_ORDER_MARK = '\ufeff'
const NOT_ASCII = /[\u0080-\uffff]/

function cell(value: CsvCell): string {
  if (typeof value === 'object') return value.value
  if (typeof value !== 'string') return String(value ?? '')
  const text = marked(printableBut('\t\n', value))
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

const marked = (text: string) => (isMistakable(text.replace(/^'+/, '')) ? `'${text}` : text)

/** The text that a cell of `csv` is of, once it is parsed. */
export function unmarked(text: string): string {
  return text.startsWith("'") && isMistakable(text.replace(/^'+/, '')) ? text.slice(1) : text
}

/** Whether a spreadsheet takes text for something else, and shows and saves it as something else. */
function isMistakable(text: string): boolean {
  return !SAME.test(text) && [FORMULA, NUMBER, DATE, TRUTH].some(pattern => pattern.test(text))
}

/** A whole number of up to 11 digits is shown and saved as it was: account ids have 12, which become 1.23457E+11. */
const SAME = /^(0|-?[1-9]\d{0,10})$/
/** See https://owasp.org/www-community/attacks/CSV_Injection. */
const FORMULA = /^[=+\-@\t\r\n＝＋－＠]/
/** In whatever country: also times, fractions, percentages, sums of money and dates in digits. */
const NUMBER = /^[\s.,:'/%()$€£¥]*\d[\s\d.,:'/%()$€£¥e+-]*([ap]m?)?$/i
const DATE =
  /^(?=.*\d)(\d[\s\d.,/-]*)?(jan(uary)?|feb(ruary)?|mar(ch)?|apr(il)?|may|june?|july?|aug(ust)?|sept?(ember)?|oct(ober)?|nov(ember)?|dec(ember)?)[\s\d.,/-]*$/i
const TRUTH = /^(true|false)$/i
