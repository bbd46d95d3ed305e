import { dirname, resolve } from 'node:path'
import { createSecureContext } from 'node:tls'
import * as v from 'valibot'
import { check, show } from '../check.ts'
import { ConfigurationError } from '../errors.ts'
import { ledgerFile } from '../ledger/open.ts'
import { REGION_EXPECTED } from '../marketplace/region.ts'
import { UsageMapper } from '../usage/mapper.ts'
import type { DimensionOptions, UsageOptions } from '../usage/options.ts'
import type { Rule } from '../usage/rule.ts'
import { closest } from './config/closest-word.ts'
import { ConfigDocument } from './config/document.ts'
import { GatewayConfigError, type Problem, problemsIn } from './config/errors.ts'
import { LEDGER, SETTING_NAMES, settingsSchema } from './config/schema.ts'
import { isObject, REFERENCE, readReference, readText, withoutSecrets } from './config/secrets.ts'
import { MAX_GAP, USAGE_NAMES, USAGE_SHAPE } from './config/usage-shape.ts'
import type { TokenSender } from './otlp/senders.ts'

/** What a gateway's configuration file says, checked, with what holds where it says nothing. Times in milliseconds. */
export interface GatewayConfig extends Required<Pick<Settings, 'listen' | 'metering' | 'telemetry' | 'statusPage'>> {
  readonly usage: UsageOptions
  readonly region: string
  /** The ledger's address, or a reference to it. */
  readonly ledger: string
}

type Settings = v.InferOutput<typeof settingsSchema>

/** What the configuration file refers to. */
export interface References {
  readonly ledger: string
  readonly senders?: readonly TokenSender[]
  readonly tls?: { readonly cert: string; readonly key: string; readonly ca?: string }
}

/** A gateway's configuration file. */
export class GatewayConfigFile {
  readonly path: string
  readonly config: GatewayConfig
  readonly #document: ConfigDocument

  private constructor(path: string, document: ConfigDocument, config: GatewayConfig) {
    this.path = path
    this.#document = document
    this.config = config
  }

  /**
   * Reads and checks a file. What it leaves out comes from `AWS_REGION` and `MARKETPLACE_LEDGER`.
   *
   * @throws GatewayConfigError that names everything that is wrong, each with its line
   */
  static read(path: string, env: NodeJS.ProcessEnv): GatewayConfigFile {
    let text: string
    try {
      text = readText(path)
    } catch (error) {
      const { message, cause } = error as Error
      throw new GatewayConfigError(`No configuration: ${message}. Name its file with --config.`, [], { cause })
    }
    const document = new ConfigDocument(text)
    const problems = [...document.problems]
    if (problems.length === 0) {
      const config = configOf(document.value, dirname(path), env, message => problems.push(document.locate(message)))
      if (config !== undefined && problems.length === 0) return new GatewayConfigFile(path, document, config)
    }
    throw problemsIn(path, problems)
  }

