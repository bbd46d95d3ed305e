/** A ledger on DynamoDB, which any number of machines share. It needs the package `@aws-sdk/client-dynamodb`. */
export { createLedgerTable, DynamoDBLedger, type DynamoDBLedgerOptions } from './ledger/dynamodb.ts'
export { LedgerError, type LedgerErrorCode } from './ledger/errors.ts'
export type * from './ledger/ledger.ts'
