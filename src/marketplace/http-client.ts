import { AwsV4Signer } from 'aws4fetch'
import * as v from 'valibot'
import { check, strictObject } from '../check.ts'
import { type Operation, type OperationResult, readAnswer } from './answer.ts'
import type { BatchMeterUsageRequest, BatchMeterUsageResult, MeteringClient } from './client.ts'
import { clockSkewBetween, clockSkewOf, describeSkew } from './clock-skew.ts'
import {
  type Credentials,
  CredentialsCache,
  type CredentialsProvider,
  environmentCredentials,
  type Fetch,
  hideSecrets,
} from './credentials.ts'
import { withDeadline } from './deadline.ts'
import { endpointOf, environmentEndpoint } from './endpoint.ts'
import {
  type AnswerMetadata,
  CredentialsError,
  MeteringAnswerError,
  MeteringConnectionError,
  MeteringServiceError,
} from './errors.ts'
import { regionOption } from './region.ts'
import type { RegistrationClient, ResolveCustomerRequest, ResolveCustomerResult } from './registration.ts'

export interface HttpMeteringClientOptions {
  /** Whose Marketplace is called. By default that of `AWS_REGION` or `AWS_DEFAULT_REGION`. */
  readonly region?: string
  /**
   * Where to send to instead of the region's own host. By default that of `AWS_ENDPOINT_URL_MARKETPLACE_METERING` or
   * `AWS_ENDPOINT_URL`; without them `AWS_USE_DUALSTACK_ENDPOINT` and `AWS_USE_FIPS_ENDPOINT` hold, as with the AWS SDK.
   */
  readonly endpoint?: string
  /**
   * Credentials, or what gets them. By default those of the environment (`AWS_ACCESS_KEY_ID`, …), then those of the
   * container (ECS task roles, EKS pod identities).
   */
  readonly credentials?: Credentials | CredentialsProvider
  /** How long a request may take, in milliseconds: 10,000 by default. */
  readonly timeout?: number
  /** Node's own by default. */
  readonly fetch?: Fetch
  /**
   * The clock that signatures carry, in milliseconds since the epoch: `Date.now` by default. AWS compares it with the
   * true time, so it is not that of usage where the two differ.
   */
  readonly now?: () => number
}

const CONTENT_TYPE = 'application/x-amz-json-1.1'
/** AWS says so when credentials have come to an end before their time. */
const BAD_CREDENTIALS = /^(ExpiredToken|UnrecognizedClient|InvalidClientTokenId|InvalidSignature)/

const func = <Type>(expected: string) => v.custom<Type>(value => typeof value === 'function', expected)

const schema = strictObject({
  region: regionOption,
  endpoint: v.optional(
    v.custom<string>(isEndpoint, 'an http or https URL without user, query and fragment'),
    () => environmentEndpoint() as string,
  ),
  // What is in credentials is no one's business; it is checked when they are used, without showing them.
  credentials: v.optional(v.any()),
  timeout: v.optional(
    v.pipe(
      v.number(),
      v.check(value => value >= 1 && value <= 600_000, 'from 1 to 600000 milliseconds'),
    ),
    10_000,
  ),
  fetch: v.optional(func<Fetch>('a function such as fetch')),
  now: v.optional(func<() => number>('a function that returns milliseconds since the epoch'), () => Date.now),
})

function isEndpoint(value: unknown): boolean {
  // Neither option nor variable: the region's own.
  if (value === undefined) return true
  const url = typeof value === 'string' ? URL.parse(value) : null
  if (url === null || !/^https?:$/.test(url.protocol)) return false
  return url.username + url.password + url.search + url.hash === ''
}

/**
 * A client for AWS Marketplace Metering without the AWS SDK: AWS JSON 1.1, signed with SigV4, over `fetch`. It makes
 * one attempt, and whoever uses it decides about the next one.
 *
 * Its methods reject with
 * - {@link MeteringServiceError}: AWS's own errors, under AWS's names;
 * - {@link MeteringAnswerError}: what came is no answer of AWS;
 * - {@link MeteringConnectionError}: with the system's `code`;
 * - {@link MeteringTimeoutError}, {@link MeteringAbortError};
 * - {@link CredentialsError}: there are none, so nothing was sent.
 *
 * https://docs.aws.amazon.com/marketplace/latest/APIReference/API_Operations_AWSMarketplace_Metering.html
 */
export class HttpMeteringClient implements MeteringClient, RegistrationClient {
  readonly endpoint: string
  readonly region: string
  readonly #timeout: number
  readonly #fetch: Fetch
  readonly #now: () => number
  readonly #credentials: CredentialsCache
  #clockSkew: number | undefined

