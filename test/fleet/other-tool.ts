import { Readable } from 'node:stream'
import { HOUR } from '../../src/ledger/hours.ts'
import type { Ledger } from '../../src/ledger/ledger.ts'
import { fileSource } from '../../src/reconcile/event-files.ts'
import { reconcile } from '../../src/reconcile/reconcile.ts'
import type { BilledRecord, MarketplaceSimulator } from '../../src/simulator/index.ts'
import type { Random } from '../../src/simulator/random.ts'
import { METER } from '../reconcile/trail.ts'

/** AWS takes nothing that is 24 hours old. */
const OLDEST = 23 * HOUR

/**
 * Another tool of the seller, which meters the fleet's customers: what the fleet has metered, with the same quantity; and
 * hours of before the fleet began. Reconciling has to find all of it, and nothing else.
 */
export class OtherTool {
  readonly #simulator: MarketplaceSimulator
  readonly #random: Random
  readonly #now: () => number
  /** The `MeteringRecordId`s that have to be found, with what is to be said of them. */
  readonly #sent = new Map<string, string>()

  constructor(simulator: MarketplaceSimulator, random: Random, now: () => number) {
    this.#now = now
    this.#simulator = simulator
    this.#random = random
  }

  get sent(): number {
    return this.#sent.size
  }

  meter(): void {
    const since = this.#now() - OLDEST
    const billed = this.#simulator.billed().filter(one => !one.foreign && one.quantity > 0)
    const recent = billed.filter(({ timestamp }) => Date.parse(timestamp) > since)
    const entry = recent[Math.floor(this.#random() * recent.length)]
    if (entry === undefined) return
    const quantity = 1 + Math.floor(this.#random() * 1000)
    const before = Date.parse(billed[0]?.hour ?? entry.hour) - (2 + Math.floor(this.#random() * 8)) * HOUR
    this.#send(entry, 'two-senders')
    if (before > since) this.#send({ ...entry, quantity, timestamp: new Date(before).toISOString() }, 'foreign')
  }

  #send({ product, timestamp, accountId, dimension, quantity }: BilledRecord, verdict: string): void {
    const { Results } = this.#simulator.meterForeign({
      ProductCode: product as string,
      UsageRecords: [
        {
          ...{ Timestamp: new Date(timestamp), CustomerAWSAccountId: accountId as string },
          ...{ Dimension: dimension, Quantity: quantity },
        },
      ],
    })
    const id = Results[0]?.MeteringRecordId
    if (id !== undefined) this.#sent.set(id, `${verdict} ${accountId} ${dimension} ${quantity}`)
  }

  /** What reconciling does not find of it, and what it finds beside it. */
  async problems(ledger: Ledger): Promise<string[]> {
    const files = [...this.#simulator.cloudTrail.files()]
    const problems: string[] = []
    const missed = new Map(this.#sent)
    const { unread } = await reconcile(ledger, {
      events: files.map(({ name, content }) => fileSource({ name, open: () => Readable.from([content]) })),
      callers: [METER],
      onFinding: ({ verdict, series, shown, record, hour }) => {
        const billed = shown.find(({ caller }) => caller.principal !== METER)
        const found = `${verdict} ${series.accountId} ${series.dimension} ${billed?.quantity}`
        const id = billed?.meteringRecordId ?? ''
        if (missed.get(id) === found) missed.delete(id)
        else
          problems.push(`reconcile: ${found} of ${new Date(hour).toISOString()}, record ${record?.id} ${record?.state}`)
      },
    })
    if (unread.count > 0) problems.push(`reconcile: ${unread.first[0]}`)
    return [...problems, ...[...missed.values()].map(what => `reconcile: ${what} is not found`)]
  }
}
