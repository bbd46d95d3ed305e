import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { type TestContext, test } from 'node:test'
import { DiagLogLevel, diag } from '@opentelemetry/api'
import { AWSMarketplaceMetricExporter } from '../../src/exporter.ts'
import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import { HttpMeteringClient } from '../../src/marketplace/index.ts'
import { nodeFinding, warningsAtStart } from '../../src/metering/preflight/surroundings.ts'
import { startSimulator } from '../../src/simulator/index.ts'
import { TemporaryFolder } from '../ledger/sqlite-under-test.ts'
import { customer, HOUR, MINUTE, PRODUCT, REQUESTS } from './support.ts'

/** What is told by the log. */
function logged(t: TestContext): string[] {
  const lines: string[] = []
  const log = (level: string) => (message: string) => lines.push(`${level} ${message}`)
  const logger = {
    error: log('error'),
    warn: log('warn'),
    info: log('info'),
    debug: log('debug'),
    verbose: log('verbose'),
  }
  diag.setLogger(logger, { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true })
  t.after(() => diag.disable())
  return lines
}

test("an exporter's first pass warns of its region and of the ledger's clock, and AWS's first answer of AWS's", async t => {
  const lines = logged(t)
  const region = 'us-gov-west-1'
  const running = await startSimulator({ wallClock: () => Date.now() - 3 * MINUTE })
  t.after(() => running.close())
  const folder = new TemporaryFolder()
  t.after(() => folder[Symbol.dispose]())
  const ledger = new SqliteLedger({ path: folder.file() })
  t.after(() => ledger.close())
  const dimension = { ...REQUESTS, name: 'inference-requests' }
  await ledger.register([dimension])
  const hour = Math.floor(Date.now() / HOUR) * HOUR - 2 * HOUR
  const entries = [{ account: customer(1), dimension: dimension.name, hour, amount: 5_000_000n }]
  await ledger.append({ writer: 'a'.repeat(32), sequence: 1, entries })
  // As that of an engine which machines share.
  const takeTurns = async (...[, , , now]: [string, number, number, number]) => now
  const clock = { now: async (here: number) => here - 7 * MINUTE, takeTurns }
  Object.defineProperty(ledger, 'clock', { value: clock })
  const credentials = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'secret' }
  const client = new HttpMeteringClient({ region, endpoint: running.url, credentials })
  const exporter = new AWSMarketplaceMetricExporter({ productCode: PRODUCT, region, client, ledger, closeDelay: 0 })
  await exporter.forceFlush()
  const { billed, requests } = { billed: running.simulator.billed(), requests: running.simulator.requests() }
  assert.deepEqual([requests.length, billed.map(({ quantity }) => quantity)], [1, [5]])
  const text = lines.join('\n')
  assert.match(text, /^error AWS takes no usage records in us-gov-west-1: GovCloud has no BatchMeterUsage\. Meter in /m)
  assert.match(text, /^error This machine's clock is 7 min ahead of the ledger's: set it\. Let a time service/m)
  const told = lines.filter(line => /This machine's clock is (2 min 5\d s|3 min) ahead of AWS's: set it/.test(line))
  assert.equal(told.length, 1, lines.join('\n'))
  await exporter.shutdown()
})

test('a region that is served and clocks that agree are no warning', () => {
  assert.deepEqual(warningsAtStart('eu-central-1', MINUTE - 1), [])
  assert.deepEqual(warningsAtStart('cn-northwest-1', 1 - MINUTE), [])
  assert.deepEqual(
    warningsAtStart('mars-1', -MINUTE).map(({ name, state }) => [name, state]),
    [
      ['region', 'warning'],
      ["ledger's clock", 'warning'],
    ],
  )
})

test('the releases of Node.js are those that package.json names', () => {
  const { engines } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  assert.equal(engines.node, '^22.22.3 || ^24.15.0 || >=26.0.0')
  const stateOf = (node: string) => nodeFinding({ node, sqlite: '3.51.3' }).state
  assert.deepEqual(
    ['22.22.3', '22.30.0', '24.15.0', '26.0.0', '27.1.0', '30.0.0'].map(stateOf),
    Array.from({ length: 6 }, () => 'ok'),
  )
  assert.deepEqual(
    ['20.19.0', '22.22.2', '22.9.9', '23.11.0', '24.14.9', '25.0.0'].map(stateOf),
    Array.from({ length: 6 }, () => 'warning'),
  )
})