  /** @throws {ConfigurationError} that names every option that is wrong */
  constructor(options: HttpMeteringClientOptions = {}) {
    const { region, endpoint, credentials, timeout, fetch, now } = check(schema, options)
    this.region = region
    this.endpoint = endpoint ?? endpointOf(region)
    this.#timeout = timeout
    // Looked up when it is called: a program may replace the global one later.
    this.#fetch = fetch ?? ((url, init) => globalThis.fetch(url, init))
    this.#now = now
    const provider = typeof credentials === 'function' ? credentials : credentials && (() => credentials)
    this.#credentials = new CredentialsCache(provider ?? environmentCredentials(this.#fetch), now)
  }

  get clockSkew(): number | undefined {
    return this.#clockSkew
  }

  /** Sends usage records: at most 25, all of one product. */
  async batchMeterUsage(
    request: BatchMeterUsageRequest,
    options?: { abortSignal?: AbortSignal },
  ): Promise<BatchMeterUsageResult> {
    const records = request.UsageRecords.map(record => ({ ...record, Timestamp: record.Timestamp.getTime() / 1000 }))
    return this.#call('BatchMeterUsage', { ...request, UsageRecords: records }, [], options)
  }

  /** Turns the token of a buyer who comes from AWS Marketplace into a customer. */
  async resolveCustomer(
    request: ResolveCustomerRequest,
    options?: { abortSignal?: AbortSignal },
  ): Promise<ResolveCustomerResult> {
    return this.#call('ResolveCustomer', request, [request.RegistrationToken], options)
  }

  async #call<Name extends Operation>(
    operation: Name,
    request: object,
    secrets: readonly string[],
    { abortSignal }: { abortSignal?: AbortSignal } = {},
  ): Promise<OperationResult<Name> & { $metadata: AnswerMetadata }> {
    // Nothing was sent, which a timeout alone would not say.
    const late = () => new CredentialsError(`No AWS credentials within ${this.#timeout} ms.`)
    const credentials = await withDeadline(this.#timeout, () => this.#credentials.get(), { abortSignal, late })
    const signedAt = this.#now()
    const { headers, body } = await this.#sign(operation, JSON.stringify(request), credentials, signedAt)
    const post = async (signal: AbortSignal) => {
      let response: Response | undefined
      try {
        response = await this.#fetch(this.endpoint, { method: 'POST', headers, body, redirect: 'manual', signal })
        this.#hearTheTime(response.headers, signedAt)
        return await readAnswer(operation, response)
      } catch (error) {
        if (error instanceof MeteringAnswerError) throw error
        if (!(error instanceof MeteringServiceError)) throw new MeteringConnectionError(this.endpoint, error)
        if (BAD_CREDENTIALS.test(error.name)) this.#credentials.forget()
        const { secretAccessKey, sessionToken } = credentials
        const hidden = [secretAccessKey, sessionToken, ...secrets]
        throw explained(error, signedAt, response?.headers.get('date') ?? null, hidden)
      }
    }
    return withDeadline(this.#timeout, post, { abortSignal })
  }

  /** A proxy's clock is not AWS's. */
  #hearTheTime(headers: Headers, sentAt: number): void {
    if (headers.has('x-amzn-requestid'))
      this.#clockSkew = clockSkewBetween(headers.get('date'), sentAt, this.#now()) ?? this.#clockSkew
  }

  async #sign(operation: Operation, body: string, credentials: Credentials, signedAt: number) {
    const { accessKeyId, secretAccessKey, sessionToken } = credentials
    const signer = new AwsV4Signer({
      method: 'POST',
      url: this.endpoint,
      headers: { 'content-type': CONTENT_TYPE, 'x-amz-target': `AWSMPMeteringService.${operation}` },
      body,
      accessKeyId,
      secretAccessKey,
      ...(sessionToken && { sessionToken }),
      service: 'aws-marketplace',
      region: this.region,
      // 20260610T120000Z
      datetime: new Date(signedAt).toISOString().replace(/[:-]|\.\d{3}/g, ''),
      allHeaders: true,
    })
    const { headers } = await signer.sign()
    return { headers, body }
  }
}

/** AWS's error without our secrets and with what to do. */
function explained(
  { name, message, $metadata }: MeteringServiceError,
  signedAt: number,
  date: string | null,
  secrets: readonly (string | undefined)[],
): MeteringServiceError {
  const safe = hideSecrets(message, secrets)
  const skew = clockSkewOf({ name, message }, signedAt, date)
  const text = skew === undefined ? safe : `${describeSkew(skew)} ${safe}`
  return new MeteringServiceError(name, text.slice(0, 2000), $metadata, skew)
}
