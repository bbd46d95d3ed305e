import { setTimeout as sleep } from 'node:timers/promises'

/** So many may fail without being slowed down, and one more for each interval that goes by. */
const FREE = 10
const INTERVAL = 6000
/** How long those that fail more often wait for their answer, in milliseconds. */
const DELAY = 1000
/** How many of one host, and of all, may be waiting for it. */
const WAITING = 10
const ALL_WAITING = 1000
/** How many hosts are remembered; the longest silent is forgotten first. */
const HOSTS = 10_000

export interface FailedAttemptsOptions {
  /** Milliseconds on a clock that only goes forward. */
  readonly now?: () => number
  /** Waits so many milliseconds. */
  readonly wait?: (milliseconds: number) => Promise<unknown>
}

interface Failures {
  level: number
  at: number
  waiting: number
}

/**
 * Slows down hosts that keep presenting tokens that are none. A good token is always let in at once: who guesses must
 * not keep out those who share an address with him.
 */
export class FailedAttempts {
  readonly #now: () => number
  readonly #wait: (milliseconds: number) => Promise<unknown>
  readonly #hosts = new Map<string, Failures>()
  #waiting = 0

  constructor({ now = () => performance.now(), wait = sleep }: FailedAttemptsOptions = {}) {
    this.#now = now
    this.#wait = wait
  }

  /**
   * To be asked after an attempt has failed. Resolves when it may be answered; with false, at once, if its connection is
   * to be closed without an answer, since too many are waiting.
   */
  async mayAnswer(host: string): Promise<boolean> {
    const now = this.#now()
    const failures = this.#hosts.get(host) ?? { level: 0, at: now, waiting: 0 }
    failures.level = Math.max(0, failures.level - (now - failures.at) / INTERVAL) + 1
    failures.at = now
    this.#remember(host, failures)
    if (failures.level <= FREE) return true
    // What has gathered is forgiven in a few minutes, however much it is.
    failures.level = Math.min(failures.level, 4 * FREE)
    if (failures.waiting >= WAITING || this.#waiting >= ALL_WAITING) return false
    failures.waiting++
    this.#waiting++
    await this.#wait(DELAY)
    failures.waiting--
    this.#waiting--
    return true
  }

  #remember(host: string, failures: Failures): void {
    this.#hosts.delete(host)
    this.#hosts.set(host, failures)
    if (this.#hosts.size <= HOSTS) return
    const [oldest] = this.#hosts.keys()
    this.#hosts.delete(oldest as string)
  }
}
