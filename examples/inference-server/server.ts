import { randomInt, randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Meter } from '@opentelemetry/api'
import { sendAnswer, streamAnswer } from './answers.ts'
import { ApiError } from './api-error.ts'
import { type ApiCustomer, type CustomerKeys, nameOfKey } from './api-keys.ts'
import { Bill } from './bill.ts'
import { corpus } from './corpus.ts'
import { chatFormat, type Format, textFormat } from './formats.ts'
import { TextGenerator } from './generator.ts'
import { Job } from './job.ts'
import { seededRandom } from './random.ts'
import { readJson } from './read-json.ts'
import { CONTEXT_TOKENS, MODELS, type Model } from './requests.ts'
import { sendJson } from './send-json.ts'
import { Stopwatch } from './stopwatch.ts'
import { usageRecorder } from './usage.ts'
import { UsageLog } from './usage-log.ts'

export interface InferenceServerOptions {
  /** Where usage is recorded. */
  readonly meter: Meter
  readonly apiKeys: CustomerKeys
  /** Makes the answers to requests without a `seed` repeatable too. */
  readonly seed?: number
  /** How many GPUs a request occupies while it computes; its compute time counts for each. */
  readonly gpus?: number
  /** Milliseconds since the epoch, for what answers say of when they were made. */
  readonly now?: () => number
  readonly maxBodyBytes?: number
  /** How long a client may take to send its request, in milliseconds. */
  readonly requestTimeout?: number
  /** How long a client may leave its connection without reading or writing, in milliseconds. */
  readonly stallTimeout?: number
  /** Errors that are the server's own fault. */
  readonly onError?: (error: unknown) => void
}

type Handler = (request: IncomingMessage, response: ServerResponse, path: string) => void | Promise<void>

