import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { billingViews, inferenceInstruments } from '../../src/index.ts'
import { PostgresqlLedgers } from '../ledger/postgresql/under-test.ts'
import * as sdk2 from '../sdk-metrics-2/newest.ts'
import { M, measure, PRODUCT, recorded, SDKS, type Sdk, START, saidDuring, world } from './support.ts'

/** A reader with `maxExportBatchSize` hands a collection over in parts. The oldest SDK that is supported has no such option. */

const GENERATIONS = Object.entries({ ...SDKS, 'sdk-metrics 2.12': sdk2 as unknown as Sdk }).filter(
  ([name]) => name !== 'sdk-metrics 2.7',
)
const accounts = Array.from({ length: 500 }, (_, index) => String(999_900_000_000 + index))

let engine: Promise<PostgresqlLedgers> | undefined
after(async () => (await engine)?.[Symbol.asyncDispose]())

for (const [generation, sdk] of GENERATIONS) {
  test(`parts that a ledger does not take in time are all kept (${generation})`, async t => {
    engine ??= PostgresqlLedgers.shared()
    const { pool, schema, open } = await engine.then(engine => ({
      ...{ pool: engine.pool, schema: engine.schema() },
      open: engine.open.bind(engine),
    }))
    const ledger = await open(schema, { now: () => START })
    t.after(() => ledger.close())
    const { exporter } = world(t, { wrap: () => ledger })
    let exports = 0
    const pass = exporter.export.bind(exporter)
    exporter.export = (...parameters) => {
      exports++
      pass(...parameters)
    }
    const reader = { maxExportBatchSize: 100, exportTimeoutMillis: 30_000 }
    const { meter, collect } = measure(t, sdk, exporter, reader)
    const { tokens } = inferenceInstruments(meter)

    /** A collection of 500 customers, while the ledger hangs until all of it was handed over. */
    const collectWhileItHangs = async (amount: number, wait: number) => {
      const other = await pool.connect()
      await other.query(`BEGIN; LOCK TABLE "${schema}".journal`)
      // What takes so long is over at once; the database's own timers, and the reader's 30 seconds, are as they are.
      const { setTimeout: real } = globalThis
      const sooner = t.mock.method(globalThis, 'setTimeout', ((run: () => void, delay: number) =>
        real(run, delay === wait ? 0 : delay)) as typeof setTimeout)
      exports = 0
      for (const accountId of accounts) tokens.add(amount, { 'marketplace.customer.account_id': accountId })
      const collected = collect()
      while (exports < 5 && !t.signal.aborted) await new Promise(setImmediate)
      sooner.mock.restore()
      await other.query('ROLLBACK')
      other.release()
      await collected
    }
    const said = await saidDuring(async () => {
      // Nobody knows of the first part that there are others.
      await collectWhileItHangs(1, 5000)
      await collectWhileItHangs(10, 500)
    })
    assert.deepEqual(
      Object.values(await recorded(ledger)),
      accounts.map(() => 11n * M),
    )
    assert.equal(said.filter(message => /^warn: The reader has maxExportBatchSize\./.test(message)).length, 1)
    assert.match(
      said.join('\n'),
      /^error: Usage is kept in memory until the ledger takes it: the ledger does not answer$/m,
    )
  })

  test(`views and their controls hold for all parts together (${generation})`, async t => {
    const { exporter, ledger } = world(t)
    const views = billingViews({ productCode: PRODUCT })
    const { meter, collect } = measure(t, sdk, exporter, { views, maxExportBatchSize: 30 })
    const { tokens } = inferenceInstruments(meter)
    const some = accounts.slice(0, 70)
    const said = await saidDuring(async () => {
      for (const amount of [2, 3]) {
        for (const accountId of some) tokens.add(amount, { 'marketplace.customer.account_id': accountId })
        await collect()
      }
    })
    assert.deepEqual(
      Object.values(await recorded(ledger)),
      some.map(() => 5n * M),
    )
    assert.deepEqual(
      said.filter(message => /^(warn|error)/.test(message) && !/maxExportBatchSize/.test(message)),
      [],
    )
  })

  test(`what another view doubled before its control came is told at once (${generation})`, async t => {
    const { exporter, ledger } = world(t)
    const views = [...billingViews({ productCode: PRODUCT }), { instrumentName: '*' }]
    const { meter, collect } = measure(t, sdk, exporter, { views, maxExportBatchSize: 30 })
    const { tokens } = inferenceInstruments(meter)
    const some = accounts.slice(0, 60)
    const tell = async () => {
      for (const accountId of some) tokens.add(1, { 'marketplace.customer.account_id': accountId })
      await collect()
    }
    const isTold = (message: string) => /^warn: marketplace\.inference\.tokens .* BILLED SEVERAL TIMES/.test(message)
    // The control is alone in the last part.
    assert.equal((await saidDuring(tell)).filter(isTold).length, 1)
    assert.deepEqual((await saidDuring(tell)).filter(isTold), [])
    assert.deepEqual(
      Object.values(await recorded(ledger)),
      some.map(() => 3n * M),
    )
  })
}
