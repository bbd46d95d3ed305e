import type { MeteringClient } from './client.ts'

/** All hosts of AWS Marketplace Metering: FIPS, dual stack, and PrivateLink (VPC endpoints), which are the same to a seller. */
export const AWS = 'aws'
/** Whatever listens on this machine: a simulator takes another port each time. */
const LOCALHOST = 'localhost'

const AWS_HOST =
  /^(vpce-[a-z0-9-]+\.)?metering[.-]marketplace(-fips)?\.[a-z0-9-]+(\.vpce)?\.(amazonaws\.com(\.cn)?|amazonaws\.eu|api\.aws|api\.amazonwebservices\.com\.cn)$/
const LOOPBACK = /^(127\.[0-9.]+|(.+\.)?localhost|0\.0\.0\.0|\[::1?\]|\[::ffff:7f[0-9a-f]{2}:[0-9a-f]+\])$/

/** What is at a URL: `aws`, `localhost`, or the host and port of what stands in for AWS, or before it. */
export function endpointName(url: string): string {
  const { hostname, host } = URL.parse(url) ?? { hostname: '', host: '' }
  // A name already.
  if (host === '') return url.trim().replace(/\s+/g, '-').slice(0, LONGEST_NAME)
  const name = hostname.replace(/\.$/, '')
  if (AWS_HOST.test(name)) return AWS
  return LOOPBACK.test(name) ? LOCALHOST : host
}

/** In characters: a host's name has at most 253. */
const LONGEST_NAME = 300

/** As far as the AWS SDK's clients tell where they send to. */
interface SdkConfig {
  readonly endpoint?: () => Promise<{ protocol: string; hostname: string; port?: number }>
  readonly ignoreConfiguredEndpointUrls?: boolean
  /** What the environment or the shared AWS files name. */
  readonly serviceConfiguredEndpoint?: () => Promise<string | undefined>
  readonly endpointProvider: (parameters: object) => { readonly url: URL }
  readonly region: () => Promise<string>
  readonly useDualstackEndpoint: () => Promise<boolean>
  readonly useFipsEndpoint: () => Promise<boolean>
}

/**
 * Where a client's requests go, as `endpointName` has it. One that does not say is taken for AWS's: a wrapper around that
 * is what most of them are.
 *
 * Rejects where the AWS SDK's client cannot tell, and so cannot send.
 */
export async function lookUpEndpoint(client: MeteringClient): Promise<string> {
  const { endpoint, config } = client as MeteringClient & { config?: SdkConfig }
  if (endpoint !== undefined) return endpointName(typeof endpoint === 'function' ? await endpoint() : endpoint)
  return typeof config?.endpointProvider === 'function' ? endpointName(await urlOf(config)) : AWS
}

/** As the AWS SDK finds it for each request. */
async function urlOf(config: SdkConfig): Promise<string> {
  const own = await config.endpoint?.()
  const Endpoint =
    own !== undefined
      ? `${own.protocol}//${own.hostname}${own.port === undefined ? '' : `:${own.port}`}`
      : config.ignoreConfiguredEndpointUrls
        ? undefined
        : await config.serviceConfiguredEndpoint?.()
  const [Region, UseDualStack, UseFIPS] = [
    await config.region(),
    await config.useDualstackEndpoint(),
    await config.useFipsEndpoint(),
  ]
  return config.endpointProvider({ Endpoint, Region, UseDualStack, UseFIPS }).url.href
}

/**
 * Where AWS Marketplace Metering is in a region, as the AWS SDK resolves it: with `AWS_USE_DUALSTACK_ENDPOINT` and
 * `AWS_USE_FIPS_ENDPOINT` of the environment.
 */
export function endpointOf(region: string): string {
  // The European Sovereign Cloud has one host for each region.
  if (region.startsWith('eusc-')) return `https://metering-marketplace.${region}.amazonaws.eu`
  const [suffix, dualStack] = region.startsWith('cn-')
    ? ['amazonaws.com.cn', 'api.amazonwebservices.com.cn']
    : ['amazonaws.com', 'api.aws']
  const [dual, fips] = [isSet('AWS_USE_DUALSTACK_ENDPOINT'), isSet('AWS_USE_FIPS_ENDPOINT')]
  if (fips) return `https://metering.marketplace-fips.${region}.${dual ? dualStack : suffix}`
  return dual
    ? `https://metering-marketplace.${region}.${dualStack}`
    : `https://metering.marketplace.${region}.${suffix}`
}

/** What the environment names instead of it, as the AWS SDK reads it. */
export function environmentEndpoint(): string | undefined {
  return process.env.AWS_ENDPOINT_URL_MARKETPLACE_METERING || process.env.AWS_ENDPOINT_URL || undefined
}

const isSet = (variable: string): boolean => process.env[variable]?.toLowerCase() === 'true'
