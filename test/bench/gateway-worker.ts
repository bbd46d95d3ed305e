import { execFileSync } from 'node:child_process'
import { Gateway } from '../../src/gateway/gateway.ts'
import { PostgresqlLedger } from '../../src/ledger/postgresql/ledger.ts'
import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import { TOKENS_PROCESSED } from '../../src/usage/instruments.ts'
import { Request } from '../gateway/otlp/proto.ts'
import { answerWith, collectGarbage } from './child.ts'
import { temporaryFolder } from './folder.ts'
import { BEGAN } from './gateway-points.ts'

/** What the gateway's process is asked, and what it answers with. */
export type Question =
  /** Where it listens. */
  | { readonly what: 'address' }
  /** How many milliseconds the library takes to decode this, and nothing else; without `collect` as its process runs on. */
  | { readonly what: 'decode'; readonly body: Uint8Array; readonly collect: boolean }
  /** How many bytes JavaScript holds. */
  | { readonly what: 'memory' }
export type Answer = string | number

/** Which core it keeps to, of the two that the benchmarks do; and its ledger, a file of its own by default. */
const [core = '1', address = `${temporaryFolder()}/ledger.sqlite`] = process.argv.slice(2)
execFileSync('taskset', ['--all-tasks', '--cpu-list', '--pid', core, String(process.pid)], { stdio: 'ignore' })

const ledger = address.startsWith('postgresql:')
  ? await PostgresqlLedger.open({ connectionString: address })
  : new SqliteLedger({ path: address })
// It has been metering since before the points began.
await ledger.register([{ name: TOKENS_PROCESSED, unit: '{token}', baseUnit: '1', size: 1_000_000n }], {
  product: 'prod-bench',
  now: BEGAN - 1,
  metrics: [{ dimension: TOKENS_PROCESSED, metric: 'marketplace.inference.tokens' }],
})
const gateway = await Gateway.start({
  productCode: 'prod-bench',
  region: 'us-east-1',
  dimensions: { [TOKENS_PROCESSED]: { unit: '{token}', from: 'marketplace.tokens' } },
  ledger,
  http: { port: 0, maxBodyBytes: 256 * 1024 * 1024 },
  // An hour that turns during the run would be frozen and sent in the middle of a measurement.
  now: () => BEGAN + 30 * 60_000,
  client: { batchMeterUsage: () => Promise.reject(new Error('nothing is due')) },
})

answerWith<Question, Answer>(async question => {
  if (question.what === 'address') return gateway.addresses.http as string
  if (question.what === 'memory') return memory()
  if (question.collect) collectGarbage()
  const begun = performance.now()
  Request.decode(question.body)
  return performance.now() - begun
})

function memory(): number {
  for (let round = 0; round < 3; round++) collectGarbage()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
