/** What `pg` reads of a connection string. It takes no notice of anything else. */
const PARAMETERS: ReadonlySet<string> = new Set([
  ...['host', 'port', 'user', 'password'],
  ...['ssl', 'sslmode', 'sslcert', 'sslkey', 'sslrootcert', 'sslnegotiation', 'uselibpqcompat'],
  ...['application_name', 'fallback_application_name', 'client_encoding', 'options'],
  ...['statement_timeout', 'query_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout'],
])

/** What to do about others that people write. */
const INSTEAD: Readonly<Record<string, string>> = {
  connect_timeout: 'it has a time limit of its own',
  dbname: 'the database is the path: postgresql://host/database',
  database: 'the database is the path: postgresql://host/database',
  currentschema: 'the schema of its tables is schema=…',
  search_path: 'the schema of its tables is schema=…',
}

export interface ConnectionString {
  /** What `pg` is to read. */
  readonly connectionString: string
  /** The schema of the ledger's tables, where `?schema=…` names it. */
  readonly schema?: string
}

/** Reads `postgresql://…`, or returns what was expected of it. Neither shows a password. */
export function readConnectionString(text: string): ConnectionString | string {
  const [, address = '', authority = '', path = '', query = '', fragment] =
    /^(postgres(?:ql)?:\/\/([^/?#]*)([^?#]*))(?:\?([^#]*))?(#.*)?$/s.exec(text) ?? []
  if (authority + path + query === '') return 'postgresql://user@host/database'
  // A password with one of these in it ends there, and what follows of it would be taken for something else.
  if (fragment !== undefined || (path + query).includes('@')) {
    return 'postgresql://… with / ? # @ of its user and password written as %2F %3F %23 %40'
  }
  const parameters = new URLSearchParams(query)
  for (const name of parameters.keys()) {
    if (name === 'schema' || PARAMETERS.has(name)) continue
    const instead = Object.hasOwn(INSTEAD, name.toLowerCase()) ? INSTEAD[name.toLowerCase()] : 'leave it out'
    return `postgresql://… without the parameter ${JSON.stringify(name.slice(0, 40))}, of which pg takes no notice (${instead})`
  }
  const schema = parameters.get('schema')
  if (schema === null) return { connectionString: text }
  parameters.delete('schema')
  const rest = parameters.toString()
  return { connectionString: rest === '' ? address : `${address}?${rest}`, schema }
}
