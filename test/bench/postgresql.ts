import pg from 'pg'
import { HOUR, MINUTE } from '../../src/ledger/hours.ts'
import type { Ledger } from '../../src/ledger/ledger.ts'
import { PostgresqlLedger } from '../../src/ledger/postgresql/ledger.ts'
import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import type { Dimension } from '../../src/usage/dimension.ts'
import { PostgresqlServer } from '../ledger/postgresql/server.ts'
import { startChild } from './child.ts'
import { temporaryFolder } from './folder.ts'
import { usageOf } from './postgresql-usage.ts'
import type { Question } from './postgresql-worker.ts'
import type { Benchmark } from './row.ts'
import { median, medianRatio } from './statistics.ts'

const WORKER = new URL('./postgresql-worker.ts', import.meta.url)
const NOON = Date.UTC(2026, 5, 10, 12)
const TOKENS: Dimension = { name: 'tokens', unit: '{token}', baseUnit: '1', size: 1_000_000n }
const NAMES = [
  'PostgreSQL: deltas a second of four writers',
  'PostgreSQL: cost per delta, 8 writers against 2',
  'PostgreSQL: closing an hour of 100,000 series',
  'PostgreSQL: closing, cost per series, 100,000 against 10,000',
] as const
const ROUNDS = 5
const WRITERS = 8
const SERIES_OF_BATCH = 10_000
const MANY = 100_000
const FEW = 10_000
/** How many deltas of each series an hour has. */
const DELTAS_OF_HOUR = 8

/**
 * The journal beside what it replaces, one row for each series that all writers add to; and what folding and closing
 * cost. The server's data is on disk and durable.
 */
export const postgresql: Benchmark = {
  rows: NAMES,
  async run() {
    await using server = await PostgresqlServer.start({ durable: true })
    const { connectionString } = server
    await using writers = startWriters()
    await makeTables(connectionString)

    /** How many deltas a second so many writers bring in at once. */
    const rate = async (way: Question['way'], count: number, times: number) => {
      const question = { way, connectionString, schema: 'deltas', hour: NOON, series: SERIES_OF_BATCH, times }
      const begun = performance.now()
      await writers.ask(question, count)
      const seconds = (performance.now() - begun) / 1000
      if (way === 'journal') await empty(connectionString)
      return (count * times * SERIES_OF_BATCH) / seconds
    }
    for (const way of ['journal', 'in place'] as const) await rate(way, WRITERS, way === 'journal' ? 60 : 1)
    const four: number[] = []
    const inPlace: number[] = []
    const two: number[] = []
    const eight: number[] = []
    for (let round = 0; round < ROUNDS; round += 1) {
      four.push(await rate('journal', 4, 40))
      inPlace.push(await rate('in place', 4, 3))
      two.push(await rate('journal', 2, 40))
      eight.push(await rate('journal', 8, 20))
    }

    const shared = async (series: number) => {
      const schema = `closing_${series}`
      const question = { way: 'journal' as const, connectionString, schema, series, times: DELTAS_OF_HOUR / 4 }
      const ledger = await PostgresqlLedger.open({ connectionString, schema })
      return await closings(ledger, series, hour => writers.ask({ ...question, hour }, 4))
    }
    const many = await shared(MANY)
    const few = await shared(FEW)
    const embedded = await embeddedClosings(MANY)
    const deltas = (value: number) => `${(value / 1e6).toFixed(2)} M/s`
    const seconds = (value: number) => `${value.toFixed(2)} s`
    const microseconds = (value: number) => `${(value * 1e6).toFixed(1)} µs`
    const perSeries = (values: readonly number[], series: number) => values.map(value => value / series)
    return [
      {
        ...{ name: NAMES[0], against: 'adding to one row for each series', ours: deltas(median(four)) },
        ...{ theirs: deltas(median(inPlace)), ratio: medianRatio(four, inPlace), limit: 10, aim: 20, better: 'higher' },
        note: `batches of ${SERIES_OF_BATCH.toLocaleString('en')} series, the same ones of all writers`,
      },
      {
        ...{
          name: NAMES[1],
          against: 'itself',
          ours: microseconds(1 / median(eight)),
          theirs: microseconds(1 / median(two)),
        },
        ...{ ratio: medianRatio(two, eight), limit: 1.5, aim: 1.2, better: 'lower' },
      },
      {
        ...{
          name: NAMES[2],
          against: 'the SQLite ledger',
          ours: seconds(median(many)),
          theirs: seconds(median(embedded)),
        },
        ...{ ratio: median(many) / median(embedded), limit: 8, aim: 2, better: 'lower' },
        note: `the folding of ${DELTAS_OF_HOUR} deltas of each included, which the SQLite ledger has added up before`,
      },
      {
        ...{ name: NAMES[3], against: 'itself', ours: microseconds(median(perSeries(many, MANY))) },
        ...{ theirs: microseconds(median(perSeries(few, FEW))), limit: 1.5, aim: 1.2, better: 'lower' },
        ratio: medianRatio(perSeries(many, MANY), perSeries(few, FEW)),
      },
    ]
  },
}

