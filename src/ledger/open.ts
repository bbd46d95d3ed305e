import { configurationError, show, unknownOptions } from '../check.ts'
import { LedgerError } from './errors.ts'
import type { Ledger } from './ledger.ts'
import { expectedOfConnectionString } from './postgresql/connection-string.ts'
import { SqliteLedger } from './sqlite/ledger.ts'
import { isFilePath } from './sqlite/private-file.ts'

/** Opening a ledger by its address: a file, or a database that several machines share. */

export interface OpenLedgerOptions {
  /**
   * Only look: a ledger is neither made nor brought to this version. Who may not write to a shared one at all has to be
   * another user of the database.
   */
  readonly readOnly?: boolean
  /** How long to wait for another process's lock on a file, in milliseconds. */
  readonly busyTimeout?: number
  /** Milliseconds since the epoch, instead of the clock of an engine that machines share. */
  readonly now?: () => number
}

type Address =
  | { readonly engine: 'sqlite'; readonly path: string }
  | { readonly engine: 'postgresql'; readonly connectionString: string }
  | { readonly engine: 'dynamodb'; readonly tableName: string; readonly region?: string; readonly endpoint?: string }

/**
 * Opens the ledger at an address: a path, `postgresql://…`, or `dynamodb://table?region=…&endpoint=…`.
 *
 * @throws LedgerError when it is no such address, or the ledger cannot be opened
 * @throws ConfigurationError when an option is wrong, the engine's package is not installed, or Node's SQLite is missing or too old
 */
export async function openLedger(address: string, options: OpenLedgerOptions = {}): Promise<Ledger> {
  if (typeof address !== 'string') throw configurationError([`address: expected ${EXPECTED}, got ${show(address)}`])
  const problems = unknownOptions(options, ['readOnly', 'busyTimeout', 'now'])
  if (problems.length > 0) throw configurationError(problems)
  const { readOnly = false, busyTimeout, now } = options
  const parsed = parse(address)
  if (typeof parsed === 'string') {
    throw new LedgerError('ERR_LEDGER_INVALID', `Expected ${parsed}, got ${ledgerName(address)}.`)
  }
  const clock = now === undefined ? {} : { now }
  switch (parsed.engine) {
    case 'sqlite':
      return new SqliteLedger({ path: parsed.path, readOnly, ...(busyTimeout !== undefined && { busyTimeout }) })
    case 'postgresql': {
      const { PostgresqlLedger } = await import('./postgresql/ledger.ts')
      return named(address, () =>
        PostgresqlLedger.open({ connectionString: parsed.connectionString, readOnly, ...clock }),
      )
    }
    case 'dynamodb': {
      const { DynamoDBLedger } = await import('./dynamodb/ledger.ts')
      const { engine: _, ...options } = parsed
      return named(address, () => DynamoDBLedger.open({ ...options, readOnly, ...clock }))
    }
  }
}

/** An engine's errors do not say which of its databases they are about. */
async function named(address: string, open: () => Promise<Ledger>): Promise<Ledger> {
  try {
    return await open()
  } catch (error) {
    if (!(error instanceof LedgerError)) throw error
    throw new LedgerError(error.code, `${ledgerName(address)}: ${error.message}`, { cause: error })
  }
}

/** What was expected of an address, where it is none. Its password is not shown. */
export function expectedOfLedger(address: string): string | undefined {
  const parsed = parse(address)
  return typeof parsed === 'string' ? parsed : undefined
}

/** The path of a ledger that is a file, or undefined. */
export function ledgerFile(address: string): string | undefined {
  const parsed = parse(address)
  return typeof parsed !== 'string' && parsed.engine === 'sqlite' ? parsed.path : undefined
}

/** An address as it may be shown: without user, password and settings but the schema; of what is no address only the kind. */
export function ledgerName(address: string): string {
  if (isFilePath(address)) return address
  const [scheme] = SCHEME.exec(address) ?? []
  if (scheme === undefined) return kindOf(address)
  const url = URL.parse(address)
  // A password that is not written as it has to be would be taken for a host or a path.
  const name = url === null ? undefined : `${url.host}${url.pathname}`
  if (name === undefined || name.includes('@')) return `${scheme}…`
  const schema = /^postgres/.test(scheme) ? url?.searchParams.get('schema') : undefined
  return `${scheme}${name}${schema ? `?schema=${encodeURIComponent(schema)}` : ''}`
}

const SCHEME = /^(postgres(ql)?:\/\/|dynamodb:(\/\/)?)/

function kindOf(address: string): string {
  if (address === '' || address === ':memory:') return address === '' ? 'nothing' : address
  if (/^file:/i.test(address)) return 'a URI of SQLite (file:…)'
  return 'something else, which is not shown: there may be a password in it'
}

const EXPECTED = "a ledger's path, postgresql://user@host/database?schema=… or dynamodb://table?region=…"

/** The address, or what was expected. */
function parse(address: string): Address | string {
  // Not as URLs have it: without a host it is a socket of this machine, which a URL cannot say.
  if (/^postgres(ql)?:\/\//.test(address)) {
    return expectedOfConnectionString(address) ?? { engine: 'postgresql', connectionString: address }
  }
  if (address.startsWith('dynamodb:')) return parseTable(address)
  return isFilePath(address) ? { engine: 'sqlite', path: address } : EXPECTED
}

/** https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html */
function parseTable(address: string): Address | string {
  const [, tableName, query] = /^dynamodb:(?:\/\/)?([\w.-]{3,255})(?:\?(.*))?$/.exec(address) ?? []
  const settings = Object.fromEntries(new URLSearchParams(query))
  const { region, endpoint, ...others } = settings
  if (tableName === undefined || Object.keys(others).length > 0) return EXPECTED
  return { engine: 'dynamodb', tableName, ...(region && { region }), ...(endpoint && { endpoint }) }
}
