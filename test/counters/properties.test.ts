import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  type Composition,
  composition,
  customersOf,
  deliveriesOf,
  isProven,
  messagesOf,
  restartsOf,
} from './composition.ts'
import { truthOf } from './counter.ts'
import { ENGINES } from './engines.ts'
import { FOUND } from './found.ts'
import { bill } from './gateway.ts'
import { compare, judge, sum } from './judge.ts'
import { Stage } from './stage.ts'

/** With the same seed the same compositions. */
const SEED = Number(process.env.PROPERTY_SEED ?? 20_260_909)
const RUNS = Number(process.env.COUNTER_RUNS ?? 25)

test('however requests are cut, repeated, shuffled and spread, what is proven is billed, and never more than was used', async () => {
  await using engine = await (ENGINES.sqlite as (typeof ENGINES)[string])()
  const check = async ({ seed, writers, transports }: Composition) => {
    const bills: ReadonlyMap<string, number>[] = []
    const proven = writers.flatMap((writer, index) => (isProven(writer) ? customersOf(index) : []))
    for (const transport of transports) {
      // The same seed: the same is counted on both ways.
      const stage = new Stage(seed)
      const messages = writers.flatMap((writer, index) => messagesOf(stage, writer, index))
      const deliveries = deliveriesOf(
        stage,
        messages.sort((a, b) => a.at - b.at),
        transport,
      )
      const told = deliveries.flatMap(({ points }) => points.flatMap(({ tells }) => tells ?? []))
      const truth = truthOf(stage.counters, told, () => stage.begins)
      const { gateways } = transport
      const outcome = await bill(engine, stage.begins, { deliveries, gateways, restarts: restartsOf(stage, transport) })
      const { differences } = compare(truth, outcome.billed)
      assert.deepEqual(outcome.faults, [])
      const wrong = [...differences].filter(([series]) => proven.some(customer => series.startsWith(customer)))
      assert.deepEqual(wrong, [], 'what is proven is billed otherwise')
      for (const [index, writer] of writers.entries()) {
        if (isProven(writer)) continue
        const own = customersOf(index)
        const difference = sum(
          [...differences].filter(([series]) => own.some(one => series.startsWith(one))).map(([, by]) => by),
        )
        assert.ok(difference < 0.001, `${difference} more than was used is billed of what is not proven`)
      }
      const klass = writers.every(isProven) ? 'exact' : 'alarm'
      assert.deepEqual(judge(klass, truth, outcome).faults, [])
      bills.push(
        new Map([...outcome.billed].filter(([series]) => proven.some(customer => series.startsWith(customer))).sort()),
      )
    }
    assert.deepEqual(bills[0], bills[1], 'another way, another bill')
  }
  await fc.assert(fc.asyncProperty(composition, check), {
    ...{ seed: SEED, numRuns: RUNS, examples: FOUND.map(one => [one]) },
    endOnFailure: process.env.PROPERTY_SHRINK === '0',
  })
})
