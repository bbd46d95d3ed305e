import { AsyncLocalStorage } from 'node:async_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ProcessTold, Work } from './orders.ts'

/** After how many requests of a work it is told of at most. Where one has fewer, the next is told of earlier. */
const MOST_REQUESTS = 6
/** What is in the middle of something also before its first request. */
const AFTER: ReadonlySet<Work> = new Set(['close', 'send'])
/** Until a request has left, in real milliseconds. */
const LEAVING = 1

interface Doing {
  readonly work: Work
  /** Closing has when others have to wait for it; all else at once. */
  begun: boolean
  /** How many it had since. */
  requests: number
}

/**
 * Where a process is, as its requests to the engine and to AWS tell: in the middle of something that the fleet waits for
 * it tells so, and goes on only when it is told. Whoever stops it meanwhile has stopped it there.
 */
export class Whereabouts {
  /** How many requests the ledger's engine had. */
  asked = 0
  readonly #tell: (told: ProcessTold) => void
  readonly #doing = new AsyncLocalStorage<Doing>()
  /** What is to be told of, and after how many requests of it. */
  #wanted = new Map<Work, number>()
  readonly #waiting = new Map<number, () => void>()
  #waits = 0

  constructor(tell: (told: ProcessTold) => void) {
    this.#tell = tell
  }

  tellOf(works: readonly Work[]): void {
    const after = (work: Work) => this.#wanted.get(work) ?? Math.floor(Math.random() * MOST_REQUESTS)
    this.#wanted = new Map(works.map(work => [work, after(work)]))
  }

  goOn(waits: number): void {
    this.#waiting.get(waits)?.()
    this.#waiting.delete(waits)
  }

  async during<Result>(work: Work, act: () => Promise<Result>): Promise<Result> {
    const doing: Doing = { work, begun: work !== 'close', requests: 0 }
    try {
      return await this.#doing.run(doing, act)
    } finally {
      const wanted = this.#wanted.get(work)
      if (wanted !== undefined && doing.requests > 0) this.#wanted.set(work, Math.max(0, wanted - 1))
    }
  }

  /** @param locks whether others wait for a process that has done it, and closes */
  async request<Result>(send: () => Promise<Result>, locks = false): Promise<Result> {
    const doing = this.#doing.getStore()
    if (doing === undefined) return await send()
    const begins = doing.requests === 0 && !AFTER.has(doing.work)
    const here = doing.begun && doing.requests >= (this.#wanted.get(doing.work) ?? Number.POSITIVE_INFINITY)
    if (doing.begun) doing.requests += 1
    const left = here && (begins || Math.random() < 0.5)
    if (here && !left) await this.#wait(doing, 'before')
    const answer = send()
    if (left) {
      answer.catch(() => {})
      await sleep(LEAVING)
      await this.#wait(doing, 'with')
    }
    const answered = await answer
    doing.begun ||= locks
    return answered
  }

  async #wait({ work, requests }: Doing, when: 'before' | 'with'): Promise<void> {
    this.#waits += 1
    const waits = this.#waits
    const going = new Promise<void>(resolve => this.#waiting.set(waits, resolve))
    this.#tell({ in: work, where: `${when} request ${requests}`, waits })
    await going
  }
}
