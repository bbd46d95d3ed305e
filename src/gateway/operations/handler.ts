import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { LedgerError } from '../../ledger/errors.ts'
import { SECOND } from '../../ledger/hours.ts'
import { withDeadline } from '../../marketplace/deadline.ts'
import { describe } from '../../metering/faults.ts'
import { type Access, isLocal } from './access.ts'
import { statusPage } from './page/page.ts'
import { PROMETHEUS_CONTENT_TYPE } from './prometheus.ts'
import { isReady, readinessText } from './readiness.ts'
import { type StatusOptions, StatusReader } from './report.ts'

export interface OperationsOptions extends StatusOptions {
  /** The gateway's own metrics as Prometheus' text. */
  readonly metrics: () => Promise<string>
  /**
   * Whether a request may see customers' account ids. Without it the page is only for requests from this machine that
   * call it `localhost` or by a loopback address.
   */
  readonly authorize?: (request: IncomingMessage) => Access | Promise<Access>
}

/** Answers a request, and says whether it was one of its own. Never rejects. */
export type RequestHandler = (request: IncomingMessage, response: ServerResponse) => Promise<boolean>

interface Reply {
  readonly status: number
  readonly type: string
  readonly body: string
  readonly headers?: OutgoingHttpHeaders
}

type Route = (request: IncomingMessage) => Reply | Promise<Reply>

/** Those that name customers. */
export const PAGE_PATHS: ReadonlySet<string> = new Set(['/', '/status.json', '/customers.json'])

const TEXT = 'text/plain; charset=utf-8'
const HTML = 'text/html; charset=utf-8'
const JSON_TYPE = 'application/json; charset=utf-8'

/** How long the ledger may take to answer. */
const LEDGER_LIMIT = 15 * SECOND

const HEADERS = {
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
}

/**
 * The status page and what orchestrators and Prometheus ask, for a server that others own: `/`, `/status.json`,
 * `/customers.json?find=…`, `/metrics`, `/healthz` and `/readyz`. The last two need no token, and say nothing of customers.
 */
export function operationsHandler(options: OperationsOptions): RequestHandler {
  const { readiness, metrics, authorize } = options
  const reader = new StatusReader(options)
  const allowed = async (request: IncomingMessage) => ((await authorize?.(request)) ?? 'granted') === 'granted'
  const routes = new Map<string, Route>([
    ['/healthz', () => ({ status: 200, type: TEXT, body: 'ok\n' })],
    [
      '/readyz',
      async request => {
        const results = await readiness.results()
        return {
          status: isReady(results) ? 200 : 503,
          type: TEXT,
          body: readinessText(results, await allowed(request)),
        }
      },
    ],
    [
      '/metrics',
      async request =>
        (await refusal(request, authorize)) ?? { status: 200, type: PROMETHEUS_CONTENT_TYPE, body: await metrics() },
    ],
    ['/', async request => (await pageRefusal(request, authorize)) ?? (await page())],
    [
      '/status.json',
      async request => (await pageRefusal(request, authorize)) ?? (await ledgerJson(() => reader.read())),
    ],
    [
      '/customers.json',
      async request => (await pageRefusal(request, authorize)) ?? (await customersJson(reader, request)),
    ],
  ])
  return async (request, response) => {
    const route = routes.get(pathOf(request))
    if (route === undefined) return false
    send(request, response, await replyTo(request, route))
    return true
  }
}

async function replyTo(request: IncomingMessage, route: Route): Promise<Reply> {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    return { status: 405, type: TEXT, body: 'Expected GET or HEAD.\n', headers: { allow: 'GET, HEAD' } }
  }
  try {
    return await route(request)
  } catch (error) {
    return { status: 503, type: TEXT, body: `${describe(error)}\n`, headers: RETRY }
  }
}

const ledgerSilent = () => new LedgerError('ERR_LEDGER_BUSY', `no answer within ${LEDGER_LIMIT / SECOND} s`)

const RETRY = { 'retry-after': '5' }

/** Longer than any name of a customer. */
const LONGEST_FIND = 600

async function customersJson(reader: StatusReader, { url = '' }: IncomingMessage): Promise<Reply> {
  const find = new URLSearchParams(url.slice(url.indexOf('?'))).get('find')?.trim() ?? ''
  if (find !== '' && find.length <= LONGEST_FIND) return await ledgerJson(() => reader.find(find))
  const error = `Expected ?find= with a part of a customer's name, at most ${LONGEST_FIND} characters.`
  return { status: 400, type: JSON_TYPE, body: JSON.stringify({ error }) }
}

async function ledgerJson(read: () => Promise<unknown>): Promise<Reply> {
  try {
    const report = await withDeadline(LEDGER_LIMIT, read, { late: ledgerSilent })
    return { status: 200, type: JSON_TYPE, body: JSON.stringify(report) }
  } catch (error) {
    const body = JSON.stringify({ error: `The ledger cannot be read: ${describe(error)}.` })
    return { status: 503, type: JSON_TYPE, body, headers: RETRY }
  }
}

async function page(): Promise<Reply> {
  const { html, policy } = await statusPage()
  return { status: 200, type: HTML, body: html, headers: { 'content-security-policy': policy } }
}

type Authorize = OperationsOptions['authorize']

async function refusal(request: IncomingMessage, authorize: Authorize): Promise<Reply | undefined> {
  const access = (await authorize?.(request)) ?? 'granted'
  if (access === 'granted') return undefined
  if (access === 'forbidden') {
    return {
      status: 403,
      type: TEXT,
      body: "This token is for some customers' usage. What is here is of all customers, and for tokens that are not restricted.\n",
    }
  }
  return {
    status: 401,
    type: TEXT,
    body: 'Expected a bearer token, or in a browser the token as the password of any user.\n',
    // Two lines: browsers do not read a second scheme in the first.
    headers: { 'www-authenticate': ['Basic realm="marketplace-meter", charset="UTF-8"', 'Bearer'] },
  }
}

async function pageRefusal(request: IncomingMessage, authorize: Authorize): Promise<Reply | undefined> {
  if (authorize !== undefined) return refusal(request, authorize)
  if (isLocal(request)) return undefined
  return {
    status: 403,
    type: TEXT,
    body:
      'This page names customers. Without a token it is only for this machine, as localhost or 127.0.0.1: configure a ' +
      'token to look at it from elsewhere, or under another name.\n',
  }
}

function pathOf({ url = '' }: IncomingMessage): string {
  const query = url.indexOf('?')
  return query === -1 ? url : url.slice(0, query)
}

function send(request: IncomingMessage, response: ServerResponse, { status, type, body, headers }: Reply): void {
  if (response.destroyed || response.headersSent) return
  const bytes = Buffer.from(body)
  response.writeHead(status, { ...HEADERS, 'content-type': type, 'content-length': bytes.length, ...headers })
  response.end(request.method === 'HEAD' ? undefined : bytes)
}
