import {
  constants,
  createSecureServer,
  createServer,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import type { Server } from 'node:net'
import * as v from 'valibot'
import { check, strictObject } from '../../check.ts'
import { Disconnected } from './body.ts'
import { refuseBrowsers } from './browser.ts'
import { UNCOUNTED } from './budget.ts'
import { type Connection, Connections } from './connections.ts'
import { isCall, NOT_A_CALL, readMessage, sendMessage, sendRefusal } from './grpc-message.ts'
import { InFlight } from './in-flight.ts'
import { KnownAttributes } from './known-attributes.ts'
import { listen } from './listen.ts'
import type { Receiver, ReceiverOptions } from './options.ts'
import { checkTls, func, integer, receiverEntries } from './parse-options.ts'
import { decodeProtobuf } from './protobuf.ts'
import { takeIn } from './reception.ts'
import { CONNECTIONS, NOT_FOUND, Refusal, toRefusal, UNAUTHENTICATED, UNIMPLEMENTED } from './refusal.ts'
import { decodeHealthRequest, encodeAcceptance, encodeHealth, NOT_SERVING, SERVING } from './response-encoding.ts'
import type { Sender } from './senders.ts'
import { reportHandshakes, serverTls, tlsRenewal } from './tls.ts'

export interface GrpcReceiverOptions extends ReceiverOptions {
  /** How many calls a connection may have open at a time. 100 by default. */
  readonly maxStreams?: number
  /** What `grpc.health.v1.Health/Check` answers, without a token. Ready by default. */
  readonly ready?: () => boolean | Promise<boolean>
}

const SERVICE = 'opentelemetry.proto.collector.metrics.v1.MetricsService'
const EXPORT = `/${SERVICE}/Export`
const HEALTH_CHECK = '/grpc.health.v1.Health/Check'

/** In milliseconds. Clients make a new connection when they need one. */
const IDLE = 300_000
/** As for HTTP/1.1. */
const HEADER_BYTES = 16 * 1024
/** How many streams above the limit, or broken frames, end a connection. */
const TOLERATED = 100
/** In bytes and in milliseconds: it is some bytes, and comes with its headers. */
const HEALTH_REQUEST_BYTES = 1024
const HEALTH_REQUEST_TIMEOUT = 1000
/** How many may be arriving at a time. */
const HEALTH_REQUESTS = 1000

const schema = strictObject({
  ...receiverEntries(4317),
  maxStreams: v.optional(integer(1, 10_000), 100),
  ready: v.optional(func<() => boolean | Promise<boolean>>('a function that says whether usage can be taken'), () => {
    return () => true
  }),
})

/**
 * Receives OTLP over gRPC: `MetricsService/Export`, packed with gzip, deflate, zstd or not at all. It answers success
 * when the sink has it, and otherwise what a repetition helps with only where it does: `UNAVAILABLE` with a `RetryInfo`,
 * for faults of our own as well.
 *
 * It speaks gRPC on Node's HTTP/2 itself: a library reads and unpacks messages before anybody is asked whether the
 * sender is known and whether there is room.
 *
 * https://opentelemetry.io/docs/specs/otlp/#otlpgrpc
 *
 * @throws {ConfigurationError} for a bad option
 * @throws {ListenError} where it cannot listen
 */
export async function startGrpcReceiver(options: GrpcReceiverOptions): Promise<Receiver> {
  const { host, port, tls, maxConnections, maxConnectionsPerAddress, maxStreams, ...rest } = check(schema, options)
  checkTls(tls)
  const { requestTimeout, onRefused, onError } = rest
  const turnedAway = (code: string, message: string) =>
    onRefused({ transport: 'grpc', code, sender: undefined, message })
  const connections = new Connections({
    most: maxConnections,
    mostPerAddress: maxConnectionsPerAddress,
    unprovenFor: requestTimeout,
    idleFor: IDLE,
    now: () => performance.now(),
    onClosed: why => turnedAway(CONNECTIONS, why),
  })
  const endpoint = new MetricsService(rest, connections)
  const settings = {
    ...{ keepAlive: true, noDelay: true },
    settings: { maxConcurrentStreams: maxStreams, maxHeaderListSize: HEADER_BYTES },
    maxSessionRejectedStreams: TOLERATED,
    maxSessionInvalidFrames: TOLERATED,
  }
  const server =
    tls === undefined ? createServer(settings) : createSecureServer({ ...settings, ...serverTls(tls, requestTimeout) })
  server.setTimeout(0)
  server.on('session', (session: ServerHttp2Session) => {
    const connection = connections.of(session.socket)
    if (connection !== undefined) connection.retire = () => session.close()
  })
  server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => endpoint.serve(stream, headers))
  server.on('sessionError', ({ code }: NodeJS.ErrnoException) => {
    // Others have left.
    if (code?.startsWith('ERR_HTTP2_')) turnedAway(CONNECTIONS, `A connection was closed: it broke HTTP/2 (${code})`)
  })
  reportHandshakes(server, turnedAway)
  connections.guard(server)
  const address = await listen(server as Server, host, port, onError)
  return {
    host: address.address,
    port: address.port,
    renew: tlsRenewal(server, tls),
    async close({ deadlineMs }) {
      const closed = new Promise<void>(resolve => server.close(() => resolve()))
      for (const { socket, retire } of connections.all) {
        endpoint.inFlight.add(new Promise(resolve => socket.once('close', resolve)))
        // Each ends after its last answer.
        if (retire === undefined) socket.destroy()
        else retire()
      }
      await endpoint.inFlight.end(deadlineMs)
      connections.end()
      await closed
    },
  }
}

