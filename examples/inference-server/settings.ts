import { readFileSync } from 'node:fs'
import { ApiKeys } from './api-keys.ts'

export interface Settings {
  readonly port: number
  readonly host: string | undefined
  readonly apiKeys: ApiKeys
  readonly region: string
  /** A product code or, where customers come with a licence, our own label for the product. */
  readonly product: { readonly productCode: string } | { readonly product: string }
  /** The ledger's address: a file's path, or a database that several servers share. */
  readonly ledger: string
  /** What sends usage records: the AWS SDK's client, or the package's own light one. */
  readonly meteringClient: 'sdk' | 'http'
  /** Undefined where customers do not register themselves. */
  readonly registration: RegistrationSettings | undefined
  /** Whether the exporter's own metrics are printed for CloudWatch, and as whose. */
  readonly metricsService: string | undefined
  readonly exportInterval: number
  readonly shutdownDeadline: number
}

export interface RegistrationSettings {
  /** Of the product that registration tokens have to be for. */
  readonly productCode: string
  readonly customersFile: string
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
  return {
    port: integer('PORT', 8080, 0, 65_535),
    host: env.HOST || undefined,
    apiKeys: apiKeys(env, required),
    region: required('AWS_REGION'),
    product: env.PRODUCT ? { product: env.PRODUCT } : { productCode: required('PRODUCT_CODE') },
    ledger: env.MARKETPLACE_LEDGER || required('LEDGER'),
    meteringClient,
    registration: env.CUSTOMERS_FILE
      ? { productCode: required('PRODUCT_CODE'), customersFile: env.CUSTOMERS_FILE }
      : undefined,
    metricsService: env.METRICS_SERVICE || undefined,
    exportInterval: integer('OTEL_METRIC_EXPORT_INTERVAL', 60_000, 100, 3_600_000),
    shutdownDeadline: integer('SHUTDOWN_DEADLINE', 10_000, 0, 600_000),
  }
}

/** Listed by hand: in a file, or in the variable itself, as a secret is brought into a container. */
function apiKeys(env: NodeJS.ProcessEnv, required: (name: string) => string): ApiKeys {
  if (env.API_KEYS) return parseApiKeys('API_KEYS', env.API_KEYS)
  // Who lets customers register need not list any.
  if (env.CUSTOMERS_FILE && !env.API_KEYS_FILE) return new ApiKeys()
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
