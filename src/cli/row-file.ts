import { readFileSync } from 'node:fs'
import { parse } from 'csv-parse/sync'
import { unmarked } from '../text/csv.ts'
import { CommandLineError } from './errors.ts'

/** A row of a file that a person has made, its cells by their columns' names; empty ones are left out. */
export interface FileRow {
  /** `line 7`, or of JSON `entry 7`. */
  readonly place: string
  readonly cells: Readonly<Record<string, string>>
}

/** How many rows that are wrong are told. */
const MOST_PROBLEMS = 20

/**
 * The rows of a CSV file with a header, or of a JSON file with an array of objects.
 *
 * @param file `-` is standard input
 * @throws CommandLineError where it cannot be read, or has not these columns
 */
export function readRows(file: string, needed: readonly string[]): FileRow[] {
  const text = readText(file)
  const rows = /^\s*\[/.test(text) ? jsonRows(text) : csvRows(text)
  for (const { place, cells } of rows.slice(0, 1)) {
    const missing = needed.find(name => !(name in cells))
    if (missing === undefined) continue
    const got = Object.keys(cells).map(name => JSON.stringify(name))
    throw new CommandLineError(`Expected a column ${missing} in ${file}, got ${got.join(', ')} in ${place}.`)
  }
  return rows
}

/**
 * What rows mean.
 *
 * @throws CommandLineError that names each row that is wrong; then nothing is done
 */
export function eachRow<Meant>(rows: readonly FileRow[], meaning: (row: FileRow) => Meant): Meant[] {
  const problems: string[] = []
  const meant = rows.flatMap(row => {
    try {
      return [meaning(row)]
    } catch (error) {
      if (!(error instanceof CommandLineError)) throw error
      problems.push(`${row.place}: ${error.message}`)
      return []
    }
  })
  if (problems.length === 0) return meant
  const more = problems.length > MOST_PROBLEMS ? ` And ${problems.length - MOST_PROBLEMS} more.` : ''
  throw new CommandLineError(`Nothing was changed. ${problems.slice(0, MOST_PROBLEMS).join(' ')}${more}`)
}

function readText(file: string): string {
  try {
    return readFileSync(file === '-' ? 0 : file, 'utf8')
  } catch (error) {
    throw new CommandLineError(`Expected a file that can be read: ${(error as Error).message}.`)
  }
}

function jsonRows(text: string): FileRow[] {
  let all: unknown[]
  try {
    all = JSON.parse(text) as unknown[]
  } catch (error) {
    throw new CommandLineError(`Expected JSON: ${(error as Error).message}.`)
  }
  return all.map((one, index) => {
    const members = typeof one === 'object' && one !== null ? Object.entries(one) : []
    // As the columns of CSV are called.
    const cells = members.map(([name, value]) => [
      name.replaceAll(/[A-Z]/g, letter => `_${letter.toLowerCase()}`),
      ['string', 'number'].includes(typeof value) ? String(value).trim() : '',
    ])
    return { place: `entry ${index + 1}`, cells: Object.fromEntries(cells) as Record<string, string> }
  })
}

function csvRows(text: string): FileRow[] {
  // Where the comma is for decimals, spreadsheets put semicolons between cells.
  const header = /^.*/.exec(text)?.[0] ?? ''
  const delimiter = header.includes(';') && !header.includes(',') ? ';' : ','
  const options = { columns: true, bom: true, skip_empty_lines: true, trim: true, info: true, delimiter } as const
  try {
    const records = parse(text, options) as unknown as { record: Record<string, string>; info: { lines: number } }[]
    return records.map(({ record, info: { lines } }) => {
      const cells = Object.entries(record).map(([name, text]) => [name, unmarked(text)] as const)
      return { place: `line ${lines}`, cells: Object.fromEntries(cells) }
    })
  } catch (error) {
    throw new CommandLineError(`Expected a CSV file with a header: ${(error as Error).message}.`)
  }
}
