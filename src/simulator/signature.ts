import { createHash, createHmac } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import * as v from 'valibot'
import type { Authorization } from './authorization.ts'
import { SimulatedServiceError } from './errors.ts'
import { validated } from './validation.ts'

/** Who may sign, and with what. */
export interface SigningCredentials {
  accessKeyId: string
  secretAccessKey: string
  /** Of temporary credentials; requests have to carry it. */
  sessionToken?: string
}

/** What of a request is signed. All are a `POST` of `/`. */
interface SignedRequest {
  query: string
  headers: IncomingHttpHeaders
  body: string
}

const TOLERANCE = 15 * 60_000
const TIME = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/

// Not strict: the AWS SDK adds members of its own to the credentials that it is given.
const schema = v.array(
  v.object({
    accessKeyId: v.pipe(v.string(), v.nonEmpty()),
    secretAccessKey: v.pipe(v.string(), v.nonEmpty()),
    sessionToken: v.exactOptional(v.pipe(v.string(), v.nonEmpty())),
  }),
)

/**
 * Checks SigV4 signatures from its specification, on its own, so that a mistake in a client's library is not repeated
 * here: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
 */
export class SignatureVerifier {
  readonly #credentials: ReadonlyMap<string, SigningCredentials>
  readonly #now: () => number

  /**
   * @param now the true time, in milliseconds since the epoch
   * @throws {SimulatorConfigurationError}
   */
  constructor(credentials: readonly SigningCredentials[], now: () => number = Date.now) {
    const checked = validated(schema, credentials, 'options.verifySignatures') as SigningCredentials[]
    this.#credentials = new Map(checked.map(one => [one.accessKeyId, one]))
    this.#now = now
  }

  /** @throws {SimulatedServiceError} with AWS's name and words, as its JSON services have them */
  verify(authorization: Authorization, request: SignedRequest): void {
    const { headers } = request
    const time = headers['x-amz-date']
    if (typeof time !== 'string' || !TIME.test(time)) {
      throw incomplete(`Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.`)
    }
    const unsigned = ['host', ...Object.keys(headers).filter(name => name.startsWith('x-amz-'))].filter(
      name => !authorization.signedHeaders.includes(name),
    )
    if (unsigned.length > 0) {
      throw invalid(`'${unsigned.join("', '")}' must be a 'SignedHeader' in the AWS Authorization.`)
    }
    if (authorization.date !== time.slice(0, 8)) {
      throw invalid(
        `Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: ` +
          `'${authorization.date}' != '${time.slice(0, 8)}', from '${time}'.`,
      )
    }
    this.#checkTime(time)
    const signer = this.#credentials.get(authorization.accessKeyId)
    if (signer === undefined || headers['x-amz-security-token'] !== signer.sessionToken) {
      throw new SimulatedServiceError(
        'UnrecognizedClientException',
        'The security token included in the request is invalid.',
      )
    }
    if (signatureOf(authorization, time, request, signer.secretAccessKey) !== authorization.signature) {
      throw invalid(
        'The request signature we calculated does not match the signature you provided. Check your AWS Secret Access ' +
          'Key and signing method. Consult the service documentation for details.',
      )
    }
  }

  #checkTime(time: string): void {
    const [year = 0, month = 0, ...rest] = (TIME.exec(time) ?? []).slice(1).map(Number)
    const signedAt = Date.UTC(year, month - 1, ...rest)
    const now = this.#now()
    if (signedAt < now - TOLERANCE) {
      throw invalid(
        `Signature expired: ${time} is now earlier than ${timeOf(now - TOLERANCE)} (${timeOf(now)} - 15 min.)`,
      )
    }
    if (signedAt > now + TOLERANCE) {
      throw invalid(
        `Signature not yet current: ${time} is still later than ${timeOf(now + TOLERANCE)} (${timeOf(now)} + 15 min.)`,
      )
    }
  }
}

const invalid = (message: string) => new SimulatedServiceError('InvalidSignatureException', message)
const incomplete = (message: string) => new SimulatedServiceError('IncompleteSignatureException', message)

/** `20260610T120000Z` */
const timeOf = (milliseconds: number) => new Date(milliseconds).toISOString().replace(/[:-]|\.\d{3}/g, '')

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')
const hmac = (key: string | Buffer, text: string) => createHmac('sha256', key).update(text).digest()

function signatureOf(
  { date, region, service, signedHeaders }: Authorization,
  time: string,
  { query, headers, body }: SignedRequest,
  secret: string,
): string {
  const canonical = [
    'POST',
    '/',
    canonicalQuery(query),
    ...signedHeaders.map(
      name =>
        `${name}:${String(headers[name] ?? '')
          .trim()
          .replace(/\s+/g, ' ')}`,
    ),
    '',
    signedHeaders.join(';'),
    sha256(body),
  ].join('\n')
  const scope = [date, region, service, 'aws4_request']
  const key = scope.reduce<string | Buffer>(hmac, `AWS4${secret}`)
  return hmac(key, ['AWS4-HMAC-SHA256', time, scope.join('/'), sha256(canonical)].join('\n')).toString('hex')
}

function canonicalQuery(query: string): string {
  return [...new URLSearchParams(query)]
    .map(pair => pair.map(encode).join('='))
    .sort()
    .join('&')
}

const encode = (text: string) =>
  encodeURIComponent(text).replace(/[!'()*]/g, character => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
