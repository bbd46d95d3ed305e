import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import { Pacer } from '../../src/metering/pacer.ts'
import { MarketplaceSimulator, simulatorClient } from '../../src/simulator/index.ts'
import { VirtualClock } from '../metering/support.ts'
import { temporaryFolder } from './folder.ts'
import { assertDrained, BATCH, cycleOf, makeDue, NOW, REGION } from './metering.ts'
import type { Benchmark } from './row.ts'

const NAME = 'draining under the quota'
const RECORDS = 25_000
const REQUESTS_PER_SECOND = 10
/** How long AWS takes to answer, in milliseconds. */
const LATENCY = 150

/** What goes out in a second of a clock that the cycle, its pacer and the simulator's quota share. */
export const quota: Benchmark = {
  rows: [NAME],
  async run() {
    const clock = new VirtualClock()
    const now = () => NOW + clock.now()
    const simulator = new MarketplaceSimulator({ now, seed: 1, quota: REQUESTS_PER_SECOND })
    const inner = simulatorClient(simulator, { region: REGION })
    let throttled = 0
    let requests = 0
    const ledger = new SqliteLedger({ path: `${temporaryFolder()}/ledger.sqlite` })
    await makeDue(ledger, RECORDS, 'prod-bench')
    const begun = clock.now()
    const cycle = cycleOf({
      ledger,
      now,
      pacer: new Pacer(REQUESTS_PER_SECOND, clock),
      client: {
        async batchMeterUsage(request) {
          requests += 1
          await clock.sleep(LATENCY)
          try {
            return await inner.batchMeterUsage(request)
          } catch (error) {
            if ((error as Error).name === 'ThrottlingException') throttled += 1
            throw error
          }
        },
      },
    })
    await cycle.pass()
    const rate = RECORDS / ((clock.now() - begun) / 1000)
    if (throttled === 0) await assertDrained(ledger)
    await ledger.close()
    const most = REQUESTS_PER_SECOND * BATCH
    return [
      {
        name: NAME,
        against: `${REQUESTS_PER_SECOND} requests of ${BATCH} records a second`,
        ours: `${rate.toFixed(1)}/s`,
        theirs: `${most}/s`,
        // A throttled request is a miss, however fast the others are.
        ratio: throttled > 0 ? 0 : rate / most,
        limit: 0.98,
        aim: 0.995,
        better: 'higher',
        note: `${requests} requests, ${throttled} throttled, on a virtual clock, answered after ${LATENCY} ms`,
      },
    ]
  },
}
