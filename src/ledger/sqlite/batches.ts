import { createHash } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Account } from '../../usage/account.ts'
import type { Dimension } from '../../usage/dimension.ts'
import { untaggedAccount } from '../../usage/tagged-account.ts'
import { textOfTags } from '../../usage/tags.ts'
import { MissingBatchesError } from '../errors.ts'
import type { CounterSources, Observation, UsageBatch, UsageEntry } from '../ledger.ts'
import { registerEntries } from '../rules/audit.ts'
import { bytesOf, checkPoints, noteEntry } from '../rules/counters/index.ts'
import { batchMissing, checkDimension, checkEntry, checkKey, keyReused, notRegistered } from '../rules/validation.ts'
import type { OpenShare } from '../sql/piece.ts'
import { dimensionOf } from '../sql/rows.ts'
import { writeAudit } from './audit.ts'
import { type Observed, Observing, registerSources } from './counters.ts'
import type { Database } from './database.ts'
import { addOpenUsage } from './open-usage.ts'
import { seriesIds, storedKey } from './series.ts'
import { addOpenShares } from './shares.ts'
import { UsageRows } from './usage-rows.ts'

/** What a batch adds to open usage. */
interface BatchUsage {
  /** Sorted, so that the order of entries does not matter. */
  readonly rows: UsageRows
  /** What of it is for some tags. */
  readonly shares: readonly OpenShare[]
}

/** Series whose ids a transaction has looked up or made; its failure forgets them. */
interface SeriesLookup {
  readonly series: WeakMap<Account, number>
  readonly accounts: readonly Account[]
}

/** The batches of usage. It remembers the ids of dimensions and series, so that a batch looks none of them up. */
export class Batches {
  readonly #database: Database
  readonly #dimensions = new Map<string, number>()
  /** For each dimension, the series of the accounts that are in use. By object: an account's key takes longer to find. */
  readonly #series = new Map<string, WeakMap<Account, number>>()

  readonly #observing: Observing

  constructor(database: Database) {
    this.#database = database
    this.#observing = new Observing(database)
  }

