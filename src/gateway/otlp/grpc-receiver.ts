import { createServer } from 'node:net'
import type * as Grpc from '@grpc/grpc-js'
import * as v from 'valibot'
import { check } from '../../check.ts'
import { ConfigurationError } from '../../errors.ts'
import { InFlight } from './in-flight.ts'
import { KnownAttributes } from './known-attributes.ts'
import { listen, socketsOf } from './listen.ts'
import type { Receiver, ReceiverOptions, TlsOptions } from './options.ts'
import { checkTls, receiverEntries } from './parse-options.ts'
import { decodeProtobuf } from './protobuf.ts'
import { takeIn } from './reception.ts'
import { comeBack, Refusal, toRefusal, UNAUTHENTICATED } from './refusal.ts'
import { encodeAcceptance, encodeRefusal } from './response-encoding.ts'
import { ANYONE, type Sender, type Senders } from './senders.ts'

export type GrpcReceiverOptions = ReceiverOptions

type Library = typeof Grpc

const PACKAGE = '@grpc/grpc-js'
const EXPORT = '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export'

const schema = v.strictObject(receiverEntries(4317))

/**
 * Receives OTLP over gRPC: `MetricsService/Export`, packed with gzip or not at all. It answers success when the sink
 * has it, and otherwise what a repetition helps with only where it does: `UNAVAILABLE` with a `RetryInfo`, for faults
 * of our own as well. It needs the package `@grpc/grpc-js`.
 *
 * https://opentelemetry.io/docs/specs/otlp/#otlpgrpc
 *
 * @throws {ConfigurationError} for a bad option, or if the package is not installed
 * @throws {ListenError} where it cannot listen
 */
export async function startGrpcReceiver(options: GrpcReceiverOptions): Promise<Receiver> {
  const { host, port, tls, senders, sink, onError, budget, maxBodyBytes, maxConnections, requestTimeout } = check(
    schema,
    options,
  )
  checkTls(tls)
  const grpc = await load()
  const inFlight = new InFlight()
  const known = new KnownAttributes()

  const take = async (body: Buffer, sender: Sender): Promise<Uint8Array> => {
    const hold = budget.open()
    try {
      hold.add(body.length)
      const acceptance = await takeIn(sink, sender, body, (bytes, wanted) => decodeProtobuf(bytes, wanted, known))
      return encodeAcceptance(acceptance, 'protobuf')
    } finally {
      hold.release()
    }
  }
  const handler: Grpc.handleUnaryCall<Buffer, Uint8Array> = ({ request, metadata }, callback) => {
    const sender = senders.admit(authorizationOf(metadata)) ?? ANYONE
    const answered = take(request, sender).then(
      answer => callback(null, answer),
      error => callback(statusOf(grpc, toRefusal(error, onError))),
    )
    inFlight.add(answered)
  }
  const server = new grpc.Server({
    'grpc.max_receive_message_length': maxBodyBytes,
    interceptors: [arriving(grpc, senders, requestTimeout)],
  })
  // The messages themselves, so that what is no message is answered as what it is.
  server.register(
    EXPORT,
    handler,
    answer => Buffer.from(answer),
    bytes => bytes,
    'unary',
  )

  // Connections are taken here, since grpc-js does not limit them.
  const connections = server.createConnectionInjector(credentials(grpc, tls))
  const listener = createServer({ keepAlive: true, noDelay: true }, socket => connections.injectConnection(socket))
  const sockets = socketsOf(listener)
  listener.maxConnections = maxConnections
  const address = await listen(listener, host, port, onError)
  return {
    host: address.address,
    port: address.port,
    async close({ deadlineMs }) {
      const closed = new Promise<void>(resolve => listener.close(() => resolve()))
      for (const socket of sockets) inFlight.add(new Promise(resolve => socket.once('close', resolve)))
      // Ends each connection after its last answer. That it has done so it says too early of connections taken here.
      server.tryShutdown(() => {})
      await inFlight.end(deadlineMs)
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}

async function load(): Promise<Library> {
  try {
    return await import('@grpc/grpc-js')
  } catch (cause) {
    throw new ConfigurationError(
      `Expected ${PACKAGE} to be installed (npm install ${PACKAGE}) to receive OTLP over gRPC.`,
      {
        cause,
      },
    )
  }
}

function credentials(grpc: Library, tls: TlsOptions | undefined): Grpc.ServerCredentials {
  if (tls === undefined) return grpc.ServerCredentials.createInsecure()
  const { cert, key, ca } = tls
  const pair = { cert_chain: Buffer.from(cert), private_key: Buffer.from(key) }
  return grpc.ServerCredentials.createSsl(ca === undefined ? null : Buffer.from(ca), [pair], ca !== undefined)
}

const authorizationOf = (metadata: Grpc.Metadata) => metadata.get('authorization')[0]?.toString()

/** Refuses, before their message is read, calls of who may not send, and those whose message does not arrive. */
function arriving(grpc: Library, senders: Senders, timeout: number): Grpc.ServerInterceptor {
  return (_method, call) =>
    new grpc.ServerInterceptingCall(call, {
      start(next) {
        const refuse = (refusal: Refusal) => call.sendStatus(statusOf(grpc, refusal))
        const late = () => refuse(comeBack(`Expected the whole request within ${timeout} ms`))
        const timer = setTimeout(late, timeout)
        next({
          onReceiveMetadata(metadata, pass) {
            if (senders.admit(authorizationOf(metadata)) !== undefined) {
              pass(metadata)
              return
            }
            clearTimeout(timer)
            refuse(
              new Refusal(UNAUTHENTICATED, 'Expected the metadata authorization with a bearer token that is good here'),
            )
          },
          onReceiveMessage(message, pass) {
            clearTimeout(timer)
            pass(message)
          },
          onCancel: () => clearTimeout(timer),
        })
      },
    })
}

/** A refusal as gRPC has it: its `google.rpc.Status` is in the trailers. */
function statusOf(grpc: Library, refusal: Refusal) {
  const metadata = new grpc.Metadata()
  metadata.set('grpc-status-details-bin', Buffer.from(encodeRefusal(refusal, 'protobuf')))
  return { code: refusal.code, details: refusal.message, metadata }
}
