import { comeBack } from './refusal.ts'

export interface BudgetOptions {
  /** How many bytes of requests. 128 MiB by default. */
  readonly bytes?: number
  /** How many requests. 4,096 by default. */
  readonly requests?: number
}

/** What somebody may have of all that there is. */
interface Share {
  readonly of: string
  readonly part: number
}

const ALL = ''

/** What of one kind may be held at a time. */
class Allowance {
  readonly most: number
  readonly #held = new Map<string, number>()

  constructor(most: number) {
    this.most = most
  }

  held(of = ALL): number {
    return this.#held.get(of) ?? 0
  }

  /** Whether there is room beside what others hold. One alone is always let in: it would come back for ever. */
  fits(shares: readonly Share[], amount: number, own: number): boolean {
    return shares.every(({ of, part }) => this.held(of) === own || this.held(of) + amount <= part * this.most)
  }

  add(shares: readonly Share[], amount: number): void {
    for (const { of } of shares) {
      const held = this.held(of) + amount
      if (held === 0) this.#held.delete(of)
      else this.#held.set(of, held)
    }
  }
}

/** A host has half of all, so has a sender, and a sender on one host has half of the host's: each leaves some to others. */
function sharesOf(host: string, sender: string | undefined): readonly Share[] {
  const ofHost = { of: `host ${host}`, part: 1 / 2 }
  if (sender === undefined) return [{ of: ALL, part: 1 }, ofHost]
  const own = { of: `host ${host} sender ${sender}`, part: 1 / 4 }
  return [{ of: ALL, part: 1 }, ofHost, { of: `sender ${sender}`, part: 1 / 2 }, own]
}

/** What may be in memory of requests at a time, from the first byte that arrives until the answer. */
export class RequestBudget {
  readonly #bytes: Allowance
  readonly #requests: Allowance

  constructor({ bytes = 128 * 1024 * 1024, requests = 4096 }: BudgetOptions = {}) {
    this.#bytes = new Allowance(bytes)
    this.#requests = new Allowance(requests)
  }

  /** How many bytes are held now. */
  get held(): number {
    return this.#bytes.held()
  }

  /**
   * For one request of a host, and of a sender where there are several.
   *
   * @throws {Refusal} when there are too many
   */
  open(host = '', sender?: string): Hold {
    const shares = sharesOf(host, sender)
    if (!this.#requests.fits(shares, 1, 0)) throw comeBack('The gateway is answering as many requests as it can')
    this.#requests.add(shares, 1)
    let own = 0
    let open = true
    return {
      add: bytes => {
        if (!this.#bytes.fits(shares, bytes, own))
          throw comeBack('The gateway is receiving as much as it has memory for')
        this.#bytes.add(shares, bytes)
        own += bytes
      },
      release: () => {
        if (!open) return
        open = false
        this.#requests.add(shares, -1)
        this.#bytes.add(shares, -own)
      },
    }
  }
}

export interface Hold {
  /** @throws {Refusal} when there is no room beside other requests */
  add(bytes: number): void
  release(): void
}

/** For what is so small that it is counted otherwise. */
export const UNCOUNTED: Hold = { add() {}, release() {} }
