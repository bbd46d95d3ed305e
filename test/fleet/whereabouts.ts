import { AsyncLocalStorage } from 'node:async_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ProcessTold, Work } from './orders.ts'

/** How many requests a work is taken to have until one had fewer. */
const REQUESTS = 6
/** What is in the middle of something also before its first request. */
const AFTER: ReadonlySet<Work> = new Set(['close', 'send'])
/** Until a request has left, in real milliseconds. */
const LEAVING = 1

interface Doing {
  readonly work: Work
  /** Whether others have to wait for a process that closes. */
  held: boolean
  /** How many requests it had; of closing, those while it was held. */
  requests: number
}

/** What is asked of the engine or of AWS. */
export interface Asking {
  readonly what: string
  /** Whether from then on others have to wait for who closes, or not any more. Left out, it is as it was. */
  readonly holds?: boolean | undefined
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
    const after = (work: Work) => this.#wanted.get(work) ?? oneOf(REQUESTS)
    this.#wanted = new Map(works.map(work => [work, after(work)]))
  }

  goOn(waits: number): void {
    this.#waiting.get(waits)?.()
    this.#waiting.delete(waits)
  }

  async during<Result>(work: Work, act: () => Promise<Result>): Promise<Result> {
    const doing: Doing = { work, held: false, requests: 0 }
    try {
      return await this.#doing.run(doing, act)
    } finally {
      const { requests } = doing
      if (requests > 0 && requests <= (this.#wanted.get(work) ?? 0)) this.#wanted.set(work, oneOf(requests))
    }
  }

  async request<Result>({ what, holds }: Asking, send: () => Promise<Result>): Promise<Result> {
    const doing = this.#doing.getStore()
    if (doing === undefined) return await send()
    const begins = doing.requests === 0 && !AFTER.has(doing.work)
    const counts = doing.work !== 'close' || doing.held
    const here = counts && doing.requests >= (this.#wanted.get(doing.work) ?? Number.POSITIVE_INFINITY)
    if (counts) doing.requests += 1
    const left = here && (begins || Math.random() < 0.5)
    if (here && !left) await this.#wait(doing.work, `before ${what}`)
    const answer = send()
    if (left) {
      answer.catch(() => {})
      await sleep(LEAVING)
      await this.#wait(doing.work, `with ${what} under way`)
    }
    const answered = await answer
    doing.held = holds ?? doing.held
    return answered
  }

  async #wait(work: Work, where: string): Promise<void> {
    this.#waits += 1
    const waits = this.#waits
    const going = new Promise<void>(resolve => this.#waiting.set(waits, resolve))
    this.#tell({ in: work, where, waits })
    await going
  }
}

/** After how many of a work's requests it is in the middle: any but the first, where there are others. */
const oneOf = (requests: number): number => (requests > 1 ? 1 + Math.floor(Math.random() * (requests - 1)) : 0)
