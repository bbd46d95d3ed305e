import { accessSync, constants, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { ENDS } from './open-files.ts'
import { realFile } from './place.ts'

/**
 * Which of a ledger's files, or their folder, the system does not let this user write, and what to do. SQLite writes them
 * all, also for who only looks, and does not say which it was.
 */
export function denial(path: string): string | undefined {
  const file = realFile(path)
  for (const name of [...ENDS.map(end => file + end), dirname(file)]) {
    const denied = denialOf(name)
    if (denied !== undefined) return denied
  }
  return undefined
}

function denialOf(name: string): string | undefined {
  try {
    accessSync(name, constants.W_OK)
    return undefined
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EROFS') {
      return 'its file system is read-only; to look only, copy the file with its -wal to another folder'
    }
    return code === 'EACCES' ? ownerAdvice(name) : undefined
  }
}

function ownerAdvice(name: string): string | undefined {
  try {
    const { uid, mode } = statSync(name)
    const shown = `(mode ${(mode & 0o777).toString(8)})`
    return uid === process.geteuid?.()
      ? `${name} may not be written ${shown}: run chmod u+rw '${name}'`
      : `${name} belongs to uid ${uid} ${shown}: run this as that user, or let this one write it`
  } catch {
    // It is in a folder that may not be entered, which comes later.
    return undefined
  }
}
