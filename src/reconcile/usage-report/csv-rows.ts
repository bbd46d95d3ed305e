import { ReadableStream } from 'node:stream/web'
import { parse } from 'csv-parse/stream'
import { UsageReportError } from '../errors.ts'
import { type EventFile, isReading, unpacked } from '../event-files.ts'

/** A quote that is never closed would take all that follows for one row. */
const LARGEST_ROW = 1 << 20

/** What could not be read: how often, and the first of it with its place. */
export interface Unread {
  count: number
  readonly first: string[]
}

const MOST_UNREAD = 20

/**
 * Reads a CSV file (RFC 4180, UTF-8, packed with gzip or not) row by row. A row that cannot be read is told with its
 * number, counted as a spreadsheet does, and the others are read.
 *
 * @param begin takes the header's names, trimmed and in lower case, and returns what takes each row
 * @throws UsageReportError of `begin`
 */
export async function readRows(
  { name, open }: EventFile,
  begin: (columns: readonly string[]) => (row: readonly string[]) => void,
  unread: Unread,
): Promise<void> {
  const tell = (problem: string) => {
    unread.count++
    if (unread.first.length < MOST_UNREAD) unread.first.push(problem)
  }
  const parser = parse({
    ...{ bom: true, relax_column_count: true, skip_empty_lines: true, max_record_size: LARGEST_ROW },
    // Also of files that somebody has put together.
    record_delimiter: ['\r\n', '\n', '\r'],
  })
  let number = 0
  let columns: string[] = []
  let take: (row: readonly string[]) => void = () => {}
  const rows = ReadableStream.from(unpacked(open())).pipeThrough(parser) as AsyncIterable<string[]>
  const reader = rows[Symbol.asyncIterator]()
  try {
    for (;;) {
      const next = await reader.next().catch((error: unknown) => {
        if (!isReading(error)) throw error
        const message = (error as Error).message.replace(/\.?$/, '.')
        tell(`${name}, after row ${number}: ${message} What follows in it was not read.`)
      })
      if (next === undefined || next.done) break
      number++
      if (number === 1) {
        columns = next.value.map(column => column.trim().toLowerCase())
        take = begin(columns)
      } else if (next.value.length !== columns.length) {
        tell(`${name}, row ${number}: Expected ${columns.length} columns, got ${next.value.length}.`)
      } else {
        try {
          take(next.value)
        } catch (error) {
          if (!(error instanceof UsageReportError)) throw error
          tell(`${name}, row ${number}: ${error.message}`)
        }
      }
    }
  } finally {
    await reader.return?.()
  }
  if (number === 0 && unread.count === 0) begin([])
}

/**
 * Where a column stands that has one of these names.
 *
 * @throws UsageReportError where there is none
 */
export function columnOf(columns: readonly string[], names: readonly string[], file: string): number {
  const found = names.map(name => columns.indexOf(name)).find(index => index !== -1)
  if (found !== undefined) return found
  throw new UsageReportError(
    `Expected a column ${names.join(' or ')} in the header of ${file}, got ${headerText(columns)}.`,
  )
}

/** A header as an error names it. */
export const headerText = (columns: readonly string[]): string =>
  columns.length === 0 ? 'nothing' : columns.join(', ').slice(0, LONGEST_HEADER)

const LONGEST_HEADER = 1000

/** What AWS writes for nothing. */
const NOTHING = /^(|null|not (available|provided|applicable))$/i

export const cellText = (text: string | undefined): string => (text === undefined || NOTHING.test(text) ? '' : text)
