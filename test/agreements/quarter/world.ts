import { handleAgreementEvent, registerCustomer } from '../../../src/agreements/index.ts'
import { HOUR, hourOf, MINUTE } from '../../../src/ledger/hours.ts'
import type { Ledger } from '../../../src/ledger/ledger.ts'
import type { MeteringClient } from '../../../src/marketplace/client.ts'
import type { RegistrationClient } from '../../../src/marketplace/registration.ts'
import { MeteringCycle } from '../../../src/metering/cycle.ts'
import { Pacer } from '../../../src/metering/pacer.ts'
import { type MarketplaceSimulator, type SimulatorOptions, simulatorClient } from '../../../src/simulator/index.ts'
import type { CustomerAccount } from '../../../src/usage/account.ts'
import type { Dimension } from '../../../src/usage/dimension.ts'
import { type Act, CODE, type DimensionName, LABEL, OVER, olderIdentifier, SIZES } from './script.ts'
import type { Wire } from './wire.ts'

/** The ledger, the metering cycle and AWS, on a clock that jumps from one thing that happens to the next. */

export const CLOSE_DELAY = 5 * MINUTE
export const DEADLINE_MARGIN = 5 * MINUTE
const REGION = 'eu-central-1'
/** So long after the last thing that happened hours are still closed, one by one. */
const LINGERING = 3 * HOUR
/** What waits for its next attempt is sent with all that waits, at :05, :20, :35 and :50. */
const PASSES = 15 * MINUTE

const DIMENSIONS = Object.entries(SIZES).map(([name, size]): Dimension => {
  return { name, unit: `{${name}}`, baseUnit: '1', size: BigInt(size) * 1_000_000n }
})

export class World {
  readonly simulator: MarketplaceSimulator
  readonly ledger: Ledger
  readonly #acts: readonly Act[]
  readonly #cycle: MeteringCycle
  readonly #client: MeteringClient & RegistrationClient
  readonly #wire: Wire | undefined
  /** When events come. */
  readonly #arrivals: number[] = []
  readonly #clock: { now: number }
  #batches = 0
  #tokens = 0

