import protobuf from 'protobufjs/minimal.js'
import { UndecodableError } from './errors.ts'
import { type Refusal, shortened } from './refusal.ts'
import type { Acceptance } from './sink.ts'

/** How messages are encoded. */
export type Format = 'protobuf' | 'json'

const BYTES = 2
const VARINT = 0
const BAD_REQUEST = 'type.googleapis.com/google.rpc.BadRequest'
const RETRY_INFO = 'type.googleapis.com/google.rpc.RetryInfo'

/** An `ExportMetricsServiceResponse`. Its `partial_success` is left out where there is nothing to say. */
export function encodeAcceptance(acceptance: Acceptance, format: Format): Uint8Array {
  const { rejectedDataPoints } = acceptance
  const message = shortened(acceptance.message)
  const whole = rejectedDataPoints === 0 && message === ''
  if (format === 'json') {
    const partialSuccess = { rejectedDataPoints: String(rejectedDataPoints), errorMessage: message }
    return json(whole ? {} : { partialSuccess })
  }
  const writer = protobuf.Writer.create()
  if (!whole) {
    writer.uint32((1 << 3) | BYTES).fork()
    writer.uint32((1 << 3) | VARINT).int64(rejectedDataPoints)
    writer.uint32((2 << 3) | BYTES).string(message)
    writer.ldelim()
  }
  return writer.finish()
}

/** A `google.rpc.Status`, with a `BadRequest` or a `RetryInfo` where it says something. */
export function encodeRefusal({ code, message, field, retryAfterSeconds }: Refusal, format: Format): Uint8Array {
  if (format === 'json') {
    const details: object[] = []
    if (field !== undefined) {
      details.push({ '@type': BAD_REQUEST, fieldViolations: [{ field, description: message }] })
    }
    if (retryAfterSeconds !== undefined) details.push({ '@type': RETRY_INFO, retryDelay: `${retryAfterSeconds}s` })
    return json({ code, message, details })
  }
  const writer = protobuf.Writer.create()
  writer.uint32((1 << 3) | VARINT).int32(code)
  writer.uint32((2 << 3) | BYTES).string(message)
  if (field !== undefined) {
    detail(writer, BAD_REQUEST, value => {
      value.uint32((1 << 3) | BYTES).fork()
      value.uint32((1 << 3) | BYTES).string(field)
      value.uint32((2 << 3) | BYTES).string(message)
      value.ldelim()
    })
  }
  if (retryAfterSeconds !== undefined) {
    detail(writer, RETRY_INFO, value => {
      value.uint32((1 << 3) | BYTES).fork()
      value.uint32((1 << 3) | VARINT).int64(retryAfterSeconds)
      value.ldelim()
    })
  }
  return writer.finish()
}

/** The states of a `grpc.health.v1.HealthCheckResponse`. */
export const SERVING = 1
export const NOT_SERVING = 2

/** A `grpc.health.v1.HealthCheckResponse`. */
export function encodeHealth(status: typeof SERVING | typeof NOT_SERVING): Uint8Array {
  return protobuf.Writer.create()
    .uint32((1 << 3) | VARINT)
    .int32(status)
    .finish()
}

/** The service that a `grpc.health.v1.HealthCheckRequest` asks about: empty for the server as a whole. */
export function decodeHealthRequest(bytes: Uint8Array): string {
  try {
    const reader = protobuf.Reader.create(bytes)
    let service = ''
    while (reader.pos < reader.len) {
      const tag = reader.uint32()
      if (tag === ((1 << 3) | BYTES)) service = reader.string()
      else reader.skipType(tag & 7)
    }
    return service
  } catch (cause) {
    throw new UndecodableError('body', 'expected a HealthCheckRequest in protobuf, got what is not', { cause })
  }
}

/** A `google.protobuf.Any` among the details. */
function detail(writer: protobuf.Writer, type: string, write: (value: protobuf.Writer) => void): void {
  writer.uint32((3 << 3) | BYTES).fork()
  writer.uint32((1 << 3) | BYTES).string(type)
  writer.uint32((2 << 3) | BYTES).fork()
  write(writer)
  writer.ldelim()
  writer.ldelim()
}

function json(value: object): Uint8Array {
  return Buffer.from(JSON.stringify(value))
}
