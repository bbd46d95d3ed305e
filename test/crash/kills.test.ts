import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { killProcesses } from './kill/kills.ts'

describe('kill -9', { concurrency: true }, () => {
  test('loses nothing that was acknowledged, and bills nothing twice', async () => {
    const { faults, lost, twice, kills, acknowledged, billed } = await killProcesses({
      ...{ kills: 15, killsPerStory: 5, seed: 1 },
    })
    assert.deepEqual(faults, [])
    assert.deepEqual({ kills, lost, twice }, { kills: 15, lost: 0, twice: 0 })
    assert.ok(acknowledged > 0 && billed > 0)
  })
})
