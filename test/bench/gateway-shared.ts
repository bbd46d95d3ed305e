import { PostgresqlServer } from '../ledger/postgresql/server.ts'
import { temporaryFolder } from './folder.ts'
import { mostOf, requestsOf, SENDERS, SMALL, startGateway } from './gateway-sender.ts'
import type { Benchmark } from './row.ts'
import { median, medianRatio } from './statistics.ts'

const NAMES = [
  'gateway: two processes on one SQLite file, against one',
  'gateway: two processes on PostgreSQL, against one',
] as const
const WARM_UP = 10
const ROUNDS = 5
const EXPORTS = 20

/** Whether a second process takes more: each has a core, of which the senders and PostgreSQL take their share. */
export const gatewayShared: Benchmark = {
  rows: NAMES,
  async run() {
    await using server = await PostgresqlServer.start({ durable: true })
    const file = `${temporaryFolder()}/ledger.sqlite`
    const rows = []
    for (const [name, address] of [
      [NAMES[0], file],
      [NAMES[1], server.connectionString],
    ] as const) {
      const { one, two } = await compare(address)
      const points = (rates: readonly number[]) => `${Math.round(median(rates) * SMALL).toLocaleString('en')}/s`
      rows.push({
        ...{ name, against: 'one process', ours: points(two), theirs: points(one), ratio: medianRatio(two, one) },
        // Told, not owed.
        ...{ aim: 1.5, better: 'higher' as const },
        note: `${SENDERS} senders with requests of ${SMALL} points, each of which keeps to one process; on two cores, with the senders`,
      })
    }
    return rows
  },
}

async function compare(address: string): Promise<{ one: number[]; two: number[] }> {
  await using first = await startGateway('1', address)
  await using second = await startGateway('0', address)
  const one: number[] = []
  const two: number[] = []
  let exports = 0
  const next = (count: number) => {
    exports += count
    return requestsOf(exports - count, count)
  }
  await mostOf([first, second], next(WARM_UP))
  for (let round = 0; round < ROUNDS; round++) {
    one.push(await mostOf([first], next(EXPORTS)))
    two.push(await mostOf([first, second], next(EXPORTS)))
  }
  return { one, two }
}
