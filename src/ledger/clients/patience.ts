import { ledgerSilent } from '../errors.ts'

/**
 * For callers that cannot wait long for a ledger. When it has answered nobody for so long, all who wait are told, and
 * whoever comes then at once, until it answers again: what waits in a row does not wait many times over.
 */
export class Patience {
  readonly #waiting = new Set<(error: Error) => void>()
  #unanswered = 0
  #silent = false
  #timer: NodeJS.Timeout | undefined

  /**
   * Settles as `answer` does, or rejects with `ERR_LEDGER_BUSY`; `answer` goes on then.
   *
   * @param longest how long the ledger may be silent, in milliseconds
   */
  wait(answer: Promise<void>, longest: number): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const answered = () => {
      this.#waiting.delete(reject)
      this.#unanswered -= 1
      this.#silent = false
      clearTimeout(this.#timer)
      this.#timer = undefined
      if (this.#unanswered > 0) this.#watch(longest)
    }
    this.#unanswered += 1
    this.#waiting.add(reject)
    if (this.#silent) this.#tell()
    else this.#watch(longest)
    answer.then(
      () => {
        answered()
        resolve()
      },
      error => {
        answered()
        reject(error)
      },
    )
    return promise
  }

  #watch(longest: number): void {
    this.#timer ??= setTimeout(() => {
      this.#silent = true
      this.#tell()
    }, longest)
  }

  #tell(): void {
    for (const reject of this.#waiting) reject(ledgerSilent())
    this.#waiting.clear()
  }
}
