import { copyFileSync, existsSync, rmSync } from 'node:fs'
import type { RecordEntry, StatementLine } from '../../../src/ledger/ledger.ts'
import { SqliteLedger } from '../../../src/ledger/sqlite/ledger.ts'
import type { MarketplaceSimulator } from '../../../src/simulator/index.ts'
import type { SeriesUsage } from './telling.ts'
import { COUNTING } from './usage.ts'

/** What the ledger acknowledged and what AWS billed, held against what the ledger says of both. */
export class Books {
  readonly #simulator: MarketplaceSimulator
  /** By account key and dimension, in millionths. */
  readonly #acknowledged = new Map<string, bigint>()
  /** Batches that were acknowledged. */
  batches = 0
  /** Those of them that are not there. */
  lost = 0
  /** Records that AWS billed and that may be billed again, and series of which it billed more than was recorded. */
  twice = 0
  readonly faults: string[] = []

  constructor(simulator: MarketplaceSimulator) {
    this.#simulator = simulator
  }

  acknowledge(batches: readonly (readonly SeriesUsage[])[]): void {
    this.batches += batches.length
    for (const batch of batches) this.#add(batch)
  }

  /** Checks a ledger's file as a killed process left it. A copy is opened: the file is for the next process. */
  async check(path: string, inFlight: readonly SeriesUsage[]): Promise<void> {
    const copy = `${path}.copy`
    for (const end of ['', '-wal', '-journal']) {
      rmSync(`${copy}${end}`, { force: true })
      if (existsSync(`${path}${end}`)) copyFileSync(`${path}${end}`, `${copy}${end}`)
    }
    try {
      const ledger = new SqliteLedger({ path: copy })
      const lines = await ledger.statement()
      const records = await ledger.records({ limit: 1_000_000 })
      await ledger.close()
      this.#checkUsage(lines, inFlight)
      this.#checkBill(lines, records)
    } catch (error) {
      this.faults.push(`the ledger cannot be read: ${error}`)
    }
  }

