import type { TruthLine } from './counter.ts'
import type { Expected } from './stage.ts'

/**
 * exact: each customer is billed what was used, and nothing is held. bounded: no customer more than that, and what is
 * missing is held or told. alarm: it is told loudly, no more is billed than was used, and bystanders exactly.
 */
export type Class = 'exact' | 'bounded' | 'alarm'

/** What a receiver made of a scenario's messages. Amounts are in units of their dimensions. */
export interface Outcome {
  /** By customer and dimension, separated by a space: recorded for the customer, and not held. */
  readonly billed: ReadonlyMap<string, number>
  /** By dimension: kept for a person to decide. */
  readonly held: ReadonlyMap<string, number>
  /** By dimension: said to be neither billed nor held, in the audit trail. */
  readonly told: ReadonlyMap<string, number>
  /** What an operator hears that is more than a baseline. */
  readonly alarms: ReadonlySet<string>
  /** What must never be. */
  readonly faults: readonly string[]
}

export interface Verdict {
  readonly used: number
  readonly billed: number
  readonly held: number
  readonly told: number
  readonly over: number
  readonly under: number
  readonly alarms: readonly string[]
  /** Why it fails; nothing when it does not. */
  readonly faults: readonly string[]
}

/** Amounts are exact to a millionth; sums of their floats are not. */
const EPSILON = 0.001

export const sum = (values: Iterable<number>): number => [...values].reduce((a, b) => a + b, 0)

/** What is billed, beside what was used. */
export function compare(truth: readonly TruthLine[], billed: ReadonlyMap<string, number>) {
  const used = new Map(truth.map(line => [`${line.customer} ${line.dimension}`, line.used]))
  const differences = new Map<string, number>()
  for (const series of new Set([...used.keys(), ...billed.keys()])) {
    const difference = (billed.get(series) ?? 0) - (used.get(series) ?? 0)
    if (Math.abs(difference) > EPSILON) differences.set(series, difference)
  }
  return {
    used: sum(used.values()),
    billed: sum(billed.values()),
    differences,
    over: sum([...differences.values()].filter(difference => difference > 0)),
    under: -sum([...differences.values()].filter(difference => difference < 0)),
  }
}

export function judge(klass: Class, truth: readonly TruthLine[], outcome: Outcome, expected: Expected = {}): Verdict {
  const { used, billed, differences, over, under } = compare(truth, outcome.billed)
  const [held, told] = [sum(outcome.held.values()), sum(outcome.told.values())]
  const faults = [...outcome.faults]
  const { bound = 1, bystanders = [], mustTell = false } = expected
  if (klass === 'exact') {
    if (over > 0) faults.push('billed too much')
    if (under > 0) faults.push('billed too little')
    if (held > EPSILON) faults.push('held')
  } else {
    if (klass === 'alarm' ? billed > bound * used + EPSILON : over > 0) faults.push('billed too much')
    // What several writers made of one series has no amount.
    const { blind = 0 } = expected
    if (klass === 'bounded' && silent(truth, differences, outcome) > blind + EPSILON) faults.push('silent')
    if ((klass === 'alarm' || mustTell) && outcome.alarms.size === 0) faults.push('no alarm')
    for (const customer of bystanders) {
      if ([...differences.keys()].some(series => series.startsWith(customer)))
        faults.push('a bystander is billed wrong')
    }
  }
  return { used, billed, held, told, over, under, alarms: [...outcome.alarms], faults }
}

/** What is missing from the bill, and neither held nor told. What was used before metering began is rightly told, too. */
function silent(
  truth: readonly TruthLine[],
  differences: ReadonlyMap<string, number>,
  { held, told }: Outcome,
): number {
  return sum(
    [...new Set(truth.map(({ dimension }) => dimension))].map(dimension => {
      const missing = -sum(
        [...differences].filter(([key, by]) => key.endsWith(` ${dimension}`) && by < 0).map(([, by]) => by),
      )
      const before = sum(truth.filter(line => line.dimension === dimension).map(line => line.before))
      const explained = (held.get(dimension) ?? 0) + Math.max(0, (told.get(dimension) ?? 0) - before)
      return Math.max(0, missing - explained)
    }),
  )
}
