import type { StatementLine } from '../../src/ledger/ledger.ts'
import type { BilledRecord } from '../../src/simulator/index.ts'
import { type Amounts, addAll } from './orders.ts'
import { seriesOf } from './traffic.ts'

const MILLION = 1_000_000n

export interface Bill {
  /** Whole units: what the ledger acknowledged, and what AWS billed. */
  readonly recorded: number
  readonly billed: number
  readonly difference: number
  /** Of series, where something does not add up. */
  readonly problems: readonly string[]
}

/**
 * Adds up, in whole units.
 *
 * @param known by series, what was measured and has to be billed
 * @param unknown what may be billed beside it
 */
export function billOf(
  lines: readonly StatementLine[],
  records: readonly BilledRecord[],
  known: Amounts,
  unknown: Amounts,
): Bill {
  const problems: string[] = []
  const billed: Amounts = {}
  for (const { accountId, dimension, quantity } of records)
    addAll(billed, { [seriesOf(accountId, dimension)]: quantity })
  const recorded: Amounts = {}
  for (const line of lines) {
    const { account, dimension } = line
    const series = seriesOf(account.kind === 'customer' ? account.accountId : account.key, dimension.name)
    addAll(recorded, { [series]: Number(line.recorded / MILLION) })
    if (line.recorded % MILLION !== 0n) problems.push(`${series}: a fraction was recorded`)
    if (line.recorded !== line.metered) problems.push(`${series}: recorded ${line.recorded}, metered ${line.metered}`)
  }
  for (const series of new Set([...Object.keys(known), ...Object.keys(recorded), ...Object.keys(billed)])) {
    const [least, is, bill] = [known[series] ?? 0, recorded[series] ?? 0, billed[series] ?? 0]
    const most = least + (unknown[series] ?? 0)
    if (is < least || is > most) problems.push(`${series}: recorded ${is}, measured ${least} to ${most}`)
    if (is !== bill) problems.push(`${series}: recorded ${is}, billed ${bill}`)
  }
  const all = { recorded: total(recorded), billed: total(billed) }
  return { ...all, difference: all.recorded - all.billed, problems }
}

export const total = (amounts: Amounts) => Object.values(amounts).reduce((sum, amount) => sum + amount, 0)
