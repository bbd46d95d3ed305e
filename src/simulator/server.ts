import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import * as v from 'valibot'
import { strictObject } from '../check.ts'
import { readAuthorization } from './authorization.ts'
import { readBody } from './body.ts'
import { type Caller, callerOf } from './caller.ts'
import { type Delay, realDelay } from './client.ts'
import { CONTROL_PATH, Csv, control } from './control.ts'
import { SimulatedServiceError, SimulatorConfigurationError } from './errors.ts'
import { foreign } from './foreign.ts'
import { answerCloudTrail, cloudTrailOperationOf } from './lookup-events.ts'
import { type Answer, MarketplaceSimulator, SIMULATOR_ENTRIES, type SimulatorOptions } from './marketplace.ts'
import { MAX_BYTES, tooLarge } from './shape.ts'
import { SignatureVerifier, type SigningCredentials } from './signature.ts'
import { answerSqs, QUEUE_OWNER, SQS_CONTENT_TYPE, serializeSqsError, sqsOperationOf } from './sqs.ts'
import { validated } from './validation.ts'
import { OPERATIONS, type Operation } from './wire.ts'
import {
  CBOR,
  CONTENT_TYPE,
  isAnswered,
  operationOf,
  parseRequest,
  SMITHY_PROTOCOL,
  serializeCborError,
  serializeError,
  serializeResult,
} from './wire-format.ts'

const MAX_CONTROL_BYTES = 256 * 1024 * 1024
const PROXY_PAGE = '<html><head><title>Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>'

export interface ServerOptions extends SimulatorOptions {
  /** Default 127.0.0.1: whoever reaches it can also control it. */
  host?: string
  /** Default 0: any that is free. */
  port?: number
  /** How a fault's latency is waited for (default: by the machine's clock). */
  delay?: Delay
  /** Whose signatures are good. By default any are, and none is checked. */
  verifySignatures?: readonly SigningCredentials[]
  /**
   * What signatures' times are compared with and answers are dated by, in milliseconds since the epoch (default
   * `Date.now`): not the simulator's clock, since whoever signs goes by the true time even where usage is of another.
   */
  wallClock?: () => number
}

/** A simulator that answers HTTP. */
export interface RunningSimulator extends AsyncDisposable {
  /**
   * Where an AWS SDK's `endpoint` (or `AWS_ENDPOINT_URL_MARKETPLACE_METERING`,
   * `AWS_ENDPOINT_URL_MARKETPLACE_ENTITLEMENT_SERVICE`) has to point.
   */
  readonly url: string
  /** The queue of AWS's agreement events, for any SQS client. */
  readonly queueUrl: string
  /** The same simulator, for a caller in this process. */
  readonly simulator: MarketplaceSimulator
  /** Ends; open requests are cut off. */
  close(): Promise<void>
}

const unchecked = v.optional(v.any())
const optionsSchema = strictObject({
  ...SIMULATOR_ENTRIES,
  ...{ host: unchecked, port: unchecked, delay: unchecked, verifySignatures: unchecked, wallClock: unchecked },
})

/**
 * Starts a simulator behind the wire of AWS Marketplace Metering and its entitlements (AWS JSON 1.1 over HTTP), with
 * a control API (see `control.ts`) and the queue of agreements' events (SQS's wire) beside it. The region and the caller are
 * taken from the signature's scope, so one simulator is every region. Signatures are checked only with `verifySignatures`.
 *
 * @throws {SimulatorConfigurationError} for a bad option, or if it cannot listen there
 */
export async function startSimulator(options: ServerOptions = {}): Promise<RunningSimulator> {
  validated(optionsSchema, options, 'options')
  const { host = '127.0.0.1', port = 0, delay = realDelay, verifySignatures, wallClock = Date.now, ...rest } = options
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new SimulatorConfigurationError(`options.port: Expected an integer from 0 to 65535 but received ${port}`)
  }
  const verifier = verifySignatures && new SignatureVerifier(verifySignatures, wallClock)
  const simulator = new MarketplaceSimulator(rest)
  const stopping = new AbortController()
  let url = ''
  const server = createServer((request, response) => {
    const wait = (milliseconds: number) => delay(milliseconds, stopping.signal)
    const served = { simulator, verifier, host, wallClock, url, stopping: stopping.signal }
    serve(served, request, response, wait).catch(error => {
      if (!stopping.signal.aborted && !request.destroyed) console.error(error)
      request.socket.destroy()
    })
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', cause => {
      reject(new SimulatorConfigurationError(`Cannot listen on ${host}:${port}: ${cause.message}`, { cause }))
    })
    server.listen(port, host, resolve)
  })
  const address = server.address() as AddressInfo
  const close = async () => {
    stopping.abort()
    if (!server.listening) return
    const closed = new Promise<void>(resolve => server.close(() => resolve()))
    server.closeAllConnections()
    await closed
  }
  url = `http://${address.family === 'IPv6' ? `[${address.address}]` : address.address}:${address.port}`
  return {
    url,
    queueUrl: `${url}/${QUEUE_OWNER}/${simulator.queue.name}`,
    simulator,
    close,
    [Symbol.asyncDispose]: close,
  }
}

