import { statfs } from 'node:fs/promises'

/** Enough for what comes until somebody makes room, in bytes. */
export const MIN_FREE_BYTES = 32e6

/** What is wrong where the disk that holds `folder` has no room for so many bytes. */
export function lackOfRoom(free: number, bytes: number): string | undefined {
  if (free >= bytes) return undefined
  const [there, expected] = [free, bytes].map(count => `${Math.floor(count / 1e6)} MB`)
  return `expected ${expected} free for the ledger, there are ${there}: make room`
}

/** Of the disk that holds a folder: how many bytes are free, and the type of its file system (statfs(2)). */
export async function diskOf(folder: string): Promise<{ readonly free: number; readonly type: number }> {
  const { bavail, bsize, type } = await statfs(folder)
  return { free: bavail * bsize, type }
}
