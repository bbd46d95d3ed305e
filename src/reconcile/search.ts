import { setTimeout as sleep } from 'node:timers/promises'
import { DAY, HOUR, hourOf, SECOND, wholeSecond } from '../ledger/hours.ts'
import { backoff } from '../metering/backoff.ts'
import { describe, type Fault, faultOf } from '../metering/faults.ts'
import { Pacer, type PacerClock } from '../metering/pacer.ts'
import { shortTime } from '../text/time.ts'
import { callsEndAt, type Span } from './coverage.ts'
import { EventError, SearchError } from './errors.ts'
import { readEvent } from './event.ts'
import type { EventSink, EventSource } from './event-source.ts'
import type { CloudTrailClient, LookupRequest } from './search-client.ts'

/** CloudTrail's event history has 90 days; of the last hour of them events go while they are asked for. */
export const HISTORY = 90 * DAY - HOUR
/** Events are there after about 15 minutes, as far as AWS can: what is younger than four times that is not relied on. */
export const DELAY = HOUR

/** Up to which hour all calls of an hour can be searched for, by now. */
export function searchableUntil(now: number): number {
  let hour = hourOf(now)
  while (callsEndAt(hour - HOUR) > now - DELAY) hour -= HOUR
  return hour
}

/** What AWS takes of an account and region, a second. */
const REQUESTS_PER_SECOND = 2
const PAGE = 50
/** So much is asked for at once: where CloudTrail fails in the middle, all but this is searched. */
const SLICE = DAY
/** How often the same is asked for, where AWS throttles or fails: for one to three minutes. */
const MOST_ATTEMPTS = 10
/** The same, where nothing was ever answered: the region or the way to it is wrong, as a rule. */
const FIRST_ATTEMPTS = 3
const [SHORTEST_WAIT, LONGEST_WAIT] = [SECOND, 30 * SECOND]

export interface SearchOptions extends Span {
  readonly region: string
  readonly client: CloudTrailClient
  /** Milliseconds since the epoch. */
  readonly now: number
  /** The pace's time, which is not that of the events. */
  readonly clock?: PacerClock
  readonly signal?: AbortSignal | undefined
}

/**
 * CloudTrail's event history of a region, asked for all calls of `BatchMeterUsage` from one instant to another.
 *
 * A search to the end of its pages has all that CloudTrail has of its time: an hour of it without an event had no call.
 * That is not relied on for the last hour, since events come late. What the history does not have any more is not asked.
 */
export function search(options: SearchOptions): EventSource {
  const { region } = options
  return { name: `CloudTrail in ${region}`, asked: true, read: sink => new Search(options, sink).run() }
}

class Search {
  readonly #options: SearchOptions
  readonly #sink: EventSink
  readonly #clock: PacerClock
  readonly #pacer: Pacer
  #events = 0
  #answered = false

  constructor(options: SearchOptions, sink: EventSink) {
    this.#options = options
    this.#sink = sink
    const { clock, signal } = options
    this.#clock = clock ?? { now: () => performance.now(), sleep: time => sleep(time, undefined, { signal }) }
    this.#pacer = new Pacer(REQUESTS_PER_SECOND, this.#clock)
  }

