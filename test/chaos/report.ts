import { Table } from 'console-table-printer'
import { formatAmount } from '../../src/usage/amount.ts'
import { DIMENSIONS, PER_DOLLAR, PRICES } from './dimensions.ts'
import { Plan, type PlanOptions } from './plan.ts'
import type { Figures, Outcome } from './strategy.ts'

const NAMES = ['recorded', 'included', 'billed', 'held', 'balance', 'lost', 'twice'] as const
type Values = Record<(typeof NAMES)[number], bigint>

/** All dimensions in one unit: millionths of a millionth of a dollar. */
function worth(figures: readonly Figures[]): Values {
  const sum = (name: keyof Figures) =>
    figures.reduce((total, one, dimension) => total + one[name] * (PRICES[dimension] as bigint), 0n)
  return Object.fromEntries(NAMES.map(name => [name, sum(name)])) as Values
}

const dollars = (value: bigint): number => Number(value) / Number(PER_DOLLAR)

/** Rounded to a thousandth of a per cent, but nothing that is there is shown as nothing, and only all as all. */
function share(part: bigint, whole: bigint): string {
  if (part === 0n || part === whole) return part === 0n ? '0' : '100 %'
  const percent = (Number(part) / Number(whole)) * 100
  return percent < 0.001
    ? '< 0.001 %'
    : `${Math.min(percent, 99.999).toFixed(percent < 0.1 || percent > 99.9 ? 3 : 1)} %`
}

const reasonsOf = ({ heldBy }: Outcome): Record<string, bigint> => {
  const reasons: Record<string, bigint> = {}
  for (const [dimension, amounts] of heldBy.entries()) {
    for (const [reason, amount] of Object.entries(amounts)) {
      reasons[reason] = (reasons[reason] ?? 0n) + amount * (PRICES[dimension] as bigint)
    }
  }
  return reasons
}

/** The month as a table for a person. */
export function print(options: PlanOptions, outcomes: ReadonlyMap<string, Outcome>): void {
  const table = new Table({
    shouldDisableColors: !process.stdout.isTTY,
    columns: [
      { name: 'strategy', alignment: 'left' },
      ...['included', 'billed', 'held', 'balance', 'lost', 'billed twice', ...DIMENSIONS].map(name => ({
        ...{ name, alignment: 'right' },
        ...(DIMENSIONS.includes(name as (typeof DIMENSIONS)[number]) && { title: `billed of ${name}` }),
      })),
    ],
  })
  for (const [strategy, { figures }] of outcomes) {
    const all = worth(figures)
    table.addRow({
      strategy,
      ...Object.fromEntries(NAMES.slice(1, 6).map(name => [name, share(all[name], all.recorded)])),
      'billed twice': share(all.twice, all.recorded),
      ...Object.fromEntries(figures.map((one, at) => [DIMENSIONS[at], share(one.billed, one.recorded)])),
    })
  }
  const { counts } = new Plan(options)
  const things = Object.entries(counts).map(([name, count]) => `${count} ${name}`)
  console.log(`${options.days} days, ${options.customers} customers, seed ${options.seed}: ${things.join(', ')}.`)
  table.printTable()
  console.log('Shares are of the usage in dollars. balance: fractions of a unit, which go out with what comes next.')
  for (const [name, outcome] of outcomes) {
    const reasons = Object.entries(reasonsOf(outcome))
    if (reasons.length === 0) continue
    const { recorded } = worth(outcome.figures)
    console.log(
      `Held by ${name}: ${reasons.map(([reason, amount]) => `${share(amount, recorded)} ${reason}`).join(', ')}.`,
    )
  }
  for (const [name, { counts }] of outcomes) {
    const things = Object.entries(counts).map(([what, count]) => `${count.toLocaleString('en-US')} ${what}`)
    console.log(`${name}: ${things.join(', ')}.`)
  }
}

/** The same as one object: in dollars, and exactly for each dimension, in its base unit. */
export function asObject(options: PlanOptions, outcomes: ReadonlyMap<string, Outcome>, violations: readonly string[]) {
  const strategies = [...outcomes].map(([name, outcome]) => ({
    name,
    ...inNumbers(worth(outcome.figures), dollars),
    heldBy: inNumbers(reasonsOf(outcome), dollars),
    dimensions: DIMENSIONS.map((dimension, at) => ({
      name: dimension,
      ...inNumbers({ ...(outcome.figures[at] as Figures) }, formatAmount),
    })),
    counts: outcome.counts,
  }))
  return { ...options, unit: 'dollar', happened: new Plan(options).counts, strategies, violations }
}

function inNumbers<Value>(
  values: Readonly<Record<string, bigint>>,
  show: (value: bigint) => Value,
): Record<string, Value> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, show(value)]))
}
