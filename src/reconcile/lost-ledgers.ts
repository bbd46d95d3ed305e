import { hourOf } from '../ledger/hours.ts'
import type { AuditEntry, RecordEntry } from '../ledger/ledger.ts'
import { backupClosedThrough } from '../ledger/rules/audit.ts'
import { RESTORED } from '../ledger/rules/closing.ts'
import type { Dimension } from '../usage/dimension.ts'
import type { Callers } from './callers.ts'
import type { EventSeries } from './event.ts'
import { seriesKey } from './event.ts'
import type { Sighting } from './evidence.ts'
import type { Judgement } from './judgement.ts'
import type { Lack } from './lack.ts'

/**
 * What the ledgers were billed for that a ledger was restored after, of which it has no record: its series' *lost* units.
 *
 * A balance is an amount, of which no unit is another's. So what was lost is taken out of what was in the balance at the
 * backup first, and what was recorded later and lost with the ledger comes after it. Where as much was billed as a restore
 * holds, all of that is billed: events prove it. Where less was, the rest is not, as far as nothing is missing: it then
 * rests on a search without a gap, from the backup until AWS took the last that the lost ledger could have sent.
 *
 * Never more is billed than was used: of a balance H and later usage u the lost ledger has billed B ≤ H + u, and with the
 * rest of H it is max(B, H). That holds where B is all that it billed of them, for whomever: what speaks against it keeps a
 * person's decision (see `#certain`). A record that was pending at the backup may have gone into the balance, and out of it,
 * too, so that it is decided only where nothing is billed beyond H. What was held at the backup is no part of H: only a
 * person has ever let it go.
 */
export interface RestoredFigures {
  /** How many units of the dimension the record holds, which may end in a fraction. */
  readonly held: number
  /** How many units AWS has billed since the backup of which this ledger has no record. */
  readonly billed: number
  /** From the last hour that was closed at the backup until the restore. */
  readonly hours?: { readonly from: number; readonly to: number }
  /** How many units of the record are billed where no event is missing: 0, or a part. */
  readonly rest?: number
}

export interface RestoredJudgement extends Judgement {
  readonly record: RecordEntry
  readonly restored: RestoredFigures
}

/** A restore, as the audit trail tells of it, and the ledger that was lost before. */
interface Restore {
  readonly at: number
  /** The last hour that was closed at the backup. */
  readonly closed: number
  /** The hour of the restore before. */
  readonly before: number
  /** Whether usage of a ledger that was lost earlier has been brought in again since the restore before. */
  readonly healed: boolean
}

interface Series {
  readonly series: EventSeries
  /** What a restore holds of the balance. */
  readonly held: RecordEntry[]
  /** What of that was settled as billed. */
  readonly settled: RecordEntry[]
  /** Records of before, that are in doubt and as such not billed. */
  readonly doubted: { readonly record: RecordEntry; readonly judgement: Judgement }[]
  /** By the lost ledgers. */
  readonly lost: { readonly restore: Restore; readonly sighting: Sighting }[]
  /** Whether something speaks against that being all of it. */
  unclear: boolean
}

export interface LostLedgersOptions {
  /** The audit trail's entries of restores, of losses, and of dimensions that were changed. */
  readonly restores: readonly AuditEntry[]
  readonly losses: readonly AuditEntry[]
  readonly registered: readonly AuditEntry[]
  readonly dimensions: readonly Dimension[]
  readonly callers: Pick<Callers, 'isOurs' | 'surely'> | undefined
}

/** What is asked of the search. */
export interface Search {
  /** Why hours were not read, or not all of the ledger's records of them; nothing where they were. */
  readonly lacks: (from: number, to: number) => 'start' | 'end' | 'restore' | 'pruned' | undefined
  /** Whether, in each region, no event can be missing of hours. */
  readonly isComplete: (from: number, to: number) => boolean
}

export class LostLedgers {
  readonly #options: LostLedgersOptions
  readonly #restores: readonly Restore[]
  readonly #sizes: ReadonlyMap<string, bigint>
  readonly #series = new Map<string, Series>()
  /** Those of one AWS account and dimension. */
  readonly #siblings = new Map<string, Series[]>()

