import { LedgerError, type LedgerErrorCode } from '../errors.ts'

/** Faults of a PostgreSQL server and of the way to it, and which of them pass by themselves. */

export interface Fault {
  readonly code: LedgerErrorCode
  readonly advice: string
  /** Whether it is worth trying the same again at once. */
  readonly passing: boolean
  /** Whether the connection is good for nothing more. */
  readonly disconnected: boolean
}

const fault = (code: LedgerErrorCode, advice: string, rest: Partial<Fault> = {}): Fault => ({
  ...{ code, advice, passing: false, disconnected: false },
  ...rest,
})

const PASSING = { passing: true }
const LOST = { passing: true, disconnected: true }
const CONTENTION = fault('ERR_LEDGER_BUSY', 'others were in the way; this is tried again', PASSING)
const CROWDED = fault('ERR_LEDGER_BUSY', 'the server takes no more connections; this is tried again', LOST)
const CONNECTION = fault(
  'ERR_LEDGER_IO',
  'there is no connection: does the database run, and is its address right? What runs tries it again',
  LOST,
)
const REFUSED = fault('ERR_LEDGER_IO', 'the server refuses the connection; check its address, user and password')
const RIGHTS = fault('ERR_LEDGER_READ_ONLY', 'the role may not do this; use one that may, or grant it the right')
const FOREIGN = fault('ERR_LEDGER_FOREIGN', 'the schema has other tables than those of a ledger')
const OTHER = fault('ERR_LEDGER_IO', 'PostgreSQL failed')

/** By SQLSTATE, else by its class; https://www.postgresql.org/docs/current/errcodes-appendix.html. */
const SQL_STATES = new Map<string, Fault>([
  ['40', CONTENTION], // a deadlock, or a transaction that could not be serialized
  ['55P03', CONTENTION], // a lock that was not to be had in time
  ['57014', fault('ERR_LEDGER_BUSY', 'it took too long; this is tried again', PASSING)],
  ['08', CONNECTION],
  ['57', CONNECTION], // the server is shut down, starting, or its administrator has ended the session
  ['25P03', CONNECTION], // the session was ended since its transaction was idle
  ['25P04', CONNECTION], // or took too long
  ['53300', CROWDED],
  ['53', fault('ERR_LEDGER_BUSY', 'the server lacks memory or another resource', PASSING)],
  ['53100', fault('ERR_LEDGER_FULL', "no space is left; make room on the server's disk")],
  ['58', fault('ERR_LEDGER_IO', "reading or writing failed; check the server's disk")],
  // After a failover the old address may lead to a server that is a replica now.
  ['25006', fault('ERR_LEDGER_READ_ONLY', 'the server takes no writes; expected the primary, not a replica', LOST)],
  ['28', REFUSED],
  ['3D', fault('ERR_LEDGER_IO', 'there is no such database')],
  ['42501', RIGHTS],
  ['42P01', FOREIGN],
  ['42P07', FOREIGN],
  ['42703', FOREIGN],
  ['22', fault('ERR_LEDGER_INVALID', 'a value does not fit')],
  ['23', fault('ERR_LEDGER_CORRUPT', 'the tables contradict each other')],
  ['XX', fault('ERR_LEDGER_CORRUPT', 'the database is damaged')],
])

/** Of the operating system, while connecting or in the middle. A name may not resolve while a failover goes on. */
const SYSTEM_ERRORS = new Set(
  [
    'ECONNRESET',
    'ECONNREFUSED',
    'ECONNABORTED',
    'EPIPE',
    'ETIMEDOUT',
    'EHOSTUNREACH',
    'ENETUNREACH',
    'ENETDOWN',
  ].concat(['EADDRNOTAVAIL', 'ENOTFOUND', 'EAI_AGAIN', 'ENOENT']),
)

/** What `pg` says without a code: that a connection ended, did not come up, or does not answer. */
const DRIVER_ERRORS =
  /^(Connection terminated|Query read timeout|Client has encountered a connection error|Client was )/
/** What `pg` says, too. */
export const POOL_EXHAUSTED = 'timeout exceeded when trying to connect'
const EXHAUSTED = fault(
  'ERR_LEDGER_BUSY',
  'the pool had no connection in time; give it more (max), find what keeps them, or let the ledger have a pool of its own',
  PASSING,
)

/** What is wrong, or undefined where it is not PostgreSQL that failed. */
export function faultOf(error: unknown): Fault | undefined {
  const { code, message = '' } = (error ?? {}) as { code?: unknown; message?: string }
  if (message === POOL_EXHAUSTED) return EXHAUSTED
  if (typeof code !== 'string') return DRIVER_ERRORS.test(message) ? CONNECTION : undefined
  if (SYSTEM_ERRORS.has(code)) return CONNECTION
  return /^[0-9A-Z]{5}$/.test(code) ? (SQL_STATES.get(code) ?? SQL_STATES.get(code.slice(0, 2)) ?? OTHER) : undefined
}

/** What is wrong when no connection comes up: what has no other name is of TLS, say. */
export const connectFaultOf = (error: unknown): Fault => faultOf(error) ?? REFUSED

/** An error of PostgreSQL's, or of the way to it, under the ledger's own codes. */
export function asLedgerError(error: unknown, fault: Fault | undefined, doing: string): unknown {
  if (fault === undefined || error instanceof LedgerError || !(error instanceof Error)) return error
  // PostgreSQL repeats there what a row holds: account ids.
  Object.assign(error, { detail: undefined, where: undefined, internalQuery: undefined })
  const said = [(error as { code?: string }).code, error.message].filter(Boolean).join(' ')
  return new LedgerError(fault.code, `cannot ${doing}: ${fault.advice} (PostgreSQL: ${said})`, { cause: error })
}
