import { DAY } from '../ledger/hours.ts'
import type { AuditEntry, AuditNote, Ledger } from '../ledger/ledger.ts'
import type { MeteringClient } from '../marketplace/client.ts'
import { AWS, endpointName, lookUpEndpoint } from '../marketplace/endpoint.ts'
import { REGION } from '../marketplace/region.ts'
import { printable } from '../text/printable.ts'
import { shortTime } from '../text/time.ts'
import type { Finding } from './preflight/finding.ts'

/**
 * Where a ledger's records go. A second process on it whose client is a simulator would take half of them, and the
 * ledger would have them as metered. So the audit trail remembers where the first went, and another place is refused
 * until a person decides for it.
 */

/** What an entry of the audit trail says of it. */
interface EndpointEntry {
  readonly number: number
  /** Milliseconds since the epoch. */
  readonly at: number
  readonly who: string
  readonly systemUser: string
  /** `*` where a person has decided for all. */
  readonly region: string
  readonly endpoint: string
  /** `first` is what the process that metered first has noted, `refused` what one that was not let. */
  readonly kind: 'first' | 'decided' | 'refused'
}

/** Where records go, and who says so since when. */
export interface RegionEndpoint {
  /** Undefined for every region that is not named by itself. */
  readonly region: string | undefined
  readonly endpoint: string
  readonly at: number
  readonly who: string
}

/** A process that was not let in the last day, and would not be now. */
export interface RefusedEndpoint extends Pick<EndpointEntry, 'region' | 'endpoint' | 'at' | 'systemUser'> {
  /** Where the ledger's records go. */
  readonly expected: string
}

type Trail = Pick<Ledger, 'audit'>

const EVERY_REGION = '*'
/** More than there will ever be. */
const MOST_ENTRIES = 10_000
/** For how long it is shown that a process was refused; it notes that again in half of it. */
const SHOWN = DAY

/** What the audit trail says of where records go: it is read again only when there is something new. */
export class Endpoints {
  readonly #trail: Trail
  #youngest: number | undefined
  #entries: readonly EndpointEntry[] = []

  constructor(trail: Trail) {
    this.#trail = trail
  }

  async read(): Promise<this> {
    const [youngest] = await this.#trail.audit({ actions: ['endpoint'], limit: 1 })
    if (youngest !== undefined && youngest.number !== this.#youngest) {
      const entries = await this.#trail.audit({ actions: ['endpoint'], limit: MOST_ENTRIES })
      this.#entries = entries.flatMap(parse).sort((one, other) => one.number - other.number)
      this.#youngest = youngest.number
    }
    return this
  }

  /** Undefined where nothing was metered yet. A region's first process may be of another ledger's: the ledger's first counts. */
  of(region: string | undefined): RegionEndpoint | undefined {
    const decided = this.#entries.findLast(
      entry => entry.kind === 'decided' && (entry.region === region || entry.region === EVERY_REGION),
    )
    // Of two that noted at once the lower number counts.
    const entry = decided ?? this.#entries.find(({ kind }) => kind === 'first')
    return entry && { region, endpoint: entry.endpoint, at: entry.at, who: entry.who }
  }

  /** All that are known: what holds for every region first, then those that differ. */
  all(): RegionEndpoint[] {
    const common = this.of(undefined)
    const regions = new Set(this.#entries.flatMap(({ region }) => (region === EVERY_REGION ? [] : region)))
    const others = [...regions].sort().flatMap(region => this.of(region) ?? [])
    return [...(common ? [common] : []), ...others.filter(({ endpoint }) => endpoint !== common?.endpoint)]
  }

  /**
   * @param now milliseconds since the epoch
   * @param within so long ago at most
   */
  refused(now: number, within = SHOWN): RefusedEndpoint[] {
    const latest = new Map<string, RefusedEndpoint>()
    for (const { kind, region, endpoint, at, systemUser } of this.#entries) {
      const expected = this.of(region)?.endpoint
      if (kind !== 'refused' || Math.abs(now - at) > within || expected === undefined || expected === endpoint) continue
      latest.set(JSON.stringify([region, endpoint]), { region, endpoint, at, systemUser, expected })
    }
    return [...latest.values()]
  }
}

function parse({ number = 0, at, who, systemUser = '', detail = '' }: AuditEntry): EndpointEntry[] {
  const [region, endpoint, kind = 'first', ...others] = detail.split(' ')
  if (region === undefined || endpoint === undefined || others.length > 0) return []
  if (kind !== 'first' && kind !== 'decided' && kind !== 'refused') return []
  return [{ number, at, who, systemUser, region, endpoint, kind }]
}

