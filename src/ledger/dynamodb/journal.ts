import { randomBytes } from 'node:crypto'
import type { Account } from '../../usage/account.ts'
import { untaggedAccount } from '../../usage/tagged-account.ts'
import type { Tags } from '../../usage/tags.ts'
import { DAY, SECOND, WRITERS_KEPT } from '../hours.ts'
import type { Observation, UsageBatch } from '../ledger.ts'
import { addAmount } from '../rules/accounting.ts'
import { checkObservations } from '../rules/counters/index.ts'
import { batchMissing, checkEntry, checkKey, keyReused } from '../rules/validation.ts'
import { packBatch } from './batch.ts'
import type { Database } from './database.ts'
import { type BatchHeader, placeOf, placeOfBatch, requireFormat } from './head.ts'
import type { Item, Key } from './table.ts'
import { GatheredUsage } from './usage.ts'

/** A body up to here goes with its header, which is read more often. */
const SMALL_BODY = 400

/** How much of a larger body one item has. */
const CHUNK = 350 * 1024

/**
 * How long the last batch of a writer is remembered without looking: a table that is restored under this process is away
 * for longer. And from when on again, since its key is not known for ever.
 */
const TRUSTED = 10 * SECOND
const TRUSTED_AGAIN = WRITERS_KEPT / 2

/**
 * The journal: new items for each batch, so that no writer waits for another. What a batch needs is written before;
 * then its key, which must be new, and its place among those to fold, in one transaction.
 */
export class Journal {
  readonly #database: Database
  /** In the names of bodies, so that none is put together from what two processes have written. */
  readonly #process = randomBytes(6).toString('hex')
  /** The last batch of each writer, as far as this process knows; undefined after an unknown outcome. */
  readonly #last = new Map<string, { readonly sequence: number; readonly at: number } | undefined>()
  /** Where it was said last that a writer has bodies. */
  readonly #noted = new Map<string, string>()
  /** Whether replicas of the version before were stopped, which do not know tags. */
  #withTags = false

  constructor(database: Database) {
    this.#database = database
  }

