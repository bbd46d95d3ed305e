import { randomBytes } from 'node:crypto'
import { DynamoDBLedger } from '../../src/ledger/dynamodb/ledger.ts'
import type { DynamoDBLocal } from '../ledger/dynamodb/server.ts'
import { closeOptions, closing, entry, REQUESTS } from '../ledger/scene.ts'
import { type Cost, CostMeter, sumOf } from './dynamodb-cost.ts'
import { spreadCustomer } from './metering.ts'

const EXPORTS = 60
const CUSTOMERS = 200
/** How many customers an export has usage of. */
const ENTRIES = 10

/** What it costs to close an hour that so many replicas close at once, each of which has brought a batch in each minute. */
export async function closingOfFleet(server: DynamoDBLocal, replicas: number): Promise<Cost> {
  const meter = new CostMeter()
  const client = meter.watch(server.client())
  const tableName = await server.table(client)
  const ledgers = await Promise.all(Array.from({ length: replicas }, () => DynamoDBLedger.open({ tableName, client })))
  await ledgers[0]?.register([REQUESTS])
  const customers = Array.from({ length: CUSTOMERS }, (_, number) => spreadCustomer(number))
  await Promise.all(
    ledgers.map(async ledger => {
      const writer = randomBytes(16).toString('hex')
      for (let sequence = 1; sequence <= EXPORTS; sequence += 1) {
        const some = Array.from({ length: ENTRIES }, (_, n) => customers[(n * 37 + sequence) % CUSTOMERS])
        const entries = some.flatMap(one => (one === undefined ? [] : [entry(one, REQUESTS, 0, 1)]))
        await ledger.append({ writer, sequence, entries })
      }
    }),
  )
  meter.take()
  await Promise.all(ledgers.map(ledger => ledger.closeHours(closeOptions(closing(0)))))
  const cost = sumOf(meter.take().values())
  for (const ledger of ledgers) await ledger.close()
  return cost
}
