import { hash } from 'node:crypto'
import { truthOf } from './counter.ts'
import type { Engine } from './engines.ts'
import { bill } from './gateway.ts'
import { type Class, compare, judge, type Verdict } from './judge.ts'
import { adding } from './naive/adding.ts'
import { cumulativeToDelta } from './naive/cumulative-to-delta.ts'
import { increase } from './naive/increase.ts'
import { billOf } from './naive/receiver.ts'
import type { Scenario } from './scenarios/scenario.ts'
import { Stage } from './stage.ts'

export const NAIVE = [increase, cumulativeToDelta, adding]

export interface Result extends Verdict {
  readonly name: string
  readonly class: Class
  readonly verdict: 'pass' | 'fail'
  /** Of each naive receiver: what it bills too much and too little; undefined where it is not for such points. */
  readonly naive: Readonly<Record<string, { readonly over: number; readonly under: number } | undefined>>
}

/** A scenario of a seed, through real gateways and through what others have. */
export async function live(engine: Engine, { name, class: klass, make }: Scenario, seed: number): Promise<Result> {
  const stage = new Stage(seedOf(name, seed))
  const course = make(stage)
  const told = course.deliveries.flatMap(({ points }) => points.flatMap(({ tells }) => tells ?? []))
  const soldSince = (dimension: string) =>
    course.dimensions?.includes(dimension) === false
      ? (course.restarts?.find(({ dimensions }) => dimensions?.includes(dimension))?.at ?? Number.POSITIVE_INFINITY)
      : stage.begins
  const truth = truthOf(stage.counters, told, soldSince)
  const verdict = judge(klass, truth, await bill(engine, stage.begins, course), course.expected)
  const naive = NAIVE.map(receiver => {
    const billed = billOf(receiver, course.deliveries, stage.begins)
    if (billed === undefined) return [receiver.name, undefined]
    const { over, under } = compare(truth, billed)
    return [receiver.name, { over, under }]
  })
  return {
    ...{ name, class: klass, ...verdict },
    ...{ verdict: verdict.faults.length === 0 ? 'pass' : 'fail', naive: Object.fromEntries(naive) },
  }
}

/** Situations that are made alike have other traffic all the same. */
const seedOf = (name: string, seed: number): number => hash('md5', `${name} ${seed}`, 'buffer').readUInt32LE()