/** Sees to it that a process sends only where its ledger's records go. */
export class EndpointGuard {
  readonly #ledger: Pick<Ledger, 'audit' | 'note'>
  readonly #now: () => number
  readonly #endpoints: Endpoints
  readonly #known = new WeakMap<MeteringClient, string>()

  constructor(ledger: Pick<Ledger, 'audit' | 'note'>, now: () => number) {
    this.#ledger = ledger
    this.#now = now
    this.#endpoints = new Endpoints(ledger)
  }

  /**
   * What is wrong where a client sends elsewhere.
   *
   * @param sends whether records are about to be sent: where they are the ledger's first, it remembers where to
   */
  async look(region: string, client: MeteringClient, sends: boolean): Promise<Finding | undefined> {
    await this.#endpoints.read()
    if (this.#endpoints.of(region) === undefined && !sends) return undefined
    // Who cannot tell where it would send to cannot send, and says why.
    const own = this.#known.get(client) ?? (await lookUpEndpoint(client).catch(() => undefined))
    if (own === undefined) return undefined
    this.#known.set(client, own)
    if (this.#endpoints.of(region) === undefined) {
      await this.#note(`${region} ${own}`, "the ledger's first records go there")
      await this.#endpoints.read()
    }
    const expected = this.#endpoints.of(region)
    if (expected === undefined || expected.endpoint === own) return undefined
    const told = this.#endpoints.refused(this.#now(), SHOWN / 2)
    if (!told.some(one => one.region === region && one.endpoint === own)) {
      await this.#note(`${region} ${own} refused`, `records go to ${expected.endpoint}`)
    }
    return endpointFinding(region, own, expected)
  }

  async #note(detail: string, why: string): Promise<void> {
    await this.#ledger.note({ action: 'endpoint', who: 'metering', why, detail, now: this.#now() })
  }
}

/** What a person calls an endpoint: `aws`, a host with its port, or a URL. Undefined where it is none of them. */
export function readEndpoint(text: string): string | undefined {
  if (text === AWS) return AWS
  const url = /^https?:/.test(text) ? text : `https://${text}`
  return URL.canParse(url) ? endpointName(url) : undefined
}

export const isRegion = (text: string): boolean => REGION.test(text)
export const isAws = (endpoint: string): boolean => endpoint === AWS

/** A person decides where records go from now on, of a region or of all. */
export async function decideEndpoint(
  ledger: Pick<Ledger, 'note'>,
  endpoint: string,
  region: string | undefined,
  by: AuditNote,
): Promise<void> {
  await ledger.note({ action: 'endpoint', ...by, detail: `${region ?? EVERY_REGION} ${endpoint} decided` })
}

export const endpointText = (endpoint: string): string => (isAws(endpoint) ? 'AWS' : printable(endpoint))

/** Of a process that was not let, in words that end without a stop. */
export function refusedText({ region, endpoint, systemUser, expected }: RefusedEndpoint): string {
  const process = `A process of ${printable(systemUser)} would send records of ${printable(region)} to ${endpointText(endpoint)}`
  return `${process}, and the ledger's go to ${endpointText(expected)}: it freezes and sends none`
}

/** Of the process that looks: that it would send elsewhere. */
export function endpointFinding(region: string, own: string, { endpoint, at, who }: RegionEndpoint): Finding {
  const since = `${endpointText(endpoint)} (${printable(who)}, ${shortTime(at - (at % 1000))})`
  return {
    ...{ name: 'endpoint', state: 'fault' },
    message: `This ledger's records of ${region} go to ${since}. This process sends to ${endpointText(own)}: so it freezes and sends none.`,
    advice: `Give it the ledger, or the endpoint, that is meant. Where all are to go to ${endpointText(own)} from now on: marketplace-meter endpoint ${printable(own)} --why "…"`,
  }
}

/**
 * Has the AWS SDK's clients send there instead of to AWS's own endpoint, by the environment. What stands in for AWS is
 * asked for entitlements, too.
 */
export function sendTo(endpoint: string, env: NodeJS.ProcessEnv): void {
  env.AWS_ENDPOINT_URL_MARKETPLACE_METERING = endpoint
  if (endpointName(endpoint) !== AWS) env.AWS_ENDPOINT_URL_MARKETPLACE_ENTITLEMENT_SERVICE ||= endpoint
}

/** Where the environment has the AWS SDK send usage records instead of to AWS, and which variable says so. */
export function sentElsewhere(
  env: NodeJS.ProcessEnv,
): { readonly variable: string; readonly origin: string } | undefined {
  const variable = ['AWS_ENDPOINT_URL_MARKETPLACE_METERING', 'AWS_ENDPOINT_URL'].find(name => env[name])
  const url = variable === undefined ? undefined : URL.parse(env[variable] as string)
  return variable === undefined || url == null || endpointName(url.href) === AWS
    ? undefined
    : { variable, origin: url.origin }
}
