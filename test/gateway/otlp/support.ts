import { request as httpRequest, type IncomingHttpHeaders, type RequestOptions } from 'node:http'
import type { TestContext } from 'node:test'
import { type GrpcReceiverOptions, startGrpcReceiver } from '../../../src/gateway/otlp/grpc-receiver.ts'
import { type HttpReceiverOptions, startHttpReceiver } from '../../../src/gateway/otlp/http-receiver.ts'
import type { OtlpRequest } from '../../../src/gateway/otlp/metrics.ts'
import type { Receiver } from '../../../src/gateway/otlp/options.ts'
import { Senders } from '../../../src/gateway/otlp/senders.ts'
import type { Acceptance, MetricsSink } from '../../../src/gateway/otlp/sink.ts'
import { decode } from './proto.ts'

export const MEBIBYTE = 1024 * 1024

/** Keeps what it is given, and answers what it is told to. */
export class RecordingSink implements MetricsSink {
  readonly accepted: OtlpRequest[] = []
  answer: () => Acceptance | Promise<Acceptance> = () => ({ rejectedDataPoints: 0, message: '' })

  wants(_metricName: string): boolean {
    return true
  }

  async accept(request: OtlpRequest): Promise<Acceptance> {
    const answer = await this.answer()
    this.accepted.push(request)
    return answer
  }
}

/** Senders with these tokens, called `sender-1` and so on. */
export function sendersWith(...tokens: string[]): Senders {
  return new Senders(tokens.map((token, index) => ({ name: `sender-${index + 1}`, token })))
}

/** Has the sink answer only when it is let: `asked` resolves when it is asked first. */
export function holdUp(sink: RecordingSink): { readonly asked: Promise<void>; letGo(): void } {
  const asked = Promise.withResolvers<void>()
  const released = Promise.withResolvers<void>()
  sink.answer = async () => {
    asked.resolve()
    await released.promise
    return { rejectedDataPoints: 0, message: '' }
  }
  return { asked: asked.promise, letGo: released.resolve }
}

/** Waits for what comes in one of the next turns of the event loop. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(resolve => setImmediate(resolve))
}

export interface Received {
  readonly receiver: Receiver
  readonly sink: RecordingSink
  readonly errors: unknown[]
}

/** A receiver on a free port, closed at the test's end. */
export async function receiveHttp(t: TestContext, options: Partial<HttpReceiverOptions> = {}): Promise<Received> {
  const sink = new RecordingSink()
  const errors: unknown[] = []
  const receiver = await startHttpReceiver({ sink, onError: error => errors.push(error), port: 0, ...options })
  t.after(() => receiver.close({ deadlineMs: 0 }))
  return { receiver, sink, errors }
}

/** The same with gRPC. */
export async function receiveGrpc(t: TestContext, options: Partial<GrpcReceiverOptions> = {}): Promise<Received> {
  const sink = new RecordingSink()
  const errors: unknown[] = []
  const receiver = await startGrpcReceiver({ sink, onError: error => errors.push(error), port: 0, ...options })
  t.after(() => receiver.close({ deadlineMs: 0 }))
  return { receiver, sink, errors }
}

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

/** Posts protobuf, unless it is told otherwise. */
export function post(
  { port }: Pick<Receiver, 'port'>,
  body: Uint8Array | string,
  headers: Record<string, string> = {},
  options: RequestOptions = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      {
        port,
        method: 'POST',
        path: '/v1/metrics',
        // One connection for each request, so that none is found closed.
        agent: false,
        headers: {
          'content-type': 'application/x-protobuf',
          ...('transfer-encoding' in headers ? {} : { 'content-length': Buffer.byteLength(body) }),
          ...headers,
        },
        ...options,
      },
      async response => {
        try {
          const { statusCode: status = 0, headers } = response
          resolve({ status, headers, body: Buffer.concat(await response.toArray()) })
        } catch (error) {
          reject(error)
        }
      },
    )
    request.on('error', reject)
    request.end(body)
  })
}

interface Detail {
  readonly typeUrl: string
  readonly value: Uint8Array
}

/** The `google.rpc.Status` of a refusal in protobuf, its details decoded. */
export function statusOf(bytes: Uint8Array): Record<string, unknown> {
  const { details = [], ...status } = decode('Status', bytes) as { details?: Detail[] }
  return {
    ...status,
    details: details.map(({ typeUrl, value }) => decode(typeUrl.replace('type.googleapis.com/google.rpc.', ''), value)),
  }
}

/** A message of gRPC with what stands before it: whether it is packed, and how long it is. */
export function framed(message: Uint8Array, packed = 0, length = message.length): Buffer {
  const head = Buffer.alloc(5)
  head[0] = packed
  head.writeUInt32BE(length, 1)
  return Buffer.concat([head, message])
}