/** How many seconds it takes to close some hours, each with usage of all series. The first makes the series. */
async function closings(ledger: Ledger, series: number, fill: (hour: number) => Promise<unknown>): Promise<number[]> {
  await ledger.register([TOKENS])
  const times: number[] = []
  for (let n = 0; n <= ROUNDS; n += 1) {
    const hour = NOON + n * HOUR
    await fill(hour)
    const now = hour + HOUR + 5 * MINUTE
    const begun = performance.now()
    const { records } = await ledger.closeHours({
      now,
      region: 'us-east-1',
      closeDelay: 5 * MINUTE,
      deadlineMargin: MINUTE,
    })
    times.push((performance.now() - begun) / 1000)
    if (records !== series) throw new Error(`${records} of ${series} series were closed`)
  }
  await ledger.close()
  return times.slice(1)
}

/** The same of the embedded ledger, which adds deltas to their series as they come. */
async function embeddedClosings(series: number): Promise<number[]> {
  const ledger = new SqliteLedger({ path: `${temporaryFolder()}/ledger.sqlite` })
  const entriesOf = usageOf(series)
  let sequence = 0
  return await closings(ledger, series, async hour => {
    for (const entries of entriesOf(hour)) {
      sequence += 1
      await ledger.append({ writer: 'e'.repeat(32), sequence, entries })
    }
  })
}

async function makeTables(connectionString: string): Promise<void> {
  const ledger = await PostgresqlLedger.open({ connectionString, schema: 'deltas' })
  await ledger.register([TOKENS])
  await ledger.close()
  await run(
    connectionString,
    `CREATE TABLE deltas.in_place (hour bigint, series bigint, amount numeric NOT NULL, PRIMARY KEY (hour, series))
     WITH (fillfactor = 70)`,
  )
}

/** Both ways begin each round with tables as they are in life: what was folded is gone, what was updated is cleared up. */
async function empty(connectionString: string): Promise<void> {
  await run(connectionString, 'TRUNCATE deltas.journal')
  await run(connectionString, 'VACUUM deltas.in_place')
}

async function run(connectionString: string, sql: string): Promise<void> {
  const client = new pg.Client(connectionString)
  await client.connect()
  await client.query(sql)
  await client.end()
}

interface Writers extends AsyncDisposable {
  /** Has so many of them do the same at once. */
  ask(question: Question, count: number): Promise<unknown>
}

function startWriters(): Writers {
  const children = Array.from({ length: WRITERS }, () => startChild<Question, number>(WORKER))
  return {
    ask: (question, count) => Promise.all(children.slice(0, count).map(child => child.ask(question))),
    async [Symbol.asyncDispose]() {
      for (const child of children) await child[Symbol.asyncDispose]()
    },
  }
}
