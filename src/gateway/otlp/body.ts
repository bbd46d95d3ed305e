import type { IncomingMessage } from 'node:http'
import { constants, gunzipSync, zstdDecompressSync } from 'node:zlib'
import type { Hold } from './budget.ts'
import { UndecodableError } from './errors.ts'
import { comeBack, tooLarge } from './refusal.ts'

/** The sender has left before the whole request was there. */
export class Disconnected extends Error {}

export interface BodyLimits {
  readonly maxBytes: number
  /** How long the body may take to arrive, in milliseconds. */
  readonly timeout: number
  readonly hold: Hold
}

/** A body as it arrives. @throws {Refusal | Disconnected} What comes after a refusal is read and thrown away. */
export function readBody(request: IncomingMessage, { maxBytes, timeout, hold }: BodyLimits): Promise<Buffer> {
  if (Number(request.headers['content-length']) > maxBytes) return Promise.reject(tooLarge(maxBytes))
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
  const chunks: Buffer[] = []
  let size = 0
  const end = (settle: () => void) => {
    clearTimeout(timer)
    request.off('data', add)
    settle()
  }
  const add = (chunk: Buffer) => {
    size += chunk.length
    try {
      if (size > maxBytes) throw tooLarge(maxBytes)
      hold.add(chunk.length)
      chunks.push(chunk)
    } catch (refusal) {
      end(() => reject(refusal))
    }
  }
  const timer = setTimeout(
    () => end(() => reject(comeBack(`Expected the whole request within ${timeout} ms, got ${size} bytes of it`))),
    timeout,
  )
  request.on('data', add)
  request.once('end', () => end(() => resolve(Buffer.concat(chunks, size))))
  request.once('error', cause => end(() => reject(new Disconnected('The sender has left', { cause }))))
  return promise
}

const CHUNK_BYTES = 64 * 1024
/** A frame may ask for a window of 128 MiB to unpack it. RFC 8878 recommends to take those of 8 MiB, 2^23. */
const LARGEST_WINDOW = 23

type Unpack = (packed: Buffer, limits: { maxOutputLength: number; chunkSize: number }) => Buffer

/** What undoes a `content-encoding`. */
const UNPACK: ReadonlyMap<string, Unpack> = new Map<string, Unpack>([
  ['identity', packed => packed],
  ['gzip', gunzipSync],
  [
    'zstd',
    (packed, limits) =>
      zstdDecompressSync(packed, { ...limits, params: { [constants.ZSTD_d_windowLogMax]: LARGEST_WINDOW } }),
  ],
])

export const ENCODINGS: readonly string[] = [...UNPACK.keys()]

/**
 * Unpacks a body, stopping as soon as it is larger than `maxBytes`. It is done at once, as decoding is: so there is one
 * at a time, whatever arrives.
 *
 * @throws {Refusal | UndecodableError}
 */
export function unpack(packed: Buffer, encoding: string, { maxBytes, hold }: BodyLimits): Buffer {
  try {
    const body = (UNPACK.get(encoding) as Unpack)(packed, { maxOutputLength: maxBytes, chunkSize: CHUNK_BYTES })
    if (body !== packed) hold.add(body.length)
    return body
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(maxBytes)
    if (code?.startsWith('Z'))
      throw new UndecodableError('body', `expected ${encoding}, got what is not (${code})`, { cause })
    throw cause
  }
}
