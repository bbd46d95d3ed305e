import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { ENGINES } from './engines.ts'
import { live } from './lab.ts'
import { SCENARIOS } from './scenarios/index.ts'
import { Stage } from './stage.ts'

/** Situations of more requests are left to `npm run counters`: most of them have a smaller one beside them. */
const MOST_REQUESTS = 80
const SEED = 1

describe('what a counter is', async () => {
  const engine = await (ENGINES.sqlite as (typeof ENGINES)[string])()
  after(() => engine[Symbol.asyncDispose]())
  for (const scenario of SCENARIOS) {
    const { name, make, class: klass } = scenario
    if (make(new Stage(SEED)).deliveries.length > MOST_REQUESTS) continue
    test(`${klass}: ${name}`, async () => {
      const { faults, used, billed, held, told } = await live(engine, scenario, SEED)
      assert.deepEqual(faults, [], `used ${used}, billed ${billed}, held ${held}, told ${told}`)
    })
  }
})

test('each situation has a name of its own, and the same seed makes it again', () => {
  assert.equal(new Set(SCENARIOS.map(({ name }) => name)).size, SCENARIOS.length)
  for (const { make, name } of SCENARIOS) {
    const [one, again, other] = [5, 5, 6].map(seed => times(make(new Stage(seed)).deliveries))
    assert.deepEqual(one, again, name)
    assert.notDeepEqual(one, other, name)
  }
})

const times = (deliveries: readonly { readonly at: number }[]) => deliveries.map(({ at }) => at)
