/** A ledger on DynamoDB, which any number of machines share. It needs the package `@aws-sdk/client-dynamodb`. */

export { LedgerError, type LedgerErrorCode } from '../errors.ts'
export type * from '../ledger.ts'
export { createLedgerTable, DynamoDBLedger, type DynamoDBLedgerOptions } from './ledger.ts'
