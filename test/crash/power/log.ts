import { readFileSync } from 'node:fs'
import { basename } from 'node:path'

/** One thing that was done to the recorded files, in the order in which they were done. Names are without folder. */
export type LogEntry =
  /** A process begins: file numbers mean nothing any more. */
  | { readonly type: 'begin' }
  | { readonly type: 'open'; readonly file: number; readonly name: string; readonly create: boolean }
  | { readonly type: 'write'; readonly file: number; readonly offset: number; readonly bytes: Buffer }
  | { readonly type: 'truncate'; readonly file: number; readonly length: number }
  | { readonly type: 'sync'; readonly file: number }
  | { readonly type: 'unlink'; readonly name: string }
  | { readonly type: 'rename'; readonly from: string; readonly to: string }
  /** Not the disk's: what the process said that it has. */
  | { readonly type: 'mark'; readonly said: unknown }

/** The file to which a recorded process writes its marks, a line of JSON with each write. */
export const MARKS = 'marks'

/** `struct entry` of recorder.c. */
const HEADER = 24

/** Reads what recorder.c wrote. */
export function readLog(path: string): LogEntry[] {
  const log = readFileSync(path)
  const entries: LogEntry[] = []
  const marks = new Set<number>()
  for (let at = 0; at < log.length; ) {
    const file = log.readInt32LE(at + 4)
    const offset = Number(log.readBigInt64LE(at + 8))
    const bytes = log.subarray(at + HEADER, at + HEADER + Number(log.readBigInt64LE(at + 16)))
    const [name = '', to = ''] =
      bytes.length < 8192
        ? bytes
            .toString()
            .split('\0')
            .map(one => basename(one))
        : []
    switch (String.fromCharCode(log.readInt32LE(at))) {
      case 'B':
        marks.clear()
        entries.push({ type: 'begin' })
        break
      case 'O':
        if (name === MARKS) marks.add(file)
        else marks.delete(file)
        if (name !== MARKS) entries.push({ type: 'open', file, name, create: offset === 1 })
        break
      case 'W':
        if (marks.has(file)) entries.push({ type: 'mark', said: JSON.parse(bytes.toString()) })
        else entries.push({ type: 'write', file, offset, bytes })
        break
      case 'T':
        if (!marks.has(file)) entries.push({ type: 'truncate', file, length: offset })
        break
      case 'S':
        entries.push({ type: 'sync', file })
        break
      case 'U':
        entries.push({ type: 'unlink', name })
        break
      case 'R':
        entries.push({ type: 'rename', from: name, to })
    }
    at += HEADER + bytes.length
  }
  return entries
}
