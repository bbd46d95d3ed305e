import { comeBack } from './refusal.ts'

/** How many bytes of requests may be in memory at a time, from the first byte that arrives until the answer. */
export class ByteBudget {
  readonly bytes: number
  #held = 0

  constructor(bytes: number = 128 * 1024 * 1024) {
    this.bytes = bytes
  }

  /** What is held now. */
  get held(): number {
    return this.#held
  }

  /** For one request. */
  open(): Hold {
    let own = 0
    return {
      add: bytes => {
        // One alone is always let in: it would come back for ever.
        if (this.#held + bytes > this.bytes && this.#held > own) {
          throw comeBack('The gateway is receiving as much as it has memory for')
        }
        this.#held += bytes
        own += bytes
      },
      release: () => {
        this.#held -= own
        own = 0
      },
    }
  }
}

export interface Hold {
  /** @throws {Refusal} when there is no room beside other requests */
  add(bytes: number): void
  release(): void
}
