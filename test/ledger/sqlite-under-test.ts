import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import { type LedgerUnderTest, ledgerUnderTest } from './scene.ts'

/** A folder that goes with its scope. */
export class TemporaryFolder implements Disposable {
  // In memory where there is such a folder: thousands of durable transactions need not wait for a disk.
  readonly path = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'ledger-'))

  file(name = 'ledger.db'): string {
    return join(this.path, name)
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true })
  }
}

export async function openSqlite(): Promise<LedgerUnderTest> {
  const folder = new TemporaryFolder()
  const path = folder.file()
  return await ledgerUnderTest(
    async () => new SqliteLedger({ path }),
    async () => folder[Symbol.dispose](),
  )
}
