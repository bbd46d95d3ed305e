import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { Socket } from 'node:net'
import * as v from 'valibot'
import { check, strictObject } from '../../check.ts'
import { Disconnected, ENCODINGS, readBody, unpack } from './body.ts'
import { refuseBrowsers } from './browser.ts'
import { type Connection, Connections } from './connections.ts'
import { InFlight } from './in-flight.ts'
import { decodeJson } from './json.ts'
import { KnownAttributes } from './known-attributes.ts'
import { listen } from './listen.ts'
import type { Receiver, ReceiverOptions } from './options.ts'
import { checkTls, func, receiverEntries } from './parse-options.ts'
import { decodeProtobuf } from './protobuf.ts'
import { takeIn } from './reception.ts'
import {
  CONNECTIONS,
  INVALID_ARGUMENT,
  NOT_FOUND,
  PERMISSION_DENIED,
  Refusal,
  tooLarge,
  toRefusal,
  UNAUTHENTICATED,
  UNIMPLEMENTED,
} from './refusal.ts'
import { encodeAcceptance, encodeRefusal, type Format } from './response-encoding.ts'
import type { Sender } from './senders.ts'
import { reportHandshakes, serverTls, tlsRenewal } from './tls.ts'

export interface HttpReceiverOptions extends ReceiverOptions {
  /** Where metrics are sent to. `/v1/metrics` by default. */
  readonly path?: string
  /** Answers what is for other paths. False if it does not, and then it is not found. */
  readonly other?: OtherRequests
}

export type OtherRequests = (request: IncomingMessage, response: ServerResponse) => boolean | Promise<boolean>

/** In milliseconds. Longer than the minute between two exports of most senders. */
const KEEP_ALIVE = 120_000

const schema = strictObject({
  ...receiverEntries(4318),
  path: v.optional(v.pipe(v.string(), v.startsWith('/')), '/v1/metrics'),
  other: v.optional(func<OtherRequests>('a function that answers requests'), () => () => false),
})

/**
 * Receives OTLP over HTTP/1.1: an `ExportMetricsServiceRequest` in protobuf or JSON, packed with gzip, deflate, zstd or
 * not at all. It answers success when the sink has it, and otherwise what a repetition helps with only where it does: 503 with
 * `Retry-After`, for faults of our own as well. It never answers 500, on which a Collector drops what it has.
 *
 * https://opentelemetry.io/docs/specs/otlp/#otlphttp
 *
 * @throws {ConfigurationError} for a bad option
 * @throws {ListenError} where it cannot listen
 */
export async function startHttpReceiver(options: HttpReceiverOptions): Promise<Receiver> {
  const { host, port, tls, maxConnections, maxConnectionsPerAddress, ...rest } = check(schema, options)
  checkTls(tls)
  const { requestTimeout, onRefused, onError } = rest
  const turnedAway = (code: string, message: string) =>
    onRefused({ transport: 'http', code, sender: undefined, message })
  const connections = new Connections({
    most: maxConnections,
    mostPerAddress: maxConnectionsPerAddress,
    unprovenFor: requestTimeout,
    idleFor: KEEP_ALIVE,
    now: () => performance.now(),
    onClosed: why => turnedAway(CONNECTIONS, why),
  })
  const endpoint = new MetricsEndpoint(rest, connections)
  const settings = {
    keepAlive: true,
    keepAliveTimeout: KEEP_ALIVE,
    headersTimeout: requestTimeout,
    // For the rest of a request that was refused. Any other has run into a timeout of its own before.
    requestTimeout: 2 * requestTimeout,
    connectionsCheckingInterval: Math.min(requestTimeout, 5000),
  }
  const serve = (request: IncomingMessage, response: ServerResponse) => endpoint.serve(request, response)
  const server =
    tls === undefined
      ? createServer(settings, serve)
      : createTlsServer({ ...settings, ...serverTls(tls, requestTimeout) }, serve)
  // It is told to go on only when it is known who it is: see readBody.
  server.on('checkContinue', serve)
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    const status = statusOfFault(error.code)
    if (status !== undefined && !endpoint.hasRefused(socket)) {
      turnedAway(status.slice(0, 3), `Expected HTTP/1.1, got what is not (${error.code})`)
      if (socket.writable) socket.write(`HTTP/1.1 ${status}\r\nConnection: close\r\n\r\n`)
    }
    socket.destroy()
  })
  reportHandshakes(server, turnedAway)
  connections.guard(server)
  const address = await listen(server, host, port, onError)
  return {
    host: address.address,
    port: address.port,
    renew: tlsRenewal(server, tls),
    async close({ deadlineMs }) {
      const closed = new Promise<void>(resolve => server.close(() => resolve()))
      await endpoint.end(deadlineMs)
      connections.end()
      await closed
    },
  }
}

