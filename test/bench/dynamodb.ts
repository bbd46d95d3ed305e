import { DynamoDBLocal, withoutJava } from '../ledger/dynamodb/server.ts'
import { startChild } from './child.ts'
import { closingOfFleet } from './dynamodb-closing.ts'
import { type Cost, dollars, sumOf } from './dynamodb-cost.ts'
import { type FleetOptions, hourOfFleet } from './dynamodb-fleet.ts'
import type { ThousandAnswer, ThousandQuestion } from './dynamodb-thousand-worker.ts'
import type { Benchmark } from './row.ts'

const NAMES = [
  'DynamoDB: 1,000 series, each minute',
  'DynamoDB: 1,000 series, once an hour',
  'DynamoDB: idle',
  'DynamoDB: cost per series, 8,000 against 1,000',
  'DynamoDB: read units of a closing, 32 replicas against 2',
  'DynamoDB: 1,000 replicas close an hour',
] as const
const HOURS_OF_MONTH = 730
const FEW = 1_000
const MANY = 8_000
const REPLICAS = 2
const MANY_REPLICAS = 32
const MOST_REPLICAS = 1_000
const WORKER = new URL('./dynamodb-thousand-worker.ts', import.meta.url)

/** What the ledger costs on demand. It is DynamoDB that counts, not the machine: the figures are nearly the same each time. */
export const dynamodb: Benchmark = {
  rows: withoutJava ? [] : NAMES,
  async run() {
    const cost = async (series: number, active: FleetOptions['active']): Promise<Cost> => {
      await using server = await DynamoDBLocal.start()
      return sumOf((await hourOfFleet(server, { series, active, replicas: REPLICAS })).costs.values())
    }
    const busy = await cost(FEW, 'each minute')
    const calm = await cost(FEW, 'once an hour')
    const idle = await cost(FEW, 'never')
    const many = await cost(MANY, 'each minute')
    const closing = async (replicas: number): Promise<Cost> => {
      await using server = await DynamoDBLocal.start()
      return await closingOfFleet(server, replicas)
    }
    const two = await closing(REPLICAS)
    const thirtyTwo = await closing(MANY_REPLICAS)
    await using worker = startChild<ThousandQuestion, ThousandAnswer>(WORKER)
    const most = await worker.ask({ replicas: MOST_REPLICAS })
    const perMonth = (cost: Cost) => HOURS_OF_MONTH * dollars(cost)
    const row = (name: string, cost: Cost, limit: number, aim: number, note: string) => ({
      ...{ name, against: 'nothing', ours: `$ ${perMonth(cost).toFixed(2)} a month`, theirs: '' },
      ...{ ratio: perMonth(cost), limit, aim, better: 'lower' as const },
      note: `${REPLICAS} replicas, ${note}; in an hour ${units(cost)}`,
    })
    const [perMany, perFew] = [perMonth(many) / MANY, perMonth(busy) / FEW]
    return [
      row(NAMES[0], busy, 2, 1.5, 'an export each minute'),
      row(NAMES[1], calm, 2, 1.5, 'each series once in an hour'),
      row(NAMES[2], idle, 0.15, 0.1, 'with nothing but looks at the clock'),
      {
        ...{ name: NAMES[3], against: 'itself', ours: `$ ${perMany.toFixed(5)}`, theirs: `$ ${perFew.toFixed(5)}` },
        ...{ ratio: perMany / perFew, limit: 1, aim: 0.9, better: 'lower' },
        note: `a month, each minute; in an hour ${units(many)}`,
      },
      {
        ...{ name: NAMES[4], against: 'itself, of a sixteenth of the batches', better: 'lower' },
        ...{ ours: thirtyTwo.readUnits.toLocaleString('en'), theirs: two.readUnits.toLocaleString('en') },
        ...{ ratio: thirtyTwo.readUnits / two.readUnits, limit: 12, aim: 8 },
        note: `all close at once, after an export each minute of the hour; ${units(thirtyTwo)}, against ${units(two)}`,
      },
      {
        ...{ name: NAMES[5], against: 'nothing', ours: `${most.seconds.toFixed(0)} s`, theirs: '' },
        ...{ ratio: most.seconds, limit: 600, aim: 120, better: 'lower' },
        note: `in virtual time, at AWS's limits of a partition and 10 ms for a request; all at once; ${units(most.cost)}`,
      },
    ]
  },
}

const units = ({ readUnits, writeUnits }: Cost): string =>
  `${writeUnits.toLocaleString('en')} write and ${readUnits.toLocaleString('en')} read units`
