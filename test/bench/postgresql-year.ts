import { randomBytes } from 'node:crypto'
import { parseArgs } from 'node:util'
import pg from 'pg'
import { HOUR, MINUTE } from '../../src/ledger/hours.ts'
import { PostgresqlLedger } from '../../src/ledger/postgresql/ledger.ts'
import type { MeteringClient } from '../../src/marketplace/client.ts'
import type { CustomerAccount } from '../../src/usage/account.ts'
import { PostgresqlServer } from '../ledger/postgresql/server.ts'
import { accountId, assertDrained, customer, cycleOf, REQUESTS } from './metering.ts'
import { median, milliseconds } from './statistics.ts'

/**
 * A virtual year of a PostgreSQL ledger: each hour has usage of some customers, one after the other, and a pass that
 * meters it, each day a new process. A line for each thirty days tells what they take; what grows has to be the history,
 * and no time.
 *
 *     node test/bench/postgresql-year.ts --customers 1000 --active 100 --days 365
 */

const { values } = parseArgs({
  options: {
    customers: { type: 'string', default: '1000' },
    /** How many of them have usage in an hour. */
    active: { type: 'string', default: '1000' },
    days: { type: 'string', default: '365' },
  },
})
const [customers, active, days] = [Number(values.customers), Number(values.active), Number(values.days)]
const PRODUCT = 'product'
const START = Date.UTC(2026, 0, 1)
const MONTH = 30

const taking: MeteringClient = {
  batchMeterUsage: async ({ UsageRecords }) => ({
    Results: UsageRecords.map(UsageRecord => ({ UsageRecord, Status: 'Success', MeteringRecordId: 'a'.repeat(36) })),
    UnprocessedRecords: [],
  }),
}

await using server = await PostgresqlServer.start()
const { connectionString } = server
const pool = new pg.Pool({ connectionString, max: 4 })
let now = START
const ledger = await PostgresqlLedger.open({ pool, now: () => now })
await ledger.register([REQUESTS])
const cycle = cycleOf({ ledger, client: taking, now: () => now })

async function timed(work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now()
  await work()
  return performance.now() - begun
}

/** Of what is asked once a month: as often as that something else on the machine does not count. */
async function usually(work: () => Promise<unknown>): Promise<number> {
  const times: number[] = []
  for (let n = 0; n < 9; n += 1) times.push(await timed(work))
  return median(times)
}

/** What a table takes on the disk with its indexes, in megabytes. */
async function sizes(): Promise<Record<string, number>> {
  const { rows } = await pool.query(
    `SELECT relname, pg_total_relation_size(pg_class.oid) / 1e6 AS megabytes FROM pg_class
     WHERE relnamespace = 'marketplace_ledger'::regnamespace AND relkind = 'r'`,
  )
  return Object.fromEntries(rows.map(({ relname, megabytes }) => [relname, Math.round(Number(megabytes))]))
}

const accounts = Array.from({ length: customers }, (_, n) => customer(n, PRODUCT))
for (let day = 0, passes: number[] = [], appends: number[] = []; day < days; day += 1) {
  const writer = randomBytes(16).toString('hex')
  for (let n = 0; n < 24; n += 1) {
    const hour = START + (day * 24 + n) * HOUR
    const first = ((day * 24 + n) * active) % customers
    const using = Array.from({ length: active }, (_, n) => accounts[(first + n) % customers] as CustomerAccount)
    const entries = using.map(account => ({ account, dimension: REQUESTS.name, hour, amount: 3n * REQUESTS.size }))
    appends.push(await timed(() => ledger.append({ writer, sequence: n + 1, entries })))
    now = hour + HOUR + 10 * MINUTE
    passes.push(await timed(() => cycle.pass()))
  }
  if ((day + 1) % MONTH !== 0 && day + 1 !== days) continue
  await assertDrained(ledger)
  const status = await usually(() => ledger.status())
  const month = { customer: accountId(7), from: now - MONTH * 24 * HOUR, to: now }
  const statement = await usually(() => ledger.statement(month))
  const { record, usage, ...others } = await sizes()
  const rest = Object.values(others).reduce((sum, size) => sum + size, 0)
  console.log(
    [
      `day ${day + 1}`,
      `append ${milliseconds(median(appends))}`,
      `pass ${milliseconds(median(passes))}, at most ${milliseconds(Math.max(...passes))}`,
      `status ${milliseconds(status)}`,
      `statement of a customer's month ${milliseconds(statement)}`,
      `records ${record} MB, usage ${usage} MB, all else ${rest} MB`,
    ].join('; '),
  )
  passes = []
  appends = []
}
await ledger.close()
await pool.end()
