import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { type AttributeValue, BatchWriteItemCommand, type DynamoDBClient, QueryCommand } from '@aws-sdk/client-dynamodb'
import { DynamoDBLedger } from '../../src/ledger/dynamodb/ledger.ts'
import { pack, unpack } from '../../src/ledger/dynamodb/packed-json.ts'
import { inParallel } from '../../src/ledger/dynamodb/parallel.ts'
import { chunksOf } from '../../src/ledger/dynamodb/table.ts'
import { sizeOf } from '../../src/ledger/dynamodb/transaction.ts'
import { DynamoDBLocal } from '../ledger/dynamodb/server.ts'
import { closeOptions, closing, entry, REQUESTS } from '../ledger/scene.ts'
import { answerWith } from './child.ts'
import { type Cost, CostMeter, sumOf } from './dynamodb-cost.ts'
import { spreadCustomer } from './metering.ts'
import { VirtualTime } from './virtual-time.ts'

export interface ThousandQuestion {
  readonly replicas: number
}

export interface ThousandAnswer {
  /** In virtual time, until the last of them knows that the hour is closed. */
  readonly seconds: number
  readonly cost: Cost
}

const EXPORTS = 60
const CUSTOMERS = 1000
const ENTRIES = 10

/** How long a request is on its way, in milliseconds, and what a partition does in one: its limits, by AWS's documentation. */
const LATENCY = 10
const READ_UNITS = 3
const WRITE_UNITS = 1

type Item = Record<string, AttributeValue>
interface Input {
  readonly Key?: Item
  readonly Item?: Item
  readonly RequestItems?: Record<
    string,
    { readonly Keys?: Item[] } | { readonly DeleteRequest?: { readonly Key: Item } }[]
  >
  readonly TransactItems?: { readonly Put?: { readonly Item: Item }; readonly Delete?: { readonly Key: Item } }[]
  readonly ExpressionAttributeValues?: Item
}

/** Closes an hour that so many replicas have brought a batch to in each minute, and close at once. All is real but time. */
answerWith<ThousandQuestion, ThousandAnswer>(async ({ replicas }) => {
  await using server = await DynamoDBLocal.start()
  const time = new VirtualTime(closing(0))
  const meter = new CostMeter()
  const client = server.client()
  const tableName = await server.table(client)
  const open = () => DynamoDBLedger.open({ tableName, client, now: time.now })
  const ledgers = await inParallel(Array.from({ length: replicas }), 16, open)
  const [first] = ledgers as [DynamoDBLedger]
  await first.register([REQUESTS])
  const customers = Array.from({ length: CUSTOMERS }, (_, number) => spreadCustomer(number))
  await inParallel([...ledgers.entries()], 16, async ([n, ledger]) => {
    const some = Array.from({ length: ENTRIES }, (_, k) => customers[(k * 137 + n) % CUSTOMERS])
    const entries = some.flatMap(one => (one === undefined ? [] : [entry(one, REQUESTS, 0, 1)]))
    await ledger.append({ writer: randomBytes(16).toString('hex'), sequence: 1, entries })
  })
  await repeatBatches(client, tableName)
  takesTime(client, time)
  meter.watch(client)
  time.rule()
  const begun = time.now()
  await Promise.all(ledgers.map(ledger => ledger.closeHours(closeOptions(closing(0)))))
  const seconds = (time.now() - begun) / 1000
  const cost = sumOf(meter.take().values())
  const recorded = (await first.statement()).reduce((sum, { recorded }) => sum + recorded, 0n)
  assert.equal(recorded, BigInt(replicas * EXPORTS * ENTRIES) * REQUESTS.size)
  return { seconds, cost }
})

/** As if each replica had brought the same in in each minute of the hour. */
async function repeatBatches(client: DynamoDBClient, TableName: string): Promise<void> {
  const journal = { ExpressionAttributeValues: { ':pk': { S: 'journal' } }, KeyConditionExpression: 'pk = :pk' }
  const { Items = [] } = await client.send(new QueryCommand({ TableName, ...journal }))
  const others = Items.flatMap(item => {
    const header = unpack(item.data?.B ?? Buffer.of()) as object
    return Array.from({ length: EXPORTS - 1 }, (_, index) => {
      const sequence = index + 2
      const sk = { S: `${item.sk?.S?.slice(0, -16)}${String(sequence).padStart(16, '0')}` }
      return { PutRequest: { Item: { ...item, sk, data: { B: pack({ ...header, sequence }) } } } }
    })
  })
  await inParallel(chunksOf(others, 25), 8, some =>
    client.send(new BatchWriteItemCommand({ RequestItems: { [TableName]: some } })),
  )
}

/** Has requests take as long as they do at AWS: some time on their way, and as much as each partition is busy. */
function takesTime(client: DynamoDBClient, time: VirtualTime): void {
  const free = new Map<string, number>()
  const busy = (key: Item | undefined, milliseconds: number) => {
    const pk = key?.pk?.S ?? ''
    const until = Math.max(free.get(pk) ?? 0, time.now()) + milliseconds
    free.set(pk, until)
    return until
  }
  const writes = (item: Item) => Math.max(1, Math.ceil(sizeOf(item) / 1024)) / WRITE_UNITS
  client.middlewareStack.add(
    next => async args => {
      const { Key, Item, RequestItems = {}, TransactItems = [], ExpressionAttributeValues: query } = args.input as Input
      const result = await time.whileItStands(() =>
        next(args).then(
          value => ({ value }),
          error => ({ error }),
        ),
      )
      const { Items = [] } = ('value' in result ? result.value.output : {}) as { Items?: Item[] }
      const ends = [
        ...(Key === undefined ? [] : [busy(Key, 1 / READ_UNITS)]),
        ...(Item === undefined ? [] : [busy(Item, writes(Item))]),
        ...(query?.[':pk'] === undefined
          ? []
          : [busy({ pk: query[':pk'] }, Items.reduce((sum, item) => sum + sizeOf(item), 1) / 4096 / READ_UNITS)]),
        ...Object.values(RequestItems).flatMap(one =>
          Array.isArray(one)
            ? one.map(({ DeleteRequest }) => busy(DeleteRequest?.Key, 1 / WRITE_UNITS))
            : (one.Keys ?? []).map(key => busy(key, 1 / READ_UNITS)),
        ),
        ...TransactItems.map(({ Put, Delete }) => busy(Put?.Item ?? Delete?.Key, 2 * writes(Put?.Item ?? {}))),
      ]
      await time.sleep(LATENCY + Math.max(0, ...ends.map(end => end - time.now())))
      if ('error' in result) throw result.error
      return result.value
    },
    { step: 'initialize', name: 'takesTime', priority: 'low' },
  )
}
