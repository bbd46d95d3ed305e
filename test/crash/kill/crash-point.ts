import { DatabaseSync, StatementSync } from 'node:sqlite'
import type { Phase } from './telling.ts'

/** Kills this process right after the n-th SQL statement of a phase: between any two a crash has to be harmless. */
export class CrashPoint {
  readonly #phase: Phase
  readonly #statement: number
  #inPhase = false
  #done = 0

  constructor(phase: Phase, statement: number) {
    this.#phase = phase
    this.#statement = statement
    const count = () => this.#count()
    for (const prototype of [DatabaseSync.prototype, StatementSync.prototype] as unknown as Record<string, unknown>[]) {
      for (const name of ['exec', 'run', 'get', 'all']) {
        const method = prototype[name] as ((...given: unknown[]) => unknown) | undefined
        if (method === undefined) continue
        prototype[name] = function (...given: unknown[]) {
          const result = method.apply(this, given)
          count()
          return result
        }
      }
    }
  }

  begin(phase: Phase): void {
    if (phase !== this.#phase) return
    this.#inPhase = true
    this.#done = 0
  }

  end(phase: Phase): void {
    if (phase === this.#phase) this.#inPhase = false
  }

  #count(): void {
    if (!this.#inPhase) return
    this.#done += 1
    if (this.#done === this.#statement) process.kill(process.pid, 'SIGKILL')
  }
}
