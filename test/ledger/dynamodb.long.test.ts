import { after, describe, test } from 'node:test'
import { ledgerConformance } from './conformance/index.ts'
import { DynamoDBLocal, withoutJava } from './dynamodb/server.ts'

if (withoutJava) {
  test('the ledger on DynamoDB', { skip: withoutJava })
} else {
  const server = await DynamoDBLocal.shared()
  after(() => server[Symbol.asyncDispose]())
  const every = process.env.LEDGER_CHECKS === 'all' ? 1 : 10
  // Each scenario has a table of its own, and most of its time it waits for answers.
  describe('DynamoDB', { concurrency: 4 }, () => ledgerConformance('DynamoDB', () => server.open(), every))
}
