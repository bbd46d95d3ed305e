import { dirname } from 'node:path'
import * as v from 'valibot'
import { check, strictObject } from '../../check.ts'
import { notice } from '../../notice.ts'
import { formatAmount } from '../../usage/amount.ts'
import { LedgerError, type LedgerErrorCode, MissingBatchesError, mayPass } from '../errors.ts'
import { SECOND } from '../hours.ts'
import type { Ledger, UsageBatch } from '../ledger.ts'
import { openLoss } from '../loss.ts'
import { checkFilePath } from '../sqlite/private-file.ts'
import { firstMissing, isForgotten, noteHealed, noteLoss } from './lost-batches.ts'
import { type SpooledBatch, SpoolFile } from './spool-file.ts'

export interface SpoolOptions {
  /** The spool's file, on a disk of this machine that survives a restart. Each replica has its own. */
  readonly path: string
}

const schema = strictObject({ path: v.string("the path of the spool's file") })

/** How long to leave a ledger alone that could not take a batch. */
const RETRY_AFTER = 5 * SECOND

/** A batch that the ledger refuses so is refused whenever it comes; but for a key that was used, its own stays free. */
const FOR_GOOD: ReadonlySet<LedgerErrorCode> = new Set([
  ...(['ERR_LEDGER_INVALID', 'ERR_LEDGER_NOT_FOUND', 'ERR_LEDGER_EQUATION', 'ERR_LEDGER_KEY_REUSED'] as const),
])

/**
 * A shared ledger with a file of this machine before it: usage is acknowledged when it is on the disk here, goes on to
 * the ledger at once where it can be reached, and otherwise later, also after a crash by whoever opens the file next.
 * Without it, what a process that dies had not brought into the ledger is lost: at most one export interval, and all
 * that it gathered while the ledger could not be reached.
 *
 * @throws ConfigurationError when an option is wrong
 * @throws LedgerError when the file cannot be used
 */
export function spooled(ledger: Ledger, options: SpoolOptions): Ledger {
  check(schema, options)
  const spool = new Spool(ledger, options)
  const own: Partial<Ledger> = {
    folder: dirname(options.path),
    // Usage is taken while the ledger cannot be reached.
    ping: () => spool.ping(),
    register: (dimensions, counters) => spool.register(dimensions, counters),
    append: batch => spool.append(batch),
    // What was acknowledged is here, or the ledger has it: after that it is looked here.
    lastOf: async () => Number.MAX_SAFE_INTEGER,
    // What waits here belongs to the hours that are closed.
    closeHours: async given => {
      await spool.forward()
      // The ledger may just have been found to have lost some of it.
      return (await openLoss(ledger)) === undefined ? ledger.closeHours(given) : { records: 0, held: [] }
    },
    finalize: async (customer, given) => {
      await spool.forward()
      return ledger.finalize(customer, given)
    },
    close: () => spool.close(),
  }
  return new Proxy(ledger, {
    get: (target, name: keyof Ledger) => {
      const member: unknown = own[name] ?? target[name]
      return typeof member === 'function' ? member.bind(target) : member
    },
  })
}

class Spool {
  readonly #ledger: Ledger
  readonly #file: SpoolFile
  /** Those that the ledger has, where the file had no room to say so. They may come twice, and count once. */
  readonly #forwarded = new Set<number>()
  /** Whether other writers are looked after already, since something was found to be lost. */
  #lookedAfter = false
  /** Losses of which it is noted that they are healed, where the file had no room to say so. */
  readonly #told = new Set<string>()
  /** Those that the ledger does not know yet. */
  #unregistered: Parameters<Ledger['register']> | undefined
  #forwarding: Promise<void> = Promise.resolve()
  #timer: NodeJS.Timeout | undefined
  #closed = false
  #failing = false

  constructor(ledger: Ledger, { path }: SpoolOptions) {
    this.#ledger = ledger
    checkFilePath(path)
    this.#file = new SpoolFile(path)
    void this.#soon()
  }

  async register(...given: Parameters<Ledger['register']>): Promise<void> {
    try {
      await this.#ledger.register(...given)
    } catch (error) {
      if (!mayPass(error)) throw error
      this.#unregistered = given
    }
  }

  async append(batch: UsageBatch): Promise<void> {
    if (this.#closed) throw new LedgerError('ERR_LEDGER_CLOSED', `the spool ${this.#file.path} is closed`)
    try {
      this.#file.add(batch)
    } catch (error) {
      if (!isFull(error)) throw error
      return await this.#passOn(batch, error)
    }
    void this.#soon()
  }

  /** Brings a batch into the ledger that the disk has no room for, after those that wait. */
  async #passOn(batch: UsageBatch, full: LedgerError): Promise<void> {
    try {
      await this.forward()
      await this.#ledger.append(this.#file.keyed(batch))
    } catch (error) {
      throw mayPass(error) || error instanceof MissingBatchesError ? full : error
    }
  }

  async ping(): Promise<void> {
    this.#file.check()
  }

  /** Brings all that waits into the ledger, as it came. Rejects with the ledger's error. */
  forward(): Promise<void> {
    const forward = this.#forwarding.then(() => this.#forward())
    this.#forwarding = forward.catch(() => {})
    return forward
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer)
    await this.forward().catch(error => this.#say(error))
    this.#closed = true
    this.#file.close()
    await this.#ledger.close()
  }

