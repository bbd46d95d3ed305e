import { lstatSync, readFileSync, realpathSync, type Stats, statfsSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { diag } from '@opentelemetry/api'
import { LedgerError } from '../errors.ts'

/**
 * Where the file of a ledger or spool is. SQLite keeps a log and its index beside it, by name: what is acknowledged is
 * in the log first, and the index has the locks of all processes. So whoever opens the file has to find the same three.
 */

/** `f_type` of file systems on which SQLite's locks or its shared memory cannot be trusted, from statfs(2). */
const UNTRUSTED_FILE_SYSTEMS = new Map([
  [0x6969, 'NFS'],
  [0x517b, 'SMB'],
  [0xff534d42, 'CIFS'],
  [0xfe534d42, 'SMB2'],
  [0x01021997, '9P'],
  [0x5346414f, 'AFS'],
  [0x00c36400, 'Ceph'],
  [0x0bd00bd0, 'Lustre'],
  [0x47504653, 'GPFS'],
  [0x19830326, 'BeeGFS'],
  [0x01161970, 'GFS2'],
  [0x7461636f, 'OCFS2'],
  [0x65735546, 'FUSE'],
  [0x786f4256, 'vboxsf'],
])

/** Names one that somebody insists on: with FUSE it may be a disk of this machine. */
const INSIST = 'MARKETPLACE_LEDGER_FILE_SYSTEM'

export interface PlaceOptions {
  /** The type of the file system a folder is on. Replaced in tests. */
  readonly fileSystemType?: ((folder: string) => number) | undefined
  /** The mounts of this process, as /proc/self/mountinfo has them. Replaced in tests. */
  readonly mounts?: (() => string) | undefined
}

/** @throws LedgerError where a file there would not be what other processes, or this one after a restart, see of it */
export function refusePlace(
  path: string,
  kind: 'ledger' | 'spool',
  { fileSystemType = typeOf, mounts = readMounts }: PlaceOptions = {},
): void {
  const file = realFile(path)
  refuseFileSystem(`the ${kind} ${path}`, dirname(file), fileSystemType)
  const found = lookAt(file, `the ${kind} ${path}`)
  if (found === undefined) return
  if (!found.isFile()) {
    throw new LedgerError(
      'ERR_LEDGER_IO',
      `cannot open the ${kind} ${path}: expected the path of a file, got ` +
        (found.isDirectory()
          ? `a folder; name a file in it, such as ${join(path, `${kind}.sqlite`)}`
          : 'a device or a pipe'),
    )
  }
  if (isMountedAlone(file, mounts)) {
    throw new LedgerError(
      'ERR_LEDGER_FILE_ALONE',
      `${path} is mounted by itself (a bind mount of one file, or a subPath in Kubernetes), so that the log beside it, ` +
        'which has what was acknowledged last, is somewhere else and would be lost. Mount the folder that it is in.',
    )
  }
  if (found.nlink > 1) {
    throw new LedgerError(
      'ERR_LEDGER_FILE_ALONE',
      `${path} has another name too (a hard link), by which it would be opened without the log beside this one. Make ` +
        `the other a copy, or remove it; this finds it: find DISK -xdev -samefile '${file}'`,
    )
  }
}

/** Where a file is whose name may be a link, as SQLite finds it. Of one that is not there yet, where it is to be. */
export function realFile(path: string): string {
  try {
    // A link that leads nowhere is not followed when the file is made.
    return lstatSync(path, { throwIfNoEntry: false }) === undefined
      ? join(realpathSync.native(dirname(path)), basename(path))
      : realpathSync.native(path)
  } catch {
    // What is wrong with it is said where it is opened.
    return path
  }
}

const typeOf = (folder: string) => statfsSync(folder).type
const readMounts = () => readFileSync('/proc/self/mountinfo', 'utf8')

function refuseFileSystem(what: string, folder: string, fileSystemType: (folder: string) => number): void {
  let type: number
  try {
    type = fileSystemType(folder)
  } catch (error) {
    throw new LedgerError('ERR_LEDGER_IO', `cannot open ${what}: ${folderProblem(folder, error)}`, { cause: error })
  }
  const name = UNTRUSTED_FILE_SYSTEMS.get(type >>> 0)
  if (name === undefined) return
  const refusal =
    `${what} is on a file system (${name}) where SQLite's locks cannot be trusted, and usage could be billed twice or ` +
    'lost.'
  if (process.env[INSIST] === name) {
    diag.warn(`${refusal} ${INSIST} insists on it.`)
    return
  }
  throw new LedgerError(
    'ERR_LEDGER_NETWORK_FILE_SYSTEM',
    `${refusal} Expected a disk of this machine. Only who knows that locks and shared memory hold there between all ` +
      `processes that open the file sets ${INSIST}=${name}.`,
  )
}

/**
 * In bytes, or undefined where there is none.
 *
 * @throws LedgerError where the system does not tell
 */
export function fileSize(path: string): number | undefined {
  return lookAt(path, `the ledger ${path}`)?.size
}

function lookAt(file: string, what: string): Stats | undefined {
  try {
    return statSync(file, { throwIfNoEntry: false })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const why = code === 'EACCES' ? folderProblem(dirname(file), error) : `the system says ${code} of ${file}`
    throw new LedgerError('ERR_LEDGER_IO', `cannot open ${what}: ${why}`, { cause: error })
  }
}

function folderProblem(folder: string, error: unknown): string {
  const { code } = error as NodeJS.ErrnoException
  if (code === 'ENOENT') return `there is no folder ${folder}; make it, or name a file in another`
  if (code === 'ENOTDIR') return `${folder} is no folder; name a file in one`
  return `its folder ${folder} cannot be read (the system says ${code}); run this as a user who may`
}

function isMountedAlone(file: string, mounts: () => string): boolean {
  let lines: string[]
  try {
    lines = mounts().split('\n')
  } catch {
    // Only Linux tells; elsewhere a mount shows by another device.
    return statSync(file, { bigint: true }).dev !== statSync(dirname(file), { bigint: true }).dev
  }
  const escaped = file.replace(/[\\ \t\n]/g, character => `\\0${character.charCodeAt(0).toString(8).padStart(2, '0')}`)
  return lines.some(line => line.split(' ')[4] === escaped)
}