  /** @param wire between all of them and the simulator; without one it is called in this process */
  constructor(
    acts: readonly Act[],
    ledger: Ledger,
    clock: { now: number },
    simulator: MarketplaceSimulator,
    wire?: Wire,
  ) {
    this.#acts = acts
    this.#clock = clock
    this.ledger = ledger
    this.simulator = simulator
    this.#wire = wire
    this.#client = wire?.metering ?? simulatorClient(simulator, { region: REGION })
    const { queue } = simulator
    const send = queue.send.bind(queue)
    queue.send = (body, at = clock.now) => {
      this.#arrivals.push(at)
      return send(body, at)
    }
    this.#cycle = new MeteringCycle({
      ledger,
      clientFor: () => this.#client,
      now: () => clock.now,
      pacer: new Pacer(Number.POSITIVE_INFINITY),
      region: REGION,
      closeDelay: CLOSE_DELAY,
      deadlineMargin: DEADLINE_MARGIN,
      zeroQuantityRecords: false,
      onConflict: 'hold',
      onNotSubscribed: 'hold',
      dryRun: false,
      requestTimeout: 60_000,
      concurrency: 4,
      retention: Number.POSITIVE_INFINITY,
      report: () => {},
      random: () => 0.5,
    })
  }

  /** The whole quarter. */
  async live(): Promise<void> {
    await this.ledger.register(DIMENSIONS)
    const agreements = {
      ledger: this.ledger,
      productCode: CODE,
      product: LABEL,
      region: REGION,
      // Usage is in the ledger as it is used.
      closeDelay: 0,
      now: () => this.#clock.now,
    }
    await using follower = await this.#wire?.follow(agreements)
    let [done, lately, next] = [0, 0, Number.POSITIVE_INFINITY]
    let closing = Number.POSITIVE_INFINITY
    for (;;) {
      const now = Math.min(this.#acts[done]?.at ?? OVER, Math.min(...this.#arrivals), closing, next)
      if (now >= OVER) break
      this.#clock.now = now
      let told = false
      for (; this.#acts[done]?.at === now; done++) {
        const act = this.#acts[done] as Act
        if (act.type === 'use') await this.#use(act.payer, act.amounts)
        else if (act.type === 'register') await this.#register(act.payer, agreements)
        else if (act.type === 'finalize') {
          await this.ledger.finalize(act.payer, { ...this.#cycle.closeOptions, endedAt: act.endedAt, who: 'a person' })
        } else this.#tell(act)
        told ||= act.type === 'register' || act.type === 'finalize'
        lately = now
      }
      if (this.#arrivals.some(at => at <= now)) {
        this.#arrivals.splice(0, Number.POSITIVE_INFINITY, ...this.#arrivals.filter(at => at > now))
        if (follower !== undefined) await follower.settled()
        else for (const event of this.simulator.queue.drain()) await handleAgreementEvent(event, agreements)
        told = true
        lately = now
      }
      if (told || next <= now || closing <= now) next = await this.#pass()
      const waiting = next < Number.POSITIVE_INFINITY
      closing =
        waiting || now < lately + LINGERING ? hourOf(now - CLOSE_DELAY) + HOUR + CLOSE_DELAY : Number.POSITIVE_INFINITY
    }
  }

  /** Passes until there is nothing more to send now. Returns when there is again. */
  async #pass(): Promise<number> {
    for (let passes = 0; passes < 50; passes++) {
      await this.#cycle.pass()
      const next = await this.#cycle.nextPassAt()
      if (next > this.#clock.now) return Math.ceil((next - CLOSE_DELAY) / PASSES) * PASSES + CLOSE_DELAY
    }
    throw new Error(`There is still something to send at ${new Date(this.#clock.now).toISOString()}`)
  }

  async #use(account: CustomerAccount, amounts: Readonly<Record<DimensionName, number>>): Promise<void> {
    const hour = hourOf(this.#clock.now)
    const entries = Object.entries(amounts).map(([dimension, amount]) => ({
      ...{ account, dimension, hour, amount: BigInt(amount) * 1_000_000n },
    }))
    await this.ledger.append({ writer: 'f'.repeat(32), sequence: ++this.#batches, entries })
  }

  async #register(payer: CustomerAccount, agreements: Parameters<typeof handleAgreementEvent>[1]): Promise<void> {
    const token = `token-${++this.#tokens}`
    this.simulator.catalogue.createToken({ token, product: CODE, ...namesOf(payer) })
    await registerCustomer(token, { ...agreements, client: this.#client })
  }

  /** What happens at AWS, with the events of it late and twice. */
  #tell(act: Exclude<Act, { type: 'use' | 'register' | 'finalize' }>): void {
    const { catalogue, faults } = this.simulator
    const { late, again } = { late: undefined, again: undefined, ...act }
    if (late !== undefined) faults.add({ kind: 'event-late', rate: 1, milliseconds: late })
    if (again !== undefined) faults.add({ kind: 'event-duplicate', rate: 1, milliseconds: again })
    const { licenseArn, ...ids } = namesOf(act.payer)
    const agreement = { ...ids, product: CODE, ...(licenseArn !== undefined && { licenseArn }) }
    if (act.type === 'subscribe') catalogue.subscribe({ ...agreement, pending: act.pending })
    else if (act.type === 'activate') catalogue.activate(agreement)
    else if (act.type === 'amend') catalogue.amend(agreement)
    else if (act.type === 'end') catalogue.unsubscribe(agreement)
    else if (act.type === 'suspend') catalogue.suspend(ids)
    else if (act.type === 'resume') catalogue.resume(ids)
    else {
      const { licenseArn: renewedAs } = act.as
      catalogue.renew({ ...agreement, licenseArn: licenseArn as string, ...(act.as !== act.payer && { renewedAs }) })
    }
    faults.clear()
  }
}

/** What AWS does where its documents do not say, in all combinations. */
export function simulatorOptions(seed: number, clock: { readonly now: number }): SimulatorOptions {
  return {
    ...{ now: () => clock.now, seed, quota: null },
    undocumented: {
      endedLicence: seed % 2 === 0 ? 'InvalidLicenseException' : 'CustomerNotSubscribed',
      pendingLicence: seed % 4 < 2 ? 'InvalidLicenseException' : 'CustomerNotSubscribed',
    },
    catalogue: {
      products: [{ code: CODE, dimensions: Object.keys(SIZES) }],
      // Since one is declared, whoever is not subscribed is not.
      customers: [{ accountId: '999999999999', subscriptions: [{ product: CODE, licenseArn: OTHERS_LICENCE }] }],
    },
  }
}

const OTHERS_LICENCE = 'arn:aws:license-manager::294406891311:license:l-ffffffffffffffffffffffffffffffff'

function namesOf(payer: CustomerAccount) {
  const { accountId, licenseArn, customerIdentifier = olderIdentifier(payer) } = payer
  return {
    ...(accountId !== undefined && { accountId }),
    ...(customerIdentifier !== undefined && { customerIdentifier }),
    ...(licenseArn !== undefined && { licenseArn }),
  }
}
