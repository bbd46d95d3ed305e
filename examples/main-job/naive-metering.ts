import { MarketplaceSimulator, type SimulatorClient, simulatorClient } from '../../src/simulator/index.ts'
import { type Customer, catalogue } from './customers.ts'
import type { Answered } from './traffic.ts'

/**
 * The obvious code, for comparison: every minute, a usage record with what the minute brought. It meters the same
 * usage through a simulator of its own that never fails.
 */
export class NaiveMetering {
  readonly #simulator: MarketplaceSimulator
  readonly #client: SimulatorClient
  readonly #now: () => number
  #measured = 0

  constructor(customers: readonly Customer[], region: string, now: () => number) {
    this.#simulator = new MarketplaceSimulator({ now, catalogue: catalogue(customers), quota: null })
    this.#client = simulatorClient(this.#simulator, { region })
    this.#now = now
  }

  async meter(answers: readonly Answered[]): Promise<void> {
    const tokens = new Map<Customer, number>()
    for (const { customer, usage } of answers) {
      tokens.set(customer, (tokens.get(customer) ?? 0) + usage.total_tokens)
      this.#measured += usage.total_tokens
    }
    if (tokens.size === 0) return
    await this.#client.batchMeterUsage({
      UsageRecords: [...tokens].map(([{ accountId, licenseArn }, Quantity]) => ({
        Timestamp: new Date(this.#now()),
        CustomerAWSAccountId: accountId,
        LicenseArn: licenseArn,
        Dimension: 'tokens-processed',
        Quantity,
      })),
    })
  }

  /** The share of the measured tokens that it would bill. */
  billedShare(): number {
    const billed = this.#simulator.totals().reduce((sum, { quantity }) => sum + quantity, 0)
    return this.#measured === 0 ? 1 : billed / this.#measured
  }
}