  /** Forwards, and where that fails, later again. */
  async #soon(): Promise<void> {
    clearTimeout(this.#timer)
    try {
      await this.forward()
    } catch (error) {
      this.#say(error)
      if (this.#closed) return
      this.#timer = setTimeout(() => this.#soon(), RETRY_AFTER)
      this.#timer.unref()
    }
  }

  async #forward(): Promise<void> {
    if (this.#unregistered !== undefined) {
      await this.#ledger.register(...this.#unregistered)
      this.#unregistered = undefined
    }
    this.#lookedAfter = false
    if (this.#file.next(0) === undefined) await this.#look()
    for (let after = 0; ; ) {
      const next = this.#file.next(after)
      if (next === undefined) break
      after = this.#forwarded.has(next.id) || (await this.#forwardOne(next)) ? next.id : 0
    }
    this.#ifThereIsRoom(() => this.#file.forget())
    await this.#tellHealed()
    this.#failing = false
  }

  /** All that waited is in the ledger, also what another process had found to be lost. */
  async #tellHealed(): Promise<void> {
    for (const lost of this.#file.lost()) {
      const which = `${lost.writer} ${lost.from}`
      if (lost.kept > 0 && !this.#told.has(which)) await noteHealed(this.#ledger, lost)
      this.#told.add(which)
      this.#ifThereIsRoom(() => {
        this.#file.markHealed(lost)
        this.#told.delete(which)
      })
    }
  }

  /** Returns whether those behind it are next; otherwise it is to begin anew. */
  async #forwardOne(next: SpooledBatch): Promise<boolean> {
    const { id, batch } = next
    try {
      await this.#ledger.append(batch)
    } catch (error) {
      if (error instanceof MissingBatchesError) {
        const last = this.#file.lastsForwarded().find(({ writer }) => writer === batch.writer)
        if (await isForgotten(this.#ledger, error.next, last)) this.#file.beginAnew(batch)
        else await this.#miss(batch.writer, error.next, batch.sequence - 1)
        return false
      }
      if (!(error instanceof LedgerError && FOR_GOOD.has(error.code))) throw error
      await this.#setAside(next, error)
      return true
    }
    this.#forwarded.add(id)
    this.#ifThereIsRoom(() => {
      this.#file.markForwarded(this.#forwarded)
      this.#forwarded.clear()
    })
    return true
  }

  /** Where nothing waits, the ledger is asked whether it still has what was brought into it last. */
  async #look(): Promise<void> {
    const last = this.#file.lastForwarded()
    if (last !== undefined) await this.#lookAfter(last)
  }

  async #lookAfter(last: UsageBatch): Promise<void> {
    const missing = await firstMissing(this.#ledger, last)
    if (missing === undefined || (await isForgotten(this.#ledger, missing, last))) return
    await this.#miss(last.writer, missing, last.sequence)
  }

  /** The ledger has lost batches: those that were kept wait here again, and other writers are looked after. */
  async #miss(writer: string, from: number, to: number): Promise<void> {
    const lost = { writer, from, to, kept: this.#file.kept(writer, from, to) }
    await noteLoss(this.#ledger, lost)
    this.#forwarded.clear()
    this.#file.waitAgain(lost)
    const first = !this.#lookedAfter
    this.#lookedAfter = true
    if (first) for (const last of this.#file.lastsForwarded()) await this.#lookAfter(last)
  }

  /** One batch that the ledger never takes holds up no other. */
  async #setAside(refused: SpooledBatch, { code, message }: LedgerError): Promise<void> {
    const { batch } = refused
    const detail = `${describe(batch)} is set aside in the spool ${this.#file.path}`
    await this.#ledger.note({ action: 'set-aside', who: 'ledger', why: message, detail })
    this.#file.setAside(refused, message, code !== 'ERR_LEDGER_KEY_REUSED')
    notice(
      'error',
      `The ledger refuses usage that was acknowledged: ${message} ${detail}, is not billed, and stays there. Mend the cause, ` +
        `then: marketplace-meter spool ${this.#file.path} --retry`,
    )
  }

  /** What is deleted, or written down only so that nothing comes twice, waits for room on the disk. */
  #ifThereIsRoom(work: () => void): void {
    try {
      work()
    } catch (error) {
      if (!isFull(error)) throw error
    }
  }

  /** Once for each time that the ledger fails. */
  #say(error: unknown): void {
    if (this.#failing) return
    this.#failing = true
    notice('warn', `Usage waits in the spool ${this.#file.path} until the ledger takes it: ${(error as Error).message}`)
  }
}

const isFull = (error: unknown): error is LedgerError =>
  error instanceof LedgerError && error.code === 'ERR_LEDGER_FULL'

/** What is in a batch: `batch 3 of writer 0f…: 7 of tokens`, in base units. */
export function describe({ writer, sequence, entries, observations = [] }: UsageBatch): string {
  const amounts = new Map<string, bigint>()
  for (const { dimension, amount } of entries) amounts.set(dimension, (amounts.get(dimension) ?? 0n) + amount)
  const parts = [...amounts].map(([dimension, amount]) => `${formatAmount(amount)} of ${dimension}`)
  if (observations.length > 0) parts.push(`${observations.length} points of counters`)
  return `batch ${sequence} of writer ${writer} (${parts.join(', ')})`
}
