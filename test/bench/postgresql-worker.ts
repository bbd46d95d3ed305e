import { randomBytes } from 'node:crypto'
import pg from 'pg'
import type { UsageEntry } from '../../src/ledger/ledger.ts'
import { PostgresqlLedger } from '../../src/ledger/postgresql/ledger.ts'
import { answerWith, collectGarbage } from './child.ts'
import { AMOUNT, usageOf } from './postgresql-usage.ts'

/** What a writer is to write, all of it durable before it answers with how many milliseconds that took. */
export interface Question {
  readonly way: 'journal' | 'in place'
  readonly connectionString: string
  readonly schema: string
  readonly hour: number
  /** How many series each writes, the same ones all of them, and how often. */
  readonly series: number
  readonly times: number
}

type Write = (hour: number) => Promise<unknown>
const writers = new Map<string, Write>()

answerWith<Question, number>(async question => {
  const { way, schema, series, times, hour } = question
  const name = `${way} ${schema} ${series}`
  const write = writers.get(name) ?? (await (way === 'journal' ? journal(question) : inPlace(question)))
  writers.set(name, write)
  collectGarbage()
  const begun = performance.now()
  for (let time = 0; time < times; time += 1) await write(hour)
  return performance.now() - begun
})

async function journal({ connectionString, schema, series }: Question): Promise<Write> {
  const ledger = await PostgresqlLedger.open({ connectionString, schema })
  const entriesOf = usageOf(series)
  const writer = randomBytes(16).toString('hex')
  let sequence = 0
  let batches: UsageEntry[][] = []
  return async hour => {
    if (batches[0]?.[0]?.hour !== hour) {
      batches = entriesOf(hour)
    }
    for (const entries of batches) {
      sequence += 1
      await ledger.append({ writer, sequence, entries })
    }
  }
}

/** Adds to one row for each series, which all writers share; sorted, so that they do not deadlock. */
async function inPlace({ connectionString, schema, series }: Question): Promise<Write> {
  const client = new pg.Client(connectionString)
  await client.connect()
  const numbers = `{${Array.from({ length: series }, (_, number) => number)}}`
  const amounts = `{${Array.from({ length: series }, () => AMOUNT)}}`
  return hour =>
    client.query(
      `INSERT INTO ${schema}.in_place (hour, series, amount) SELECT $1, * FROM unnest($2::bigint[], $3::numeric[])
       ON CONFLICT (hour, series) DO UPDATE SET amount = in_place.amount + excluded.amount`,
      [hour, numbers, amounts],
    )
}
