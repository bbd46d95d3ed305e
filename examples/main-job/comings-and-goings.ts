import type { SqliteLedger } from '../../src/index.ts'
import type { MarketplaceSimulator } from '../../src/simulator/index.ts'
import { type Customer, PRODUCT } from './customers.ts'

/** Who came and who left, as AWS told of it, and in virtual time. */
export interface ComingsAndGoings {
  readonly arrived?: { readonly customer: string; readonly at: number; readonly keyAt: number }
  readonly left?: { readonly customer: string; readonly at: number; readonly lastBilledAt?: number }
}

interface Turn {
  readonly url: string
  readonly now: number
  /** When the newest usage that the ledger has acknowledged was collected, by the machine's clock. */
  readonly acknowledgedAt: number
  /** The customer's last answer, by the machine's clock. */
  readonly lastAnswerOf: (customer: Customer) => number
}

const HALF_AN_HOUR = 30 * 60_000

/**
 * A customer who arrives and one who leaves, by AWS Marketplace alone: the buyer does what a buyer does, AWS's events come
 * into the server's queue, and nobody tells the server or the ledger anything.
 */
export class Visitors {
  readonly #simulator: MarketplaceSimulator
  readonly #newcomer: Customer
  readonly #leaver: Customer
  readonly #arrivesAt: number
  readonly #leavesAt: number
  #token: string | undefined
  #apiKey: string | undefined
  #arrived: ComingsAndGoings['arrived']
  #leftAt: number | undefined

  constructor(
    simulator: MarketplaceSimulator,
    { newcomer, leaver, begin, end }: { newcomer: Customer; leaver: Customer; begin: number; end: number },
  ) {
    this.#simulator = simulator
    this.#newcomer = newcomer
    this.#leaver = leaver
    this.#arrivesAt = begin + (end - begin) / 6
    this.#leavesAt = begin + (end - begin) * 0.7
  }

  /** Who uses the service now. */
  present(others: readonly Customer[], now: number): Customer[] {
    const stay = others.filter(customer => customer !== this.#leaver || now < this.#leavesAt)
    return this.#arrived === undefined ? stay : [...stay, { ...this.#newcomer, apiKey: this.#apiKey as string }]
  }

  /** What they do in this minute. */
  async act({ url, now, acknowledgedAt, lastAnswerOf }: Turn): Promise<void> {
    const { catalogue } = this.#simulator
    if (now >= this.#arrivesAt && this.#arrived === undefined) {
      const { accountId, licenseArn } = this.#newcomer
      if (this.#token === undefined) {
        catalogue.subscribe({ accountId, product: PRODUCT, licenseArn })
        this.#token = catalogue.createToken({ product: PRODUCT, accountId, licenseArn })
      }
      this.#apiKey ??= await register(url, this.#token)
      if (this.#apiKey !== undefined && (await isGood(url, this.#apiKey))) {
        this.#arrived = { customer: accountId, at: this.#arrivesAt, keyAt: now }
      }
    }
    // Whose usage is still on its way when the subscription ends has used it too late.
    const told = acknowledgedAt > lastAnswerOf(this.#leaver)
    if (now > this.#leavesAt && told && this.#leftAt === undefined) {
      const { accountId, licenseArn } = this.#leaver
      catalogue.unsubscribe({ accountId, product: PRODUCT, licenseArn })
      this.#leftAt = now
    }
  }

  /** Whether an event waits in the queue, or what the one who left still owes: AWS takes it for an hour. */
  async areAwaited(ledger: SqliteLedger): Promise<boolean> {
    if (this.#simulator.queue.messages().length > 0) return true
    if (this.#leftAt === undefined) return false
    const pending = await ledger.records({ customer: this.#leaver.accountId, state: 'pending' })
    // AWS fails now and then, but not for an hour.
    if (pending.length > 0 && this.#simulator.clock.now() > this.#leftAt + HALF_AN_HOUR) this.#simulator.faults.clear()
    return pending.length > 0
  }

  story(): ComingsAndGoings {
    const { accountId, licenseArn } = this.#leaver
    const last = this.#simulator.billed({ customer: licenseArn }).map(({ takenAt }) => Date.parse(takenAt))
    return {
      ...(this.#arrived !== undefined && { arrived: this.#arrived }),
      ...(this.#leftAt !== undefined && {
        left: { customer: accountId, at: this.#leftAt, ...(last.length > 0 && { lastBilledAt: Math.max(...last) }) },
      }),
    }
  }
}

/** As the buyer's browser does. While AWS fails, the page says to try again. */
async function register(url: string, token: string): Promise<string | undefined> {
  const form = new URLSearchParams({ 'x-amzn-marketplace-token': token })
  const page = await fetch(`${url}/register`, { method: 'POST', body: form })
  return /<code id="api-key">([^<]+)</.exec(await page.text())?.[1]
}

/** A key works when AWS has told that the licence is active. */
async function isGood(url: string, apiKey: string): Promise<boolean> {
  const models = await fetch(`${url}/v1/models`, { headers: { authorization: `Bearer ${apiKey}` } })
  await models.text()
  return models.ok
}
