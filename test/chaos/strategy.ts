import type { BilledRecord, MarketplaceSimulator } from '../../src/simulator/index.ts'
import type { CustomerIdentity } from '../../src/usage/options.ts'
import type { Customer } from './customers.ts'
import { DIMENSIONS } from './dimensions.ts'
import type { Mishap } from './plan.ts'
import type { VirtualClock } from './time.ts'
import type { Call } from './traffic.ts'

/** A way to meter. It lives through the month against a simulator of its own. */
export interface Strategy {
  readonly simulator: MarketplaceSimulator
  readonly clock: VirtualClock
  /** A minute has come; `calls` were answered in it. */
  minute(time: number, calls: readonly Call[]): Promise<void>
  /** Something happens to the seller's processes. Most strategies are spared it, in their favour. */
  suffer?(mishap: Mishap): Promise<void>
  /** What has come of all usage when the month is over. */
  end(): Promise<Outcome>
}

/** Where the usage of a series, or of many, went. Amounts are in millionths of the base unit. */
export interface Figures {
  recorded: bigint
  /** What contracts include: nobody is billed for it. */
  included: bigint
  /** On the customers' bills, each unit counted once. */
  billed: bigint
  /** Known, not billed, and waiting for a person. */
  held: bigint
  /** Not billed, and going out with what comes next: fractions of a unit. */
  balance: bigint
  /** Gone. */
  lost: bigint
  /** On the bills a second time. */
  twice: bigint
}

export interface Outcome {
  /** For each dimension, in the order of DIMENSIONS. */
  readonly figures: readonly Figures[]
  /** What is held, by dimension and reason. */
  readonly heldBy: readonly Readonly<Record<string, bigint>>[]
  /** What is wrong with it, in words. */
  readonly violations: readonly string[]
  /** What went on. */
  readonly counts: Readonly<Record<string, number>>
}

export const noFigures = (): Figures => ({
  ...{ recorded: 0n, included: 0n, billed: 0n, held: 0n, balance: 0n, lost: 0n, twice: 0n },
})

export const noFiguresEach = (): Figures[] => DIMENSIONS.map(noFigures)

/** A series' number: of a customer and a dimension. */
export const seriesOf = (customer: { readonly index: number }, dimension: number): number =>
  customer.index * DIMENSIONS.length + dimension

/** Finds the series that AWS's book writes of. */
export class SeriesIndex {
  readonly #customers = new Map<string, Customer>()

  constructor(customers: readonly Customer[]) {
    for (const customer of customers) this.#customers.set(nameOf(customer.identity), customer)
  }

  of(record: Pick<BilledRecord, 'licenseArn' | 'accountId' | 'customerIdentifier' | 'dimension'>): number {
    const customer = this.#customers.get(nameOf(record))
    const dimension = (DIMENSIONS as readonly string[]).indexOf(record.dimension)
    if (customer === undefined || dimension < 0) throw new Error(`There is no series of ${JSON.stringify(record)}`)
    return seriesOf(customer, dimension)
  }
}

const nameOf = ({ licenseArn, accountId, customerIdentifier }: CustomerIdentity): string =>
  licenseArn ?? accountId ?? customerIdentifier ?? ''
