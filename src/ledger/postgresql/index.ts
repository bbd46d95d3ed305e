/** A ledger that several machines share, on PostgreSQL. It needs the package `pg`. */

export { ConfigurationError } from '../../errors.ts'
export { LedgerError, type LedgerErrorCode } from '../errors.ts'
export { PostgresqlLedger, type PostgresqlLedgerOptions } from './ledger.ts'
export type { PostgresqlClient, PostgresqlPool, PostgresqlQuery } from './pool.ts'
