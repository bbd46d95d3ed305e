import assert from 'node:assert/strict'
import { describe } from 'node:test'
import type { Ledger } from '../../../src/ledger/ledger.ts'
import type { MeteringClient } from '../../../src/marketplace/client.ts'
import { decideEndpoint, EndpointGuard, Endpoints } from '../../../src/metering/endpoints.ts'
import { BY, hour, REGION } from '../scene.ts'
import type { Scenario } from './scenario.ts'

const clientAt = (endpoint: string): MeteringClient => ({ endpoint, batchMeterUsage: async () => ({}) })
const AWS = clientAt(`https://metering.marketplace.${REGION}.amazonaws.com`)
const SIMULATOR = clientAt('http://127.0.0.1:8480')

export function endpoints(name: string, scenario: Scenario): void {
  const guardOf = (ledger: Pick<Ledger, 'audit' | 'note'>) => new EndpointGuard(ledger, () => hour(1))

  describe(`${name}: where records go`, () => {
    scenario('is remembered, also of two that begin at once, and by all the same', async scene => {
      const ledgers = [scene.ledger, await scene.another()]
      const { promise: both, resolve } = Promise.withResolvers<void>()
      let reached = 0
      // Neither knows of the other when it notes where it sends.
      const guards = ledgers.map(ledger =>
        guardOf({
          audit: query => ledger.audit(query),
          note: async note => {
            reached += 1
            if (reached === 2) resolve()
            await both
            await ledger.note(note)
          },
        }),
      )
      const look = () => Promise.all([guards[0]?.look(REGION, AWS, true), guards[1]?.look(REGION, SIMULATOR, true)])
      const found = await look()
      assert.equal(found.filter(finding => finding === undefined).length, 1, JSON.stringify(found))
      assert.deepEqual(await look(), found)
      const [first] = (await scene.ledger.audit({ actions: ['endpoint'] })).filter(({ number }) => number === 1)
      const isAws = first?.detail === `${REGION} aws`
      assert.equal(found[isAws ? 0 : 1], undefined, first?.detail)
      // Who comes later, from another region even, goes by the same.
      const third = guardOf(await scene.another())
      assert.equal((await third.look('eu-west-1', isAws ? AWS : SIMULATOR, true))?.message, undefined)
      assert.match(
        (await third.look(REGION, isAws ? SIMULATOR : AWS, true))?.message ?? '',
        /so it freezes and sends none/,
      )
    })

    scenario('is what a person decided last, of a region or of all', async scene => {
      const guard = guardOf(scene.ledger)
      const says = async (region = REGION) => (await new Endpoints(scene.ledger).read()).of(region)?.endpoint
      assert.equal(await guard.look(REGION, AWS, false), undefined)
      assert.equal(await says(), undefined, 'nothing is sent yet')
      assert.equal(await guard.look(REGION, AWS, true), undefined)
      assert.equal(await says(), 'aws')
      await decideEndpoint(await scene.another(), 'localhost', REGION, BY)
      assert.deepEqual([await says(), await says('eu-west-1')], ['localhost', 'aws'])
      assert.match((await guard.look(REGION, AWS, false))?.message ?? '', /go to localhost \(ops, .* sends to AWS/)
      await decideEndpoint(scene.ledger, 'proxy.internal:8443', undefined, BY)
      assert.deepEqual([await says(), await says('eu-west-1')], ['proxy.internal:8443', 'proxy.internal:8443'])
      await decideEndpoint(scene.ledger, 'aws', undefined, BY)
      assert.equal(await guard.look(REGION, AWS, false), undefined)
    })
  })
}
