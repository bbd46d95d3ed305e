import * as v from 'valibot'
import type { MeteringClient } from './client.ts'

export const REGION = /^[a-z]{2,4}(-[a-z]+)+-\d+$/
/** What an option's value has to be. */
export const REGION_EXPECTED = 'a region such as us-east-1, here or in AWS_REGION'

/** The region that the environment names, as the AWS SDK reads it. */
export function environmentRegion({ AWS_REGION, AWS_DEFAULT_REGION } = process.env): string | undefined {
  return AWS_REGION || AWS_DEFAULT_REGION || undefined
}

/** A region of AWS; by default that of the environment. */
export const regionOption = v.pipe(
  v.optional(v.string(), () => environmentRegion() ?? ''),
  v.regex(REGION, REGION_EXPECTED),
)

/** Where AWS takes usage records: "Regions" in its reference of AWS Marketplace endpoints. The list grows. */
const SERVED: ReadonlySet<string> = new Set(
  (
    'af-south-1 ap-east-1 ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-south-1 ap-south-2 ap-southeast-1 ' +
    'ap-southeast-2 ap-southeast-3 ap-southeast-4 ca-central-1 cn-northwest-1 eu-central-1 eu-central-2 eu-north-1 ' +
    'eu-south-1 eu-south-2 eu-west-1 eu-west-2 eu-west-3 il-central-1 me-central-1 me-south-1 sa-east-1 us-east-1 ' +
    'us-east-2 us-west-1 us-west-2'
  ).split(' '),
)

/** Whether `BatchMeterUsage` is there; undefined where that is not known here. GovCloud has only `MeterUsage`. */
export function isServed(region: string): boolean | undefined {
  if (region.startsWith('us-gov-')) return false
  return SERVED.has(region) || undefined
}

/** The region that a client says it sends to. */
export function regionOf(client: MeteringClient): unknown {
  const { region, config } = client as { region?: unknown; config?: { region?: unknown } }
  return region ?? (typeof config?.region === 'function' ? undefined : config?.region)
}

/** The same of one that may have to look it up first, as the AWS SDK's do. */
export async function lookUpRegion(client: MeteringClient): Promise<unknown> {
  const { config } = client as { config?: { region?: unknown } }
  return regionOf(client) ?? (typeof config?.region === 'function' ? await config.region() : undefined)
}

/** What is wrong where a client sends to another region: the same records would be billed in both, once that is mended. */
export function wrongRegion(region: string, own: unknown): string | undefined {
  return typeof own !== 'string' || own === region
    ? undefined
    : `region: expected that of the client, ${JSON.stringify(own)}, got ${JSON.stringify(region)}`
}
