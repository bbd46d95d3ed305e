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