  /** Checks a backup: whole, and of the past. */
  async checkBackup(path: string): Promise<void> {
    if (!existsSync(path)) return
    try {
      const ledger = new SqliteLedger({ path, readOnly: true })
      for (const line of await ledger.statement()) {
        this.#checkEquation(line)
        if (line.recorded > (this.#acknowledged.get(seriesOf(line)) ?? 0n)) this.#fault(line, 'a backup has more')
      }
      await ledger.close()
    } catch (error) {
      this.faults.push(`the backup cannot be read: ${error}`)
    }
  }

  /** Checks that nothing is left to be done: all that is whole is billed. */
  checkEnd(lines: readonly StatementLine[]): void {
    this.#checkTags()
    const billed = this.#billed()
    for (const line of lines) {
      const { size } = line.dimension
      if (line.pending !== 0n || line.held !== 0n) this.#fault(line, 'pending or held at the end')
      if (line.balance < 0n || line.balance >= size) this.#fault(line, `a balance of ${line.balance} at the end`)
      if (line.metered !== (billed.get(seriesOf(line)) ?? 0n) * size) this.#fault(line, 'metered is not billed')
    }
  }

  #checkUsage(lines: readonly StatementLine[], inFlight: readonly SeriesUsage[]): void {
    const recorded = new Map(lines.map(line => [seriesOf(line), line.recorded]))
    const mayBe = new Map<string, bigint>()
    for (const [account, dimension, amount] of inFlight) {
      const series = `${account} ${dimension}`
      mayBe.set(series, (mayBe.get(series) ?? 0n) + BigInt(amount))
    }
    const [one] = mayBe.keys()
    // The whole batch of which nobody heard is there, or nothing of it.
    if (one !== undefined && (recorded.get(one) ?? 0n) > (this.#acknowledged.get(one) ?? 0n)) this.#add(inFlight)
    for (const series of new Set([...recorded.keys(), ...this.#acknowledged.keys()])) {
      const [is, was] = [recorded.get(series) ?? 0n, this.#acknowledged.get(series) ?? 0n]
      if (is < was && series === `${COUNTING.account} ${COUNTING.dimension}`)
        this.lost += Number((was - is) / COUNTING.each)
      if (is !== was) this.faults.push(`${series}: ${was} was acknowledged, ${is} is recorded`)
    }
    for (const line of lines) this.#checkEquation(line)
  }

  #checkEquation(line: StatementLine): void {
    const { recorded, metered, pending, held, balance } = line
    if (recorded !== metered + pending + held + balance) this.#fault(line, 'the equation does not hold')
  }

  #checkBill(lines: readonly StatementLine[], records: readonly RecordEntry[]): void {
    const sizes = new Map(lines.map(({ dimension }) => [dimension.name, dimension.size]))
    const bill = new Map(
      this.#simulator
        .billed()
        .map(({ accountId, dimension, hour, quantity }) => [`${accountId} ${dimension} ${Date.parse(hour)}`, quantity]),
    )
    for (const { account, dimension, hour, quantity, state, reason, inDoubt } of records) {
      const key = `${account.accountId} ${dimension} ${hour}`
      const billed = bill.get(key)
      bill.delete(key)
      const is = `${key} is ${state} ${reason ?? ''}`
      if (billed === undefined) {
        if (state === 'metered') this.faults.push(`${is} and AWS has not billed it`)
      } else if (billed !== quantity) {
        this.faults.push(`${is} with ${quantity}, and AWS billed ${billed}`)
      } else if (state === 'returned' || (state !== 'metered' && !inDoubt)) {
        // Its quantity may go out again, or its record is believed not to be taken.
        this.faults.push(`${is} and AWS has billed it`)
        this.twice += 1
      }
    }
    for (const [key] of bill) this.faults.push(`${key} is billed, and the ledger has no record of it`)
    const recorded = new Map(lines.map(line => [`${line.account.key} ${line.dimension.name}`, line.recorded]))
    for (const [series, quantity] of this.#billed()) {
      const more = quantity * (sizes.get(series.split(' ')[1] ?? '') ?? 0n) - (recorded.get(series) ?? 0n)
      if (more <= 0n) continue
      this.faults.push(`${series}: ${more} more is billed than recorded`)
      this.twice += 1
    }
  }

  /** What AWS has billed, by account key and dimension. */
  #billed(): Map<string, bigint> {
    return new Map(
      this.#simulator
        .totals()
        .map(({ product, accountId, dimension, quantity }) => [
          `${product},${accountId} ${dimension}`,
          BigInt(quantity),
        ]),
    )
  }

  /** What is billed by tags is what is billed, and no record was sent again with another split. */
  #checkTags(): void {
    const sum = (shares: readonly { readonly quantity: number }[]) => shares.reduce((all, one) => all + one.quantity, 0)
    const shares = this.#simulator.totalsByTags()
    const { resplits } = this.#simulator.counters
    if (sum(shares) !== sum(this.#simulator.totals())) this.faults.push('more or less is billed by tags than is billed')
    if (!shares.some(({ tags }) => Object.keys(tags).length > 0)) this.faults.push('nothing is billed with tags')
    if (resplits > 0) this.faults.push(`${resplits} records were sent again with another split`)
  }

  #add(batch: readonly SeriesUsage[]): void {
    for (const [account, dimension, amount] of batch) {
      const series = `${account} ${dimension}`
      this.#acknowledged.set(series, (this.#acknowledged.get(series) ?? 0n) + BigInt(amount))
    }
  }

  #fault(line: StatementLine, what: string): void {
    this.faults.push(`${seriesOf(line)}: ${what}`)
  }
}

const seriesOf = ({ account, dimension }: StatementLine) => `${account.key} ${dimension.name}`
