import { setTimeout as sleep } from 'node:timers/promises'
import { configurationError } from '../check.ts'
import { LedgerClock } from '../ledger/clients/clock.ts'
import { HOUR, hourOf, SECOND } from '../ledger/hours.ts'
import type { CloseOptions } from '../ledger/ledger.ts'
import { awsClient } from '../marketplace/aws-client.ts'
import type { MeteringClient } from '../marketplace/client.ts'
import { awsEntitlementClient } from '../marketplace/entitlement-client.ts'
import { lookUpRegion, wrongRegion } from '../marketplace/region.ts'
import { type ContractOptions, Contracts } from './contracts.ts'
import { MeteringCycle, type MeteringCycleOptions } from './cycle.ts'
import { Pacer } from './pacer.ts'
import { warningsAtStart } from './preflight/surroundings.ts'

/** AWS takes 10 requests a second for an account and region. */
const REQUESTS_PER_SECOND = 10
/** Between two passes that follow each other, in milliseconds. */
const SHORTEST_WAIT = 10
/** So that answers which take a second, as from another continent, leave none of that unused. */
const REQUESTS_AT_ONCE = REQUESTS_PER_SECOND

export interface MeteringOptions
  extends Omit<MeteringCycleOptions, 'clientFor' | 'pacer' | 'concurrency' | 'contracts'>,
    ContractOptions {
  /** For `region`. By default the AWS SDK's, for whatever region a record is of. */
  readonly client: MeteringClient | undefined
  /** The longest time between two passes, in milliseconds. */
  readonly wakeInterval: number
  /** Brings what waits in this process into the ledger. Where it rejects, it is tried again after `wakeInterval`. */
  readonly bringIn: () => Promise<void>
  /** Has whoever brings usage in look whether the ledger still has it, before anything is frozen. */
  readonly look: () => Promise<void>
  /** Called after each pass that began at `begunAt`, with the ledger's error where it failed. */
  readonly passed: (begunAt: number, error?: unknown) => Promise<void>
  /** The ledger could not take what waits. */
  readonly fault: (error: unknown) => void
}

/** Meters of its own accord: when usage came in, at the turn of an hour, when a record is to be tried again. */
export class Metering {
  readonly #options: MeteringOptions
  readonly #clock: LedgerClock
  readonly #contracts: Contracts
  readonly #cycle: MeteringCycle
  #regionKnown = false
  #lookedAround = false
  #passing = false
  #passAgain = false
  #background = new AbortController()
  #timer: NodeJS.Timeout | undefined
  #ended = false

