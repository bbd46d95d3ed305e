import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { SECOND } from '../hours.ts'
import type { Database } from './database.ts'
import { readHead, readHeadAnd, type View } from './head.ts'
import type { Item, Key } from './table.ts'

/** Who folds. */
export const LEASE: Key = { pk: 'ledger', sk: 'lease' }

/** How long it holds, in milliseconds, and how often it is renewed: a process that died or is stopped is not waited for longer. */
const HOLDS = 6 * SECOND
const RENEWED = 2 * SECOND
/** How exactly all processes know DynamoDB's time. */
const CLOCKS_APART = 2 * SECOND

/** How often those who wait look: three times as long after each look, by chance a little less. */
const SHORTEST_LOOK = 100
const LONGEST_LOOK = 5 * SECOND

interface StoredLease {
  readonly holder: string
  /** By DynamoDB's clock, in milliseconds since the epoch. */
  readonly until: number
}

/**
 * One process at a time reads the journal and folds it, and the others look at this small item until it is done: if all
 * read it, what is read would grow with their square. Nothing is decided by it: whoever goes on without it, as one that
 * was stopped meanwhile or of a version before, is only in the way, since each part of a cut is taken in once.
 */
export class Lease {
  readonly #database: Database
  readonly #holder = randomBytes(6).toString('hex')
  /** As it was read last; undefined before. */
  #seen: Seen | undefined
  /** As this process has written it, while it has it. */
  #version: string | undefined
  #renewing: Promise<void> = Promise.resolve()
  readonly #released = new AbortController()

  constructor(database: Database) {
    this.#database = database
  }

  /** The head, and with it who folds where that was not looked at. */
  async readHead(): Promise<Pick<View, 'head' | 'version'>> {
    const { table } = this.#database
    if (this.#seen !== undefined || this.#version !== undefined) return await readHead(table)
    const { other, ...read } = await readHeadAnd(table, LEASE)
    this.#seen = { item: other, held: other !== undefined && this.#holds(other) }
    return read
  }

  /**
   * Takes it, where nobody has it. Where others do, waits until they have done, or cannot any more.
   *
   * @returns whether it is this process's; if not, the head is to be looked at again
   */
  async take(): Promise<boolean> {
    if (this.#version !== undefined) return true
    const { item, held = false } = this.#seen ?? {}
    if (!held) await this.#put(item?.version)
    if (this.#version === undefined) {
      this.#seen = await this.#wait(held ? item : undefined)
      return false
    }
    this.#seen = undefined
    this.#renewing = this.#renewing.then(() => this.#renew())
    return true
  }

  /** Leaves it to others. Where that fails, it ends by itself. */
  async release(): Promise<void> {
    this.#released.abort()
    await this.#renewing
    if (this.#version === undefined) return
    const data: StoredLease = { holder: '', until: 0 }
    await this.#database.table.write('end folding', [{ put: LEASE, over: this.#version, data }]).catch(() => {})
  }

  /** One that ends later than any does was taken by a clock that was ahead. */
  #holds({ data }: Item): boolean {
    const { holder, until } = data as StoredLease
    const left = until - this.#database.clock.now()
    return holder !== this.#holder && left > 0 && left <= HOLDS + CLOCKS_APART
  }

  async #put(over: string | undefined): Promise<void> {
    const { table, clock } = this.#database
    const data: StoredLease = { holder: this.#holder, until: clock.now() + HOLDS }
    this.#version = await table.write('begin to fold', [{ put: LEASE, over, data }])
  }

  /** While this process has it. */
  async #renew(): Promise<void> {
    const { signal } = this.#released
    while (this.#version !== undefined && !signal.aborted) {
      await sleep(RENEWED, undefined, { ref: false, signal }).catch(() => {})
      if (!signal.aborted) await this.#put(this.#version).catch(() => {})
    }
  }

  /** Until somebody else has it or nobody: for as long as it holds, counted here by a clock that nobody sets. */
  async #wait(first: Item | undefined): Promise<Seen> {
    let item = first
    let end = performance.now() + HOLDS
    for (let looks = 1; performance.now() < end; looks += 1) {
      await sleep(Math.min(LONGEST_LOOK, SHORTEST_LOOK * 3 ** (looks - 1)) * (0.5 + Math.random() / 2))
      const [next] = await this.#database.table.get('look who folds', [LEASE])
      if (next === undefined || !this.#holds(next)) return { item: next, held: false }
      if (item !== undefined && holderOf(next) !== holderOf(item)) return { item: next, held: true }
      if (next.version !== item?.version) end = performance.now() + HOLDS
      item = next
    }
    return { item, held: false }
  }
}

interface Seen {
  readonly item: Item | undefined
  /** Whether it is another's. */
  readonly held: boolean
}

const holderOf = ({ data }: Item): string => (data as StoredLease).holder
