import type { AuditNote, DecisionResult, Ledger, RecordDecision } from '../ledger/ledger.ts'
import type { Finding } from './reconcile.ts'

export interface SettledFinding extends Finding {
  /** What it was settled as, or would be. */
  readonly settled?: 'billed' | 'not-billed'
  /** How many units of what a restore holds it was settled for; the rest is back in the balance. */
  readonly quantity?: number
  readonly why?: string
  /** Of what is held: why nothing of it was settled, and what settles it when. */
  readonly left?: string
}

/** A finding, and what it proves. */
interface Proven {
  readonly finding: Finding
  readonly decision: RecordDecision & { readonly decision: 'billed' | 'not-billed'; readonly why: string }
}

/** What a finding is settled as. */
export function settledAs({
  decision: settled,
  why,
  quantity,
}: Omit<Proven['decision'], 'recordId'>): Pick<SettledFinding, 'settled' | 'why' | 'quantity'> {
  return { settled, why, ...(quantity !== undefined && { quantity }) }
}

/** How many findings are settled together. */
const SETTLED_AT_ONCE = 500

/** Settles what findings prove, many at once. What was settled meanwhile, or may not be, is left as it is, and told. */
export class Settling {
  readonly #ledger: Pick<Ledger, 'decideAll'>
  readonly #by: AuditNote
  readonly #report: (settled: SettledFinding) => void
  #waiting: Proven[] = []

  constructor(ledger: Pick<Ledger, 'decideAll'>, by: AuditNote, report: (settled: SettledFinding) => void) {
    this.#ledger = ledger
    this.#by = by
    this.#report = report
  }

  async add(proven: Proven): Promise<void> {
    this.#waiting.push(proven)
    if (this.#waiting.length === SETTLED_AT_ONCE) await this.end()
  }

  async end(): Promise<void> {
    const some = this.#waiting
    this.#waiting = []
    if (some.length === 0) return
    const decisions = some.map(({ decision }) => decision)
    const results = await this.#ledger.decideAll(decisions, this.#by)
    for (const [index, { finding, decision }] of some.entries()) {
      const { error } = results[index] as DecisionResult
      this.#report(error === undefined ? { ...finding, ...settledAs(decision) } : { ...finding, left: error.message })
    }
  }
}
