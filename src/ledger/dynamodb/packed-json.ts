import { deflateRawSync, inflateRawSync } from 'node:zlib'

/** How values are kept in an item: JSON, column by column, deflated. Capacity is paid by the kilobyte. */

export function pack(value: unknown): Uint8Array {
  return deflateRawSync(textOf(value))
}

export function unpack(packed: Uint8Array): unknown {
  return JSON.parse(inflateRawSync(packed).toString())
}

/** Integers beyond what a number holds become text; who reads them knows which they are. */
export function textOf(value: unknown): string {
  return JSON.stringify(value, (_, one) => (typeof one === 'bigint' ? String(one) : one))
}

type Columns = Record<string, unknown[]>

/** Rows with the same members, turned: columns of like values take a third of the room. */
export function toColumns(rows: readonly object[]): Columns {
  const names = Object.keys(rows[0] ?? {})
  return Object.fromEntries(names.map(name => [name, rows.map(row => row[name as keyof typeof row])]))
}

export function toRows(columns: Columns): Record<string, unknown>[] {
  const names = Object.keys(columns)
  return (columns[names[0] ?? ''] ?? []).map((_, index) =>
    Object.fromEntries(names.map(name => [name, columns[name]?.[index]])),
  )
}
