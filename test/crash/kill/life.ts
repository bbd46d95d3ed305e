import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { type Mutation, mutated } from '../mutation.ts'
import type { LifeOptions } from './child.ts'
import { type Phase, PIPE, type SeriesUsage, type Told } from './telling.ts'

const CHILD = fileURLToPath(new URL('child.ts', import.meta.url))

/** A process from its start to its kill, as its parent sees it. */
export class Life {
  readonly #child: ChildProcess
  readonly #begun = new Map<number, { phase: Phase; usage: readonly SeriesUsage[] }>()
  readonly #onTold: (life: Life, begun: Phase | undefined, done: Phase | undefined) => void
  readonly #acknowledged: (readonly SeriesUsage[])[] = []
  readonly faults: string[] = []
  /** Resolves when it is over and all that it told is known. */
  readonly over: Promise<void>

  constructor(
    options: LifeOptions,
    mutation: Mutation | undefined,
    onTold: (life: Life, begun: Phase | undefined, done: Phase | undefined) => void,
  ) {
    this.#onTold = onTold
    this.#child = spawn(process.execPath, [...mutated(mutation), CHILD, JSON.stringify(options)], {
      stdio: ['ignore', 'inherit', 'inherit', 'pipe', 'ipc'],
    })
    const lines = createInterface(this.#child.stdio[PIPE] as Readable)
    lines.on('line', line => this.#told(line))
    this.over = Promise.all([once(this.#child, 'exit'), once(lines, 'close')]).then(([[code, signal]]) => {
      if (signal !== 'SIGKILL') this.faults.push(`it ended by itself with ${code ?? signal}`)
    })
  }

  /** Whether it is in the middle of something. */
  isIn(phase: Phase): boolean {
    return [...this.#begun.values()].some(one => one.phase === phase)
  }

  /** What it was in the middle of when it was killed. */
  get phases(): Phase[] {
    return [...this.#begun.values()].map(({ phase }) => phase)
  }

  /** The batches that the ledger acknowledged. */
  get acknowledged(): readonly (readonly SeriesUsage[])[] {
    return this.#acknowledged
  }

  /** The batch that it had given to the ledger and of which it did not hear. */
  get inFlight(): readonly SeriesUsage[] {
    return [...this.#begun.values()].find(one => one.phase === 'append')?.usage ?? []
  }

  setTime(time: number): void {
    // One that was killed a moment ago does not hear it any more.
    if (this.#child.connected) this.#child.send({ time }, () => {})
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }

  #told(line: string): void {
    let told: Told
    try {
      told = JSON.parse(line)
    } catch {
      // A kill cuts the last line off; then what it told of had not begun.
      return
    }
    if ('fault' in told) {
      this.faults.push(told.fault)
    } else if ('begin' in told) {
      this.#begun.set(told.id, { phase: told.begin, usage: told.usage ?? [] })
      this.#onTold(this, told.begin, undefined)
    } else {
      const done = this.#begun.get(told.end)
      this.#begun.delete(told.end)
      if (told.error !== undefined && done?.phase !== 'request') this.faults.push(`${done?.phase}: ${told.error}`)
      else if (done?.phase === 'append') this.#acknowledged.push(done.usage)
      this.#onTold(this, undefined, done?.phase)
    }
  }
}