  /**
   * Reads the environment's variables and the files that the file refers to.
   *
   * @throws GatewayConfigError that names everything that is missing
   */
  readReferences(env: NodeJS.ProcessEnv): References {
    const { ledger, listen } = this.config
    const folder = dirname(this.path)
    const problems: Problem[] = []
    const attempt = <Value>(path: string, read: () => Value): Value | undefined => {
      try {
        return read()
      } catch (error) {
        problems.push(this.#document.locate(`${path}: ${(error as Error).message}`))
        return undefined
      }
    }
    const address = REFERENCE.test(ledger)
      ? attempt('ledger', () => inFolder(folder, readReference(ledger, folder, env)))
      : ledger
    const tokens = listen.tokens?.map((token, index) =>
      attempt(`listen.tokens.${index}`, () => readToken(token, folder, env)),
    )
    const pem = Object.entries(listen.tls ?? {}).map(([name, file]) => {
      return [name, attempt(`listen.tls.${name}`, () => readText(resolve(folder, file as string)))]
    })
    const tls: References['tls'] = listen.tls && Object.fromEntries(pem)
    if (problems.length === 0 && tls !== undefined) attempt('listen.tls', () => checkCertificate(tls))
    if (problems.length > 0) throw problemsIn(this.path, problems)
    return {
      ledger: address as string,
      ...(tokens !== undefined && {
        senders: tokens.map((token, index) => ({ name: `token-${index + 1}`, token: token as string })),
      }),
      ...(tls !== undefined && { tls }),
    }
  }
}

type Report = (message: string) => void

/** Undefined where something is wrong that others depend on; what is wrong is reported. */
function configOf(value: unknown, folder: string, env: NodeJS.ProcessEnv, report: Report): GatewayConfig | undefined {
  const written = withoutSecrets(value)
  if (!isObject(written)) {
    report('expected options such as productCode: …, got none')
    return undefined
  }
  const given = env.AWS_REGION || env.AWS_DEFAULT_REGION
  const settings = attempt(() => check(settingsSchema, { ...(given && { region: given }), ...written }), report)
  const usage = usageOf(written, report)
  attempt(() => new UsageMapper(usage, { gauges: true }), report)
  if (!given && !('region' in written)) report(`region: expected ${REGION_EXPECTED}, got neither`)
  if (!env.MARKETPLACE_LEDGER && !('ledger' in written)) {
    report(`ledger: expected ${LEDGER}, here or in MARKETPLACE_LEDGER, got neither`)
  }
  if (settings?.region === undefined) return undefined
  const { region, listen, metering, telemetry, statusPage } = settings
  // That of the environment is relative to the working directory, as for other commands.
  const ledger = settings.ledger === undefined ? env.MARKETPLACE_LEDGER : inFolder(folder, settings.ledger)
  return ledger === undefined ? undefined : { usage, region, ledger, listen, metering, telemetry, statusPage }
}

function attempt<Value>(read: () => Value, report: Report): Value | undefined {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error
    const messages = error.message.replace(/^Invalid options:(\n- )? ?/, '').split('\n- ')
    for (const message of messages) report(message + suggestion(message))
    return undefined
  }
}

/** What was meant by an option that there is not. */
function suggestion(message: string): string {
  const [, name] = /(?<![^.])([^.]+): there is no such option$/.exec(message) ?? []
  const known = /^(dimensions|customer)\./.test(message) ? USAGE_NAMES : SETTING_NAMES
  const meant = name && !known.includes(name) && closest(name, known)
  return meant ? ` (did you mean ${meant}?)` : ''
}

/** The options that are about usage, with `maxGap` as they have it: in milliseconds. */
function usageOf(written: object, report: Report): UsageOptions {
  const entries = Object.entries(written).filter(([name]) => Object.hasOwn(USAGE_SHAPE, name))
  const { dimensions, ...usage } = Object.fromEntries(entries) as UsageOptions
  if (!isObject(dimensions)) return { ...usage, ...(dimensions !== undefined && { dimensions }) }
  const converted = Object.entries(dimensions).map(([name, dimension]) => {
    if (!isObject(dimension)) return [name, dimension]
    const { from } = dimension as DimensionOptions
    const path = `dimensions.${name}.from`
    const convert = (source: unknown, at: string) => withGap(source, at, report)
    const list = Array.isArray(from) ? from.map((source, index) => convert(source, `${path}.${index}`)) : undefined
    return [name, 'from' in dimension ? { ...dimension, from: list ?? convert(from, path) } : dimension]
  })
  return { ...usage, dimensions: Object.fromEntries(converted) }
}

function withGap(source: unknown, path: string, report: Report): unknown {
  if (!isObject(source) || !('maxGap' in source)) return source
  const { maxGap, ...rule } = source as Rule
  const gap = v.safeParse(MAX_GAP, maxGap)
  if (gap.success) return { ...rule, maxGap: gap.output }
  report(`${path}.maxGap: expected ${gap.issues[0].message}, got ${show(maxGap)}`)
  return rule
}

/** A ledger's address, a path relative to the folder. */
function inFolder(folder: string, address: string): string {
  const path = REFERENCE.test(address) ? undefined : ledgerFile(address)
  return path === undefined ? address : resolve(folder, path)
}

/** What an HTTP header can have. */
const TOKEN = /^[\x21-\x7e]+$/

function readToken(reference: string, folder: string, env: NodeJS.ProcessEnv): string {
  const token = readReference(reference, folder, env)
  if (TOKEN.test(token)) return token
  throw new Error(`expected a token of visible ASCII characters in ${reference}, got others`)
}

function checkCertificate(tls: NonNullable<References['tls']>): void {
  try {
    createSecureContext(tls)
  } catch (error) {
    const reason = (error as { reason?: string }).reason ?? (error as Error).message
    throw new Error(`expected a certificate and its key in PEM; OpenSSL says: ${reason}`, { cause: error })
  }
}
