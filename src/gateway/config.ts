import { dirname, resolve } from 'node:path'
import { createSecureContext } from 'node:tls'
import * as v from 'valibot'
import { readQueueAddress } from '../agreements/queue/queue-address.ts'
import { check, show } from '../check.ts'
import { ConfigurationError } from '../errors.ts'
import { expectedOfLedger, ledgerFile, ledgerName } from '../ledger/open.ts'
import { environmentRegion, REGION_EXPECTED } from '../marketplace/region.ts'
import { checkEntitlements } from '../metering/options.ts'
import { UsageMapper } from '../usage/mapper.ts'
import type { DimensionOptions, UsageOptions } from '../usage/options.ts'
import type { Rule } from '../usage/rule.ts'
import { ConfigDocument } from './config/document.ts'
import { GatewayConfigError, type Problem, problemsIn } from './config/errors.ts'
import { LEDGER, settingsSchema } from './config/schema.ts'
import { isObject, REFERENCE, readReference, readText, withoutSecrets } from './config/secrets.ts'
import { MAX_GAP, USAGE_SHAPE } from './config/usage-shape.ts'
import { TOKEN, TOKEN_EXPECTED } from './config/values.ts'
import type { EventOptions } from './options.ts'
import type { TokenSender } from './otlp/senders.ts'

/** What a gateway's configuration file says, checked, with what holds where it says nothing. Times in milliseconds. */
export interface GatewayConfig extends Required<Pick<Settings, 'listen' | 'metering' | 'telemetry' | 'statusPage'>> {
  readonly events?: EventOptions
  readonly entitlements?: NonNullable<Settings['entitlements']>
  readonly reconcile?: NonNullable<Settings['reconcile']>
  readonly usage: UsageOptions
  readonly region: string
  /** The ledger's address, or a reference to it. */
  readonly ledger: string
}

type Settings = v.InferOutput<typeof settingsSchema>
export type TokenEntry = NonNullable<Settings['listen']['tokens']>[number]

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

  /** The files of tokens, certificates and keys, which others may renew. */
  get renewable(): string[] {
    const { tokens = [], tls = {} } = this.config.listen
    const references = tokens.map(entry => (typeof entry === 'string' ? entry : entry.token))
    const files = [
      ...references.flatMap(reference => fileOf(reference) ?? []),
      ...Object.values(tls as Record<string, string>),
    ]
    return files.map(file => resolve(dirname(this.path), file))
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
    const senders = listen.tokens?.map((entry, index) => {
      if (typeof entry === 'string') {
        const token = attempt(`listen.tokens.${index}`, () => readToken(entry, folder, env))
        return { name: senderName(entry, index), token: token as string }
      }
      const token = attempt(`listen.tokens.${index}.token`, () => readToken(entry.token, folder, env))
      return senderOf(entry, token as string)
    })
    for (const [index, { token }] of (senders ?? []).entries()) {
      const first = senders?.findIndex(other => other.token === token)
      if (first === index || token === undefined) continue
      attempt(`listen.tokens.${index}`, () => {
        throw new Error(`expected a token of its own, got the one of listen.tokens.${first}`)
      })
    }
    const pem = Object.entries(listen.tls ?? {}).map(([name, file]) => {
      return [name, attempt(`listen.tls.${name}`, () => readText(resolve(folder, file as string)))]
    })
    const tls: References['tls'] = listen.tls && Object.fromEntries(pem)
    if (problems.length === 0 && tls !== undefined) attempt('listen.tls', () => checkCertificate(tls))
    if (problems.length > 0) throw problemsIn(this.path, problems)
    return {
      ledger: address as string,
      ...(senders !== undefined && { senders }),
      ...(tls !== undefined && { tls }),
    }
  }
}

type Report = (message: string) => void

/** What a sender is called: without a name of its own, by the place of its token in the list. */
export const senderName = (entry: TokenEntry, index: number): string =>
  typeof entry === 'string' ? `token-${index + 1}` : entry.name

function fileOf(reference: string): string | undefined {
  const [, kind, name] = REFERENCE.exec(reference) ?? []
  return kind === 'file' ? name : undefined
}

