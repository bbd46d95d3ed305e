import { ConfigurationError } from '../errors.ts'
import { type AwsClient, loadAwsClient } from './aws-client.ts'
import type { BatchMeterUsageRequest, BatchMeterUsageResult, MeteringClient } from './client.ts'
import { type Credentials, environmentCredentials, hideSecrets } from './credentials.ts'
import { withDeadline } from './deadline.ts'
import { environmentEndpoint, lookUpEndpoint } from './endpoint.ts'
import { loadEntitlementClient } from './entitlement-client.ts'

/** Looking at AWS Marketplace as an exporter or gateway would see it from here. */
export interface MarketplaceProbe {
  /** Where requests go, where it is said here and not by AWS's own rules. */
  readonly endpoint: string | undefined
  /** The same as `endpointName` has it, AWS's too. Rejects where that cannot be told, and so nothing be sent. */
  destination(): Promise<string>
  /** @throws {Error} that names no secret */
  credentials(): Promise<FoundCredentials>
  send(request: BatchMeterUsageRequest): Promise<Reply>
}

export interface FoundCredentials {
  /** Cut, so that it can be shown. */
  readonly accessKeyId: string
  readonly source: string
  readonly expiration: Date | undefined
}

export interface Reply {
  readonly result?: BatchMeterUsageResult
  readonly error?: unknown
  /** What the error says, without secrets. */
  readonly message?: string
  /** How far this machine's clock is ahead of AWS's, in milliseconds, where the answer tells. */
  readonly clockSkew: number | undefined
}

/**
 * By the AWS SDK, as the exporter and the gateway send, or where that is not installed by this package's own client.
 *
 * @param timeout of each question, in milliseconds
 * @throws ConfigurationError where neither can be imported
 */
export async function openProbe(region: string, timeout: number): Promise<MarketplaceProbe> {
  try {
    return probeOf(await sdkSender(region, timeout), timeout)
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error
    try {
      return probeOf(await ownSender(region, timeout), timeout)
    } catch {
      throw error
    }
  }
}

/**
 * Asks for one entitlement of a product, which changes nothing.
 *
 * @param region where usage is metered
 * @param timeout in milliseconds
 * @throws ConfigurationError where the AWS SDK's client cannot be imported
 */
export async function probeEntitlements(
  region: string,
  ProductCode: string,
  timeout: number,
): Promise<Omit<Reply, 'result'>> {
  const client = await loadEntitlementClient(region, timeout)
  let secrets: readonly (string | undefined)[] = []
  try {
    await withDeadline(timeout, async abortSignal => {
      const { secretAccessKey, sessionToken } = await client.config.credentials()
      secrets = [secretAccessKey, sessionToken]
      await client.getEntitlements({ ProductCode, MaxResults: 1 }, { abortSignal })
    })
    return { clockSkew: undefined }
  } catch (error) {
    return { error, message: messageOf(error, secrets), clockSkew: undefined }
  } finally {
    client.destroy()
  }
}

function messageOf(error: unknown, secrets: readonly (string | undefined)[]): string {
  const { name, message } = error as Error
  return `${name}: ${hideSecrets(message, secrets)}`.slice(0, 500)
}

interface Sender {
  readonly client: MeteringClient
  readonly clockSkew: () => number | undefined
  readonly credentials: () => Promise<Credentials>
  readonly sourceOf: (credentials: Credentials) => string
}

async function sdkSender(region: string, timeout: number): Promise<Sender> {
  const { sdk, clockSkew }: AwsClient = await loadAwsClient(region, timeout)
  const credentials = () => sdk.config.credentials()
  return { client: sdk, clockSkew, credentials, sourceOf: sdkSource }
}

async function ownSender(region: string, timeout: number): Promise<Sender> {
  const { HttpMeteringClient } = await import('./http-client.ts')
  const provider = environmentCredentials((url, init) => fetch(url, init))
  const client = new HttpMeteringClient({ region, timeout, credentials: provider })
  const source = () => (process.env.AWS_ACCESS_KEY_ID ? VARIABLES : CONTAINER)
  return { client, clockSkew: () => client.clockSkew, credentials: async () => provider(), sourceOf: source }
}

function probeOf({ client, clockSkew, credentials, sourceOf }: Sender, timeout: number): MarketplaceProbe {
  let secrets: readonly (string | undefined)[] = []
  const find = async () => {
    const late = () => new Error(`nothing that could have credentials has answered within ${timeout} ms`)
    const found = await withDeadline(timeout, credentials, { late })
    secrets = [found.secretAccessKey, found.sessionToken]
    return found
  }
  return {
    endpoint: environmentEndpoint(),
    destination: () => lookUpEndpoint(client),
    async credentials() {
      const found = await find()
      const { accessKeyId, expiration } = found
      return { accessKeyId: `${accessKeyId.slice(0, 4)}…`, source: sourceOf(found), expiration }
    },
    async send(request) {
      try {
        await find()
        const result = await withDeadline(timeout, abortSignal => client.batchMeterUsage(request, { abortSignal }))
        return { result, clockSkew: clockSkew() }
      } catch (error) {
        const skew = (error as { clockSkew?: number }).clockSkew ?? clockSkew()
        return { error, message: messageOf(error, secrets), clockSkew: skew }
      }
    },
  }
}

const VARIABLES = 'the environment (AWS_ACCESS_KEY_ID)'
const CONTAINER = "the container's role (ECS, EKS)"

/** By what the AWS SDK calls the steps of its chain; the last one that a name begins with. */
const SOURCES: readonly (readonly [string, string])[] = [
  ['CREDENTIALS_ENV_VARS', VARIABLES],
  ['CREDENTIALS_PROFILE', 'a profile of the shared AWS files'],
  ['CREDENTIALS_SSO', 'a login by SSO (aws sso login)'],
  ['CREDENTIALS_LOGIN', 'a login (aws login)'],
  ['CREDENTIALS_PROCESS', 'a credential_process of the shared AWS files'],
  ['CREDENTIALS_STS_ASSUME_ROLE', 'a role that was assumed'],
  ['CREDENTIALS_STS_ASSUME_ROLE_WEB_ID', 'a role by a web identity token (EKS service account)'],
  ['CREDENTIALS_ENV_VARS_STS_WEB_ID_TOKEN', 'a role by a web identity token (EKS service account)'],
  ['CREDENTIALS_HTTP', CONTAINER],
  ['CREDENTIALS_IMDS', "the EC2 instance's role"],
]

function sdkSource(credentials: Credentials): string {
  const steps = Object.keys((credentials as { $source?: object }).$source ?? {})
  const known = SOURCES.findLast(([name]) => steps.some(step => step.startsWith(name)))
  return known?.[1] ?? "the AWS SDK's chain"
}
