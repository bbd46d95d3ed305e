import { readFileSync } from 'node:fs'
import { ApiKeys } from './api-keys.ts'

export interface Settings {
  readonly port: number
  readonly host: string | undefined
  readonly apiKeys: ApiKeys
  readonly region: string
  /** A product code or, where customers come with a licence, our own label for the product. */
  readonly product: { readonly productCode: string } | { readonly product: string }
  readonly ledger: string
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
  return {
    port: integer('PORT', 8080, 0, 65_535),
    host: env.HOST || undefined,
    apiKeys: readApiKeys(required('API_KEYS_FILE')),
    region: required('AWS_REGION'),
    product: env.PRODUCT ? { product: env.PRODUCT } : { productCode: required('PRODUCT_CODE') },
    ledger: required('LEDGER'),
    exportInterval: integer('OTEL_METRIC_EXPORT_INTERVAL', 60_000, 100, 3_600_000),
    shutdownDeadline: integer('SHUTDOWN_DEADLINE', 10_000, 0, 600_000),
  }
}

function readApiKeys(path: string): ApiKeys {
  let json: unknown
  try {
    json = JSON.parse(readFileSync(path, 'utf8'))
  } catch (error) {
    // What JSON.parse says quotes the file, and with it keys.
    const reason = error instanceof SyntaxError ? 'not valid JSON' : (error as Error).message
    throw new SettingsError(`API_KEYS_FILE: ${reason}${error instanceof SyntaxError ? `: ${path}` : ''}`)
  }
  try {
    return ApiKeys.from(json)
  } catch (error) {
    throw new SettingsError(`API_KEYS_FILE: ${(error as Error).message}`)
  }
}
