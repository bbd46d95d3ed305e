import { readFile } from 'node:fs/promises'
import * as v from 'valibot'
import { readText } from './answer.ts'
import { withDeadline } from './deadline.ts'
import { CredentialsError } from './errors.ts'

/** Credentials as the AWS SDK has them. */
export interface Credentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string | undefined
  readonly expiration?: Date | undefined
}

/**
 * Gets credentials. Those with an `expiration` are kept until shortly before; for others it is asked each time. The
 * AWS SDK's providers fit, such as `fromNodeProviderChain()` of `@aws-sdk/credential-providers`.
 */
export type CredentialsProvider = () => Credentials | Promise<Credentials>

export type Fetch = (url: string, init: RequestInit) => Promise<Response>

/** As long before they expire new credentials are asked for: those of a container are renewed 5 minutes before. */
const RENEW_BEFORE = 5 * 60_000
const CONTAINER_TIMEOUT = 5000
const MAX_CREDENTIALS_BYTES = 64 * 1024

/** What can stand in a header. What cannot would be quoted by the error about it. */
const printable = v.pipe(v.string(), v.regex(/^[\x21-\x7e]+$/))
const credentialsSchema = v.object({
  accessKeyId: v.pipe(v.string(), v.regex(/^\w+$/)),
  secretAccessKey: printable,
  sessionToken: v.nullish(printable),
  expiration: v.nullish(
    v.pipe(
      v.date(),
      v.check(date => !Number.isNaN(date.getTime())),
    ),
  ),
})

/** Checks credentials. What is wrong is told by its name only. */
function checked(credentials: unknown): Credentials {
  const result = v.safeParse(credentialsSchema, credentials)
  if (result.success) return result.output as Credentials
  const [issue] = result.issues
  throw new CredentialsError(
    `The AWS credentials' ${v.getDotPath(issue) ?? 'object'} is missing or has characters that cannot be in it, such as a line's end.`,
  )
}

/** A message of AWS, which shows the headers that it checked a signature with, without what is secret in them. */
export function hideSecrets(message: string, secrets: readonly (string | undefined)[]): string {
  return secrets.reduce<string>((text, secret) => (secret ? text.replaceAll(secret, '[secret]') : text), message)
}

/** Asks a provider for credentials, once for all who wait, and keeps them while they last. */
export class CredentialsCache {
  readonly #provider: CredentialsProvider
  readonly #now: () => number
  #kept: Credentials | undefined
  #asking: Promise<Credentials> | undefined

  /** @param now milliseconds since the epoch */
  constructor(provider: CredentialsProvider, now: () => number) {
    this.#provider = provider
    this.#now = now
  }

  /** @throws {CredentialsError} */
  async get(): Promise<Credentials> {
    if (this.#kept !== undefined && this.#lasts(this.#kept, RENEW_BEFORE)) return this.#kept
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined
    })
    return this.#asking
  }

  /** To be called when AWS says that they are no longer good. */
  forget(): void {
    this.#kept = undefined
  }

  async #ask(): Promise<Credentials> {
    try {
      const credentials = checked(await this.#provider())
      this.#kept = credentials.expiration ? credentials : undefined
      return credentials
    } catch (cause) {
      // While the old ones last, a provider that fails does no harm.
      if (this.#kept !== undefined && this.#lasts(this.#kept, 0)) return this.#kept
      if (cause instanceof CredentialsError) throw cause
      throw new CredentialsError(`No AWS credentials: ${cause instanceof Error ? cause.message : String(cause)}`, {
        cause,
      })
    }
  }

  #lasts({ expiration }: Credentials, margin: number): boolean {
    return expiration !== undefined && expiration.getTime() - this.#now() > margin
  }
}

/**
 * Credentials of the environment's `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`, or those that
 * ECS and EKS give to a container. Read each time, since both can change.
 *
 * https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
 */
export function environmentCredentials(fetch: Fetch): CredentialsProvider {
  return async () => {
    const {
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
      AWS_SESSION_TOKEN: sessionToken,
      AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: relative,
      AWS_CONTAINER_CREDENTIALS_FULL_URI: full,
    } = process.env
    if (accessKeyId || secretAccessKey) {
      if (!accessKeyId) throw new CredentialsError('AWS_SECRET_ACCESS_KEY is set, but AWS_ACCESS_KEY_ID is not.')
      if (!secretAccessKey) throw new CredentialsError('AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not.')
      return { accessKeyId, secretAccessKey, ...(sessionToken && { sessionToken }) }
    }
    if (relative || full) return containerCredentials(containerUrl(relative, full), fetch)
    throw new CredentialsError(
      'No AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, run with an ECS task role or EKS pod identity, or give the option credentials, for instance fromNodeProviderChain() of @aws-sdk/credential-providers.',
    )
  }
}

/** Without TLS only to this machine and to ECS's and EKS's own addresses: the answer is a secret. */
const TRUSTED_HOSTS = /^(localhost|127(\.\d{1,3}){3}|\[::1\]|169\.254\.170\.2|169\.254\.170\.23|\[fd00:ec2::23\])$/

function containerUrl(relative: string | undefined, full: string | undefined): URL {
  // Without the slash the variable could name another host.
  const url = relative
    ? relative.startsWith('/') && URL.parse(`http://169.254.170.2${relative}`)
    : URL.parse(full as string)
  if (!url || !(url.protocol === 'https:' || (url.protocol === 'http:' && TRUSTED_HOSTS.test(url.hostname)))) {
    throw new CredentialsError(
      relative
        ? 'AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: expected a path that begins with /.'
        : 'AWS_CONTAINER_CREDENTIALS_FULL_URI: expected an https URL, or an http URL of this machine, ECS or EKS.',
    )
  }
  return url
}

async function containerCredentials(url: URL, fetch: Fetch): Promise<Credentials> {
  const { AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: file, AWS_CONTAINER_AUTHORIZATION_TOKEN: variable } = process.env
  const authorization = (file ? await readFile(file, 'utf8') : (variable ?? '')).trim()
  if (!/^[\x20-\x7e]*$/.test(authorization)) {
    throw new CredentialsError(
      `${file ? 'AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE' : 'AWS_CONTAINER_AUTHORIZATION_TOKEN'} has characters that cannot be in a header.`,
    )
  }
  const text = await withDeadline(CONTAINER_TIMEOUT, async signal => {
    const headers: Record<string, string> = authorization === '' ? {} : { authorization }
    const response = await fetch(url.href, { headers, redirect: 'error', signal })
    if (!response.ok) {
      await response.body?.cancel()
      throw new CredentialsError(`No AWS credentials: ${url.origin} answered HTTP ${response.status}.`)
    }
    return readText(response, MAX_CREDENTIALS_BYTES)
  })
  let answer: Record<string, unknown>
  try {
    answer = Object(JSON.parse(text ?? ''))
  } catch {
    // What JSON.parse says quotes the text.
    throw new CredentialsError(`No AWS credentials: ${url.origin} answered something else than credentials.`)
  }
  return {
    accessKeyId: answer.AccessKeyId as string,
    secretAccessKey: answer.SecretAccessKey as string,
    sessionToken: answer.Token as string,
    ...(typeof answer.Expiration === 'string' && { expiration: new Date(answer.Expiration) }),
  }
}
