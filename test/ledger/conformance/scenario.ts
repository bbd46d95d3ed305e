import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LedgerError, type LedgerErrorCode } from '../../../src/ledger/errors.ts'
import { HOUR } from '../../../src/ledger/hours.ts'
import {
  ALICE,
  CAROL,
  closing,
  DIMENSIONS,
  type LedgerUnderTest,
  METERED,
  REQUESTS,
  Scene,
  START,
  sources,
} from '../scene.ts'

export const DAY = 24 * HOUR

type Test = (title: string, play: (scene: Scene) => Promise<void>) => void

/** A test with a scene of its own. */
export interface Scenario extends Test {
  /** Of what the rules alone decide, of what an engine has kept in other scenarios too: not for each engine. */
  readonly ofRules: Test
}

/** @param all whether those of rules are played, too */
export function scenarios(open: () => Promise<LedgerUnderTest>, all: boolean): Scenario {
  const scenario: Test = (title, play) => {
    test(title, async () => {
      await using scene = await Scene.begin(open)
      await play(scene)
    })
  }
  return Object.assign(scenario, { ofRules: all ? scenario : () => {} })
}

/** With others' counters: a gateway has registered. */
export function counting(scenario: Scenario): Scenario {
  const registered =
    (scenario: Test): Test =>
    (title, play) =>
      scenario(title, async scene => {
        await scene.ledger.register(DIMENSIONS, sources(ALICE.product, START))
        await play(scene)
      })
  return Object.assign(registered(scenario), { ofRules: registered(scenario.ofRules) })
}

export const code = (code: LedgerErrorCode) => (error: unknown) => {
  assert.ok(error instanceof LedgerError, `expected a LedgerError, got ${error}`)
  assert.equal(error.code, code, error.message)
  return true
}

/** AWS bills a customer of its own for an hour, as it goes on to do: what was billed last is what pruning goes by. */
export async function billedIn(scene: Scene, n: number, amount = 1): Promise<void> {
  await scene.use(CAROL, REQUESTS, n, amount)
  await scene.close(n)
  await scene.send(METERED, closing(n))
}
