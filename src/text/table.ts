import { Table } from 'console-table-printer'
import { type Format, type Paint, plain } from './paint.ts'

export interface Column<Row> {
  readonly title: string
  readonly of: (row: Row) => string
  /** Numbers stand to the right, decimal point under decimal point. */
  readonly number?: true
  /** Left out where the terminal is too narrow, the last one first. */
  readonly optional?: true
  readonly format?: (row: Row) => Format | undefined
}

export interface TableOptions {
  /** The terminal's width. Without it nothing is left out. */
  readonly width?: number | undefined
  readonly paint?: Paint
}

const GAP = 2
const NO_BORDER = { left: '', mid: '', right: '', other: '' }

/** Rows as a table without borders, as operators' tools print them. */
export function table<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  { width = Number.POSITIVE_INFINITY, paint = plain }: TableOptions = {},
): string {
  const cells = columns.map(column => cellsOf(column, rows))
  const widths = cells.map(column => column.reduce((widest, text) => Math.max(widest, text.length), 0))
  const shown = fitting(columns, widths, width)
  const printer = new Table({
    shouldDisableColors: true,
    style: { headerTop: NO_BORDER, headerBottom: NO_BORDER, tableBottom: NO_BORDER, vertical: '' },
    columns: shown.map(index => ({
      name: String(index),
      title: paint('bold', columns[index]?.title ?? ''),
      alignment: columns[index]?.number ? 'right' : 'left',
    })),
  })
  for (const [at, row] of rows.entries()) {
    const painted = shown.map(index => {
      const text = cells[index]?.[at + 1] ?? ''
      const format = columns[index]?.format?.(row)
      return [String(index), format === undefined ? text : paint(format, text)]
    })
    printer.addRow(Object.fromEntries(painted))
  }
  // What is left of the borders: an empty line for each, and the margins.
  const lines = printer.render().split('\n')
  const text = lines.filter(line => line.trim() !== '').map(line => line.slice(1).trimEnd())
  const hidden = columns.filter((_, index) => !shown.includes(index)).map(column => column.title.toLowerCase())
  if (hidden.length > 0) text.push(paint('dim', `(too narrow for: ${hidden.join(', ')}; --json has them)`))
  return text.join('\n')
}

/** A column's texts, the title first. */
function cellsOf<Row>(column: Column<Row>, rows: readonly Row[]): string[] {
  const texts = rows.map(row => column.of(row))
  if (!column.number) return [column.title, ...texts]
  const fractions = texts.map(text => /\.\d+$/.exec(text)?.[0].length ?? 0)
  const longest = fractions.reduce((most, length) => Math.max(most, length), 0)
  return [column.title, ...texts.map((text, index) => text + ' '.repeat(longest - (fractions[index] ?? 0)))]
}

function fitting<Row>(columns: readonly Column<Row>[], widths: readonly number[], width: number): number[] {
  const shown = columns.map((_, index) => index)
  const total = () => shown.reduce((sum, index) => sum + (widths[index] ?? 0) + GAP, -GAP)
  while (total() > width) {
    const last = shown.findLastIndex(index => columns[index]?.optional)
    if (last === -1) break
    shown.splice(last, 1)
  }
  return shown
}

/** Text with its lines moved to the right. */
export function indented(text: string, by = 2): string {
  return text.replace(/^(?=.)/gm, ' '.repeat(by))
}
