import type { Quantities, StatementLine } from '../../ledger/ledger.ts'
import { breaches, difference } from '../../ledger/rules/equation.ts'
import { reconciledJson } from '../../reconcile/reconciled-text.ts'
import { moneyText } from '../../text/money.ts'
import { iso } from '../../text/time.ts'
import { formatAmount } from '../../usage/amount.ts'
import type { Breach, Figures as FiguresOutput, Quantities as QuantitiesOutput, Statement } from '../json.ts'
import { agreementJson } from './agreements.ts'
import {
  byDimension,
  type Charge,
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
export function statementJson(report: StatementReport): Statement {
  const { now, period, lines, allTime, agreements, by, rateCard, reconciled = [] } = report
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
        ...(line.span && { quantities: quantitiesJson(line.span.quantities) }),
        ...(rateCard !== undefined && priceJson(chargeOf(line, report))),
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
        total: {
          ...figuresJson(sumOf(group)),
          ...(by !== undefined && { quantities: quantitiesJson(quantitiesOf(group)) }),
          ...(rateCard !== undefined && { charge: moneyOrNull(chargeOfAll(group, report)) }),
        },
      }
    }),
    equationHolds: breaches(allTime).length === 0,
    breaches: breachesJson(allTime),
    reconciled: reconciledJson(reconciled),
  }
}

function quantitiesJson({ included, metered, pending, held }: Quantities): QuantitiesOutput {
  return { included: String(included), metered: String(metered), pending: String(pending), held: String(held) }
}

function priceJson(charge: Charge | undefined): Pick<Statement['lines'][number], 'price' | 'charge'> {
  return { price: moneyOrNull(charge?.price), charge: moneyOrNull(charge?.charge) }
}

const moneyOrNull = (amount: bigint | undefined) => (amount === undefined ? null : moneyText(amount))

/** The series that break the equation, for a program. */
export function breachesJson(lines: readonly StatementLine[]): Breach[] {
  return breaches(lines).map(line => ({
    account: line.account,
    dimension: line.dimension.name,
    ...figuresJson(line),
    difference: formatAmount(difference(line)),
  }))
}

function figuresJson({ recorded, included, metered, pending, held, heldByReason, balance }: Figures): FiguresOutput {
  return {
    recorded: formatAmount(recorded),
    included: formatAmount(included),
    metered: formatAmount(metered),
    pending: formatAmount(pending),
    held: formatAmount(held),
    heldByReason: Object.fromEntries(reasonsOf(heldByReason).map(([reason, amount]) => [reason, formatAmount(amount)])),
    balance: formatAmount(balance),
  }
}
