import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import * as v from 'valibot'
import { check } from '../../check.ts'
import { Disconnected, ENCODINGS, readBody, unpack } from './body.ts'
import { InFlight } from './in-flight.ts'
import { decodeJson } from './json.ts'
import { KnownAttributes } from './known-attributes.ts'
import { listen, socketsOf } from './listen.ts'
import type { Receiver, ReceiverOptions } from './options.ts'
import { checkTls, receiverEntries } from './parse-options.ts'
import { decodeProtobuf } from './protobuf.ts'
import { takeIn } from './reception.ts'
import { INVALID_ARGUMENT, NOT_FOUND, Refusal, toRefusal, UNAUTHENTICATED, UNIMPLEMENTED } from './refusal.ts'
import { encodeAcceptance, encodeRefusal, type Format } from './response-encoding.ts'

export interface HttpReceiverOptions extends ReceiverOptions {
  /** Where metrics are sent to. `/v1/metrics` by default. */
  readonly path?: string
  /** Answers what is for other paths. False if it does not, and then it is not found. */
  readonly other?: OtherRequests
}

export type OtherRequests = (request: IncomingMessage, response: ServerResponse) => boolean | Promise<boolean>

/** In milliseconds. Longer than the minute between two exports of most senders. */
const KEEP_ALIVE = 120_000

const schema = v.strictObject({
  ...receiverEntries(4318),
  path: v.optional(v.pipe(v.string(), v.startsWith('/')), '/v1/metrics'),
  other: v.optional(
    v.custom<OtherRequests>(value => typeof value === 'function', 'a function that answers requests'),
    () => () => false,
  ),
})

/**
 * Receives OTLP over HTTP/1.1: an `ExportMetricsServiceRequest` in protobuf or JSON, packed with gzip, zstd or not at
 * all. It answers success when the sink has it, and otherwise what a repetition helps with only where it does: 503 with
 * `Retry-After`, for faults of our own as well. It never answers 500, on which a Collector drops what it has.
 *
 * https://opentelemetry.io/docs/specs/otlp/#otlphttp
 *
 * @throws {ConfigurationError} for a bad option
 * @throws {ListenError} where it cannot listen
 */
export async function startHttpReceiver(options: HttpReceiverOptions): Promise<Receiver> {
  const { host, port, tls, maxConnections, ...rest } = check(schema, options)
  checkTls(tls)
  const endpoint = new MetricsEndpoint(rest)
  const { requestTimeout } = rest
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
      : createTlsServer(
          { ...settings, ...tls, requestCert: tls.ca !== undefined, handshakeTimeout: requestTimeout },
          serve,
        )
  server.maxConnections = maxConnections
  const sockets = socketsOf(server)
  const address = await listen(server, host, port, rest.onError)
  return {
    host: address.address,
    port: address.port,
    async close({ deadlineMs }) {
      const closed = new Promise<void>(resolve => server.close(() => resolve()))
      await endpoint.end(deadlineMs)
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}

type Settings = Pick<
  v.InferOutput<typeof schema>,
  'sink' | 'onError' | 'onRefused' | 'senders' | 'maxBodyBytes' | 'budget' | 'requestTimeout' | 'path' | 'other'
>

/** Answers requests with metrics, and hands on those for other paths. */
class MetricsEndpoint {
  readonly #settings: Settings
  readonly #inFlight = new InFlight()
  readonly #known = new KnownAttributes()
  #ending = false

  constructor(settings: Settings) {
    this.#settings = settings
  }

  serve(request: IncomingMessage, response: ServerResponse): void {
    const own = request.url?.split('?', 1)[0] === this.#settings.path
    const served = (own ? this.#metrics(request, response) : this.#other(request, response)).catch(error => {
      this.#settings.onError(error)
      request.socket.destroy()
    })
    if (own) this.#inFlight.add(Promise.all([served, new Promise(resolve => response.once('close', resolve))]))
  }

  /** From now on every answer is the last one on its connection. Resolves when all are sent, or at the deadline. */
  end(deadlineMs: number): Promise<void> {
    this.#ending = true
    return this.#inFlight.end(deadlineMs)
  }

  async #metrics(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const format = formatOf(request)
    try {
      this.#send(response, 200, format, await this.#take(request, format))
    } catch (error) {
      if (!(error instanceof Disconnected)) this.#refuse(response, format, error)
    }
  }

  /** Returns the body of the response. */
  async #take(request: IncomingMessage, format: Format | undefined): Promise<Uint8Array> {
    const { sink, senders, budget, maxBodyBytes: maxBytes, requestTimeout: timeout } = this.#settings
    if (request.method !== 'POST') throw new Refusal(UNIMPLEMENTED, `Expected POST, got ${request.method}`)
    const sender = senders.admit(request.headers.authorization)
    if (sender === undefined) {
      throw new Refusal(UNAUTHENTICATED, 'Expected the header authorization with a bearer token that is good here')
    }
    if (format === undefined) {
      throw unsupported(`the content type ${Object.values(CONTENT_TYPES).join(' or ')}`)
    }
    const encoding = request.headers['content-encoding']?.trim().toLowerCase() || 'identity'
    if (!ENCODINGS.includes(encoding)) throw unsupported(`the content encoding ${ENCODINGS.join(', ')}`)
    const hold = budget.open()
    try {
      const limits = { maxBytes, timeout, hold }
      const body = unpack(await readBody(request, limits), encoding, limits)
      const acceptance = await (format === 'json'
        ? takeIn(sink, sender, body.toString(), decodeJson)
        : takeIn(sink, sender, body, (bytes, wanted) => decodeProtobuf(bytes, wanted, this.#known)))
      return encodeAcceptance(acceptance, format)
    } finally {
      hold.release()
    }
  }

  async #other(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      if (await this.#settings.other(request, response)) return
      throw new Refusal(NOT_FOUND, `Expected metrics at ${this.#settings.path}`)
    } catch (error) {
      if (response.headersSent) throw error
      this.#refuse(response, formatOf(request), error)
    }
  }

  #refuse(response: ServerResponse, format: Format | undefined, error: unknown): void {
    const refusal = toRefusal(error, this.#settings.onError)
    const { httpStatus, retryAfterSeconds } = refusal
    this.#settings.onRefused({
      transport: 'http',
      code: String(httpStatus),
      sender: undefined,
      message: refusal.message,
    })
    if (retryAfterSeconds !== undefined) response.setHeader('retry-after', retryAfterSeconds)
    if (httpStatus === 401) response.setHeader('www-authenticate', 'Bearer')
    if (httpStatus === 405) response.setHeader('allow', 'POST')
    this.#send(response, httpStatus, format, encodeRefusal(refusal, format ?? 'json'))
  }

  #send(response: ServerResponse, status: number, format: Format = 'json', body: Uint8Array): void {
    if (this.#ending) response.setHeader('connection', 'close')
    response.writeHead(status, { 'content-type': CONTENT_TYPES[format], 'content-length': body.length })
    response.end(body)
  }
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
