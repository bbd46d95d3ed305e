import { setTimeout as sleep } from 'node:timers/promises'
import type { CreateTableCommandInput, DynamoDBClient } from '@aws-sdk/client-dynamodb'
import type { Sdk } from './client.ts'
import { asLedgerError } from './faults.ts'

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
    await expireItems(sdk, client, name)
    await recoverable(sdk, client, name)
    await protect(sdk, client, name)
  } catch (error) {
    throw asLedgerError(error, `make the table ${name}`)
  }
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
