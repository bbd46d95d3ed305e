import type { CreateTableCommandInput, DynamoDBClient } from '@aws-sdk/client-dynamodb'
import type { Sdk } from './client.ts'
import { asLedgerError } from './faults.ts'

/** The table that a ledger is in. */

/** When items may go, in seconds since the epoch: only the keys of batches from long ago have it. */
const EXPIRES = 'expires'

/** How long a new table may take, in seconds. */
const LONGEST_MAKING = 120

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

/** Makes the table where there is none, with point-in-time recovery; waits until it can be used. */
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
  } catch (error) {
    throw asLedgerError(error, `make the table ${name}`)
  }
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
  await client.send(command).catch(error => {
    // DynamoDB Local has none.
    if (error.name !== 'UnknownOperationException') throw error
  })
}
