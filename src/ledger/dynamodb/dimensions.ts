import type { Dimension } from '../../usage/dimension.ts'
import { LedgerError } from '../errors.ts'
import { type NewEntry, registerEntries } from '../rules/audit.ts'
import { checkDimension, notRegistered } from '../rules/validation.ts'
import { DIMENSIONS, dimensionsOf } from './head.ts'
import { textOf } from './packed-json.ts'
import { type Item, pause, type Table, type Write } from './table.ts'
import { inTransactions } from './transaction.ts'

/** The dimensions, numbered in the order in which they were registered: one item, as this process knows it. */
export class Dimensions {
  readonly #table: Table
  #dimensions: readonly Dimension[] = []

  constructor(table: Table) {
    this.#table = table
  }

  /** @param audit what is written together with entries of the audit trail */
  async register(
    dimensions: readonly Dimension[],
    audit: (entries: readonly NewEntry[]) => Promise<readonly Write[]>,
  ): Promise<void> {
    await inTransactions(dimensions, some => this.#register(some, audit))
  }

  async #register(
    dimensions: readonly Dimension[],
    audit: (entries: readonly NewEntry[]) => Promise<readonly Write[]>,
  ): Promise<void> {
    for (let failures = 1; ; failures += 1) {
      const item = await this.#read()
      const registered = merge(this.#dimensions, dimensions)
      if (textOf(registered) === textOf(this.#dimensions)) return
      const known = new Map(this.#dimensions.map(dimension => [dimension.name, dimension]))
      const entries = dimensions.flatMap(dimension => registerEntries(known.get(dimension.name), dimension))
      const writes = [{ put: DIMENSIONS, over: item?.version, data: registered }, ...(await audit(entries))]
      if ((await this.#table.write('register the dimensions', writes)) !== undefined) {
        this.#dimensions = registered
        return
      }
      await pause(failures)
    }
  }

  /** @throws LedgerError when one is not registered */
  async numbersOf(names: ReadonlySet<string>): Promise<ReadonlyMap<string, number>> {
    const known = (name: string) => this.#dimensions.some(dimension => dimension.name === name)
    if (![...names].every(known)) await this.#read()
    for (const name of names) if (!known(name)) throw notRegistered(name)
    return new Map(this.#dimensions.map(({ name }, number) => [name, number]))
  }

  /** All of them as they are now, by number. */
  async all(): Promise<readonly Dimension[]> {
    await this.#read()
    return this.#dimensions
  }

  /** The number of one, if it is registered. */
  async find(name: string): Promise<number | undefined> {
    const find = () => this.#dimensions.findIndex(dimension => dimension.name === name)
    if (find() === -1) await this.#read()
    return find() === -1 ? undefined : find()
  }

  /** For messages. */
  nameOf(number: number): string {
    return this.#dimensions[number]?.name ?? `dimension number ${number}`
  }

  /** By number: these, and those before. */
  async upTo(numbers: readonly number[]): Promise<readonly Dimension[]> {
    const most = numbers.reduce((most, number) => Math.max(most, number), -1)
    if (most >= this.#dimensions.length) await this.#read()
    if (most < this.#dimensions.length) return this.#dimensions
    throw new LedgerError('ERR_LEDGER_CORRUPT', `The ledger names dimension ${most}, which is not registered.`)
  }

  async #read(): Promise<Item | undefined> {
    const [item] = await this.#table.get('read the dimensions', [DIMENSIONS])
    this.#dimensions = dimensionsOf(item)
    return item
  }
}

/** Those that are known keep their numbers. */
function merge(known: readonly Dimension[], dimensions: readonly Dimension[]): Dimension[] {
  const merged = new Map(known.map(dimension => [dimension.name, dimension]))
  for (const dimension of dimensions) {
    checkDimension(dimension, merged.get(dimension.name))
    const { name, unit, baseUnit, size, maxQuantity } = dimension
    merged.set(name, { name, unit, baseUnit, size, ...(maxQuantity !== undefined && { maxQuantity }) })
  }
  return [...merged.values()]
}
