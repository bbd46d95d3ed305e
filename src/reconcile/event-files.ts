import { once } from 'node:events'
import { createReadStream, readdirSync, statSync } from 'node:fs'
import { join, sep } from 'node:path'
import type { Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { EventError } from './errors.ts'
import { readEvent, type TrailEvent } from './event.ts'
import type { EventSource } from './event-source.ts'
import { JsonObjects } from './json-objects.ts'

export interface EventFile {
  /** As it is named to a person. */
  readonly name: string
  readonly open: () => Readable
}

/** A folder's files, and those in it that are none of a trail's. */
export interface FoundFiles {
  readonly files: EventFile[]
  readonly others: string[]
}

/** What AWS keeps beside a trail's events: hashes of its files. */
const DIGESTS = /CloudTrail-Digest/

/**
 * The files that paths name: of a folder all in it of that kind, packed or not, in the order of their names; `-` is
 * standard input.
 *
 * @throws EventError where there is none
 */
export function eventFiles(paths: readonly string[], input: Readable, kind: 'json' | 'csv' = 'json'): FoundFiles {
  const wanted = new RegExp(`\\.${kind}(\\.gz)?$`, 'i')
  const found: FoundFiles = { files: [], others: [] }
  for (const path of paths) {
    if (path === '-') {
      found.files.push({ name: 'standard input', open: () => input })
      continue
    }
    const stat = statSync(path, { throwIfNoEntry: false })
    if (stat === undefined) throw new EventError(`There is no file or folder ${path}.`)
    if (!stat.isDirectory()) {
      found.files.push(file(path))
      continue
    }
    for (const entry of readdirSync(path, { recursive: true, withFileTypes: true }).sort(byPath)) {
      const inside = join(entry.parentPath, entry.name)
      if (entry.isDirectory() || inside.split(sep).some(part => DIGESTS.test(part))) continue
      if (wanted.test(entry.name) && statSync(inside).isFile()) found.files.push(file(inside))
      else found.others.push(inside)
    }
  }
  return found
}

type Entry = { readonly parentPath: string; readonly name: string }
function byPath(a: Entry, b: Entry): number {
  const [one, other] = [join(a.parentPath, a.name), join(b.parentPath, b.name)]
  return one < other ? -1 : one > other ? 1 : 0
}

const file = (path: string): EventFile => ({
  name: path,
  open: () => createReadStream(path, { highWaterMark: 1 << 16 }),
})

/** A file as a source of events. */
export const fileSource = (file: EventFile): EventSource => ({
  name: file.name,
  read: ({ take, unreadable }) => readEventFile(file, take, unreadable),
})

/**
 * Reads a file's events. What cannot be read is told with its place, and the events after it are read, where it can be
 * seen where they begin.
 *
 * @param tell of something that cannot be read
 */
export async function readEventFile(
  { name, open }: EventFile,
  take: (event: TrailEvent) => void,
  tell: (problem: string) => void,
): Promise<void> {
  const objects = new JsonObjects()
  let number = 0
  try {
    for await (const chunk of unpacked(open())) {
      for (const text of objects.push(chunk)) {
        number++
        try {
          const event = readEvent(text)
          if (event !== undefined) take(event)
        } catch (error) {
          if (!(error instanceof EventError)) throw error
          tell(`${name}, event ${number}: ${error.message}`)
        }
      }
    }
    objects.end()
  } catch (error) {
    if (!isReading(error)) throw error
    tell(`${name}, after event ${number}: ${(error as Error).message}. What follows in it was not read.`)
  }
}

/** Whether a file, its packing, its JSON or its CSV is broken, rather than our code. */
export function isReading(error: unknown): boolean {
  if (error instanceof SyntaxError) return true
  const code = (error as NodeJS.ErrnoException | undefined)?.code
  return typeof code === 'string' && /^(Z_|CSV_|INVALID_OPENING_QUOTE$|E[A-Z]+$)/.test(code)
}

/** By its first bytes, since a name says nothing of standard input. */
export async function* unpacked(input: Readable): AsyncGenerator<Buffer> {
  const chunks = input[Symbol.asyncIterator]() as AsyncIterator<Buffer>
  let first = Buffer.alloc(0)
  while (first.length < 2) {
    const { value, done } = await chunks.next()
    if (done) break
    first = Buffer.concat([first, value])
  }
  if (first[0] !== 0x1f || first[1] !== 0x8b) {
    yield first
    yield* { [Symbol.asyncIterator]: () => chunks }
    return
  }
  const gunzip = createGunzip({ chunkSize: 1 << 16 })
  const fed = feed(gunzip, first, chunks)
  // An error ends the reading below, too.
  fed.catch(() => {})
  yield* gunzip
  await fed
}

async function feed(gunzip: NodeJS.WritableStream, first: Buffer, chunks: AsyncIterator<Buffer>): Promise<void> {
  try {
    for (let chunk = first; ; ) {
      if (!gunzip.write(chunk)) await once(gunzip, 'drain')
      const { value, done } = await chunks.next()
      if (done) break
      chunk = value
    }
    gunzip.end()
  } catch (error) {
    ;(gunzip as unknown as Readable).destroy(error as Error)
    throw error
  }
}
