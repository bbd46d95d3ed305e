/** Which schema has the ledger's tables. */
const SCHEMA = 'schema'

/** What `pg` reads of a connection string, and takes no notice of anything else, and what the ledger reads of it. */
const PARAMETERS: ReadonlySet<string> = new Set([
  SCHEMA,
  ...['host', 'port', 'user', 'password'],
  ...['ssl', 'sslmode', 'sslcert', 'sslkey', 'sslrootcert', 'sslnegotiation', 'uselibpqcompat'],
  ...['application_name', 'fallback_application_name', 'client_encoding', 'options'],
  ...['statement_timeout', 'query_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout'],
])

const ITS_SCHEMA = 'the schema of its tables is schema=…'
const DATABASE = 'the database is the path: postgresql://host/database'

/** What to do about others that people write. */
const INSTEAD: Readonly<Record<string, string>> = {
  ...{ schema: ITS_SCHEMA, currentschema: ITS_SCHEMA, search_path: ITS_SCHEMA },
  ...{ dbname: DATABASE, database: DATABASE },
  connect_timeout: 'it has a time limit of its own',
  target_session_attrs: 'the host is that of the primary',
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
  const parameters = new URLSearchParams(query)
  if (authority.replace(/^.*@/, '').includes(',') || ['host', 'port'].some(one => parameters.get(one)?.includes(','))) {
    return 'postgresql://… with one host, since pg takes no more (that of the primary, as a name that follows a failover)'
  }
  return expectedOfParameters(parameters)
}

function expectedOfParameters(parameters: URLSearchParams): string | undefined {
  const names = [...parameters.keys()]
  const quoted = (name: string) => JSON.stringify(name.slice(0, LONGEST_NAME))
  const ignored = names.find(name => !PARAMETERS.has(name))
  if (ignored !== undefined) {
    const known = ignored.toLowerCase()
    const instead = Object.hasOwn(INSTEAD, known) ? `: ${INSTEAD[known]}` : ''
    return `postgresql://… without the parameter ${quoted(ignored)}, of which pg takes no notice (leave it out${instead})`
  }
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) return `postgresql://… with the parameter ${quoted(twice)} once, since the last one holds`
  if (/search_path/i.test(parameters.get('options') ?? '')) {
    return `postgresql://… without a search_path in its options, of which the ledger takes no notice (${ITS_SCHEMA})`
  }
  const schema = parameters.get(SCHEMA)
  return schema === null || isSchema(schema) ? undefined : `postgresql://… with ${SCHEMA}=${SCHEMA_EXPECTED}`
}

/** In characters. */
const LONGEST_NAME = 40

/** PostgreSQL cuts longer names off, so that two of them may be one. */
const LONGEST_SCHEMA = 63

export const isSchema = (name: unknown): boolean =>
  typeof name === 'string' &&
  /^[^\0]+$/.test(name) &&
  Buffer.byteLength(name) <= LONGEST_SCHEMA &&
  !name.startsWith('pg_')
export const SCHEMA_EXPECTED = `a name of at most ${LONGEST_SCHEMA} bytes that does not begin with pg_`

/** The schema that an address names. */
export function schemaOf(text: string): string | undefined {
  return new URLSearchParams(/\?([^#]*)/.exec(text)?.[1]).get(SCHEMA) ?? undefined
}
