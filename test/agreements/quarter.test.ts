import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import { MarketplaceSimulator, startSimulator } from '../../src/simulator/index.ts'
import { ENGINES, type Engine } from '../counters/engines.ts'
import { judge, type Verdict } from './quarter/judge.ts'
import { QUARTER, quarter } from './quarter/script.ts'
import { Wire } from './quarter/wire.ts'
import { simulatorOptions, World } from './quarter/world.ts'

/**
 * A virtual quarter: customers of all identities arrive, register, lapse, renew, move, are suspended and return, and end at
 * whatever second, told late, twice and out of order, or not at all. An oracle, written from AWS's rules and what each does
 * (`quarter/oracle.ts`), knows the bill to the unit. Where it goes by this package's design, and not by AWS's rules alone:
 *
 * - of an agreement nothing is known before it is first told of (an event, a registration, a person): what AWS refuses
 *   then is held at once, and is not asked for again, even where AWS would take it later;
 * - usage is counted by the hour: what is used in it before an agreement begins, or after it ends and before the hour is
 *   frozen, goes with the hour as long as AWS takes any second of it;
 * - what comes after the hour is frozen at an end is held with the next hour as `agreement-ended`, or billed with it where
 *   the customer is back;
 * - of a customer by product code AWS does not tell an end from a suspension: its last hour is billed only if the end is told
 *   in time (a licence's is without); who was told to have ended and not to be back is held;
 * - nothing is sent in the last five minutes in which AWS takes it, and what waits is asked for the last time five minutes
 *   before; of what is refused meanwhile AWS is asked each hour;
 * - of two identities in one hour the one that is frozen first is billed, and the other held as `two-identities`.
 */

/** More of them, from this one on: `QUARTER_RUNS=300 QUARTER_SEED=1000`. */
const SEED = Number(process.env.QUARTER_SEED ?? 1)
const RUNS = Number(process.env.QUARTER_RUNS ?? 2)
const CUSTOMERS = 40
/** On engines that machines share each hour takes longer: some of them do, but for who wants all. */
const ALL = process.env.LEDGER_CHECKS === 'all'
/** In milliseconds, where all of them do. */
const LONGEST = 600_000
const SHARED: readonly (readonly [name: string, engine: string, customers: number])[] = [
  ['PostgreSQL', 'postgresql', ALL ? CUSTOMERS : 3],
  ['DynamoDB', 'dynamodb', ALL ? CUSTOMERS : 1],
]

interface Quarter {
  readonly seed: number
  readonly customers: number
  /** Whether all goes over sockets, through the AWS SDK's clients: metering, registration and the queue of events. */
  readonly wired?: boolean
}

async function live(t: TestContext, engine: Engine, { seed, customers, wired = false }: Quarter): Promise<Verdict> {
  const clock = { now: QUARTER }
  const options = simulatorOptions(seed, clock)
  const place = await engine.ledger(() => clock.now)
  const ledger = await place.open()
  const running = wired ? await startSimulator(options) : undefined
  const wire = running && new Wire(running)
  t.after(async () => {
    await wire?.[Symbol.asyncDispose]()
    await ledger.close()
    await place.dispose()
  })
  const acts = quarter(seed, customers)
  const world = new World(acts, ledger, clock, running?.simulator ?? new MarketplaceSimulator(options), wire)
  await world.live()
  const verdict = await judge(acts, world)
  assert.deepEqual(verdict.faults, [], `seed ${seed}`)
  t.diagnostic(`seed ${seed}: ${JSON.stringify(verdict.fates)}`)
  return verdict
}

const FATES = [
  'billed',
  ...['agreement-ended', 'not-subscribed', 'refused', 'two-identities'].map(why => `held ${why}`),
]

describe('a virtual quarter is billed to the unit, nobody twice, and the rest is held for the right reason', () => {
  test('SQLite', async t => {
    await using engine = await (ENGINES.sqlite as () => Promise<Engine>)()
    const seen = new Set<string>()
    for (let seed = SEED; seed < SEED + RUNS; seed++) {
      await t.test(`seed ${seed}`, async t => {
        for (const fate of Object.keys((await live(t, engine, { seed, customers: CUSTOMERS })).fates)) seen.add(fate)
      })
    }
    assert.deepEqual([...seen].sort(), FATES.toSorted())
  })

  test('SQLite, over the wire: the AWS SDK, and the queue of events', async t => {
    await using engine = await (ENGINES.sqlite as () => Promise<Engine>)()
    await live(t, engine, { seed: SEED + RUNS, customers: CUSTOMERS, wired: true })
  })

  for (const [name, engineName, customers] of SHARED) {
    test(name, ALL ? { timeout: LONGEST } : {}, async t => {
      await using engine = await (ENGINES[engineName] as () => Promise<Engine>)()
      await live(t, engine, { seed: SEED + RUNS + 1, customers })
    })
  }
})
