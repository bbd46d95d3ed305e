import { execFileSync } from 'node:child_process'
import { Gateway } from '../../src/gateway/gateway.ts'
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
  /** How many milliseconds the library takes to decode this, and nothing else. */
  | { readonly what: 'decode'; readonly body: Uint8Array }
  /** How many bytes JavaScript holds. */
  | { readonly what: 'memory' }
export type Answer = string | number

// On one core, of the two that the benchmarks keep to.
execFileSync('taskset', ['--all-tasks', '--cpu-list', '--pid', '1', String(process.pid)], { stdio: 'ignore' })

const ledger = new SqliteLedger({ path: `${temporaryFolder()}/ledger.sqlite` })
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
  collectGarbage()
  const begun = performance.now()
  Request.decode(question.body)
  return performance.now() - begun
})

function memory(): number {
  for (let round = 0; round < 3; round++) collectGarbage()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