interface Served {
  readonly simulator: MarketplaceSimulator
  readonly verifier: SignatureVerifier | undefined
  readonly host: string
  readonly wallClock: () => number
  readonly url: string
  readonly stopping: AbortSignal
}

async function serve(
  served: Served,
  request: IncomingMessage,
  response: ServerResponse,
  delay: (milliseconds: number) => Promise<unknown>,
): Promise<void> {
  const { simulator, verifier, host, wallClock } = served
  // A client may send any path, such as `//`, which is no URL of its own.
  const [path = '', query = ''] = (request.url ?? '').split('?')
  if (path === CONTROL_PATH || path.startsWith(`${CONTROL_PATH}/`)) {
    const body = await readBody(request, MAX_CONTROL_BYTES)
    const answer =
      body === undefined
        ? { status: 413, body: { error: { code: 'ERR_TOO_LARGE', message: 'The body is too large' } } }
        : control(simulator, {
            method: request.method ?? '',
            path: path.slice(CONTROL_PATH.length),
            query: new URLSearchParams(query),
            body,
            foreign: foreign(request.headers, body !== '', host),
          })
    if (answer.body instanceof Csv) return send(response, answer.status, 'text/csv; charset=utf-8', answer.body.text)
    const [status, text] = jsonOf(answer)
    return send(response, status, 'application/json', text)
  }
  const body = await readBody(request, MAX_BYTES)
  response.setHeader('date', new Date(wallClock()).toUTCString())
  const target = request.headers['x-amz-target']
  const sqs = sqsOperationOf(typeof target === 'string' ? target : undefined)
  if (sqs !== undefined) return serveSqs(served, request, response, { operation: sqs, query, body })
  const lookup = cloudTrailOperationOf(typeof target === 'string' ? target : undefined)
  if (lookup !== undefined) return serveCloudTrail(served, request, response, { operation: lookup, query, body })
  const answer = answerOf(simulator, verifier, request, { path, query, body })
  if (answer.delay > 0) await delay(answer.delay)
  response.setHeader(REQUEST_ID, answer.requestId)
  switch (answer.type) {
    case 'result':
      return send(response, 200, CONTENT_TYPE, serializeResult(answer.result))
    case 'truncated': {
      const whole = serializeResult(answer.result)
      return send(response, 200, CONTENT_TYPE, whole.slice(0, whole.length / 2))
    }
    case 'empty':
      return send(response, 200, CONTENT_TYPE, '{}')
    case 'error': {
      const status = answer.error.$metadata.httpStatusCode ?? 400
      if (!speaksCbor(request)) return send(response, status, CONTENT_TYPE, serializeError(answer.error))
      response.setHeader(SMITHY_PROTOCOL, CBOR.protocol)
      return send(response, status, CBOR.contentType, serializeCborError(answer.error))
    }
    case 'html':
      return send(response, answer.status, 'text/html', PROXY_PAGE)
    case 'reset':
      request.socket.resetAndDestroy()
  }
}

/** JSON of more than V8's longest text is refused. */
function jsonOf({ status, body }: { status: number; body: unknown }): [number, string] {
  try {
    return [status, body === undefined ? '' : JSON.stringify(body)]
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    const message = 'The answer is too large: ask for less, by region, from and to'
    return [413, JSON.stringify({ error: { code: 'ERR_TOO_LARGE', message } })]
  }
}

