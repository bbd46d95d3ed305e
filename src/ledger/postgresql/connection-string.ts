/** What `pg` reads of a connection string. It takes no notice of anything else. */
const PARAMETERS: ReadonlySet<string> = new Set([
  ...['host', 'port', 'user', 'password'],
  ...['ssl', 'sslmode', 'sslcert', 'sslkey', 'sslrootcert', 'sslnegotiation', 'uselibpqcompat'],
  ...['application_name', 'fallback_application_name', 'client_encoding', 'options'],
  ...['statement_timeout', 'query_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout'],
])

const SCHEMA = 'its tables are in the schema marketplace_ledger; another is an option of PostgresqlLedger.open'
const DATABASE = 'the database is the path: postgresql://host/database'

/** What to do about others that people write. */
const INSTEAD: Readonly<Record<string, string>> = {
  ...{ schema: SCHEMA, currentschema: SCHEMA, search_path: SCHEMA },
  ...{ dbname: DATABASE, database: DATABASE },
  connect_timeout: 'it has a time limit of its own',
}

/** What was expected of `postgresql://…`, where it is not that. Its password is not shown. */
export function expectedOfConnectionString(text: string): string | undefined {
  const [, authority = '', path = '', query = '', fragment] =
    /^postgres(?:ql)?:\/\/([^/?#]*)([^?#]*)(?:\?([^#]*))?(#.*)?$/s.exec(text) ?? []
  if (authority + path + query === '') return 'postgresql://user@host/database'
  // A password with one of these in it ends there, and what follows of it would be taken for something else.
  if (fragment !== undefined || (path + query).includes('@')) {
    return 'postgresql://… with / ? # @ of its user and password written as %2F %3F %23 %40'
  }
  const name = [...new URLSearchParams(query).keys()].find(name => !PARAMETERS.has(name))
  if (name === undefined) return undefined
  const known = name.toLowerCase()
  const instead = Object.hasOwn(INSTEAD, known) ? `: ${INSTEAD[known]}` : ''
  return `postgresql://… without the parameter ${JSON.stringify(name.slice(0, 40))}, of which pg takes no notice (leave it out${instead})`
}
