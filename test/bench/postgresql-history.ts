import pg from 'pg'
import { HOUR, MINUTE } from '../../src/ledger/hours.ts'
import { PostgresqlLedger } from '../../src/ledger/postgresql/ledger.ts'
import type { Dimension } from '../../src/usage/dimension.ts'
import { PostgresqlServer } from '../ledger/postgresql/server.ts'
import type { Benchmark } from './row.ts'
import { median, medianRatio, milliseconds } from './statistics.ts'

const NOON = Date.UTC(2026, 5, 10, 12)
const TOKENS: Dimension = { name: 'tokens', unit: '{token}', baseUnit: '1', size: 1_000_000n }
const NAMES = [
  'PostgreSQL: status() with 2 million records of history',
  'PostgreSQL: a month of one customer, 1,000 customers against 100',
  'PostgreSQL: claims beside a day-old snapshot',
] as const
const ROUNDS = 9
const SERIES = 1000
/** Hours that are settled, but for the youngest. */
const HOURS = 2000
const MONTH = 720
/** For so long a transaction is open, in hours. */
const DAY = 24

/** What does not grow with history, nor with what a long transaction keeps the server from clearing away. */
export const postgresqlHistory: Benchmark = {
  rows: NAMES,
  async run() {
    await using server = await PostgresqlServer.start()
    const { connectionString } = server
    const client = new pg.Client({ connectionString })
    await client.connect()
    const filled = async (schema: string, series: number, hours: number) => {
      const ledger = await PostgresqlLedger.open({ connectionString, schema })
      await ledger.register([TOKENS])
      await fill(client, schema, series, hours)
      return ledger
    }
    const [whole, young, small] = [
      await filled('whole', SERIES, HOURS),
      await filled('young', SERIES, 1),
      await filled('small', SERIES / 10, MONTH),
    ]
    const status = await inTurns(
      () => whole.status(),
      () => young.status(),
    )
    const query = { customer: String(FIRST_ACCOUNT + 5), from: NOON - MONTH * HOUR, to: NOON }
    const month = await inTurns(
      () => whole.statement(query),
      () => small.statement(query),
    )
    for (const ledger of [whole, young, small]) await ledger.close()
    const [beside, without] = [
      await claims(client, connectionString, true),
      await claims(client, connectionString, false),
    ]
    await client.end()
    const row = (
      name: string,
      against: string,
      times: { ours: number[]; theirs: number[] },
      limit: number,
      aim: number,
    ) => ({
      ...{ name, against, ours: milliseconds(median(times.ours)), theirs: milliseconds(median(times.theirs)) },
      ...{ ratio: medianRatio(times.ours, times.theirs), limit, aim, better: 'lower' as const },
    })
    return [
      row(NAMES[0], 'a ledger of one hour', status, 2, 1.2),
      row(NAMES[1], 'as many hours of fewer customers', month, 4, 2),
      row(NAMES[2], 'as many without', { ours: beside, theirs: without }, 4, 2),
    ]
  },
}

const FIRST_ACCOUNT = 100_000_000_000

/** A ledger of so many customers and hours, as it would be: written by SQL, since metering them takes hours. */
async function fill(client: pg.Client, schema: string, series: number, hours: number): Promise<void> {
  await client.query(`SET search_path TO "${schema}"`)
  const first = NOON - (hours - 1) * HOUR
  await client.query(
    `INSERT INTO lane (product, identity, region) VALUES ('product', 'product-code', 'us-east-1');
     INSERT INTO account (key, kind, product, account_id)
     SELECT 'product,' || (${FIRST_ACCOUNT} + n), 'customer', 'product', (${FIRST_ACCOUNT} + n)::text
     FROM generate_series(1, ${series}) AS n;
     INSERT INTO series (account, dimension, first_hour, recorded, metered)
     SELECT id, 1, ${first}, ${hours} * 1000000::numeric, ${hours - 1} * 1000000::numeric FROM account;
     INSERT INTO usage (hour, series, amount)
     SELECT ${first} + n * ${HOUR}::bigint, series.id, 1000000 FROM generate_series(0, ${hours - 1}) AS n, series;
     INSERT INTO record (series, hour, timestamp, deadline, lane, quantity, size, state, attempts, answer)
     SELECT series, hour, hour + ${HOUR - 1000}, hour + ${DAY * HOUR}, 1, 1, 1000000,
            CASE hour WHEN ${NOON} THEN 'pending' ELSE 'metered' END, 1, 'Success'
     FROM usage;
     UPDATE ledger SET closed_through = ${NOON}`,
  )
  await client.query('VACUUM ANALYZE')
}

/** Some times of both, one after the other. */
async function inTurns(ours: () => Promise<unknown>, theirs: () => Promise<unknown>) {
  const times = { ours: [] as number[], theirs: [] as number[] }
  for (let round = 0; round < ROUNDS; round += 1) {
    times.ours.push(await timed(ours))
    times.theirs.push(await timed(theirs))
  }
  return times
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now()
  await work()
  return performance.now() - begun
}

/** How long each claim of an hour takes in turn, after a day in which a transaction was open, or none. */
async function claims(client: pg.Client, connectionString: string, beside: boolean): Promise<number[]> {
  const schema = `claims_${beside ? 'beside' : 'without'}`
  let now = NOON
  const ledger = await PostgresqlLedger.open({ connectionString, schema, now: () => now })
  await ledger.register([TOKENS])
  const entries = Array.from({ length: SERIES }, (_, n) => {
    const accountId = String(FIRST_ACCOUNT + n)
    const account = { kind: 'customer', key: `product,${accountId}`, product: 'product', accountId } as const
    return { account, dimension: TOKENS.name, amount: 1_000_000n }
  })
  let times: number[] = []
  for (let n = 0; n <= DAY; n += 1) {
    const hour = NOON + n * HOUR
    const usage = entries.map(entry => ({ ...entry, hour }))
    await ledger.append({ writer: '0'.repeat(32), sequence: n + 1, entries: usage })
    now = hour + HOUR + 5 * MINUTE
    await ledger.closeHours({ now, region: 'us-east-1', closeDelay: 5 * MINUTE, deadlineMargin: MINUTE })
    const [lane] = (await ledger.due(now)).lanes
    if (lane === undefined) throw new Error('Nothing is due')
    times = []
    for (let claimed = 0; claimed < SERIES; ) {
      const begun = performance.now()
      const records = await ledger.claim(lane, { now, limit: 25, claimedUntil: now + MINUTE })
      times.push(performance.now() - begun)
      claimed += records.length
      const outcome = { type: 'metered' } as const
      await ledger.settle(
        records.map(record => ({ record, outcome, answer: 'Success' })),
        now,
      )
    }
    if (n === 0 && beside) {
      await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ')
      await client.query(`SELECT count(*) FROM "${schema}".series`)
    }
  }
  if (beside) await client.query('COMMIT')
  await ledger.close()
  return times
}