  /** The oldest first, so that what is searched when CloudTrail fails has no hole. */
  async run(): Promise<void> {
    const { region, now } = this.#options
    const from = wholeSecond(Math.max(this.#options.from, now - HISTORY))
    const to = Math.min(this.#options.to, now)
    for (let at = from; at < to; at += SLICE) {
      const end = Math.min(at + SLICE, to)
      await this.#slice({ from: at, to: end })
      const reliable = Math.min(end, now - DELAY)
      if (reliable > at) this.#sink.searched(region, { from: at, to: reliable })
    }
  }

  /** Both ends are part of it, so that what follows has some events once more. */
  async #slice(slice: Span): Promise<void> {
    const request: LookupRequest = {
      LookupAttributes: [{ AttributeKey: 'EventName', AttributeValue: 'BatchMeterUsage' }],
      ...{ StartTime: new Date(slice.from), EndTime: new Date(slice.to), MaxResults: PAGE },
    }
    let token: string | undefined
    do {
      const page = await this.#ask({ ...request, ...(token !== undefined && { NextToken: token }) }, slice)
      for (const { CloudTrailEvent } of page.Events ?? []) this.#take(CloudTrailEvent)
      if (page.NextToken === token && token !== undefined) {
        throw this.#failure(slice, 'it answers the same page again and again')
      }
      token = page.NextToken
    } while (token !== undefined && token !== '')
  }

  #take(text: string | undefined): void {
    this.#events++
    try {
      const event = readEvent(text ?? '')
      if (event !== undefined) this.#sink.take(event)
    } catch (error) {
      if (!(error instanceof EventError)) throw error
      this.#sink.unreadable(`CloudTrail in ${this.#options.region}, event ${this.#events}: ${error.message}`)
    }
  }

  async #ask(request: LookupRequest, slice: Span): ReturnType<CloudTrailClient['lookupEvents']> {
    const { client, region, signal } = this.#options
    for (let attempt = 1; ; attempt++) {
      await this.#pacer.turn(region)
      try {
        const page = await client.lookupEvents(request, signal && { abortSignal: signal })
        this.#answered = true
        return page
      } catch (error) {
        signal?.throwIfAborted()
        const { fault } = faultOf(error)
        const most = fault === 'not-sent' && !this.#answered ? FIRST_ATTEMPTS : MOST_ATTEMPTS
        if (!mayPass(error, fault) || attempt >= most) {
          throw this.#failure(slice, adviceFor(error, fault, region), error)
        }
      }
      await this.#clock.sleep(backoff(attempt, SHORTEST_WAIT, LONGEST_WAIT, Math.random))
    }
  }

  #failure({ from }: Span, why: string, cause?: unknown): SearchError {
    const { region, to } = this.#options
    const what = `CloudTrail in ${region} was not searched from ${shortTime(from)} to ${shortTime(to)}`
    return new SearchError(`${what}: ${why}`, { cause })
  }
}

/** A request that AWS does not like it will not like again. */
function mayPass(error: unknown, fault: Fault): boolean {
  if (/^(Invalid|OperationNotPermitted|UnsupportedOperation|UnknownOperation)/.test(nameOf(error))) return false
  return fault === 'throttled' || fault === 'unknown' || fault === 'not-sent'
}

const nameOf = (error: unknown): string => (error as Error | undefined)?.name ?? ''

/** What is wrong, and what to do. */
function adviceFor(error: unknown, fault: Fault, region: string): string {
  const name = nameOf(error)
  const said = `AWS or the network said: ${describe(error)}`
  if (/^(CredentialsProviderError|TokenProviderError)$/.test(name)) {
    return `no AWS credentials were found. Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and its secret, or give this machine a role. ${said}`
  }
  if (/^AccessDenied|^NotAuthorized/.test(name)) {
    return `these credentials may not ask. Allow their role cloudtrail:LookupEvents, on "*". ${said}`
  }
  if (/^(UnrecognizedClient|InvalidClientTokenId|OptInRequired)/.test(name)) {
    return `AWS does not know these credentials there. Are they valid, and is the region ${region} enabled for the account? ${said}`
  }
  if (/^ExpiredToken|^RequestExpired/.test(name)) return `these credentials have expired: renew them. ${said}`
  if (fault === 'configuration') return `AWS refuses these credentials, or this machine's clock is wrong. ${said}`
  if (fault === 'throttled') {
    return (
      `AWS throttles, ${MOST_ATTEMPTS} times on end. It takes ${REQUESTS_PER_SECOND} of these requests a second of an account and ` +
      `region, whoever sends them: find who else does, or ask again later. ${said}`
    )
  }
  if (fault === 'not-sent') {
    return `it cannot be reached. Is the region right, and does this machine reach AWS, or AWS_ENDPOINT_URL_CLOUDTRAIL? ${said}`
  }
  return `AWS fails: ask again later. ${said}`
}
