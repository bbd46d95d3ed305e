import { randomUUID } from 'node:crypto'
import { LedgerError } from '../ledger/errors.ts'
import { DAY, HOUR, MINUTE } from '../ledger/hours.ts'
import type { AuditEntry } from '../ledger/ledger.ts'
import type { ReconciliationReport } from '../metering/reporter.ts'
import type { Span } from '../reconcile/coverage.ts'
import type { Verdict } from '../reconcile/judgement.ts'
import { begunBy, begunNote, reconciledRegions } from '../reconcile/notes.ts'
import { openText, reconcileCommand } from '../reconcile/reconciled-text.ts'
import { type CloudTrailOptions, needsPerson, type ReconcilableLedger, runReconciliation } from '../reconcile/run.ts'
import { searchableUntil } from '../reconcile/search.ts'

export interface ReconcileOptions extends Pick<CloudTrailOptions, 'clientFor' | 'clock'> {
  /** How often, in milliseconds. */
  readonly every: number
  /** Whose calls are this ledger's: ARNs of roles, users or sessions. */
  readonly callers: readonly string[]
  /** Settle what events prove, and nothing else. */
  readonly settle?: boolean
}

interface Parts extends ReconcileOptions {
  readonly ledger: ReconcilableLedger
  /** Milliseconds since the epoch. */
  readonly now: () => number
  readonly report: (report: ReconciliationReport) => void
}

/** For the audit trail. */
const WHO = 'gateway'
/** How often it is looked whether it is time. */
const LOOK = 15 * MINUTE
/** A run of which nothing was noted by then has failed, and is tried again; later where that is seldom. */
const PATIENCE = 3 * HOUR
/** What is looked at once: a ledger in a file answers at once, and others have their turn between hours. */
const PIECE = DAY
/** How far back the first run looks. */
const FIRST = 7 * DAY

/**
 * Holds the ledger against CloudTrail every so often, of hours that AWS takes no more usage of. Any number of replicas
 * may do so: who begins says it in the ledger's audit trail, and whose entry is the first there goes on.
 */
export class Reconciling {
  readonly #parts: Parts
  readonly #id = randomUUID().slice(0, 8)
  readonly #stopping = new AbortController()
  #timer: NodeJS.Timeout | undefined
  #looking: Promise<void> | undefined
  /** By region, each until somebody has reconciled the hours that it was about. */
  readonly #faults = new Map<string, { readonly message: string; readonly to: number }>()

  constructor(parts: Parts) {
    this.#parts = parts
  }

  start(): void {
    void this.look().finally(() => {
      if (this.#stopping.signal.aborted) return
      this.#timer = setTimeout(() => this.start(), LOOK)
      this.#timer.unref()
    })
  }

  /** What this process could not do, and nobody has done since. */
  get fault(): string | undefined {
    const [fault] = this.#faults.values()
    return fault?.message
  }

  /** Does it where it is time, and nobody else does. It never rejects. */
  look(): Promise<void> {
    this.#looking ??= this.#look()
      .catch(error => {
        if (!this.#stopping.signal.aborted) this.#parts.report({ type: 'fault', message: (error as Error).message })
      })
      .finally(() => {
        this.#looking = undefined
      })
    return this.#looking
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    clearTimeout(this.#timer)
    await this.#looking
  }

  async #look(): Promise<void> {
    const { ledger, now, report } = this.#parts
    const end = searchableUntil(now())
    const behind = (await reconciledRegions(ledger)).filter(({ hours }) => (hours.at(-1)?.to ?? 0) < end)
    if (behind.length > 0 && (await this.#isOurTurn(now()))) {
      for (const { region, hours } of behind) await this.#region(region, hours.at(-1)?.to ?? end - FIRST, end)
    }
    const regions = await reconciledRegions(ledger)
    for (const { region, hours } of regions) {
      const { to = 0 } = this.#faults.get(region) ?? {}
      if ((hours.at(-1)?.to ?? 0) >= to) this.#faults.delete(region)
    }
    report({ type: 'until', regions })
  }

  async #isOurTurn(now: number): Promise<boolean> {
    const { ledger, every } = this.#parts
    const isWithin = ({ at }: AuditEntry, time: number) => Math.abs(now - at) < time
    const patience = Math.max(PATIENCE, every / 4)
    const entries = await this.#entries()
    if (entries.some(entry => isWithin(entry, begunBy(entry.detail) === undefined ? every : patience))) return false
    await ledger.note({ ...begunNote(this.#id), who: WHO, why: 'it begins to reconcile', now })
    const begun = (await this.#entries()).filter(entry => begunBy(entry.detail) !== undefined)
    const first = begun.filter(entry => isWithin(entry, patience)).at(-1)
    return first === undefined || begunBy(first.detail) === this.#id
  }

  /** What gateways have noted, the youngest first. */
  async #entries(): Promise<AuditEntry[]> {
    return await this.#parts.ledger.audit({ actions: ['reconcile'], who: WHO, limit: 20 })
  }

  /** Day after day, from where the last run has ended. */
  async #region(region: string, since: number, end: number): Promise<void> {
    for (let from = since; from < end; from += PIECE) {
      const to = Math.min(from + PIECE, end)
      const message = await this.#piece(region, { from, to })
      if (message === undefined) continue
      this.#faults.set(region, { message, to })
      this.#parts.report({ type: 'fault', message })
      return
    }
  }

  /** Returns what was wrong, where not all of it was searched. */
  async #piece(region: string, hours: Span): Promise<string | undefined> {
    const { ledger, callers, settle = false, clientFor, clock, now, report } = this.#parts
    const { signal } = this.#stopping
    const found = new Map<Verdict, number>()
    let settled = 0
    try {
      const events = { regions: [region], signal, ...(clientFor && { clientFor }), ...(clock && { clock }) }
      const run = await runReconciliation(ledger, {
        ...{ events, callers, settle, ...hours, who: WHO, now: now() },
        onFinding: finding => {
          if (finding.settled !== undefined) settled++
          else if (needsPerson(finding)) found.set(finding.verdict, (found.get(finding.verdict) ?? 0) + 1)
        },
      })
      const agreed = run.verdicts.get('agreed')?.records ?? 0
      const told = [...found].map(([kind, count]) => ({ kind, count, message: foundText(region, hours, kind, count) }))
      report({ type: 'reconciled', region, ...hours, agreed, settled, found: told })
      if (run.unread.count > 0) return run.unread.first[0]
      return run.noted === 'noted'
        ? undefined
        : `What was reconciled in ${region} could not be noted. ${run.refusal ?? ''}`
    } catch (error) {
      // A ledger's faults are the gateway's in any case.
      if (signal.aborted || error instanceof LedgerError) throw error
      return (error as Error).message
    }
  }
}

function foundText(region: string, hours: Span, verdict: Verdict, count: number): string {
  const what = openText(new Map([[verdict, count]]))
  return `AWS does not have what the ledger has, in ${region}: ${what}. What they are and what to do: ${reconcileCommand(region, hours)}`
}
