import { LedgerError } from '../errors.ts'
import { type Database, quoted, type Transaction } from './database.ts'
import { refuseNewer } from './ledger-row.ts'
import { MIGRATIONS, OLDEST_COMPATIBLE } from './schema.ts'

/** Bringing a database's schema to the version that this package knows. Any number of processes may do it at once. */
export async function migrate(database: Database): Promise<void> {
  const { schema } = database
  const version = await database.read('open the ledger', transaction => versionOf(transaction, schema))
  if (version >= MIGRATIONS.length) return
  try {
    await database.write('make the ledger', async transaction => {
      // One after the other: there may be no row to lock yet.
      await transaction.run("SELECT pg_advisory_xact_lock(hashtextextended('marketplace ledger ' || $1, 0))", schema)
      const from = await versionOf(transaction, schema)
      if (from === 0) await refuseUnheeded(transaction, schema)
      if (from < MIGRATIONS.length) await transaction.run(stepsFrom(schema, from))
    })
  } catch (error) {
    if (!(error instanceof LedgerError) || error.code !== 'ERR_LEDGER_READ_ONLY') throw error
    throw new LedgerError(
      'ERR_LEDGER_READ_ONLY',
      `The schema ${schema} has version ${version} of the ledger's tables, expected ${MIGRATIONS.length}, and ` +
        'this role may not change it: have an administrator run what PostgresqlLedger.migration() returns.',
      { cause: error },
    )
  }
}

/** The schema where nobody says another. */
export const SCHEMA = 'marketplace_ledger'

/** The first version took no notice of an address's schema: its ledger would be left behind, with what is not billed yet. */
async function refuseUnheeded(transaction: Transaction, schema: string): Promise<void> {
  if (schema === SCHEMA) return
  // What this role may not read it has never used.
  const readable = await transaction.get(
    `SELECT FROM pg_catalog.pg_class AS class JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = relnamespace
     WHERE nspname = $1 AND relname = 'ledger' AND has_schema_privilege(namespace.oid, 'USAGE')
       AND has_table_privilege(class.oid, 'SELECT')`,
    SCHEMA,
  )
  const version = readable === undefined ? 0 : await versionOf(transaction, SCHEMA)
  if (version === 0 || version >= MIGRATIONS.length) return
  throw new LedgerError(
    'ERR_LEDGER_INVALID',
    `There is no ledger in the schema ${schema}, and one of an older version of this package in ${SCHEMA}, which took no notice of ` +
      `schema=… in an address: leave it out to go on with that ledger. Is it another's? Then open that one with this version first.`,
  )
}

/** Checks that a schema has the version that this package knows, and changes nothing. */
export async function refuseOther(database: Database): Promise<void> {
  const { schema } = database
  const version = await database.read('open the ledger', transaction => versionOf(transaction, schema))
  if (version === 0) throw new LedgerError('ERR_LEDGER_NOT_FOUND', `There is no ledger in the schema ${schema}.`)
  if (version >= MIGRATIONS.length) return
  throw new LedgerError(
    'ERR_LEDGER_READ_ONLY',
    `The schema ${schema} has version ${version} of the ledger's tables, expected ${MIGRATIONS.length}: it is of an older ` +
      'version of this package, and is brought forward when an exporter or gateway opens it.',
  )
}

/**
 * The version of the ledger's tables, 0 where there are none.
 *
 * @throws LedgerError `ERR_LEDGER_NEWER` where this version of the package may not use them
 */
async function versionOf(transaction: Transaction, schema: string): Promise<number> {
  // From the catalogue: what the session itself remembers of names may be of before another process made them.
  const known = await transaction.get(
    "SELECT FROM pg_catalog.pg_tables WHERE schemaname = $1 AND tablename = 'ledger'",
    schema,
  )
  if (known === undefined) return 0
  // By the row's own names: before version 6 there was only one.
  const row = await transaction.get(
    `SELECT version, coalesce((to_jsonb(ledger) ->> 'schema_version')::integer, version) AS present
     FROM ${quoted(schema)}.ledger`,
  )
  refuseNewer(row?.version as number)
  return row?.present as number
}

/** SQL that brings a schema from one version to the present one, for a role that may do it. */
export function migrationSql(schema: string, from: number): string {
  return `BEGIN;\nSET LOCAL search_path TO ${quoted(schema)};\n${stepsFrom(schema, from)}COMMIT;\n`
}

function stepsFrom(schema: string, from: number): string {
  return [
    `CREATE SCHEMA IF NOT EXISTS ${quoted(schema)};\n`,
    ...MIGRATIONS.slice(from),
    `UPDATE ledger SET version = greatest(version, ${OLDEST_COMPATIBLE}), schema_version = ${MIGRATIONS.length};\n`,
  ].join('')
}
