import { setTimeout as sleep } from 'node:timers/promises'
import type { CreateTableCommandInput, DynamoDBClient, TableDescription } from '@aws-sdk/client-dynamodb'
import { LedgerError } from '../errors.ts'
import type { Sdk } from './client.ts'
import { asLedgerError } from './faults.ts'
import { HEAD, withoutLedger } from './head.ts'

/** The table that a ledger is in. */

/** When items may go, in seconds since the epoch: only the keys of batches from long ago have it. */
const EXPIRES = 'expires'

/** How long a new table may take, in seconds. */
const LONGEST_MAKING = 120
/** How long after one that it is not ready for backups it is asked again, in milliseconds. */
const SHORTEST_WAIT = 100
const LONGEST_WAIT = 10_000

export function tableDefinition(name: string): CreateTableCommandInput {
  return {
    TableName: name,
    BillingMode: 'PAY_PER_REQUEST',
    AttributeDefinitions: [
      { AttributeName: 'pk', AttributeType: 'S' },
      { AttributeName: 'sk', AttributeType: 'S' },
    ],
    KeySchema: [
      { AttributeName: 'pk', KeyType: 'HASH' },
      { AttributeName: 'sk', KeyType: 'RANGE' },
    ],
    DeletionProtectionEnabled: true,
  }
}

/**
 * Refuses a table that cannot be a ledger's: one that replicates to other regions, which do not see each other's
 * conditional writes, or is of another application.
 *
 * @param table as DynamoDB describes it
 * @throws LedgerError
 */
export function refuseTable({
  TableName,
  KeySchema = [],
  AttributeDefinitions = [],
  Replicas = [],
}: TableDescription): void {
  const keys = (keySchema: typeof KeySchema, attributes: typeof AttributeDefinitions) =>
    keySchema.map(({ AttributeName, KeyType }) => {
      const type = attributes.find(attribute => attribute.AttributeName === AttributeName)?.AttributeType
      return `${AttributeName} (${KeyType}, ${type})`
    })
  const { KeySchema: ownKeys = [], AttributeDefinitions: ownAttributes = [] } = tableDefinition('')
  const [expected, got] = [
    keys(ownKeys, ownAttributes).join(' and '),
    keys(KeySchema, AttributeDefinitions).join(' and '),
  ]
  if (got !== expected) {
    throw new LedgerError(
      'ERR_LEDGER_FOREIGN',
      `The table ${TableName} is none of a ledger's: expected the keys ${expected}, got ${got}. Give the ledger a table of its own (see createLedgerTable).`,
    )
  }
  if (Replicas.length > 0) {
    const regions = Replicas.map(({ RegionName }) => RegionName).join(', ')
    throw new LedgerError(
      'ERR_LEDGER_INVALID',
      `The table ${TableName} is a global table, with replicas in ${regions}: expected one region's, since what is decided once is decided by conditional writes, which replicas do not share. Give the ledger a table of its own.`,
    )
  }
}

/** Makes the table where there is none; waits until it can be used, and sees that it is protected. */
export async function createTable(sdk: Sdk, client: DynamoDBClient, name: string): Promise<void> {
  try {
    await client.send(new sdk.CreateTableCommand(tableDefinition(name))).catch(error => {
      if (!(error instanceof sdk.ResourceInUseException)) throw error
    })
    await sdk.waitUntilTableExists(
      { client, maxWaitTime: LONGEST_MAKING, minDelay: 1, maxDelay: 5 },
      { TableName: name },
    )
    // One that was there may be another application's, whose items are not ours to expire.
    await refuseOther(sdk, client, name)
    await expireItems(sdk, client, name)
    await recoverable(sdk, client, name)
    await protect(sdk, client, name)
  } catch (error) {
    throw asLedgerError(error, `make the table ${name}`)
  }
}

async function refuseOther(sdk: Sdk, client: DynamoDBClient, name: string): Promise<void> {
  const { Table: { ItemCount = 0, ...table } = {} } = await client.send(
    new sdk.DescribeTableCommand({ TableName: name }),
  )
  refuseTable(table)
  if (ItemCount === 0) return
  const key = { TableName: name, Key: { pk: { S: HEAD.pk }, sk: { S: HEAD.sk } } }
  if ((await client.send(new sdk.GetItemCommand(key))).Item === undefined) throw withoutLedger(name, ItemCount)
}

async function protect(sdk: Sdk, client: DynamoDBClient, name: string): Promise<void> {
  const { Table } = await client.send(new sdk.DescribeTableCommand({ TableName: name }))
  if (Table?.DeletionProtectionEnabled) return
  await client.send(new sdk.UpdateTableCommand({ TableName: name, DeletionProtectionEnabled: true }))
}

async function expireItems(sdk: Sdk, client: DynamoDBClient, name: string): Promise<void> {
  const { TimeToLiveDescription } = await client.send(new sdk.DescribeTimeToLiveCommand({ TableName: name }))
  // Where it is set already, setting it again is refused.
  if (TimeToLiveDescription?.AttributeName === EXPIRES) return
  await client.send(
    new sdk.UpdateTimeToLiveCommand({
      TableName: name,
      TimeToLiveSpecification: { AttributeName: EXPIRES, Enabled: true },
    }),
  )
}

async function recoverable(sdk: Sdk, client: DynamoDBClient, name: string): Promise<void> {
  const PointInTimeRecoverySpecification = { PointInTimeRecoveryEnabled: true }
  const command = new sdk.UpdateContinuousBackupsCommand({ TableName: name, PointInTimeRecoverySpecification })
  for (let wait = SHORTEST_WAIT; ; wait *= 2) {
    try {
      await client.send(command)
      return
    } catch (error) {
      const { name } = error as Error
      // DynamoDB Local has none.
      if (name === 'UnknownOperationException') return
      // A table is in use some seconds before its backups are.
      if (name !== 'ContinuousBackupsUnavailableException' || wait > LONGEST_WAIT) throw error
      await sleep(wait)
    }
  }
}
