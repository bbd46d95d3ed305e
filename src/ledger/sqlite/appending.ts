import { createHash } from 'node:crypto'
import type { Account } from '../../usage/account.ts'
import type { Dimension } from '../../usage/dimension.ts'
import { LedgerError } from '../errors.ts'
import { HOUR, hourOf } from '../hours.ts'
import type { Observation, UsageBatch, UsageEntry } from '../ledger.ts'
import { bytesOf, checkObservations, explain } from '../observing.ts'
import type { Database } from './database.ts'
import { writeAudit } from './decisions.ts'
import { type Observed, Observing } from './observing.ts'
import { ADD_TO_WHAT_IS_THERE, accountId, seriesId } from './series.ts'

/** The largest amount that is bound as one integer of 64 bits; a larger one goes in several pieces. */
const LARGEST_PIECE = 2n ** 62n

/** Nothing real comes near it, even when an outage has gathered it. */
const LARGEST_AMOUNT = 2n ** 72n

/** The last that a Date can hold. */
const LAST_INSTANT = 8.64e15

/** How many rows one statement inserts: about where SQLite's cost for each row stops falling. */
const ROWS_PER_INSERT = 500

/** Takes usage in. It remembers the ids of dimensions and series, so that a batch looks none of them up. */
export class Appending {
  readonly #database: Database
  readonly #dimensions = new Map<string, number>()
  /** For each dimension, the series of each account key. */
  readonly #series = new Map<string, Map<string, number>>()

  readonly #observing: Observing

  constructor(database: Database) {
    this.#database = database
    this.#observing = new Observing(database)
  }

