import { readFileSync } from 'node:fs'
import { ApiKeys } from './api-keys.ts'

export interface Settings {
  readonly port: number
  readonly host: string | undefined
  readonly apiKeys: ApiKeys
  readonly region: string
  /** The product code, and our own label for the product where customers come with a licence. */
  readonly product:
    | { readonly productCode: string; readonly product?: undefined }
    | { readonly productCode?: undefined; readonly product: string }
    | { readonly productCode: string; readonly product: string }
  /** The ledger's address: a file's path, or a database that several servers share. */
  readonly ledger: string
  /** What sends usage records: the AWS SDK's client, or the package's own light one. */
  readonly meteringClient: 'sdk' | 'http'
  /** Where AWS's events of agreements come to, if they do. */
  readonly eventsQueue: string | undefined
  /** Whether the exporter's own metrics are printed for CloudWatch, and as whose. */
  readonly metricsService: string | undefined
  readonly exportInterval: number
  readonly shutdownDeadline: number
}

/** An environment variable is missing or wrong. The message is for the person who starts the server. */
export class SettingsError extends Error {}

export function readSettings(env: NodeJS.ProcessEnv): Settings {
  const required = (name: string) => {
    const value = env[name]
    if (!value) throw new SettingsError(`${name} is not set`)
    return value
  }
  const integer = (name: string, fallback: number, min: number, max: number) => {
    const text = env[name] || String(fallback)
    const value = Number(text)
    if (!/^\d+$/.test(text) || value < min || value > max) {
      throw new SettingsError(`${name}: expected an integer from ${min} to ${max}, got "${text}"`)
    }
    return value
  }
  const meteringClient = env.METERING_CLIENT || 'sdk'
  if (meteringClient !== 'sdk' && meteringClient !== 'http') {
    throw new SettingsError(`METERING_CLIENT: expected sdk or http, got "${meteringClient}"`)
  }
  if (!env.PRODUCT || env.EVENTS_QUEUE) required('PRODUCT_CODE')
  const codes = {
    ...(env.PRODUCT_CODE && { productCode: env.PRODUCT_CODE }),
    ...(env.PRODUCT && { product: env.PRODUCT }),
  }
  return {
    port: integer('PORT', 8080, 0, 65_535),
    host: env.HOST || undefined,
    apiKeys: apiKeys(env, required),
    region: required('AWS_REGION'),
    product: codes as Settings['product'],
    ledger: env.MARKETPLACE_LEDGER || required('LEDGER'),
    meteringClient,
    eventsQueue: env.EVENTS_QUEUE || undefined,
    metricsService: env.METRICS_SERVICE || undefined,
    exportInterval: integer('OTEL_METRIC_EXPORT_INTERVAL', 60_000, 100, 3_600_000),
    shutdownDeadline: integer('SHUTDOWN_DEADLINE', 10_000, 0, 600_000),
  }
}

/** Listed by hand: in a file, or in the variable itself, as a secret is brought into a container. */
function apiKeys(env: NodeJS.ProcessEnv, required: (name: string) => string): ApiKeys {
  if (env.API_KEYS) return parseApiKeys('API_KEYS', env.API_KEYS)
  // Where customers can register, none need be listed.
  if (env.PRODUCT_CODE && !env.API_KEYS_FILE) return new ApiKeys()
  const path = required('API_KEYS_FILE')
  try {
    return parseApiKeys('API_KEYS_FILE', readFileSync(path, 'utf8'), path)
  } catch (error) {
    throw error instanceof SettingsError ? error : new SettingsError(`API_KEYS_FILE: ${(error as Error).message}`)
  }
}

function parseApiKeys(name: string, text: string, path?: string): ApiKeys {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    // What JSON.parse says quotes the text, and with it keys.
    throw new SettingsError(`${name}: not valid JSON${path === undefined ? '' : `: ${path}`}`)
  }
  try {
    return ApiKeys.from(json)
  } catch (error) {
    throw new SettingsError(`${name}: ${(error as Error).message}`)
  }
}
