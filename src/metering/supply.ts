import { DAY, HOUR } from '../ledger/hours.ts'
import { printable } from '../text/printable.ts'
import { distance } from '../text/time.ts'
import type { Arrivals } from '../usage/arrivals.ts'
import type { Unbillable } from '../usage/mapping.ts'
import { type FeedFigures, Feeds, type SupplyAlarm } from './feeds.ts'
import { Pulse } from './pulse.ts'

/** How many senders, and how many kinds of what was turned away, are told apart. */
const MOST = 1000
const OTHERS = 'others'
/** How much of what a sender was told is kept, in characters. */
const LONGEST_MESSAGE = 300

/** A request that a gateway has refused. */
export interface RefusedRequest {
  readonly transport: string
  readonly code: string
  readonly sender: string | undefined
  readonly message: string
}

/** Refused requests of one kind. Times are milliseconds since the epoch. */
export interface Refusals {
  readonly transport: string
  readonly code: string
  readonly sender: string | undefined
  /** What the last one was told. */
  message: string
  requests: number
  /** Of them those since there was none for an hour. */
  recent: number
  readonly since: number
  at: number
  /** How many of them the operator was told of, and when. */
  told: number
  toldAt: number
}

/** Data points that a rule takes and that cannot be billed, of one kind. */
export interface UnbillablePoints extends Pick<Unbillable, 'reason' | 'metric'> {
  message: string
  points: number
  readonly since: number
  at: number
}

export interface SenderFigures {
  readonly name: string
  readonly points: number
  readonly lastAt: number | undefined
}

/** What comes in, from whom and for which rule, and what is turned away: since the start, in memory of the process. */
export class Supply {
  readonly startedAt: number
  readonly #now: () => number
  readonly #feeds: Feeds | undefined
  readonly #senders = new Map<string, Pulse>()
  readonly #refused = new Map<string, Refusals>()
  readonly #unbillable = new Map<string, UnbillablePoints>()

  readonly #quotas: () => readonly Quota[]

  /**
   * @param arrivals what the mapper counts; without them no rule is watched
   * @param quotas what senders have used today of what they may
   */
  constructor(now: () => number, arrivals?: Arrivals, quotas: () => readonly Quota[] = () => []) {
    this.#quotas = quotas
    this.#now = now
    this.startedAt = now()
    this.#feeds = arrivals && new Feeds(arrivals, this.startedAt)
  }

  /** Notices what has come since it looked last. */
  look(): void {
    this.#feeds?.look(this.#now())
  }