/** What a request is answered that HTTP's parser could not read. Undefined where its connection is broken. */
function statusOfFault(code = ''): string | undefined {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return '408 Request Timeout'
  if (code === 'HPE_HEADER_OVERFLOW') return '431 Request Header Fields Too Large'
  if (code === 'HPE_CHUNK_EXTENSIONS_OVERFLOW') return '413 Payload Too Large'
  return code.startsWith('HPE_') ? '400 Bad Request' : undefined
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
  | 'path'
  | 'other'
>

/** A request, and what is known of who sends it. */
interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly connection: Connection | undefined
  readonly format: Format | undefined
  sender?: Sender
}

/** Answers requests with metrics, and hands on those for other paths. */
class MetricsEndpoint {
  readonly #settings: Settings
  readonly #connections: Connections
  readonly #inFlight = new InFlight()
  readonly #known = { protobuf: new KnownAttributes(), json: new KnownAttributes() }
  /** The latest on each connection. */
  readonly #exchanges = new WeakMap<Socket, Exchange>()
  #ending = false

  constructor(settings: Settings, connections: Connections) {
    this.#settings = settings
    this.#connections = connections
  }

  serve(request: IncomingMessage, response: ServerResponse): void {
    const own = request.url?.split('?', 1)[0] === this.#settings.path
    const connection = this.#connections.of(request.socket)
    if (connection !== undefined && this.#connections.isOverdue(connection)) response.setHeader('connection', 'close')
    this.#connections.use(connection)
    const exchange: Exchange = { request, response, connection, format: formatOf(request) }
    this.#exchanges.set(request.socket, exchange)
    const served = (own ? this.#metrics(exchange) : this.#other(exchange)).catch(error => {
      this.#settings.onError(error)
      request.socket.destroy()
    })
    if (own) this.#inFlight.add(Promise.all([served, new Promise(resolve => response.once('close', resolve))]))
  }

  /** Whether what comes on a connection is the rest of a request that has its answer. */
  hasRefused(socket: Socket): boolean {
    const exchange = this.#exchanges.get(socket)
    return exchange?.response.headersSent === true && !exchange.request.complete
  }

  /** From now on every answer is the last one on its connection. Resolves when all are sent, or at the deadline. */
  end(deadlineMs: number): Promise<void> {
    this.#ending = true
    return this.#inFlight.end(deadlineMs)
  }