  register(dimensions: readonly Dimension[]): void {
    this.#database.write('register the dimensions', () => {
      for (const dimension of dimensions) this.#registerOne(dimension)
    })
  }

  #registerOne(dimension: Dimension): void {
    if (dimension.size <= 0n) {
      throw new LedgerError(
        'ERR_LEDGER_INVALID',
        `Expected a size of dimension ${dimension.name} above 0, got ${dimension.size}.`,
      )
    }
    const known = this.#database.get('SELECT base_unit, size FROM dimension WHERE name = ?', dimension.name)
    if (known !== undefined && known.base_unit !== dimension.baseUnit) {
      throw new LedgerError(
        'ERR_LEDGER_INVALID',
        `Dimension ${dimension.name} is recorded in the base unit "${known.base_unit}" in this ledger; expected the ` +
          `same, got "${dimension.baseUnit}" (unit "${dimension.unit}"). Sell it under the name of a new dimension.`,
      )
    }
    const { id } = this.#database.get(
      `INSERT INTO dimension (name, unit, base_unit, size, max_quantity) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT (name) DO UPDATE
       SET unit = excluded.unit, size = excluded.size, max_quantity = excluded.max_quantity
       RETURNING id`,
      ...[dimension.name, dimension.unit, dimension.baseUnit, String(dimension.size), dimension.maxQuantity ?? null],
    ) as { id: number }
    // With a smaller size, what was a fraction may be whole units.
    if (known !== undefined && BigInt(known.size as string) > dimension.size) {
      this.#database.run('UPDATE series SET unfrozen = 1 WHERE dimension = ?', id)
    }
  }

  append(batch: UsageBatch): void {
    if (!/^[0-9a-f]{32}$/.test(batch.writer) || !(Number.isSafeInteger(batch.sequence) && batch.sequence > 0)) {
      throw new LedgerError(
        'ERR_LEDGER_INVALID',
        `Expected a key of 32 hexadecimal digits and a sequence from 1, got "${batch.writer}" and ${batch.sequence}.`,
      )
    }
    const observations = batch.observations ?? []
    checkObservations(observations)
    const made: { accounts: Map<string, number>; key: string }[] = []
    try {
      const observed = this.#database.write(`append batch ${batch.sequence}`, () => {
        const rows = this.#rowsOf(batch.entries, made)
        if (!this.#acknowledge(batch, rows)) return undefined
        this.#addOpenUsage(rows)
        return observations.length === 0 ? undefined : this.#observe(observations, made)
      })
      observed?.committed()
    } catch (error) {
      // The series that this batch brought went with its transaction.
      for (const { accounts, key } of made) accounts.delete(key)
      this.#observing.forget()
      throw error
    }
  }

  /** Adds what points of others' counters come to. */
  #observe(points: readonly Observation[], made: { accounts: Map<string, number>; key: string }[]): Observed {
    for (const { dimension } of points) this.#dimensionId(dimension)
    const observed = this.#observing.observe(points)
    this.#addOpenUsage(this.#rowsOf(observed.entries, made))
    for (const note of observed.notes) {
      const { account, dimension, verdict, amount, points } = note
      const series = this.#seriesOf(account, dimension, hourOf(observed.at), made)
      const by = { who: 'ledger', why: explain(note), now: observed.at }
      writeAudit(this.#database, verdict, by, { series, amount, detail: `${points} data points` })
    }
    return observed
  }

  /** A batch as (hour, series, amount) after one another, sorted, so that the order of its entries does not matter. */
  #rowsOf(entries: readonly UsageEntry[], made: { accounts: Map<string, number>; key: string }[]): BigInt64Array {
    const rows: { hour: number; series: number; amount: bigint }[] = []
    for (const { account, dimension, hour, amount } of entries) {
      if (!(hour >= 0 && hour <= LAST_INSTANT && hour % HOUR === 0)) {
        throw new LedgerError('ERR_LEDGER_INVALID', `Expected an hour's first millisecond, got ${hour}.`)
      }
      if (typeof amount !== 'bigint' || amount <= 0n || amount > LARGEST_AMOUNT) {
        throw new LedgerError(
          'ERR_LEDGER_INVALID',
          `Expected an amount above 0 and up to 2^72 as a bigint, got ${amount}.`,
        )
      }
      const series = this.#seriesOf(account, dimension, hour, made)
      let rest = amount
      for (; rest > LARGEST_PIECE; rest -= LARGEST_PIECE) rows.push({ hour, series, amount: LARGEST_PIECE })
      rows.push({ hour, series, amount: rest })
    }
    rows.sort((a, b) => a.hour - b.hour || a.series - b.series || (a.amount < b.amount ? -1 : 1))
    const packed = new BigInt64Array(rows.length * 3)
    for (const [index, { hour, series, amount }] of rows.entries()) {
      packed[index * 3] = BigInt(hour)
      packed[index * 3 + 1] = BigInt(series)
      packed[index * 3 + 2] = amount
    }
    return packed
  }

  /** Writes the batch's key down. False when it is there already, with the same entries. */
  #acknowledge(batch: UsageBatch, rows: BigInt64Array): boolean {
    const digest = digestOf(rows, batch.observations ?? [])
    const writer = this.#database.get('SELECT id, last_sequence FROM writer WHERE key = ?', batch.writer)
    const next = ((writer?.last_sequence as number | undefined) ?? 0) + 1
    if (batch.sequence > next) {
      throw new LedgerError(
        'ERR_LEDGER_INVALID',
        `Expected batch ${next} of writer ${batch.writer}, got ${batch.sequence}: what is between is missing.`,
      )
    }
    if (batch.sequence < next) {
      const known = this.#database.get(
        'SELECT digest FROM batch WHERE writer = ? AND sequence = ?',
        ...[writer?.id as number, batch.sequence],
      )
      if (known === undefined || digest.equals(known.digest as Uint8Array)) return false
      throw new LedgerError(
        'ERR_LEDGER_KEY_REUSED',
        `Batch ${batch.sequence} of writer ${batch.writer} was acknowledged before, with other entries.`,
      )
    }
    const { id } = this.#database.get(
      `INSERT INTO writer (key, last_sequence) VALUES (?, ?)
       ON CONFLICT (key) DO UPDATE SET last_sequence = excluded.last_sequence RETURNING id`,
      ...[batch.writer, batch.sequence],
    ) as { id: number }
    this.#database.run(
      'INSERT INTO batch (writer, sequence, digest, at) VALUES (?, ?, ?, ?)',
      ...[id, batch.sequence, digest, rows[0] ?? 0n],
    )
    return true
  }

  #addOpenUsage(rows: BigInt64Array): void {
    for (let start = 0; start < rows.length; start += ROWS_PER_INSERT * 3) {
      const values = rows.subarray(start, start + ROWS_PER_INSERT * 3)
      const places = Array(values.length / 3)
        .fill('(?, ?, ?)')
        .join(', ')
      this.#database.run(
        `INSERT INTO open_usage (hour, series, whole, millionths)
         SELECT column1, column2, column3 / 1000000, column3 % 1000000 FROM (VALUES ${places}) WHERE true
         ${ADD_TO_WHAT_IS_THERE}`,
        ...values,
      )
    }
  }

  #seriesOf(account: Account, dimension: string, hour: number, made: { accounts: Map<string, number>; key: string }[]) {
    let accounts = this.#series.get(dimension)
    if (accounts === undefined) {
      accounts = new Map()
      this.#series.set(dimension, accounts)
    }
    let series = accounts.get(account.key)
    if (series === undefined) {
      series = seriesId(this.#database, accountId(this.#database, account), this.#dimensionId(dimension), hour)
      accounts.set(account.key, series)
      made.push({ accounts, key: account.key })
    }
    return series
  }

  #dimensionId(name: string): number {
    let id = this.#dimensions.get(name)
    if (id === undefined) {
      id = this.#database.get('SELECT id FROM dimension WHERE name = ?', name)?.id as number | undefined
      if (id === undefined) {
        throw new LedgerError('ERR_LEDGER_INVALID', `Expected a registered dimension, got "${name}".`)
      }
      this.#dimensions.set(name, id)
    }
    return id
  }
}

function digestOf(rows: BigInt64Array, observations: readonly Observation[]): Buffer {
  const hash = createHash('sha256').update(rows)
  for (const bytes of bytesOf(observations)) hash.update(bytes)
  return hash.digest()
}
