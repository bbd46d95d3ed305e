/** A ledger that several machines share, on PostgreSQL. It needs the package `pg`. */
export { LedgerError, type LedgerErrorCode } from './ledger/errors.ts'
export type { PostgresqlClient, PostgresqlPool, PostgresqlQuery } from './ledger/postgresql/pool.ts'
export { PostgresqlLedger, type PostgresqlLedgerOptions } from './ledger/postgresql.ts'
export { ConfigurationError } from './usage/errors.ts'
