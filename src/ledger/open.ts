import { LedgerError } from './errors.ts'
import type { Ledger } from './ledger.ts'
import { SqliteLedger } from './sqlite/ledger.ts'

/** Opening a ledger by its address: a file, or a database that several machines share. */

export interface OpenLedgerOptions {
  /** Only look. A shared ledger is opened as always: who may not write to it has to be another user of the database. */
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
 * @throws ConfigurationError when the engine's package is not installed
 */
export async function openLedger(
  address: string,
  { readOnly = false, busyTimeout, now }: OpenLedgerOptions = {},
): Promise<Ledger> {
  const parsed = parse(address)
  const clock = now === undefined ? {} : { now }
  switch (parsed?.engine) {
    case undefined:
      throw new LedgerError(
        'ERR_LEDGER_INVALID',
        `Expected a ledger's path, postgresql://user@host/database or dynamodb://table?region=…, got ${ledgerName(address)}.`,
      )
    case 'sqlite':
      return new SqliteLedger({ path: parsed.path, readOnly, ...(busyTimeout !== undefined && { busyTimeout }) })
    case 'postgresql': {
      const { PostgresqlLedger } = await import('./postgresql/ledger.ts')
      return named(address, () => PostgresqlLedger.open({ connectionString: parsed.connectionString, ...clock }))
    }
    case 'dynamodb': {
      const { DynamoDBLedger } = await import('./dynamodb/ledger.ts')
      const { engine: _, ...options } = parsed
      return named(address, () => DynamoDBLedger.open({ ...options, ...clock }))
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

export function isLedgerAddress(text: string): boolean {
  return parse(text) !== undefined
}

/** The path of a ledger that is a file, or undefined. */
export function ledgerFile(address: string): string | undefined {
  const parsed = parse(address)
  return parsed?.engine === 'sqlite' ? parsed.path : undefined
}

/** An address as it may be shown: without user, password and settings. */
export function ledgerName(address: string): string {
  const [scheme] = /^[a-z][a-z\d+.-]*:\/\//i.exec(address) ?? []
  if (scheme === undefined) return address
  const url = URL.parse(address)
  return url === null ? `${scheme}…` : `${scheme}${url.host}${url.pathname}`
}

function parse(address: string): Address | undefined {
  // Not as URLs have it: without a host it is a socket of this machine, which a URL cannot say.
  if (/^postgres(ql)?:\/\/./.test(address)) return { engine: 'postgresql', connectionString: address }
  if (address.startsWith('dynamodb:')) return parseTable(address)
  return address === '' || /^[a-z][a-z\d+.-]*:\/\//i.test(address) ? undefined : { engine: 'sqlite', path: address }
}

/** https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html */
function parseTable(address: string): Address | undefined {
  const [, tableName, query] = /^dynamodb:(?:\/\/)?([\w.-]{3,255})(?:\?(.*))?$/.exec(address) ?? []
  const settings = Object.fromEntries(new URLSearchParams(query))
  const { region, endpoint, ...others } = settings
  if (tableName === undefined || Object.keys(others).length > 0) return undefined
  return { engine: 'dynamodb', tableName, ...(region && { region }), ...(endpoint && { endpoint }) }
}
