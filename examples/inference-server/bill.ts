import type { Job } from './job.ts'
import type { Usage } from './usage.ts'

/** A request is billed once, or not at all: whichever of the two functions comes first says which. */
export class Bill {
  readonly #job: Job
  readonly #close: (usage: Usage | undefined) => void
  #closed = false
  #usage: Usage | undefined

  constructor(job: Job, close: (usage: Usage | undefined) => void) {
    this.#job = job
    this.#close = close
  }

  /** Bills what was used up to now. Returns what was billed, now or before. */
  settle(): Usage | undefined {
    if (!this.#closed) this.#end(this.#job.usage())
    return this.#usage
  }

  cancel(): void {
    if (!this.#closed) this.#end(undefined)
  }

  #end(usage: Usage | undefined): void {
    this.#closed = true
    this.#usage = usage
    this.#close(usage)
  }
}