/** An OpenAI-compatible server that records each customer's usage, and knows nothing of how that is billed. */
export function createInferenceServer(options: InferenceServerOptions): Server {
  const { apiKeys, gpus = 1, now = Date.now, maxBodyBytes = 256 * 1024, onError = console.error } = options
  const { requestTimeout = 30_000, stallTimeout = 30_000 } = options
  const generators: Record<Model, TextGenerator> = {
    'markov-1': new TextGenerator(corpus),
    // It has read half of the books.
    'markov-1-small': new TextGenerator(corpus.slice(0, corpus.indexOf('\n\n', corpus.length / 2))),
  }
  const recordUsage = usageRecorder(options.meter)
  const usageLog = new UsageLog()
  const seconds = () => Math.floor(now() / 1000)
  const started = seconds()
  const serverSeeds = options.seed === undefined ? undefined : seededRandom(options.seed)
  const nextSeed = () => (serverSeeds ? Math.floor(serverSeeds() * 2 ** 32) : randomInt(2 ** 32))

  const routes: readonly [method: string, path: RegExp, handler: Handler][] = [
    ['GET', /^\/health$/, (_request, response) => sendJson(response, 200, { status: 'ok' })],
    ['GET', /^\/v1\/models$/, listModels],
    ['GET', /^\/v1\/usage\/[\w-]+$/, showUsage],
    ['POST', /^\/v1\/chat\/completions$/, (request, response) => complete(chatFormat, request, response)],
    ['POST', /^\/v1\/completions$/, (request, response) => complete(textFormat, request, response)],
  ]

  const server = createServer(
    {
      requestTimeout,
      headersTimeout: Math.min(requestTimeout, 10_000),
      connectionsCheckingInterval: Math.min(requestTimeout, 5_000),
    },
    (request, response) => void handle(request, response),
  )
  server.setTimeout(stallTimeout)
  return server

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // A server that is shutting down does not wait for clients to let go of their connections.
    response.once('finish', () => setImmediate(() => server.listening || server.closeIdleConnections()))
    try {
      const path = (request.url ?? '/').split('?', 1)[0] as string
      await route(request, path)(request, response, path)
    } catch (error) {
      const ours = !(error instanceof ApiError) || error.status >= 500
      if (ours && !response.destroyed) onError(error)
      fail(response, error)
    }
  }

  function route(request: IncomingMessage, path: string): Handler {
    const method = request.method === 'HEAD' ? 'GET' : request.method
    const candidates = routes.filter(([, pattern]) => pattern.test(path))
    if (candidates.length === 0) throw new ApiError(404, 'Invalid URL.', { code: 'unknown_url' })
    const found = candidates.find(([accepted]) => accepted === method)
    if (found) return found[2]
    const allow = candidates.map(([accepted]) => accepted).join(', ')
    throw new ApiError(405, `Not allowed to ${request.method} on ${path} (allowed: ${allow}).`, {
      headers: { allow },
      code: 'method_not_supported',
    })
  }

  async function authenticate(request: IncomingMessage): Promise<{ customer: ApiCustomer; key: string }> {
    const headers = { 'www-authenticate': 'Bearer' }
    const key = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1]
    if (key === undefined) {
      throw new ApiError(401, 'You did not provide an API key: send it as "Authorization: Bearer YOUR_KEY".', {
        headers,
      })
    }
    const customer = await apiKeys.find(key)
    if (!customer) throw new ApiError(401, 'Incorrect API key provided.', { code: 'invalid_api_key', headers })
    return { customer, key }
  }

  async function listModels(request: IncomingMessage, response: ServerResponse): Promise<void> {
    await authenticate(request)
    const about = { object: 'model', created: started, owned_by: 'example', context_window: CONTEXT_TOKENS }
    sendJson(response, 200, { object: 'list', data: MODELS.map(id => ({ id, ...about })) })
  }

  /** Answers when the request is over, for a client that left in its middle and wants to know its share. */
  async function showUsage(request: IncomingMessage, response: ServerResponse, path: string): Promise<void> {
    const { customer } = await authenticate(request)
    const id = path.slice(path.lastIndexOf('/') + 1)
    const entry = usageLog.find(id)
    const usage = entry !== undefined && idOf(entry.customer) === idOf(customer) ? await entry.usage : undefined
    if (!usage) throw new ApiError(404, `No usage found for '${id}'.`, { param: 'id' })
    sendJson(response, 200, { id, object: 'usage', usage })
  }

  async function complete(format: Format, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { customer, key } = await authenticate(request)
    const body = await readJson(request, maxBodyBytes)
    const stopwatch = new Stopwatch()
    const order = stopwatch.time(() => format.parse(body))
    const { model } = order
    const job = new Job(order, { generator: generators[model], stopwatch, gpus, seed: order.seed ?? nextSeed() })
    const id = `${format.idPrefix}${randomUUID().replaceAll('-', '')}`
    const logUsage = usageLog.open(id, customer)
    const bill = new Bill(job, usage => {
      if (usage) recordUsage(customer, usage, { model, apiKey: nameOfKey(key) })
      logUsage(usage)
    })
    const head = { id, created: seconds(), model }
    response.setHeader('x-request-id', id)
    try {
      if (order.stream) await streamAnswer(response, { format, job, bill, head, includeUsage: order.includeUsage })
      else await sendAnswer(response, { format, job, bill, head })
    } finally {
      // Whatever was not billed up to here has failed.
      bill.cancel()
    }
  }
}

/** A renewed licence may be another, and is the same customer's. */
const idOf = ({ accountId, customerIdentifier }: ApiCustomer): string | undefined => accountId ?? customerIdentifier

function fail(response: ServerResponse, error: unknown): void {
  const apiError =
    error instanceof ApiError ? error : new ApiError(500, 'The server had an error while processing your request.')
  // In the middle of an answer only breaking it off tells the client that it is not whole.
  if (response.headersSent) response.destroy()
  else sendJson(response, apiError.status, apiError.body(), apiError.headers)
}