type Settings = Pick<
  v.InferOutput<typeof schema>,
  | 'sink'
  | 'onError'
  | 'onRefused'
  | 'senders'
  | 'failedAttempts'
  | 'maxBodyBytes'
  | 'budget'
  | 'requestTimeout'
  | 'ready'
>

/** A call, and what is known of who makes it. */
interface Call {
  readonly stream: ServerHttp2Stream
  readonly headers: IncomingHttpHeaders & { readonly ':path'?: string | undefined }
  readonly connection: Connection | undefined
  sender?: Sender
}

/** Answers calls. */
class MetricsService {
  readonly inFlight = new InFlight()
  readonly #settings: Settings
  readonly #connections: Connections
  readonly #known = new KnownAttributes()
  /** Whose requests are still arriving, the oldest first. */
  readonly #healthCalls = new Set<ServerHttp2Stream>()

  constructor(settings: Settings, connections: Connections) {
    this.#settings = settings
    this.#connections = connections
  }

  serve(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    // Its sender has left, which reading it tells as well.
    stream.on('error', () => {})
    const socket = stream.session?.socket
    const connection = socket && this.#connections.of(socket)
    this.#connections.use(connection)
    const served = this.#serve({ stream, headers, connection }).catch(error => {
      this.#settings.onError(error)
      stream.destroy()
    })
    this.inFlight.add(Promise.all([served, new Promise(resolve => stream.once('close', resolve))]))
  }

  async #serve(call: Call): Promise<void> {
    const { stream, headers } = call
    try {
      refuseBrowsers(headers)
      const path = headers[':path']
      if (!isCall(headers)) throw NOT_A_CALL
      if (path !== EXPORT && path !== HEALTH_CHECK) {
        throw new Refusal(UNIMPLEMENTED, `Expected metrics, at ${EXPORT}, or ${HEALTH_CHECK}`)
      }
      sendMessage(stream, await (path === EXPORT ? this.#take(call) : this.#health(call)))
    } catch (error) {
      if (!(error instanceof Disconnected)) await this.#refuse(call, error)
    }
    // Who does not fetch its answer is not waited for.
    stream.setTimeout(this.#settings.requestTimeout, () => stream.close())
  }

  async #take(call: Call): Promise<Uint8Array> {
    const { sink, senders, budget, maxBodyBytes: maxBytes, requestTimeout: timeout } = this.#settings
    const { stream, headers, connection } = call
    const hold = budget.open(connection?.host, senders.shareOf(this.#admit(call)))
    try {
      const body = await readMessage(stream, headers, { maxBytes, timeout, hold })
      // It may have been told to go while it sent.
      const sender = this.#admit(call)
      const acceptance = await takeIn(sink, sender, body, (bytes, wanted) => decodeProtobuf(bytes, wanted, this.#known))
      this.#connections.prove(connection, sender)
      return encodeAcceptance(acceptance, 'protobuf')
    } finally {
      hold.release()
    }
  }

  /** @throws {Refusal} */
  #admit(call: Call): Sender {
    const { senders } = this.#settings
    const sender = senders.admit(call.headers.authorization)
    if (sender === undefined) {
      throw new Refusal(UNAUTHENTICATED, 'Expected the metadata authorization with a bearer token that is good here')
    }
    call.sender = sender
    if (senders.asked && call.connection !== undefined) call.connection.trusted = true
    return sender
  }

  /** https://github.com/grpc/grpc/blob/master/doc/health-checking.md. `Watch` is not there, and clients do without it. */
  async #health({ stream, headers }: Call): Promise<Uint8Array> {
    const service = decodeHealthRequest(await this.#healthRequest(stream, headers))
    if (service !== '' && service !== SERVICE) throw new Refusal(NOT_FOUND, `Expected the service ${SERVICE}, or none`)
    return encodeHealth((await this.#settings.ready()) ? SERVING : NOT_SERVING)
  }

  /**
   * Strangers may ask, so it takes no place of a sender. Where too many are arriving the oldest gives way: those that are
   * all there at once are answered, however many others never end.
   */
  async #healthRequest(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): Promise<Buffer> {
    const [oldest] = this.#healthCalls
    if (oldest !== undefined && this.#healthCalls.size >= HEALTH_REQUESTS) {
      this.#healthCalls.delete(oldest)
      oldest.close(constants.NGHTTP2_ENHANCE_YOUR_CALM)
    }
    this.#healthCalls.add(stream)
    const timeout = Math.min(this.#settings.requestTimeout, HEALTH_REQUEST_TIMEOUT)
    try {
      return await readMessage(stream, headers, { maxBytes: HEALTH_REQUEST_BYTES, timeout, hold: UNCOUNTED })
    } finally {
      this.#healthCalls.delete(stream)
    }
  }

  async #refuse({ stream, connection, sender }: Call, error: unknown): Promise<void> {
    const { onError, onRefused, failedAttempts } = this.#settings
    const refusal = toRefusal(error, onError)
    const { code, codeName, message, httpStatus } = refusal
    onRefused({ transport: 'grpc', code: codeName, sender: sender?.name, message })
    // What nobody reads keeps others of its connection from sending.
    stream.resume()
    if (code === UNAUTHENTICATED && !(await failedAttempts.mayAnswer(connection?.host ?? ''))) {
      // A proxy has the calls of many on one connection.
      if (connection?.trusted) stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM)
      else stream.session?.destroy()
    } else if (refusal === NOT_A_CALL) {
      stream.respond({ ':status': httpStatus }, { endStream: true })
      stream.close()
    } else {
      sendRefusal(stream, refusal)
    }
  }
}
