import type { StatementLine } from '../../src/ledger/ledger.ts'
import type { BilledRecord } from '../../src/simulator/index.ts'
import { INFERENCE_REQUESTS } from '../../src/usage/instruments.ts'
import { type Amounts, addAll } from './orders.ts'
import { INCLUDED_REQUESTS, seriesOf } from './traffic.ts'

const MILLION = 1_000_000n

export interface Bill {
  /** Whole units: what the ledger acknowledged, what of it contracts include, and what AWS billed. */
  readonly recorded: number
  readonly included: number
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
  const owed: Amounts = {}
  let sumIncluded = 0
  for (const line of lines) {
    const { account, dimension } = line
    const series = seriesOf(account.kind === 'customer' ? account.accountId : account.key, dimension.name)
    addAll(recorded, { [series]: Number(line.recorded / MILLION) })
    if (line.recorded % MILLION !== 0n) problems.push(`${series}: a fraction was recorded`)
    const { included, metered } = line
    sumIncluded += Number(included / MILLION)
    const entitled = dimension.name === INFERENCE_REQUESTS ? BigInt(INCLUDED_REQUESTS) * MILLION : 0n
    const expected = line.recorded < entitled ? line.recorded : entitled
    if (included !== expected) problems.push(`${series}: ${included} included of ${line.recorded}`)
    if (line.recorded !== included + metered)
      problems.push(`${series}: recorded ${line.recorded}, included ${included}, metered ${metered}`)
    addAll(owed, { [series]: Number((line.recorded - included) / MILLION) })
  }
  for (const series of new Set([...Object.keys(known), ...Object.keys(recorded), ...Object.keys(billed)])) {
    const [least, is, bill] = [known[series] ?? 0, recorded[series] ?? 0, billed[series] ?? 0]
    const most = least + (unknown[series] ?? 0)
    if (is < least || is > most) problems.push(`${series}: recorded ${is}, measured ${least} to ${most}`)
    const owes = owed[series] ?? 0
    if (owes !== bill) problems.push(`${series}: recorded and not included ${owes}, billed ${bill}`)
  }
  const sums = { recorded: total(recorded), included: sumIncluded, billed: total(billed) }
  return { ...sums, difference: sums.recorded - sums.included - sums.billed, problems }
}

export const total = (amounts: Amounts) => Object.values(amounts).reduce((sum, amount) => sum + amount, 0)
