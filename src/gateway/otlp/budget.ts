import { comeBack } from './refusal.ts'

export interface BudgetOptions {
  /** How many bytes of requests. 128 MiB by default. */
  readonly bytes?: number
  /** How many requests. 4,096 by default. */
  readonly requests?: number
}

/** What of one kind may be held at a time: half of it by one host, so that the others are served as well. */
class Allowance {
  readonly most: number
  held = 0
  readonly #byHost = new Map<string, number>()

  constructor(most: number) {
    this.most = most
  }

  /** Whether there is room beside what others hold. One alone is always let in: it would come back for ever. */
  fits(host: string, amount: number, own: number): boolean {
    const ofHost = this.#byHost.get(host) ?? 0
    const beside = (held: number, most: number) => held === own || held + amount <= most
    return beside(this.held, this.most) && beside(ofHost, this.most / 2)
  }

  add(host: string, amount: number): void {
    this.held += amount
    const ofHost = (this.#byHost.get(host) ?? 0) + amount
    if (ofHost === 0) this.#byHost.delete(host)
    else this.#byHost.set(host, ofHost)
  }
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
    return this.#bytes.held
  }

  /**
   * For one request of a host.
   *
   * @throws {Refusal} when there are too many
   */
  open(host = ''): Hold {
    if (!this.#requests.fits(host, 1, 0)) throw comeBack('The gateway is answering as many requests as it can')
    this.#requests.add(host, 1)
    let own = 0
    let open = true
    return {
      add: bytes => {
        if (!this.#bytes.fits(host, bytes, own)) throw comeBack('The gateway is receiving as much as it has memory for')
        this.#bytes.add(host, bytes)
        own += bytes
      },
      release: () => {
        if (!open) return
        open = false
        this.#requests.add(host, -1)
        this.#bytes.add(host, -own)
      },
    }
  }
}

export interface Hold {
  /** @throws {Refusal} when there is no room beside other requests */
  add(bytes: number): void
  release(): void
}
