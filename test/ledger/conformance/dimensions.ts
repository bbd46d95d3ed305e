import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { ALICE, BY, closing, GPU, METERED, REFUSED, TOKENS, UNIT } from '../scene.ts'
import { code, type Scenario } from './scenario.ts'

export function dimensions(name: string, scenario: Scenario): void {
  describe(`${name}: dimensions`, () => {
    scenario('a changed size never rebills', async scene => {
      await scene.use(ALICE, TOKENS, 0, 2700)
      await scene.close(0)
      await scene.ledger.register([{ ...TOKENS, size: 100n * UNIT }])
      assert.equal(await scene.equation(ALICE, TOKENS), '2700 = 0 + 2000 + 0 + 700')
      await scene.close(1)
      assert.deepEqual(await scene.history(ALICE, TOKENS), ['1:7 pending', '0:2 pending'])
      await scene.ledger.register([{ ...TOKENS, size: 5000n * UNIT }])
      await scene.use(ALICE, TOKENS, 2, 5300)
      await scene.close(2)
      await scene.send(METERED, closing(2))
      assert.equal(await scene.equation(ALICE, TOKENS), '8000 = 7700 + 0 + 0 + 300')
    })

    scenario('a changed size does not change what a held record is worth', async scene => {
      await scene.use(ALICE, TOKENS, 0, 3000)
      await scene.close(0)
      await scene.send(REFUSED, closing(0))
      await scene.ledger.register([{ ...TOKENS, size: 1n * UNIT }])
      await scene.ledger.decide((await scene.only('held')).id, 'release', BY)
      await scene.close(1)
      assert.deepEqual(await scene.history(ALICE, TOKENS), ['1:3000 pending', '0:3 returned refused'])
    })

    scenario('a changed base unit is refused, and nothing of that call is taken', async scene => {
      const changed = { ...GPU, unit: '{request}', baseUnit: '1' } as const
      await assert.rejects(scene.ledger.register([{ ...TOKENS, size: 1n }, changed]), code('ERR_LEDGER_INVALID'))
      await scene.use(ALICE, TOKENS, 0, 1)
      const [line] = await scene.ledger.statement()
      assert.deepEqual(line?.dimension, TOKENS)
    })

    scenario('a size of nothing is refused', async scene => {
      for (const size of [0n, -1n]) {
        await assert.rejects(scene.ledger.register([{ ...TOKENS, size }]), code('ERR_LEDGER_INVALID'))
      }
    })
  })
}
