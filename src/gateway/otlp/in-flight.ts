/** Requests that are not answered yet. */
export class InFlight {
  readonly #works = new Set<Promise<unknown>>()

  add(work: Promise<unknown>): void {
    this.#works.add(work)
    const done = () => this.#works.delete(work)
    work.then(done, done)
  }

  /** Resolves when there is nothing left, or after that many milliseconds. */
  async end(deadlineMs: number): Promise<void> {
    const { promise: deadline, resolve } = Promise.withResolvers<void>()
    let over = false
    const timer = setTimeout(() => {
      over = true
      resolve()
    }, deadlineMs)
    while (this.#works.size > 0 && !over) await Promise.race([Promise.allSettled(this.#works), deadline])
    clearTimeout(timer)
  }
}