/** The answer to a request on AWS's wire. What is wrong with its wrapping is found in the order in which AWS does. */
function answerOf(
  simulator: MarketplaceSimulator,
  verifier: SignatureVerifier | undefined,
  request: IncomingMessage,
  { path, query, body }: { path: string; query: string; body: string | undefined },
): Answer {
  const { headers, method } = request
  const target = headers['x-amz-target']
  const operation = operationOf(typeof target === 'string' ? target : undefined)
  let caller: Caller = callerOf({ region: 'unknown', accessKeyId: 'unknown' })
  let known = false
  try {
    if (speaksCbor(request)) {
      throw unknown(`The simulator speaks AWS JSON 1.1, not ${CBOR.protocol}: have the SDK use another protocol`, 404)
    }
    if (method !== 'POST' || path !== '/') throw unknown(`There is no ${method} ${path}`, 404)
    if (headers['content-type']?.split(';')[0]?.trim().toLowerCase() !== CONTENT_TYPE) {
      throw unknown(`The content type is ${CONTENT_TYPE}, not ${headers['content-type']}`, 404)
    }
    if (typeof target !== 'string' || !isAnswered(target)) {
      throw unknown(`The simulator answers ${OPERATIONS.join(', ')}, not ${target}`, 400)
    }
    const authorization = readAuthorization(headers.authorization)
    const { region, accessKeyId } = authorization
    // An IPv4 client of a socket for both.
    const sourceIPAddress = request.socket.remoteAddress?.replace(/^::ffff:/, '') ?? ''
    caller = { region, accessKeyId, sourceIPAddress, userAgent: headers['user-agent'] ?? '' }
    if (body === undefined) throw tooLarge()
    verifier?.verify(authorization, { query, headers, body })
    known = true
    return simulator.answer(operation as Operation, parseRequest(body), caller)
  } catch (error) {
    if (!(error instanceof SimulatedServiceError)) throw error
    return simulator.refused(error, operation ?? '', caller, known)
  }
}

function serveCloudTrail(
  { simulator, verifier }: Served,
  { headers }: IncomingMessage,
  response: ServerResponse,
  { operation, query, body }: { operation: string; query: string; body: string | undefined },
): void {
  try {
    const authorization = readAuthorization(headers.authorization, 'cloudtrail')
    if (body === undefined) throw tooLarge()
    verifier?.verify(authorization, { query, headers, body })
    const answer = answerCloudTrail(simulator, operation, body, authorization.region)
    send(response, 200, CONTENT_TYPE, JSON.stringify(answer))
  } catch (error) {
    if (!(error instanceof SimulatedServiceError)) throw error
    send(response, error.$metadata.httpStatusCode ?? 400, CONTENT_TYPE, serializeError(error))
  }
}

/** How often a receipt that waits looks again, by the machine's clock: the simulator's may be set, or be anybody's. */
const LOOK_AGAIN = 50

async function serveSqs(
  { simulator, verifier, url, stopping }: Served,
  request: IncomingMessage,
  response: ServerResponse,
  { operation, query, body }: { operation: string; query: string; body: string | undefined },
): Promise<void> {
  const gone = new AbortController()
  response.once('close', () => gone.abort())
  const ended = AbortSignal.any([gone.signal, stopping])
  const wait = async (look: () => boolean, milliseconds: number) => {
    const until = performance.now() + milliseconds
    // What nobody waits for any more stays in the queue.
    while (!ended.aborted && !look() && performance.now() < until) {
      await realDelay(LOOK_AGAIN, ended).catch(() => {})
    }
  }
  try {
    const { headers } = request
    const authorization = readAuthorization(headers.authorization, 'sqs')
    if (body === undefined) throw tooLarge()
    verifier?.verify(authorization, { query, headers, body })
    const answer = await answerSqs({ queue: simulator.queue, url, wait }, operation, body, authorization.region)
    send(response, 200, SQS_CONTENT_TYPE, JSON.stringify(answer))
  } catch (error) {
    if (!(error instanceof SimulatedServiceError)) throw error
    const { body, header } = serializeSqsError(error)
    response.setHeader('x-amzn-query-error', header)
    send(response, error.$metadata.httpStatusCode ?? 400, SQS_CONTENT_TYPE, body)
  }
}

const unknown = (message: string, status: number) =>
  new SimulatedServiceError('UnknownOperationException', message, status)

const speaksCbor = ({ headers }: IncomingMessage) => headers[SMITHY_PROTOCOL] === CBOR.protocol

const REQUEST_ID = 'x-amzn-requestid'

function send(response: ServerResponse, status: number, contentType: string, body: string | Buffer): void {
  if (!response.hasHeader(REQUEST_ID)) response.setHeader(REQUEST_ID, randomUUID())
  response.writeHead(status, {
    'content-type': contentType,
    'content-length': Buffer.byteLength(body),
  })
  response.end(body)
}
