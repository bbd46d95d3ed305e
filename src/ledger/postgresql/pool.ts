import type { ConnectionOptions } from 'node:tls'
import { ConfigurationError, importError } from '../../errors.ts'

/** A pool of connections as `pg` has it, as far as the ledger uses it. */
export interface PostgresqlPool {
  connect(): Promise<PostgresqlClient>
  end(): Promise<void>
}

export interface PostgresqlClient {
  query(query: PostgresqlQuery): Promise<unknown>
  on(event: 'error', listener: (error: Error) => void): unknown
  off(event: 'error', listener: (error: Error) => void): unknown
  /** @param destroy whether the connection is good for nothing more */
  release(destroy?: boolean): void
}

/** A statement as `pg` takes it. */
export interface PostgresqlQuery {
  readonly text: string
  readonly values?: unknown[]
  readonly types: { getTypeParser(type: number): (value: string) => unknown }
  /** How long to wait for the answer, in milliseconds. */
  readonly query_timeout: number
}

export interface PoolOptions {
  readonly connectionString?: string | undefined
  readonly ssl?: boolean | ConnectionOptions | undefined
  readonly applicationName: string
  readonly connections: number
  readonly connectTimeout: number
}

/**
 * A pool of the ledger's own. Without a connection string, `pg` reads the environment's `PGHOST`, `PGUSER`, ….
 *
 * @throws ConfigurationError when `pg` is not installed, or the string cannot be one
 */
export async function makePool(options: PoolOptions): Promise<PostgresqlPool> {
  const { Client, Pool } = await pg()
  const settings = {
    ...(options.connectionString !== undefined && { connectionString: options.connectionString }),
    ...(options.ssl !== undefined && { ssl: options.ssl }),
    application_name: options.applicationName,
    max: options.connections,
    connectionTimeoutMillis: options.connectTimeout,
    keepAlive: true,
    // A connection that nobody uses keeps no process alive.
    allowExitOnIdle: true,
  }
  try {
    new Client(settings)
  } catch {
    // Whatever is wrong with the string, an error about it may quote its password.
    throw new ConfigurationError('Invalid options: connectionString: expected postgresql://user:password@host/database')
  }
  const pool = new Pool(settings)
  // A connection that ends while nobody uses it, or before somebody could, is replaced when it is needed.
  pool.on('error', () => {})
  pool.on('connect', client => client.on('error', () => {}))
  return pool as unknown as PostgresqlPool
}

async function pg() {
  try {
    return (await import('pg')).default
  } catch (cause) {
    throw importError('pg', ': a ledger on PostgreSQL needs it.', cause)
  }
}
