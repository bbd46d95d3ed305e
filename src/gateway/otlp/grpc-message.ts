import type { IncomingHttpHeaders, OutgoingHttpHeaders, ServerHttp2Stream } from 'node:http2'
import type { Readable } from 'node:stream'
import { type BodyLimits, readBody, unpack } from './body.ts'
import { UndecodableError } from './errors.ts'
import { INVALID_ARGUMENT, Refusal, tooLarge, UNIMPLEMENTED } from './refusal.ts'
import { encodeRefusal } from './response-encoding.ts'

/**
 * Calls of one message each way, as gRPC has them on HTTP/2.
 *
 * https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
 */

/** Whether the message is packed, and its length. */
const PREFIX_BYTES = 5
const PACKED = 1

const ENCODINGS = ['identity', 'gzip', 'deflate', 'zstd']
const RESPONSE: OutgoingHttpHeaders = {
  ':status': 200,
  'content-type': 'application/grpc',
  'grpc-accept-encoding': ENCODINGS.join(','),
}

/**
 * The only message of a call, unpacked.
 *
 * @throws {Refusal | UndecodableError | Disconnected}
 */
export async function readMessage(stream: Readable, headers: IncomingHttpHeaders, limits: BodyLimits): Promise<Buffer> {
  const { maxBytes } = limits
  const encoding = String(headers['grpc-encoding'] ?? 'identity').toLowerCase()
  if (!ENCODINGS.includes(encoding)) {
    throw new Refusal(UNIMPLEMENTED, `Expected the grpc-encoding ${ENCODINGS.join(', ')}`)
  }
  const bytes = await readBody(stream, { ...limits, maxBytes: PREFIX_BYTES + maxBytes })
  const problem = (what: string) => new UndecodableError('body', `expected one message of gRPC, got ${what}`)
  if (bytes.length < PREFIX_BYTES) throw problem('none')
  const length = bytes.readUInt32BE(1)
  if (length > maxBytes) throw tooLarge(maxBytes)
  const message = bytes.subarray(PREFIX_BYTES)
  if (message.length !== length) throw problem(`${message.length} bytes instead of ${length}`)
  if (bytes[0] === 0) return message
  if (bytes[0] !== PACKED || encoding === 'identity') throw problem('one that is packed as nobody knows')
  return unpack(message, encoding, limits)
}

/** Answers a call with a message. */
export function sendMessage(stream: ServerHttp2Stream, message: Uint8Array): void {
  if (stream.closed || stream.destroyed) return
  const framed = Buffer.allocUnsafe(PREFIX_BYTES + message.length)
  framed[0] = 0
  framed.writeUInt32BE(message.length, 1)
  framed.set(message, PREFIX_BYTES)
  stream.respond(RESPONSE, { waitForTrailers: true })
  stream.once('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
  stream.end(framed)
}

/** Answers a call with a refusal, its `google.rpc.Status` in the trailers. Of what has not come yet nothing is read. */
export function sendRefusal(stream: ServerHttp2Stream, refusal: Refusal): void {
  if (stream.closed || stream.destroyed) return
  const trailers = {
    ...RESPONSE,
    'grpc-status': String(refusal.code),
    'grpc-message': encodeURI(refusal.message),
    'grpc-status-details-bin': Buffer.from(encodeRefusal(refusal, 'protobuf')).toString('base64'),
  }
  stream.respond(trailers, { endStream: true })
  if (!stream.readableEnded) stream.close()
}

/** Whether it is a call at all. What is not is answered in HTTP. */
export function isCall(headers: IncomingHttpHeaders & { ':method'?: string | undefined }): boolean {
  return headers[':method'] === 'POST' && /^application\/grpc([+;]|$)/i.test(headers['content-type'] ?? '')
}

export const NOT_A_CALL = new Refusal(
  INVALID_ARGUMENT,
  'Expected a call of gRPC, POST with the content type application/grpc',
  {
    httpStatus: 415,
  },
)
