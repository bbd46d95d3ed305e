import { SECOND } from '../../ledger/hours.ts'
import { withDeadline } from '../../marketplace/deadline.ts'
import { CachedValue } from './cached-value.ts'

export interface ReadinessCheck {
  readonly name: string
  /** Rejects or throws where something is wrong, in words that name no customer and no secret. */
  readonly check: (signal: AbortSignal) => Promise<void> | void
  /**
   * Told, but no reason to turn usage away: what AWS refuses today is metered tomorrow, if only the ledger has it.
   * False by default.
   */
  readonly advisory?: boolean
}

export interface ReadinessOptions {
  /** Milliseconds since the epoch. */
  readonly now: () => number
  /** How long each check may take, in milliseconds. 2 seconds by default. */
  readonly timeLimit?: number
}

export interface CheckResult {
  readonly name: string
  readonly state: 'ok' | 'warning' | 'failed'
  /** What is wrong. */
  readonly message?: string
}

/** Whether usage can be taken, by named checks that run at most once a second. */
export class Readiness {
  readonly #timeLimit: number
  readonly #results: CachedValue<readonly CheckResult[]>
  /** Checks that have not come to an end, past their time limit perhaps: none of them is begun again meanwhile. */
  readonly #running = new Map<string, Promise<void>>()

  constructor(checks: readonly ReadinessCheck[], { now, timeLimit = 2 * SECOND }: ReadinessOptions) {
    this.#timeLimit = timeLimit
    const run = () => Promise.all(checks.map(check => this.#run(check)))
    this.#results = new CachedValue(run, { now, lifetime: SECOND, share: 1 })
  }

  results(): Promise<readonly CheckResult[]> {
    return this.#results.get()
  }

  async #run({ name, check, advisory = false }: ReadinessCheck): Promise<CheckResult> {
    try {
      const late = () => new Error(`no answer within ${this.#timeLimit} ms`)
      await withDeadline(this.#timeLimit, signal => this.#begin(name, check, signal), { late })
      return { name, state: 'ok' }
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error)
      return { name, state: advisory ? 'warning' : 'failed', message }
    }
  }

  #begin(name: string, check: ReadinessCheck['check'], signal: AbortSignal): Promise<void> {
    const running = this.#running.get(name) ?? beginning(check, signal).finally(() => this.#running.delete(name))
    this.#running.set(name, running)
    return running
  }
}

async function beginning(check: ReadinessCheck['check'], signal: AbortSignal): Promise<void> {
  await check(signal)
}

/** As Kubernetes words it, `reasons` only for those who may know them. */
export function readinessText(results: readonly CheckResult[], reasons: boolean): string {
  const lines = results.map(({ name, state, message = '' }) => {
    if (state === 'ok') return `[+]${name} ok`
    return `[${state === 'failed' ? '-' : '!'}]${name} ${state}: ${reasons ? message.replace(/\s+/g, ' ') : 'reason withheld'}`
  })
  return `${[...lines, isReady(results) ? 'ready' : 'not ready'].join('\n')}\n`
}

export function isReady(results: readonly CheckResult[]): boolean {
  return results.every(({ state }) => state !== 'failed')
}
