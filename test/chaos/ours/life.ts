import { LedgerError } from '../../../src/ledger/errors.ts'
import type { Ledger, UsageBatch } from '../../../src/ledger/ledger.ts'
import type { MeteringClient } from '../../../src/marketplace/client.ts'
import type { EntitlementClient } from '../../../src/marketplace/entitlement-client.ts'

/** The process is gone: nobody gets to see this. */
export class Crash extends Error {}

/** One incarnation of a process. After its crash nothing that it still does has any effect. */
export class Life {
  #stepsLeft = Number.POSITIVE_INFINITY
  over = false

  /** It ends so many steps from now: each thing it asks of others has a step before and a step after. */
  endAfter(steps: number): void {
    this.#stepsLeft = Math.min(this.#stepsLeft, steps)
  }

  /** It lives on. */
  spare(): void {
    this.#stepsLeft = Number.POSITIVE_INFINITY
  }

  step(): void {
    if (!this.over) this.over = --this.#stepsLeft <= 0
    if (this.over) throw new Crash()
  }
}

/** How a ledger fails for a while: without having done anything, or after it has. */
export type LedgerFault = () => 'before' | 'after' | undefined

const STEPS = new Set<keyof Ledger>([
  'append',
  'closeHours',
  'expire',
  'due',
  'claim',
  'settle',
  'finalize',
  'noteEntitlements',
])

/** A ledger in the hands of a process that may die around each call. `written` hears of each batch that is durable. */
export function mortalLedger(
  ledger: Ledger,
  life: Life,
  fault: LedgerFault,
  written: (batch: UsageBatch) => void,
): Ledger {
  return new Proxy(ledger, {
    get(target, name: keyof Ledger) {
      const member = target[name]
      if (typeof member !== 'function') return member
      const method = member.bind(target) as (...parameters: unknown[]) => Promise<unknown>
      if (!STEPS.has(name)) return method
      return async (...parameters: unknown[]) => {
        life.step()
        const fails = name === 'append' ? fault() : undefined
        if (fails === 'before') throw new LedgerError('ERR_LEDGER_IO', 'the disk does not answer')
        const result = await method(...parameters)
        if (name === 'append') written(parameters[0] as UsageBatch)
        if (fails === 'after') throw new LedgerError('ERR_LEDGER_IO', 'the disk did not answer in time')
        life.step()
        return result
      }
    },
  })
}

/**
 * AWS in the same hands: what a process that has died asked before is taken, and the answer reaches nobody. Every answer
 * tells AWS's time, and so how far the process's clock is off.
 */
export function mortalClient(client: MeteringClient, life: Life, clockSkew: () => number): MeteringClient {
  return {
    get clockSkew() {
      return clockSkew()
    },
    batchMeterUsage: async (request, options) => {
      life.step()
      try {
        return await client.batchMeterUsage(request, options)
      } finally {
        life.step()
      }
    },
  }
}

/** The same of what AWS says of entitlements. */
export function mortalEntitlements(client: EntitlementClient, life: Life): EntitlementClient {
  return {
    getEntitlements: async (request, options) => {
      life.step()
      try {
        return await client.getEntitlements(request, options)
      } finally {
        life.step()
      }
    },
  }
}