  /** A sender's points are durable. Returns the name that they are counted under. */
  received(sender: string, points: number): string {
    const name = this.#senders.has(sender) || this.#senders.size < MOST ? sender : OTHERS
    let pulse = this.#senders.get(name)
    if (pulse === undefined) {
      pulse = new Pulse()
      this.#senders.set(name, pulse)
    }
    pulse.beat(this.#now(), points)
    return name
  }

  refused({ transport, code, sender, message }: RefusedRequest): Refusals {
    const key = `${transport} ${code} ${sender}`
    const at = this.#now()
    let refusals = this.#refused.get(key)
    if (refusals === undefined) {
      const counts = { requests: 0, recent: 0, told: 0, toldAt: Number.NEGATIVE_INFINITY }
      refusals = { transport, code, sender, message, since: at, at, ...counts }
      setBounded(this.#refused, key, refusals)
    }
    refusals.requests += 1
    refusals.recent = at - refusals.at < HOUR ? refusals.recent + 1 : 1
    refusals.at = at
    refusals.message = message
    return refusals
  }

  unbillable({ reason, metric, points, message }: Unbillable): void {
    const key = `${reason} ${metric}`
    const at = this.#now()
    let known = this.#unbillable.get(key)
    if (known === undefined) {
      known = { reason, metric, message, points: 0, since: at, at }
      setBounded(this.#unbillable, key, known)
    }
    known.points += points
    known.at = at
    known.message = message
  }

  get refusals(): Iterable<Refusals> {
    return this.#refused.values()
  }

  figures(): SupplyFigures {
    this.look()
    return {
      sources: this.#feeds?.figures() ?? [],
      unmatched: this.#feeds?.unmatched() ?? [],
      unnamed: this.#feeds?.unnamed() ?? [],
      senders: [...this.#senders].map(([name, { count, lastAt }]) => ({ name, points: count, lastAt })),
      quotas: this.#quotas(),
      refused: [...this.#refused.values()].map(({ told: _, toldAt: __, message, ...rest }) => ({
        ...rest,
        message: sentence(message),
      })),
      unbillable: [...this.#unbillable.values()],
    }
  }

  /** What a person has to look at, the most urgent first, but for what was turned away. */
  alarms(): SupplyAlarm[] {
    this.look()
    const now = this.#now()
    return [...(this.#feeds?.alarms(now) ?? []), ...this.#nearlyUsed(), ...this.#silentSenders(now)]
  }

  #nearlyUsed(): SupplyAlarm[] {
    const near = this.#quotas().filter(({ used, most }) => used >= NEARLY * most)
    return near.map(({ sender, what, used, most }) => {
      const counts = `${used.toLocaleString('en-US')} of at most ${most.toLocaleString('en-US')} ${what}`
      return {
        key: `quota ${sender} ${what}`,
        every: HOUR,
        title: `The sender ${sender} has ${used < most ? 'nearly as' : 'as'} many ${what} as it may have in a day.`,
        detail:
          `${sender} has brought ${counts} today. ${BEYOND[what]} Are they real? Then raise limits of its token in ` +
          'listen.tokens; else find out what makes them, and who has the token.',
      }
    })
  }

  #silentSenders(now: number): SupplyAlarm[] {
    return [...this.#senders].flatMap(([name, { count, lastAt = now, longPatience }]) => {
      if (now - lastAt < longPatience) return []
      const last = distance(lastAt, now)
      return {
        key: `sender ${name}`,
        every: DAY,
        title: `The sender ${name} sends nothing any more: the last came ${last}.`,
        detail:
          `${count.toLocaleString('en-US')} data points of ${name} came, the last ${last}. What it measures is not billed ` +
          'before it comes: is it up, and does it reach this gateway? If it is gone for good, take its token out.',
      }
    })
  }
}

/** Of how many a sender may have in a day, how many it has had today. */
export interface Quota {
  readonly sender: string
  readonly what: 'customers' | 'series'
  readonly used: number
  readonly most: number
}

/** From this share of a limit on, somebody should look. */
const NEARLY = 0.8

/** What becomes of the rest. */
const BEYOND: Readonly<Record<Quota['what'], string>> = {
  customers: 'What is of more customers is kept as unattributed usage (sender-limit).',
  series: 'What is of more series is kept as unattributed usage (sender-limit); of twice as many it is refused.',
}

export interface SupplyFigures {
  readonly sources: readonly FeedFigures[]
  readonly unmatched: readonly { readonly metric: string; readonly points: number }[]
  /** Names of metrics that came and that no rule has, some of them. */
  readonly unnamed: readonly string[]
  readonly senders: readonly SenderFigures[]
  readonly quotas: readonly Quota[]
  readonly refused: readonly Omit<Readonly<Refusals>, 'told' | 'toldAt'>[]
  readonly unbillable: readonly Readonly<UnbillablePoints>[]
}

/** What somebody was told, without its full stop: ours follows. */
export const sentence = (message: string) => printable(message, LONGEST_MESSAGE).replace(/\.$/, '')

/** Of logins that fail: somebody may be trying tokens, or has just been asked for one. */
export const isLogin = (code: string): boolean => code === 'UNAUTHENTICATED' || code === '401'

/** What to do about refused requests, by the code of gRPC or the status of HTTP. */
export function refusalAdvice(code: string): string {
  switch (code) {
    case 'UNAUTHENTICATED':
    case '401':
      return 'Give the sender a token that is configured, or find out who it is.'
    case 'RESOURCE_EXHAUSTED':
    case '413':
      return 'Have the sender send less at once (in a Collector, send_batch_max_size), or raise listen.maxBodySize.'
    case 'NOT_FOUND':
    case '404':
      return "Metrics go to /v1/metrics: look at the sender's endpoint."
    case 'UNAVAILABLE':
    case '503':
      return 'The sender is to come back by itself. If it goes on, look at the ledger, and at how much is sent.'
    case 'PERMISSION_DENIED':
    case '403':
      return 'It asked for what it may not have: find out who it is, or give it the right.'
    case 'CONNECTIONS':
      return 'If these are senders, have them keep fewer connections, and close none that is in use; else find out who it is.'
    case 'TLS':
      return 'If it is a sender, look at its TLS: does it use https, does it trust the certificate, does it have one of its own?'
    default:
      return 'Mend what sends it: what is refused is not billed.'
  }
}

/** What came first goes when there is no room. */
function setBounded<Value>(map: Map<string, Value>, key: string, value: Value): void {
  const [oldest] = map.size < MOST ? [] : map.keys()
  if (oldest !== undefined) map.delete(oldest)
  map.set(key, value)
}
