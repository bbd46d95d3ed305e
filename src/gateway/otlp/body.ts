import type { Readable } from 'node:stream'
// Not name by name: a Node without zstd could not even say that it is too old.
import zlib from 'node:zlib'
import type { Hold } from './budget.ts'
import { UndecodableError } from './errors.ts'
import { comeBack, tooLarge } from './refusal.ts'

/** The sender has left before the whole request was there. */
export class Disconnected extends Error {}

export interface BodyLimits {
  readonly maxBytes: number
  /** How many bytes it says that it has. */
  readonly expected?: number
  /** How long the body may take to arrive, in milliseconds. */
  readonly timeout: number
  readonly hold: Hold
}

const EMPTY = Buffer.alloc(0)

/**
 * A body as it arrives, with room for at most twice of what is there. Its pieces are copied: each is an object of some
 * hundred bytes, however short, and keeps all that was read with it.
 *
 * @throws {Refusal | Disconnected} What comes after a refusal is read and thrown away.
 */
export function readBody(request: Readable, limits: BodyLimits): Promise<Buffer> {
  const { maxBytes, expected = maxBytes, timeout, hold } = limits
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
  let body = EMPTY
  let size = 0
  let ended = false
  const makeRoom = (needed: number) => {
    if (needed <= body.length) return
    const length = Math.max(needed, Math.min(2 * body.length, expected))
    hold.add(length - body.length)
    const larger = Buffer.allocUnsafe(length)
    body.copy(larger, 0, 0, size)
    discard(body)
    body = larger
  }
  const end = (settle: () => void) => {
    if (ended) return
    ended = true
    clearTimeout(timer)
    request.off('data', add)
    settle()
    // The request may stay for as long as its rest takes.
    body = EMPTY
  }
  const fail = (error: unknown) =>
    end(() => {
      discard(body)
      reject(error)
    })
  const add = (chunk: Buffer) => {
    try {
      if (size + chunk.length > maxBytes) throw tooLarge(maxBytes)
      makeRoom(size + chunk.length)
      size += chunk.copy(body, size)
    } catch (refusal) {
      fail(refusal)
    }
  }
  const timer = setTimeout(
    () => fail(comeBack(`Expected the whole request within ${timeout} ms, got ${size} bytes of it`)),
    timeout,
  )
  request.on('data', add)
  request.once('end', () => end(() => resolve(body.subarray(0, size))))
  const leave = (cause?: unknown) => {
    // An error is made with its stack, which costs more than the rest of all this.
    if (!ended) fail(new Disconnected('The sender has left', { cause }))
  }
  request.once('error', leave)
  // HTTP/2 has no error for a sender that calls its request off.
  request.once('close', () => leave())
  return promise
}

const CHUNK_BYTES = 64 * 1024
/** A frame may ask for a window of 128 MiB to unpack it. RFC 8878 recommends to take those of 8 MiB, 2^23. */
const LARGEST_WINDOW = 23

/** What gzip begins with. */
const GZIP = 0x1f8b
/** Nothing is packed more tightly by it: whatever says so is cut off or no gzip at all. */
const LARGEST_RATIO = 1032

type Unpack = (packed: Buffer, limits: { maxOutputLength: number; chunkSize: number }) => Buffer

/** What undoes a `content-encoding`, or a `grpc-encoding`. `deflate` is zlib's format in both (RFC 9110). */
const UNPACK: ReadonlyMap<string, Unpack> = new Map<string, Unpack>([
  ['identity', packed => packed],
  ['gzip', zlib.gunzipSync],
  ['x-gzip', zlib.gunzipSync],
  ['deflate', zlib.inflateSync],
  [
    'zstd',
    (packed, limits) =>
      zlib.zstdDecompressSync(packed, { ...limits, params: { [zlib.constants.ZSTD_d_windowLogMax]: LARGEST_WINDOW } }),
  ],
])

export const ENCODINGS: readonly string[] = [...UNPACK.keys()]

/** How large gzip says that it is unpacked, at its end (RFC 1952): so what has no room is not unpacked for nothing. */
function saidSize(packed: Buffer, encoding: string): number {
  const isGzip = encoding.endsWith('gzip') && packed.length >= 18 && packed.readUInt16BE(0) === GZIP
  const said = isGzip ? packed.readUInt32LE(packed.length - 4) : 0
  return said <= LARGEST_RATIO * packed.length ? said : 0
}

/**
 * Unpacks a body, stopping as soon as it is larger than `maxBytes`. It is done at once, as decoding is: so there is one
 * at a time, whatever arrives.
 *
 * @throws {Refusal | UndecodableError}
 */
export function unpack(
  packed: Buffer,
  encoding: string,
  { maxBytes, hold }: Pick<BodyLimits, 'maxBytes' | 'hold'>,
): Buffer {
  const expected = saidSize(packed, encoding)
  if (expected > maxBytes) throw tooLarge(maxBytes)
  hold.add(expected)
  try {
    // Where its size is known, in one piece: pieces are there twice when they are put together.
    const chunkSize = Math.max(CHUNK_BYTES, expected + 64)
    const body = (UNPACK.get(encoding) as Unpack)(packed, { maxOutputLength: maxBytes, chunkSize })
    if (body === packed) return body
    discard(packed)
    hold.add(Math.max(0, body.length - expected))
    return body
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(maxBytes)
    if (typeof code === 'string' && code.startsWith('Z'))
      throw new UndecodableError('body', `expected ${encoding}, got what is not (${code})`, { cause })
    throw cause
  }
}

/**
 * Gives back the memory of a body that was decoded, at once: the garbage collector is late where large ones follow each
 * other. Small ones share theirs.
 */
export function discard(body: Buffer): void {
  const { buffer } = body
  if (buffer instanceof ArrayBuffer && buffer.byteLength > Buffer.poolSize) buffer.transfer(0)
}
