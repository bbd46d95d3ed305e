import type { StatementLine } from '../../ledger/ledger.ts'
import { breaches, difference } from '../../ledger/rules/equation.ts'
import { reconciledJson } from '../../reconcile/reconciled-text.ts'
import { iso } from '../../text/time.ts'
import { formatAmount } from '../../usage/amount.ts'
import { agreementJson } from './agreements.ts'
import { byDimension, type Figures, reasonsOf, type StatementReport, sumOf } from './statement.ts'

/** The statement for a program. Amounts are decimal numbers of base units, as strings: exact at any size. */
export function statementJson({ now, period, lines, allTime, agreements, reconciled = [] }: StatementReport): object {
  return {
    at: iso(now),
    from: period.from === undefined ? null : iso(period.from),
    to: period.to === undefined ? null : iso(period.to),
    lines: lines.map(line => {
      const agreement = agreements.get(line.account.key)
      return {
        ...{ account: line.account, ...(agreement !== undefined && { agreement: agreementJson(agreement) }) },
        ...{ dimension: line.dimension.name, ...figuresJson(line) },
      }
    }),
    dimensions: byDimension(lines).map(group => {
      const [{ dimension }] = group as [StatementLine]
      return {
        name: dimension.name,
        unit: dimension.unit,
        baseUnit: dimension.baseUnit,
        size: formatAmount(dimension.size),
        ...(dimension.maxQuantity !== undefined && { maxQuantity: dimension.maxQuantity }),
        total: figuresJson(sumOf(group)),
      }
    }),
    equationHolds: breaches(allTime).length === 0,
    breaches: breachesJson(allTime),
    reconciled: reconciledJson(reconciled),
  }
}

/** The series that break the equation, for a program. */
export function breachesJson(lines: readonly StatementLine[]): object[] {
  return breaches(lines).map(line => ({
    account: line.account,
    dimension: line.dimension.name,
    ...figuresJson(line),
    difference: formatAmount(difference(line)),
  }))
}

function figuresJson({ recorded, metered, pending, held, heldByReason, balance }: Figures): object {
  return {
    recorded: formatAmount(recorded),
    metered: formatAmount(metered),
    pending: formatAmount(pending),
    held: formatAmount(held),
    heldByReason: Object.fromEntries(reasonsOf(heldByReason).map(([reason, amount]) => [reason, formatAmount(amount)])),
    balance: formatAmount(balance),
  }
}
