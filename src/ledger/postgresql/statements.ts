import type { Value } from './database.ts'

/** How many rows one statement asks for or brings in, so that neither it nor this process's other work waits long. */
const ROWS_PER_STATEMENT = 20_000

/** Does for some after the other what is too much for one statement. */
export async function inChunks<Item>(
  items: readonly Item[],
  work: (some: readonly Item[]) => Promise<unknown>,
): Promise<void> {
  for (let start = 0; start < items.length; start += ROWS_PER_STATEMENT) {
    await work(items.slice(start, start + ROWS_PER_STATEMENT))
  }
}

/** Members of some items, an array for each, as `unnest` takes them. */
export function columnsOf<Name extends string>(
  items: readonly Readonly<Record<Name, Value>>[],
  ...names: readonly Name[]
): Value[] {
  return names.map(name => items.map(item => item[name]))
}
