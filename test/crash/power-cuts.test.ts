import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { cutPower, NORMAL } from './power/cuts.ts'
import { whyNotHere } from './power/recorder.ts'

describe('a power cut', { concurrency: true, skip: whyNotHere() ?? false }, () => {
  test('loses nothing that was acknowledged', async () => {
    const { faults, ...figures } = await cutPower({ cuts: 40, batches: 80, seed: 1 })
    assert.deepEqual(faults, [])
    assert.ok(figures.acknowledged > 0)
    assert.deepEqual(
      { ...figures, acknowledged: 0 },
      { cuts: 40, acknowledged: 0, lost: 0, cutsWithLoss: 0, cutsWithForgottenFacts: 0 },
    )
  })

  test('loses acknowledged batches if SQLite may sync when it likes', async () => {
    const { cutsWithLoss } = await cutPower({ cuts: 15, batches: 80, seed: 1 }, NORMAL)
    assert.ok(cutsWithLoss > 5, `only ${cutsWithLoss} of 15 cuts lost something`)
  })
})
