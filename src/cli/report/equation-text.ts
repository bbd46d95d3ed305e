import type { StatementLine } from '../../ledger/ledger.ts'
import { breaches, difference } from '../../ledger/rules/equation.ts'
import { accountName } from '../../text/account.ts'
import { DAMAGED } from '../../text/ledger-advice.ts'
import { type Paint, plain } from '../../text/paint.ts'
import { printable } from '../../text/printable.ts'
import { baseScale } from '../../text/quantity.ts'
import { formatAmount } from '../../usage/amount.ts'

/** Without what there is nothing of. */
function equation(lines: readonly StatementLine[]): string {
  const included = lines.some(line => line.included !== 0n) ? 'included + ' : ''
  return `recorded = ${included}metered + pending + held + balance`
}

/** Whether the equation holds, in words. `lines` are those of all time. */
export function equationText(lines: readonly StatementLine[], paint: Paint = plain): string {
  if (lines.length === 0) return 'No series: there is nothing to add up.'
  const broken = breaches(lines)
  if (broken.length === 0) return paint('green', `The equation holds for ${seriesCount(lines)}: ${equation(lines)}.`)
  const list = broken.map(line => {
    const series = `${accountName(line.account)}, ${printable(line.dimension.name)}`
    return `  ${series}: off by ${formatAmount(difference(line))} ${printable(baseScale(line.dimension).unit)}`
  })
  return [
    paint(
      ['bold', 'red'],
      `THE EQUATION DOES NOT HOLD for ${broken.length} of ${lines.length} series: ${equation(lines)}`,
    ),
    ...list,
    DAMAGED,
  ].join('\n')
}

const seriesCount = ({ length }: readonly unknown[]) => (length === 1 ? 'the one series' : `all ${length} series`)