  register(dimensions: readonly Dimension[], counters?: CounterSources): void {
    this.#database.write('register the dimensions', () => {
      for (const dimension of dimensions) this.#registerOne(dimension)
      if (counters !== undefined) registerSources(this.#database, counters)
    })
    this.#observing.forget()
  }

  /** What is in memory of others' counters may not be there any more. */
  forgetCounters(): void {
    this.#observing.forget()
  }

  /** Whether others' counters have anything waiting that is to be decided by `now`. */
  anyWaits(now: number): boolean {
    return this.#observing.anyWaits(now)
  }

  /** Decides what others' counters had waiting until `now`. */
  async decideWaiting(now: number): Promise<void> {
    while (this.#decide(now) > 0) await nextTurn()
  }

  /** Decides what others' counters have waiting of a customer, whose last usage it is. */
  decideWaitingOf(accountKey: string, now: number): void {
    this.#decide(now, accountKey)
  }

  /** Returns how many counters were decided. */
  #decide(now: number, accountKey?: string): number {
    if (!this.#observing.anyWaits(now, accountKey)) return 0
    const lookups: SeriesLookup[] = []
    try {
      const observed = this.#database.write('decide what has waited', () => {
        const observed = this.#observing.decide(now, name => this.#dimensionId(name), accountKey)
        this.#addObserved(observed, lookups)
        return observed
      })
      observed.committed()
      return observed.counters
    } catch (error) {
      this.#forget(lookups)
      throw error
    }
  }

  #registerOne(dimension: Dimension): void {
    const row = this.#database.get('SELECT * FROM dimension WHERE name = ?', dimension.name)
    const known = row && dimensionOf(row)
    checkDimension(dimension, known)
    writeAudit(this.#database, ...registerEntries(known, dimension))
    const { id } = this.#database.get(
      `INSERT INTO dimension (name, unit, base_unit, size, max_quantity) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT (name) DO UPDATE
       SET unit = excluded.unit, size = excluded.size, max_quantity = excluded.max_quantity
       RETURNING id`,
      ...[dimension.name, dimension.unit, dimension.baseUnit, String(dimension.size), dimension.maxQuantity ?? null],
    ) as { id: number }
    // With a smaller size, what was a fraction may be whole units.
    if (known !== undefined && known.size > dimension.size) {
      this.#database.run('UPDATE series SET unfrozen = 1 WHERE dimension = ?', id)
    }
  }

  append(batch: UsageBatch): void {
    checkKey(batch)
    const observations = batch.observations ?? []
    checkPoints(observations)
    for (const entry of batch.entries) checkEntry(entry)
    const lookups: SeriesLookup[] = []
    try {
      const observed = this.#database.write(`append batch ${batch.sequence}`, () => {
        const usage = this.#usageOf(batch.entries, lookups)
        if (!this.#acknowledge(batch, usage)) return undefined
        this.#addOpenUsage(usage)
        return observations.length === 0 ? undefined : this.#observe(observations, lookups)
      })
      observed?.committed()
    } catch (error) {
      this.#forget(lookups)
      // What of the ledger this process remembers is of what was lost, too.
      if (error instanceof MissingBatchesError) for (const known of [this.#series, this.#dimensions]) known.clear()
      throw error
    }
  }

  /** The sequence of a writer's last batch, or 0. */
  lastOf(writer: string): number {
    return (this.#database.get('SELECT last_sequence FROM writer WHERE key = ?', writer)?.last_sequence ?? 0) as number
  }

  /** The series that a transaction brought went with it. */
  #forget(lookups: readonly SeriesLookup[]): void {
    for (const { series, accounts } of lookups) for (const account of accounts) series.delete(account)
    this.#observing.forget()
  }

  /** Adds what points of others' counters come to. */
  #observe(points: readonly Observation[], lookups: SeriesLookup[]): Observed {
    for (const { dimension } of points) this.#dimensionId(dimension)
    const observed = this.#observing.observe(points, name => this.#dimensionId(name))
    this.#addObserved(observed, lookups)
    return observed
  }

  #addObserved(observed: Observed, lookups: SeriesLookup[]): void {
    this.#addOpenUsage(this.#usageOf(observed.entries, lookups))
    writeAudit(this.#database, ...observed.notes.map(note => noteEntry(note, observed.at)))
  }

  #usageOf(entries: readonly UsageEntry[], lookups: SeriesLookup[]): BatchUsage {
    const rows = new UsageRows(entries.length)
    const shares: OpenShare[] = []
    let of: string | undefined
    let known = new WeakMap<Account, number>()
    for (const { account, dimension, hour, amount } of entries) {
      const owner = untaggedAccount(account)
      if (dimension !== of) {
        of = dimension
        known = this.#seriesOf(dimension)
      }
      let series = known.get(owner)
      if (series === undefined) {
        this.#learn(entries, lookups)
        series = known.get(owner) as number
      }
      if (account.kind === 'customer' && account.tags !== undefined) {
        shares.push({ hour, series, tags: account.tags, amount })
      }
      rows.add(hour, series, amount)
    }
    rows.sort()
    return { rows, shares }
  }

  /** Writes the batch's key down. False when it is there already, with the same entries. */
  #acknowledge(batch: UsageBatch, usage: BatchUsage): boolean {
    const digest = digestOf(usage, batch.observations ?? [])
    const writer = this.#database.get('SELECT id, last_sequence FROM writer WHERE key = ?', batch.writer)
    const next = ((writer?.last_sequence as number | undefined) ?? 0) + 1
    if (batch.sequence > next) throw batchMissing(batch, next)
    if (batch.sequence < next) {
      const known = this.#database.get(
        'SELECT digest FROM batch WHERE writer = ? AND sequence = ?',
        ...[writer?.id as number, batch.sequence],
      )
      if (known === undefined || digest.equals(known.digest as Uint8Array)) return false
      throw keyReused(batch)
    }
    const { id } = this.#database.get(
      `INSERT INTO writer (key, last_sequence) VALUES (?, ?)
       ON CONFLICT (key) DO UPDATE SET last_sequence = excluded.last_sequence RETURNING id`,
      ...[batch.writer, batch.sequence],
    ) as { id: number }
    this.#database.run(
      'INSERT INTO batch (writer, sequence, digest, at) VALUES (?, ?, ?, ?)',
      ...[id, batch.sequence, digest, usage.rows.length === 0 ? 0 : usage.rows.hour(0)],
    )
    return true
  }

  #addOpenUsage({ rows, shares }: BatchUsage): void {
    addOpenUsage(this.#database, rows)
    addOpenShares(this.#database, shares)
  }

  #seriesOf(dimension: string): WeakMap<Account, number> {
    let series = this.#series.get(dimension)
    if (series === undefined) {
      series = new WeakMap()
      this.#series.set(dimension, series)
    }
    return series
  }

  /** Finds or makes all series of entries that are not known here. */
  #learn(entries: readonly UsageEntry[], lookups: SeriesLookup[]): void {
    for (const [dimension, ofIt] of Map.groupBy(entries, ({ dimension }) => dimension)) {
      const series = this.#seriesOf(dimension)
      const accounts: Account[] = []
      /** The accounts' places among those that are looked up: one may be several objects. */
      const places: number[] = []
      const known = new Map<string, number>()
      const wanted: Account[] = []
      const hours: number[] = []
      for (const { account: tagged, hour } of ofIt) {
        const account = untaggedAccount(tagged)
        if (series.has(account)) continue
        const key = storedKey(account)
        const place = known.get(key) ?? wanted.length
        if (place === wanted.length) {
          known.set(key, place)
          hours.push(hour)
        }
        // The last says what its product is called now.
        wanted[place] = account
        accounts.push(account)
        places.push(place)
      }
      const ids = seriesIds(this.#database, this.#dimensionId(dimension), wanted, hours)
      for (let index = 0; index < accounts.length; index += 1) {
        series.set(accounts[index] as Account, ids[places[index] as number] as number)
      }
      lookups.push({ series, accounts })
    }
  }

  #dimensionId(name: string): number {
    let id = this.#dimensions.get(name)
    if (id === undefined) {
      id = this.#database.get('SELECT id FROM dimension WHERE name = ?', name)?.id as number | undefined
      if (id === undefined) throw notRegistered(name)
      this.#dimensions.set(name, id)
    }
    return id
  }
}

function digestOf({ rows, shares }: BatchUsage, observations: readonly Observation[]): Buffer {
  const { values, texts } = rows.digested
  const hash = createHash('sha256').update(values)
  for (const text of texts) hash.update(text)
  const tagged = shares.map(({ hour, series, tags, amount }) => `${hour} ${series} ${textOfTags(tags)} ${amount} `)
  for (const text of tagged.sort()) hash.update(text)
  for (const bytes of bytesOf(observations)) hash.update(bytes)
  return hash.digest()
}