  async append(batch: UsageBatch): Promise<void> {
    const { writer, sequence } = batch
    const { header, body } = await this.#pack(batch)
    const last = await this.#lastBefore(batch)
    if (sequence > last + 1) {
      // What of it this process remembers is of what was lost, too.
      this.#database.accounts.forget()
      throw batchMissing(batch, last + 1)
    }
    if (sequence <= last && !isGivenUp(await this.#compare(batch, header.digest))) return
    if (hasTags(batch)) await this.#requireTags()
    this.#last.set(writer, undefined)
    await this.#write(batch, header, body)
    this.#remember(writer, sequence)
  }

  async #requireTags(): Promise<void> {
    if (this.#withTags) return
    await requireFormat(this.#database.table)
    this.#withTags = true
  }

  /** Where what is written before the key was given up meanwhile, it is written again, under another name. */
  async #write(batch: UsageBatch, first: BatchHeader, body: Uint8Array): Promise<void> {
    const { writer, sequence } = batch
    const { clock, table } = this.#database
    for (let [header, over] = [first, undefined as string | undefined]; ; ) {
      const bodies = header.chunks === 0 ? { body } : await this.#putBody(header, body)
      const written = await table.write(`append batch ${sequence}`, [
        { put: keyOf(batch), over, data: header.digest, expires: clock.now() + WRITERS_KEPT },
        {
          put: placeOfBatch(writer, sequence, header.unattributedAmounts.length > 0),
          ...{ over: undefined, data: header, ...bodies },
        },
      ])
      const key = written === undefined ? await this.#compare(batch, header.digest) : undefined
      if (!isGivenUp(key)) return
      over = key?.version
      header = { ...first, attempt: `${first.attempt}-${randomBytes(6).toString('hex')}` }
    }
  }

  async #pack(batch: UsageBatch): Promise<{ header: BatchHeader; body: Uint8Array }> {
    checkKey(batch)
    const { writer, sequence, entries, observations = [] } = batch
    for (const entry of entries) checkEntry(entry)
    checkObservations(observations)
    const dimensions = await this.#database.dimensions.numbersOf(
      new Set([...entries, ...observations].map(({ dimension }) => dimension)),
    )
    const numbersOf = async (named: readonly Pick<Observation, 'account'>[]) =>
      await this.#database.accounts.numbersOf(named.map(({ account }) => untaggedAccount(account)))
    const accounts = await numbersOf(entries)
    const usage = new GatheredUsage()
    const unattributed = new Map<number, bigint>()
    for (const [index, { account, dimension, hour, amount }] of entries.entries()) {
      const number = dimensions.get(dimension) as number
      usage.group(hour, number).amounts.add(accounts[index] as number, amount)
      const tags = tagsOf(account)
      if (tags !== undefined) {
        usage.shares.push({ account: accounts[index] as number, dimension: number, hour, tags, amount })
      }
      if (account.kind === 'unattributed') addAmount(unattributed, number, amount)
    }
    const observed = await numbersOf(observations)
    const points = observations.map((observation, index) => ({
      ...observation,
      account: observed[index] as number,
      dimension: dimensions.get(observation.dimension) as number,
      tags: tagsOf(observation.account),
    }))
    const { body, digest } = await packBatch(usage, points)
    const chunks = body.length <= SMALL_BODY ? 0 : Math.ceil(body.length / CHUNK)
    const header = {
      ...{ writer, sequence, digest, chunks, bytes: body.length, ...this.#database.accounts.known },
      attempt: `${this.#process}-${digest}`,
      unattributedAmounts: [...unattributed].map(([dimension, amount]) => [dimension, String(amount)] as const),
      observed: points.length > 0,
    }
    return { header, body }
  }

  /** Where an attempt before has written some of it, that is as it is to be. */
  async #putBody(header: BatchHeader, body: Uint8Array): Promise<object> {
    await this.#noteBodies(header)
    const chunks = chunksOfBody(header).map((put, index) => {
      return { put, over: undefined, body: body.subarray(index * CHUNK, (index + 1) * CHUNK) }
    })
    await Promise.all(chunks.map(chunk => this.#database.table.write(`append batch ${header.sequence}`, [chunk])))
    return {}
  }

  /** Says, once a day, that a writer has bodies: what it may leave behind is found by that. */
  async #noteBodies({ writer, sequence }: BatchHeader): Promise<void> {
    const { clock, table } = this.#database
    const put = noteOfBodies(clock.now(), writer)
    if (this.#noted.get(writer) === put.sk) return
    await table.write(`append batch ${sequence}`, [{ put, over: undefined }])
    this.#noted.set(writer, put.sk)
  }

  /** The sequence of a writer's last batch, or 0. */
  async lastOf(writer: string): Promise<number> {
    const known = this.#last.get(writer)
    if (known !== undefined && this.#age(known) > TRUSTED_AGAIN) return known.sequence
    const last = await this.#lastAcknowledged(writer)
    this.#remember(writer, last)
    return last
  }

  async #lastAcknowledged(writer: string): Promise<number> {
    const newestFirst = { newestFirst: true, pageSize: 1 }
    for await (const { sk, data } of this.#database.table.query(
      'look for the last batch',
      keysOf(writer),
      newestFirst,
    )) {
      if (data !== GIVEN_UP) return Number(sk)
    }
    return 0
  }

  async #lastBefore({ writer, sequence }: UsageBatch): Promise<number> {
    const known = this.#last.get(writer)
    if (known !== undefined && sequence <= known.sequence + 1 && this.#age(known) < TRUSTED) return known.sequence
    if (!this.#last.has(writer) && sequence === 1) return 0
    return await this.lastOf(writer)
  }

  #remember(writer: string, sequence: number): void {
    this.#last.set(writer, { sequence, at: this.#database.clock.now() })
  }

  #age({ at }: { readonly at: number }): number {
    return Math.abs(this.#database.clock.now() - at)
  }

  /** Refuses a batch whose key was used with other content. */
  async #compare(batch: UsageBatch, digest: string): Promise<Item | undefined> {
    const [key] = await this.#database.table.get('look for a batch', [keyOf(batch)])
    if (key !== undefined && key.data !== digest && !isGivenUp(key)) throw keyReused(batch)
    return key
  }
}

const tagsOf = (account: Account): Tags | undefined => (account.kind === 'customer' ? account.tags : undefined)

const hasTags = ({ entries, observations = [] }: UsageBatch): boolean =>
  [entries, observations].some(some => some.some(({ account }) => tagsOf(account) !== undefined))

/** What a key says in the place of a digest whose batch was never acknowledged, see `deleteLeft`. */
export const GIVEN_UP = ''
export const isGivenUp = (key: Item | undefined): boolean => key?.data === GIVEN_UP

const keysOf = (writer: string): string => `writer#${writer}`
export const keyOf = ({ writer, sequence }: Pick<UsageBatch, 'writer' | 'sequence'>): Key => ({
  pk: keysOf(writer),
  sk: placeOf(sequence),
})

/** The partition of a writer's bodies. */
export const bodiesOf = (writer: string): string => `bodies#${writer}`

/** Where it is noted on which days writers have had any, the earliest first. */
export const NOTES_OF_BODIES = bodiesOf('')
export const noteOfBodies = (now: number, writer: string): Key => ({
  pk: NOTES_OF_BODIES,
  sk: `${String(Math.floor(now / DAY)).padStart(8, '0')}#${writer}`,
})

/** Where the parts of a batch's body are. */
export function chunksOfBody({ writer, sequence, attempt, chunks }: BatchHeader): Key[] {
  return Array.from({ length: chunks }, (_, index) => {
    return { pk: bodiesOf(writer), sk: `${placeOf(sequence)}#${attempt}#${String(index).padStart(4, '0')}` }
  })
}
