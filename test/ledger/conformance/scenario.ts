import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LedgerError, type LedgerErrorCode } from '../../../src/ledger/errors.ts'
import { HOUR } from '../../../src/ledger/hours.ts'
import { CAROL, closing, type LedgerUnderTest, METERED, REQUESTS, Scene } from '../scene.ts'

export const DAY = 24 * HOUR

/** A test with a scene of its own. */
export type Scenario = (title: string, play: (scene: Scene) => Promise<void>) => void

export function scenarios(open: () => Promise<LedgerUnderTest>): Scenario {
  return (title, play) => {
    test(title, async () => {
      await using scene = await Scene.begin(open)
      await play(scene)
    })
  }
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