  constructor(options: MeteringOptions) {
    const { ledger, now } = options
    this.#options = options
    this.#clock = new LedgerClock(ledger.clock, now)
    const clock = this.#clock
    const { region, requestTimeout, entitlements } = options
    const client = entitlements.client ?? awsEntitlementClient(region, requestTimeout)
    this.#contracts = new Contracts({ ...options, client, now: clock.now })
    this.#cycle = new MeteringCycle({
      ...options,
      now: clock.now,
      contracts: this.#contracts,
      clientFor: clientsOf(options),
      pacer: new Pacer(REQUESTS_PER_SECOND, undefined, async (region, turns, spacing) => {
        const first = await ledger.clock.takeTurns(region, turns, spacing, clock.now())
        return first === undefined ? undefined : first - clock.now()
      }),
      concurrency: REQUESTS_AT_ONCE,
    })
    this.wake()
  }

  /** The time by which hours are over, in milliseconds since the epoch: the ledger's, where it has one. */
  readonly now = (): number => this.#clock.now()

  get closeOptions(): CloseOptions {
    return this.#cycle.closeOptions
  }

  /** Has a pass begin soon. */
  wake(): void {
    this.#wakeAfter(0)
  }

  /** Sends what is due up to a deadline. A fault, AWS's or the ledger's, is reported and left to the next pass. */
  async send(timeout: number): Promise<void> {
    this.#background.abort()
    const deadline = AbortSignal.timeout(timeout)
    const over = new Promise<void>(resolve => deadline.addEventListener('abort', () => resolve()))
    // Held while it waits: AbortSignal.timeout alone would let the process end in the middle of it.
    const hold = setTimeout(() => {}, timeout + SECOND)
    try {
      await Promise.race([this.#passes(deadline, performance.now() + timeout), over])
    } finally {
      clearTimeout(hold)
      this.#background = new AbortController()
    }
  }

  /** Passes until nothing is due that could be sent in time: a fault that lasts for a moment is waited out. */
  async #passes(deadline: AbortSignal, end: number): Promise<void> {
    for (;;) {
      await this.#pass(deadline)
      const next = await this.#cycle.nextPassAt().catch(() => Number.POSITIVE_INFINITY)
      const wait = next - this.now()
      if (deadline.aborted || performance.now() + wait >= end) return
      if (!(await this.#moves(Math.max(wait, SHORTEST_WAIT), deadline))) return
    }
  }

  /** Waits, unless the clock that is given stands still: on it no time comes. */
  async #moves(milliseconds: number, signal: AbortSignal): Promise<boolean> {
    const begun = this.now()
    await sleep(SHORTEST_WAIT, undefined, { signal }).catch(() => {})
    if (this.now() === begun) return false
    await sleep(Math.max(0, milliseconds - SHORTEST_WAIT), undefined, { signal }).catch(() => {})
    return !signal.aborted
  }

  /** No pass begins by itself any more. */
  end(): void {
    this.#ended = true
    clearTimeout(this.#timer)
    this.#contracts.end()
  }

  /** Says in the ledger what contracts include, before anything is frozen; each pass does by itself. */
  registerIncluded(): Promise<void> {
    return this.#contracts.register()
  }

  async #pass(signal: AbortSignal): Promise<void> {
    const { passed } = this.#options
    const begunAt = this.now()
    try {
      await this.#clock.sync()
      this.#lookAround()
      await this.checkRegion()
      await this.#options.look()
      await this.#cycle.pass(signal)
    } catch (error) {
      await passed(begunAt, error)
      return
    }
    await passed(begunAt)
  }

  /** In the first pass. AWS is not asked: its answers tell the rest. */
  #lookAround(): void {
    if (this.#lookedAround) return
    this.#lookedAround = true
    const { region, report } = this.#options
    for (const finding of warningsAtStart(region, -this.#clock.ahead)) report({ type: 'finding', finding })
  }

  /**
   * Checks that the client sends to the option's region, before anything is frozen: records keep it for ever.
   *
   * @throws ConfigurationError where it does not
   */
  async checkRegion(): Promise<void> {
    const { client, region } = this.#options
    if (this.#regionKnown || client === undefined) return
    const wrong = wrongRegion(region, await lookUpRegion(client))
    if (wrong) throw configurationError([wrong])
    this.#regionKnown = true
  }

  async #run(): Promise<void> {
    if (this.#passing) {
      this.#passAgain = true
      return
    }
    this.#passing = true
    const { bringIn, closeDelay, wakeInterval, fault } = this.#options
    let next = 0
    let broughtIn = true
    try {
      do {
        this.#passAgain = false
        broughtIn = true
        // What could not be brought in holds up no record that is due.
        await bringIn().catch(error => {
          broughtIn = false
          fault(error)
        })
        await this.#pass(this.#background.signal)
      } while (this.#passAgain && !this.#ended)
      if (broughtIn) next = await this.#cycle.nextPassAt()
    } catch (error) {
      fault(error)
    } finally {
      this.#passing = false
    }
    const time = this.now()
    const nextClose = hourOf(time - closeDelay) + HOUR + closeDelay
    this.#wakeAfter(Math.min(Math.max(Math.min(next, nextClose) - time, SECOND), wakeInterval))
  }

  #wakeAfter(delay: number): void {
    clearTimeout(this.#timer)
    if (this.#ended) return
    this.#timer = setTimeout(() => this.#run(), delay)
    this.#timer.unref()
  }
}

/** Records keep the region they were frozen for; a client that was passed in is for the configured region only. */
function clientsOf({ region, client, requestTimeout }: MeteringOptions) {
  const clients = new Map([[region, client ?? awsClient(region, requestTimeout)]])
  return (wanted: string): MeteringClient | undefined => {
    if (client === undefined && !clients.has(wanted)) clients.set(wanted, awsClient(wanted, requestTimeout))
    return clients.get(wanted)
  }
}
