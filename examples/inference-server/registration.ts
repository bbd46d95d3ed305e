import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { registerCustomer } from '../../src/agreements/index.ts'
import type { Agreement, Ledger } from '../../src/ledger/ledger.ts'
import type { RegistrationClient } from '../../src/marketplace/registration.ts'
import { newKey } from './registered-keys.ts'
import { RegistrationError } from './registration-error.ts'
import { readForm } from './registration-form.ts'
import { type Page, sendPage } from './registration-page.ts'

export interface RegistrationOptions {
  readonly client: RegistrationClient
  /** Where customers are kept, with the hashes of their keys. */
  readonly ledger: Ledger
  /** Tokens of other products are refused. */
  readonly productCode: string
  /** The label of the product, where customers come with a licence (Concurrent Agreements). */
  readonly product?: string | undefined
  /** That usage is metered in. */
  readonly region: string
  /** Whether AWS's events say when a licence is active. */
  readonly followsEvents?: boolean
  readonly now?: () => number
  /** How long a browser may take for its form, in milliseconds. 10 seconds by default. */
  readonly formTimeout?: number
  /** What the seller has to mend. Never has a token or a key in it. */
  readonly onError?: (message: string) => void
}

/** The fulfilment URL's path: AWS Marketplace has the buyer's browser POST the registration token to it. */
export const REGISTRATION_PATH = '/register'

const TOKEN_FIELD = 'x-amzn-marketplace-token'
/** Anyone may POST here, and each POST becomes a call to AWS. */
const MAX_UNDER_WAY = 10
const FORM_TIMEOUT = 10_000

/** Puts the registration page before the server's own routes. */
export function serveRegistration(server: Server, options: RegistrationOptions): void {
  const others = server.listeners('request') as ((request: IncomingMessage, response: ServerResponse) => void)[]
  const { client, ledger, productCode, product, region, now = Date.now } = options
  const { onError = console.error, formTimeout = FORM_TIMEOUT } = options
  const customers = { client, ledger, productCode, ...(product && { product }), region, now }
  let underWay = 0

  server.removeAllListeners('request')
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    if (request.url?.split('?', 1)[0] === REGISTRATION_PATH) void answer(request, response)
    else for (const other of others) other(request, response)
  })

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      sendPage(response, await register(request))
    } catch (error) {
      const known = RegistrationError.of(error)
      if (known.cause !== undefined && known.page().status >= 500)
        onError(`Registration failed: ${describe(known.cause)}`)
      sendPage(response, known.page())
    }
  }

  async function register(request: IncomingMessage): Promise<Page> {
    if (request.method !== 'POST') throw new RegistrationError('method')
    const form = await readForm(request, formTimeout)
    const token = form.get(TOKEN_FIELD)
    if (!token) throw new RegistrationError('missing')
    const replace = form.get('replace') === 'yes' && isOurs(request)
    const { key, tenant } = newKey()
    const agreement = await inTurn(() => registerCustomer(token, { ...customers, tenant, keepTenant: !replace }))
    return agreement.tenant === tenant ? registered(agreement, key, options) : alreadyRegistered(agreement, token)
  }

  /** Forms that are on their way keep nobody out. */
  async function inTurn<Result>(ask: () => Promise<Result>): Promise<Result> {
    if (underWay === MAX_UNDER_WAY) throw new RegistrationError('unavailable')
    underWay++
    try {
      return await ask()
    } finally {
      underWay--
    }
  }
}

/** Whether a form is of a page of ours, or of no page: browsers say where forms are from. */
function isOurs({ headers }: IncomingMessage): boolean {
  const site = headers['sec-fetch-site']
  if (site !== undefined) return site === 'same-origin'
  return headers.origin === undefined || URL.parse(headers.origin)?.host === headers.host
}

function registered(agreement: Agreement, key: string, { followsEvents }: RegistrationOptions): Page {
  const waits = followsEvents === true && agreement.account.licenseArn !== undefined && agreement.state !== 'active'
  return {
    status: 200,
    title: 'Your account is set up',
    paragraphs: [
      `Usage with this key is billed to ${nameOf(agreement)} through AWS Marketplace.`,
      'Copy the key now: it is shown only this once. Send it as "Authorization: Bearer" with each request.',
      ...(waits ? ['It works as soon as AWS has told us that your subscription is active, in a minute or two.'] : []),
    ],
    key,
  }
}

/** A page that is loaded again, or a second visit, changes nothing: the first key may be in use. */
function alreadyRegistered(agreement: Agreement, token: string): Page {
  return {
    status: 200,
    title: 'Your account is set up already',
    paragraphs: [
      `${nameOf(agreement)} has an API key, which was shown when it was made and cannot be shown again.`,
      'If it is lost, replace it: the old key stops working within a minute.',
    ],
    form: { label: 'Replace my API key', fields: { [TOKEN_FIELD]: token, replace: 'yes' } },
  }
}

const nameOf = ({ account: { accountId, customerIdentifier } }: Agreement): string =>
  accountId === undefined ? `AWS customer ${customerIdentifier}` : `AWS account ${accountId}`

/** AWS's messages may quote what was sent, so only the error's name is told. */
function describe(error: unknown): string {
  const { name, code } = (error ?? {}) as { name?: unknown; code?: unknown }
  return [name, code].filter(part => typeof part === 'string').join(' ') || 'unknown error'
}