  constructor(options: LostLedgersOptions) {
    this.#options = options
    const all = options.restores.toSorted(byNumber)
    // One that died halfway is done again, at the same time: what is held tells which it is of by that.
    const restores = all.filter(({ at }, index) => all.findIndex(other => other.at === at) === index)
    this.#restores = restores.map(({ at, detail, number = 0 }, index) => {
      const before = restores[index - 1]
      const healed = options.losses.some(
        loss => (loss.number ?? 0) > (before?.number ?? 0) && (loss.number ?? 0) < number,
      )
      return {
        ...{ at, closed: backupClosedThrough(detail), healed: before !== undefined && healed },
        before: before === undefined ? Number.NEGATIVE_INFINITY : hourOf(before.at),
      }
    })
    this.#sizes = new Map(options.dimensions.map(({ name, size }) => [name, size]))
  }

  /** Since when the ledger knows all that became of its records: since it was restored, or has lost commits, last. */
  get knownAfter(): number {
    return latest([...this.#options.restores, ...this.#options.losses])
  }

  /** When the ledger has lost commits that no restore has accounted for. */
  get lostAt(): number {
    const restored = Math.max(...this.#options.restores.map(({ number = 0 }) => number))
    return latest(this.#options.losses.filter(({ number = 0 }) => number > restored))
  }

  /** Takes what AWS has of an hour and series, and the ledger has no record of. Returns whether a lost ledger billed it. */
  takeForeign(sightings: readonly Sighting[]): boolean {
    const [first] = sightings
    if (first === undefined || this.#restores.length === 0) return false
    const billed = sightings.filter(({ outcome }) => outcome === 'success')
    const ours = billed.filter(({ caller }) => this.#options.callers?.isOurs(caller) === true)
    const [lost, ...others] = ours
    const restore = this.#restoreAfter(lost ?? first)
    const alike = others.every(({ quantity }) => quantity === lost?.quantity)
    if (restore !== undefined && lost !== undefined && ours.length === billed.length && alike) {
      this.#of(first.series).lost.push({ restore, sighting: lost })
      return true
    }
    // Somebody else's calls may have been the lost ledger's, too, and a call without an answer may have billed.
    const mayBeLost =
      restore !== undefined && sightings.some(({ outcome }) => outcome === 'success' || outcome === 'unclear')
    if (mayBeLost || lost !== undefined) this.#of(first.series).unclear = true
    return false
  }

  /** The restore that followed on the ledger which made a call, where it could have metered the hour. */
  #restoreAfter({ time, hour }: Sighting): Restore | undefined {
    const restore = this.#restores.find(({ at }) => time <= at)
    if (restore === undefined) return undefined
    const { at, closed, before } = restore
    return closed > Number.NEGATIVE_INFINITY && hour >= Math.max(closed, before) && hour <= at ? restore : undefined
  }

  /**
   * Takes a record of the ledger, with what AWS has of its hour. Returns whether the judgement on it waits for `judgements`:
   * of what a restore holds of a balance, and of one of before that by itself is not billed.
   */
  takeRecord(record: RecordEntry, series: EventSeries, sightings: readonly Sighting[], judgement: Judgement): boolean {
    const { state, region, hour, quantity } = record
    if (region === RESTORED) {
      if (state !== 'held' && state !== 'metered') return false
      this.#of(series)[state === 'held' ? 'held' : 'settled'].push(record)
      return state === 'held'
    }
    if (this.#restores.every(({ at }) => hour > at)) return false
    const ours = sightings.filter(
      one => one.outcome === 'success' && this.#options.callers?.isOurs(one.caller) === true,
    )
    // What AWS billed of our own is neither this record nor without one.
    if (ours.some(one => one.quantity !== quantity || state === 'returned')) this.#of(series).unclear = true
    const notBilled = judgement.verdict === 'absent' || judgement.proof?.decision === 'not-billed'
    if (notBilled) this.#of(series).doubted.push({ record, judgement })
    return notBilled
  }

  /** What is to be said of all that waited, when everything was taken. */
  *judgements(search: Search): Generator<RestoredJudgement> {
    for (const series of this.#series.values()) yield* this.#judge(series, search)
  }

  *#judge(series: Series, search: Search): Generator<RestoredJudgement> {
    const {
      held,
      settled,
      doubted,
      lost,
      series: { dimension },
    } = series
    const size = this.#sizes.get(dimension)
    if (size === undefined) return
    /** What a ledger that was lost earlier has billed beyond what its restore holds: of usage that may be here again. */
    let beyond = 0n
    const open = new Map<Restore, Lack>()
    for (const restore of this.#restores) {
      const since = lost.filter(one => one.restore === restore).map(({ sighting }) => sighting)
      const billed = since.reduce((sum, { quantity }) => sum + quantity, 0)
      const hours = { from: restore.closed, to: restore.at }
      const unread =
        restore.closed > Number.NEGATIVE_INFINITY ? search.lacks(hours.from, hours.to) : ('no-backup' as const)
      if (!restore.healed) beyond = 0n
      // What somebody else has sent, too, with the same credentials may be theirs.
      const trusted = since.every(({ caller }) => this.#options.callers?.surely(caller) === 'ours')
      const lack =
        (this.#options.callers === undefined ? 'callers' : undefined) ??
        unread ??
        (trusted ? undefined : 'caller') ??
        (beyond === 0n ? this.#lackOf(series, hours, search) : 'lost-before')
      // What was settled is taken out first.
      let left = BigInt(billed) * size
      for (const record of settled) if (isOf(restore, record)) left -= amountOf(record)
      for (const record of held.filter(one => isOf(restore, one))) {
        const amount = amountOf(record)
        const figures = { held: unitsOf(amount, size), billed, hours }
        if (unread === undefined && trusted && left >= amount) {
          const proof = { decision: 'billed', by: since } as const
          yield { verdict: 'restored', shown: since, proof, record, restored: figures }
        } else {
          // Rather a fraction of a unit too few than one that is billed twice.
          const quantity = left <= 0n ? 0 : Number((left + size - 1n) / size)
          const rest = lack === undefined ? { rest: quantity } : {}
          yield {
            ...{ verdict: 'restored', shown: since, record, lack: lack ?? 'less' },
            restored: { ...figures, ...rest },
          }
        }
        left = left > amount ? left - amount : 0n
      }
      beyond += left > 0n ? left : 0n
      if (lack !== undefined || left > 0n) open.set(restore, lack ?? 'balances')
    }
    for (const record of held) {
      if (this.#restores.some(restore => isOf(restore, record))) continue
      const restored = { held: unitsOf(amountOf(record), size), billed: 0 }
      yield { verdict: 'restored', shown: [], record, lack: 'no-backup', restored }
    }
    for (const { record, judgement } of doubted) {
      const { shown, verdict } = judgement
      const after = this.#restores.filter(({ at }) => at >= record.hour)
      const hours = { from: Math.min(...after.map(({ closed }) => closed)), to: Math.max(...after.map(({ at }) => at)) }
      const restored = { held: record.quantity, billed: 0, hours }
      // Whatever is billed beyond the balances may be this.
      const [lack] = after.flatMap(restore => open.get(restore) ?? [])
      if (lack !== undefined) yield { verdict: 'restored', shown, record, lack, restored }
      else yield { verdict, shown, record, lack: 'absence', restored: { ...restored, rest: 0 } }
    }
  }

  /**
   * What speaks against that what is lost is all that the lost ledger billed of a series. It may have given usage of one
   * of a customer's licences to another, and a dimension may have had another size then.
   */
  #lackOf({ series, unclear }: Series, { from, to }: { from: number; to: number }, search: Search): Lack | undefined {
    const { dimension } = series
    const resized = this.#options.registered.some(entry => {
      return (
        entry.dimension === dimension && (entry.detail ?? '').includes('size ') && (entry.writtenAt ?? entry.at) >= from
      )
    })
    const size = this.#sizes.get(dimension) ?? 1n
    const siblings = this.#siblings.get(groupOf(series))?.filter(({ series: other }) => other !== series) ?? []
    const exceeds = siblings.some(sibling => {
      const has = [...sibling.held, ...sibling.settled].reduce((sum, record) => sum + amountOf(record), 0n)
      return (
        sibling.unclear ||
        sibling.lost.reduce((sum, { sighting: { quantity } }) => sum + BigInt(quantity) * size, 0n) > has
      )
    })
    if (unclear) return 'other-calls'
    if (resized) return 'resized'
    if (exceeds) return 'sibling'
    return search.isComplete(from, to) ? undefined : 'gap'
  }

  #of(series: EventSeries): Series {
    // What a restore holds is of no region.
    const anywhere = { ...series, region: '' }
    const key = seriesKey(anywhere)
    const known = this.#series.get(key)
    if (known !== undefined) return known
    const made: Series = { series: anywhere, held: [], settled: [], doubted: [], lost: [], unclear: false }
    this.#series.set(key, made)
    const siblings = this.#siblings.get(groupOf(anywhere))
    if (siblings === undefined) this.#siblings.set(groupOf(anywhere), [made])
    else siblings.push(made)
    return made
  }
}

const groupOf = ({ accountId, customerIdentifier, dimension }: EventSeries) =>
  JSON.stringify([accountId, customerIdentifier, dimension])
const amountOf = ({ quantity, size }: RecordEntry) => BigInt(quantity) * size
const unitsOf = (amount: bigint, size: bigint) => Number((amount * 1000n) / size) / 1000
const byNumber = (one: AuditEntry, other: AuditEntry) => (one.number ?? 0) - (other.number ?? 0)
/** A restore's records have its time for a deadline: they are never sent. */
const isOf = ({ at }: Restore, { deadline }: RecordEntry) => deadline === at
/** As was said or as it was written, whichever is later. */
const latest = (entries: readonly AuditEntry[]) =>
  Math.max(...entries.map(({ at, writtenAt = at }) => Math.max(at, writtenAt)))
