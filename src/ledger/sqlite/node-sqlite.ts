import { ConfigurationError } from '../../errors.ts'

/** The first SQLite in which a checkpoint cannot lose what is written meanwhile: https://sqlite.org/wal.html#walresetbug */
const LEAST = '3.51.3'

/**
 * Node's own SQLite. It is not imported: a Node that has none would say so with a stack, also to those whose ledger is
 * elsewhere.
 *
 * @throws ConfigurationError when this Node has none, or one that is too old
 */
export function nodeSqlite(): typeof import('node:sqlite') {
  const { node, sqlite } = process.versions as { node: string; sqlite?: string }
  if (sqlite === undefined || sqlite.localeCompare(LEAST, 'en', { numeric: true }) < 0) {
    throw new ConfigurationError(
      `Expected Node.js with SQLite ${LEAST} or later for a ledger in a file (22.22.3, 24.15 or 26 and what follows each), ` +
        `got Node.js ${node} with ${sqlite === undefined ? 'none' : `SQLite ${sqlite}`}: update Node.js.`,
    )
  }
  return process.getBuiltinModule('node:sqlite')
}
