import { accountLabel, licenceLabel } from '../../text/account.ts'
import { printable } from '../../text/printable.ts'
import { quantityText } from '../../text/quantity.ts'
import { type Column, type TableOptions, table } from '../../text/table.ts'
import type { Account } from '../../usage/account.ts'
import { formatAmount } from '../../usage/amount.ts'
import type { Dimension } from '../../usage/dimension.ts'
import { amountText } from './record-name.ts'

/** Something about a customer's usage of a dimension. */
export interface Summand {
  readonly account: Account
  readonly dimension: string
  readonly amount: bigint
}

interface Sum extends Summand {
  readonly count: number
}

/** So many customers with a dimension are shown, those with the most first. */
const SHOWN = 50

/** Sums by customer and dimension, and of all. */
export function sumsText(
  summands: readonly Summand[],
  {
    dimensions,
    counted,
    options,
  }: { dimensions: ReadonlyMap<string, Dimension>; counted: string; options: TableOptions },
): string {
  const sums = sumsBy(summands, ({ account, dimension }) => `${account.key} ${dimension}`)
  const shown = sums.sort((a, b) => b.count - a.count).slice(0, SHOWN)
  const columns: Column<Sum>[] = [
    { title: 'CUSTOMER', of: ({ account }) => accountLabel(account) },
    ...(shown.some(({ account }) => licenceLabel(account) !== '')
      ? [{ title: 'LICENCE', of: ({ account }: Sum) => licenceLabel(account), optional: true as const }]
      : []),
    { title: 'DIMENSION', of: ({ dimension }) => printable(dimension) },
    { title: counted, of: ({ count }) => count.toLocaleString('en-US'), number: true },
    {
      title: 'QUANTITY',
      of: ({ amount, dimension }) => {
        const size = dimensions.get(dimension)?.size
        return size === undefined ? formatAmount(amount) : quantityText(amount, size)
      },
      number: true,
    },
  ]
  const totals = sumsBy(summands, ({ dimension }) => dimension)
  return [
    table(columns, shown, options),
    ...(sums.length > shown.length
      ? [`and ${(sums.length - shown.length).toLocaleString('en-US')} more customers`]
      : []),
    ...totals.map(({ amount, count, dimension }) => {
      return `In all ${count.toLocaleString('en-US')}: ${amountText(amount, dimension, dimensions)}`
    }),
  ].join('\n')
}

function sumsBy(summands: readonly Summand[], keyOf: (summand: Summand) => string): Sum[] {
  return [...Map.groupBy(summands, keyOf).values()].map(group => ({
    ...(group[0] as Summand),
    amount: group.reduce((sum, { amount }) => sum + amount, 0n),
    count: group.length,
  }))
}