/** Undefined where something is wrong that others depend on; what is wrong is reported. */
function configOf(value: unknown, folder: string, env: NodeJS.ProcessEnv, report: Report): GatewayConfig | undefined {
  const written = withoutSecrets(value)
  if (!isObject(written)) {
    report('expected options such as productCode: …, got none')
    return undefined
  }
  const given = environmentRegion(env)
  const settings = attempt(() => check(settingsSchema, { ...(given && { region: given }), ...written }), report)
  const usage = usageOf(written, report)
  const mapper = attempt(() => new UsageMapper(usage, { gauges: true }), report)
  if (mapper !== undefined) checkDimensions(settings?.listen.tokens, mapper, report)
  attempt(() => checkEntitlements(usage, settings?.entitlements), report)
  if (!given && !('region' in written)) report(`region: expected ${REGION_EXPECTED}, got neither`)
  if (!env.MARKETPLACE_LEDGER && !('ledger' in written)) {
    report(`ledger: expected ${LEDGER}, here or in MARKETPLACE_LEDGER, got neither`)
  }
  const expected = 'ledger' in written || !env.MARKETPLACE_LEDGER ? undefined : expectedOfLedger(env.MARKETPLACE_LEDGER)
  if (expected !== undefined) {
    report(`ledger: expected ${expected} in MARKETPLACE_LEDGER, got ${ledgerName(env.MARKETPLACE_LEDGER as string)}`)
  }
  if (settings?.region === undefined) return undefined
  const { region, listen, metering, telemetry, statusPage, entitlements, reconcile } = settings
  const events = eventsOf(settings.events, usage, report)
  // That of the environment is relative to the working directory, as for other commands.
  const ledger = settings.ledger === undefined ? env.MARKETPLACE_LEDGER : inFolder(folder, settings.ledger)
  if (ledger === undefined) return undefined
  return {
    usage,
    region,
    ledger,
    listen,
    metering,
    telemetry,
    statusPage,
    ...(events && { events }),
    ...(entitlements && { entitlements }),
    ...(reconcile && { reconcile }),
  }
}

/** Where events come to, and of which product. */
function eventsOf(events: Settings['events'], usage: UsageOptions, report: Report): EventOptions | undefined {
  if (events === undefined) return undefined
  const { queue, productCode = usage.productCode } = typeof events === 'string' ? { queue: events } : events
  if (productCode === undefined)
    report("events.productCode: expected the product's code, here or as productCode, got neither")
  attempt(() => readQueueAddress(queue, typeof events === 'string' ? 'events' : 'events.queue'), report)
  return { queue, ...(productCode !== undefined && { productCode }) }
}

/** A dimension that there is not would permit nothing, in silence. */
function checkDimensions(tokens: readonly TokenEntry[] | undefined, mapper: UsageMapper, report: Report): void {
  const known = mapper.dimensions.map(({ name }) => name)
  for (const [index, entry] of (tokens ?? []).entries()) {
    const { dimensions = [] } = typeof entry === 'string' ? {} : entry
    for (const [place, name] of dimensions.entries()) {
      if (known.includes(name)) continue
      report(`listen.tokens.${index}.dimensions.${place}: expected one of ${known.join(', ')}, got ${show(name)}`)
    }
  }
}

function attempt<Value>(read: () => Value, report: Report): Value | undefined {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error
    for (const problem of error.problems) report(problem)
    return undefined
  }
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

/** A sender as the gateway takes it. */
function senderOf(entry: Exclude<TokenEntry, string>, token: string): TokenSender {
  const { name, customers, dimensions, limits } = entry
  return {
    ...{ name, token },
    ...(customers !== undefined && { customers: new Set(customers) }),
    ...(dimensions !== undefined && { dimensions: new Set(dimensions) }),
    ...(limits !== undefined && { limits: { customers: limits.customersPerDay, series: limits.seriesPerDay } }),
  }
}

function readToken(reference: string, folder: string, env: NodeJS.ProcessEnv): string {
  const token = readReference(reference, folder, env)
  if (TOKEN.test(token)) return token
  throw new Error(`expected ${TOKEN_EXPECTED} in ${reference}, got another`)
}

function checkCertificate(tls: NonNullable<References['tls']>): void {
  try {
    createSecureContext(tls)
  } catch (error) {
    const reason = (error as { reason?: string }).reason ?? (error as Error).message
    throw new Error(`expected a certificate and its key in PEM; OpenSSL says: ${reason}`, { cause: error })
  }
}
