import { type BigIntStats, lstatSync, statSync } from 'node:fs'
import { LedgerError } from '../errors.ts'
import { realFile } from './place.ts'

/** The file, its log, and the log's index, which has the locks. */
export const ENDS = ['', '-wal', '-shm']

/**
 * The files that a connection has open. It goes on with them when somebody deletes them or puts others in their place,
 * and SQLite does not notice: what is acknowledged then is in files that nobody will ever find, and another process
 * bills from those that are found by name.
 */
export class OpenFiles {
  readonly path: string
  readonly #found: readonly (() => BigIntStats | undefined)[]
  readonly #opened: readonly (BigIntStats | undefined)[]

  /**
   * @param path of a file that was just opened
   * @param readOnly then its log may come later, from who writes
   */
  constructor(path: string, readOnly: boolean) {
    this.path = path
    const file = realFile(path)
    // No links are followed: to where it was moved, the file has no log beside it.
    const found = (readOnly ? [''] : ENDS).map(end => () => lstatSync(file + end, WHAT))
    // The name that was given may come to lead elsewhere.
    this.#found = file === path ? found : [() => statSync(path, WHAT), ...found]
    this.#opened = this.#found.map(find => find())
  }

  /** @throws LedgerError unless all of them are found under their names. It takes a few microseconds. */
  check(): void {
    for (let index = 0; index < this.#found.length; index += 1) {
      if (isSame(this.#found[index]?.(), this.#opened[index])) continue
      throw new LedgerError(
        'ERR_LEDGER_REPLACED',
        `${this.path}, or its -wal or -shm, was deleted, moved or replaced while this process has it open: nothing more ` +
          'is taken, and what is measured is kept in memory. Move the very same files back while this process runs, and ' +
          'it goes on. Where they are gone, end it and make a ledger of a backup by "marketplace-meter restore"; a new ' +
          'ledger or a mere copy of the backup could bill again what was billed.',
      )
    }
  }
}

/** As bigints: numbers of files go beyond what a double tells apart. */
const WHAT = { bigint: true, throwIfNoEntry: false } as const

function isSame(one: BigIntStats | undefined, other: BigIntStats | undefined): boolean {
  return one?.ino === other?.ino && one?.dev === other?.dev
}
