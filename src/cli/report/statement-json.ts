import type { StatementLine } from '../../ledger/ledger.ts'
import { breaches, difference } from '../../ledger/rules/equation.ts'
import { moneyText } from '../../text/money.ts'
import { iso } from '../../text/time.ts'
import { formatAmount } from '../../usage/amount.ts'
import { agreementJson } from './agreements.ts'
import {
  byDimension,
  chargeOf,
  chargeOfAll,
  type Figures,
  quantitiesOf,
  reasonsOf,
  type StatementReport,
  sumOf,
  unpriced,
} from './statement.ts'

/**
 * The statement for a program. Amounts are decimal numbers of base units, as strings: exact at any size; so are
 * quantities, in units of the dimension, and money, in the currency's unit.
 */
export function statementJson(report: StatementReport): object {
  const { now, period, lines, allTime, agreements, by, rateCard } = report
  return {
    at: iso(now),
    from: period.from === undefined ? null : iso(period.from),
    to: period.to === undefined ? null : iso(period.to),
    ...(by !== undefined && { by }),
    ...(rateCard !== undefined && {
      ...{ currency: rateCard.currency, charge: moneyOrNull(chargeOfAll(lines, report)), unpriced: unpriced(report) },
    }),
    lines: lines.map(line => {
      const agreement = agreements.get(line.account.key)
      return {
        ...(line.span && { from: iso(line.span.from), to: iso(line.span.to) }),
        ...{ account: line.account, ...(agreement !== undefined && { agreement: agreementJson(agreement) }) },
        ...{ dimension: line.dimension.name, ...figuresJson(line) },
        ...(rateCard !== undefined && { price: moneyOrNull(chargeOf(line, report)?.price) }),
        ...billedJson([line], report),
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
        total: { ...figuresJson(sumOf(group)), ...billedJson(group, report) },
      }
    }),
    equationHolds: breaches(allTime).length === 0,
    breaches: breachesJson(allTime),
  }
}

/** What AWS bills of lines of one dimension, where they are of parts of a period. */
function billedJson(lines: readonly StatementLine[], report: StatementReport): object {
  if (report.by === undefined) return {}
  const quantities = Object.entries(quantitiesOf(lines)).map(([state, quantity]) => [state, String(quantity)])
  return {
    quantities: Object.fromEntries(quantities),
    ...(report.rateCard !== undefined && { charge: moneyOrNull(chargeOfAll(lines, report)) }),
  }
}

const moneyOrNull = (amount: bigint | undefined) => (amount === undefined ? null : moneyText(amount))

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