  async #metrics(exchange: Exchange): Promise<void> {
    const { response, format } = exchange
    try {
      this.#send(response, 200, format, await this.#take(exchange))
    } catch (error) {
      if (!(error instanceof Disconnected)) await this.#refuse(exchange, error)
    }
  }

  /** Returns the body of the response. */
  async #take(exchange: Exchange): Promise<Uint8Array> {
    const { sink, budget, maxBodyBytes: maxBytes, requestTimeout: timeout } = this.#settings
    const { request, response, connection, format } = exchange
    refuseBrowsers(request.headers)
    // Whoever is in front may have gone by another of them: https://www.rfc-editor.org/rfc/rfc9112#section-3.2
    if ((request.headersDistinct.host?.length ?? 0) > 1) {
      throw new Refusal(INVALID_ARGUMENT, 'Expected one header Host, got several')
    }
    if (request.method !== 'POST') throw new Refusal(UNIMPLEMENTED, `Expected POST, got ${request.method}`)
    const sender = this.#admit(exchange)
    if (format === undefined) {
      throw unsupported(`the content type ${Object.values(CONTENT_TYPES).join(' or ')}`)
    }
    const encoding = request.headers['content-encoding']?.trim().toLowerCase() || 'identity'
    if (!ENCODINGS.includes(encoding)) throw unsupported(`the content encoding ${ENCODINGS.join(', ')}`)
    const said = request.headers['content-length']
    const expected = said === undefined ? maxBytes : Number(said)
    if (expected > maxBytes) throw tooLarge(maxBytes)
    const hold = budget.open(connection?.host, this.#settings.senders.shareOf(sender))
    try {
      if (request.headers.expect !== undefined) response.writeContinue()
      const limits = { maxBytes, expected, timeout, hold }
      const packed = await readBody(request, limits)
      // It may have been told to go while it sent.
      const admitted = this.#admit(exchange)
      const acceptance = await takeIn(sink, admitted, unpack(packed, encoding, limits), (bytes, wanted) =>
        format === 'json'
          ? decodeJson(bytes.toString(), wanted, this.#known.json)
          : decodeProtobuf(bytes, wanted, this.#known.protobuf),
      )
      this.#connections.prove(connection, admitted)
      return encodeAcceptance(acceptance, format)
    } finally {
      hold.release()
    }
  }

  /** @throws {Refusal} */
  #admit(exchange: Exchange): Sender {
    const { senders } = this.#settings
    const sender = senders.admit(exchange.request.headers.authorization)
    if (sender === undefined) {
      throw new Refusal(UNAUTHENTICATED, 'Expected the header authorization with a bearer token that is good here')
    }
    exchange.sender = sender
    if (senders.asked && exchange.connection !== undefined) exchange.connection.trusted = true
    return sender
  }

  async #other(exchange: Exchange): Promise<void> {
    const { other, path, maxBodyBytes } = this.#settings
    const { request, response } = exchange
    limitRest(request, maxBodyBytes)
    try {
      if (!(await other(request, response))) throw new Refusal(NOT_FOUND, `Expected metrics at ${path}`)
    } catch (error) {
      if (response.headersSent) throw error
      await this.#refuse(exchange, error)
      return
    }
    const refused = OTHER_REFUSALS.get(response.statusCode)
    if (refused !== undefined) this.#report(refused, undefined)
  }

  async #refuse({ request, response, connection, format, sender }: Exchange, error: unknown): Promise<void> {
    const refusal = toRefusal(error, this.#settings.onError)
    const { httpStatus, retryAfterSeconds } = refusal
    this.#report(refusal, sender)
    if (sender === undefined) limitRest(request, this.#settings.maxBodyBytes)
    if (httpStatus === 401 && !(await this.#settings.failedAttempts.mayAnswer(connection?.host ?? ''))) {
      request.socket.destroy()
      return
    }
    // Who waits for leave to send the body does not send it now, and the next request would be taken for it.
    if (request.headers.expect !== undefined && !request.complete) response.setHeader('connection', 'close')
    if (retryAfterSeconds !== undefined) response.setHeader('retry-after', retryAfterSeconds)
    if (httpStatus === 401) response.setHeader('www-authenticate', 'Bearer')
    if (httpStatus === 405) response.setHeader('allow', 'POST')
    this.#send(response, httpStatus, format, encodeRefusal(refusal, format ?? 'json'))
  }

  #report({ codeName: code, message }: Refusal, sender: Sender | undefined): void {
    this.#settings.onRefused({ transport: 'http', code, sender: sender?.name, message })
  }

  #send(response: ServerResponse, status: number, format: Format = 'json', body: Uint8Array): void {
    if (this.#ending) response.setHeader('connection', 'close')
    response.writeHead(status, { 'content-type': CONTENT_TYPES[format], 'content-length': body.length })
    response.end(body)
  }
}

/** What others' answers mean that are refusals. That something is not ready is none. */
const OTHER_REFUSALS: ReadonlyMap<number, Refusal> = new Map(
  [
    new Refusal(UNAUTHENTICATED, 'The page or the metrics were asked for without a token that is good here'),
    new Refusal(PERMISSION_DENIED, 'The page or the metrics were asked for by who may not see them'),
    new Refusal(UNIMPLEMENTED, 'The page or the metrics were asked for with another method than GET'),
  ].map(refusal => [refusal.httpStatus, refusal]),
)

/** What nobody reads is thrown away as it comes, and does not wait in memory for the answer: no more than this. */
function limitRest(request: IncomingMessage, bytes: number): void {
  if (request.complete || request.listenerCount('data') > 0) return
  let left = bytes
  request.on('data', (chunk: Buffer) => {
    left -= chunk.length
    if (left < 0) request.socket.destroy()
  })
}

const CONTENT_TYPES: { readonly [format in Format]: string } = {
  protobuf: 'application/x-protobuf',
  json: 'application/json',
}

/** How a request is encoded, and what answers it. */
function formatOf({ headers }: IncomingMessage): Format | undefined {
  const type = headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase()
  if (type === CONTENT_TYPES.protobuf) return 'protobuf'
  return type === CONTENT_TYPES.json ? 'json' : undefined
}

function unsupported(expected: string): Refusal {
  return new Refusal(INVALID_ARGUMENT, `Expected ${expected}`, { httpStatus: 415 })
}
