import type { Ledger, Note } from '../ledger/ledger.ts'
import { iso } from '../text/time.ts'
import { type Span, unionOf } from './coverage.ts'
import type { Verdict } from './judgement.ts'

/**
 * What runs have noted in a ledger's audit trail: which hours of which region were held against all that AWS wrote down
 * of them, and what that left open. JSON, times as ISO 8601, for people and programs.
 */

/** What a run has come to, of the hours of a region that it has reconciled. */
export interface NotedRegion extends Span {
  readonly region: string
  /** How many records by verdict. */
  readonly verdicts: Figures
  /** How many of them were settled by what events prove. */
  readonly settled: Figures
  /** Findings that a person has to look at, of what the ledger does not hold: nothing else in it tells of them. */
  readonly open: Figures
  /** Findings of what is held. */
  readonly held: number
  /** Calls whose records or answers CloudTrail has left out. */
  readonly leftOut: number
}

type Figures = Readonly<Partial<Record<string, number>>>

/** Up to where a region's records are reconciled. */
export interface ReconciledRegion {
  readonly region: string
  /** The hours, without a break between them. The last one is where the next run begins; none where there was no run. */
  readonly hours: readonly Span[]
  /** What runs have left open, as far as no later run of the same hours has found it otherwise. */
  readonly open: ReadonlyMap<Verdict, number>
  readonly leftOut: number
  /** Of the runs that left something open: from the first of their hours to the last one, and when the youngest was. */
  readonly opened?: Span & { readonly at: number }
}

/** What of the trail is read: some months of runs. */
const MOST_NOTES = 100

/**
 * Up to where the ledger's records are reconciled, by region: of each that AWS was ever asked in to bill something, or
 * that was reconciled.
 */
export async function reconciledRegions(ledger: Pick<Ledger, 'audit' | 'answers'>): Promise<ReconciledRegion[]> {
  const entries = await ledger.audit({ actions: ['reconcile'], limit: MOST_NOTES })
  const found = new Map<string, (NotedRegion & { readonly since: number; readonly at: number })[]>()
  for (const { region } of await ledger.answers()) found.set(region, [])
  for (const { detail, at } of entries) {
    for (const noted of readNote(detail)) {
      const ofRegion = found.get(noted.region) ?? []
      found.set(noted.region, ofRegion)
      ofRegion.push({ ...noted, at })
    }
  }
  const sorted = [...found].sort(([one], [other]) => (one < other ? -1 : 1))
  return sorted.map(([region, notes]) => {
    // The youngest come first.
    const last = notes.filter(
      ({ from, to }, index) => !notes.slice(0, index).some(later => later.from <= from && later.to >= to),
    )
    const open = new Map<Verdict, number>()
    for (const note of last) {
      for (const [verdict, count = 0] of Object.entries(note.open)) {
        open.set(verdict as Verdict, (open.get(verdict as Verdict) ?? 0) + count)
      }
    }
    const left = last.filter(note => Object.keys(note.open).length > 0)
    const opened = {
      from: Math.min(...left.map(({ from }) => from)),
      to: Math.max(...left.map(({ to }) => to)),
      at: Math.max(...left.map(({ at }) => at)),
    }
    return {
      ...{ region, open, hours: unionOf(notes.map(({ since, to }) => ({ from: since, to }))) },
      ...{ leftOut: last.reduce((sum, note) => sum + note.leftOut, 0), ...(left.length > 0 && { opened }) },
    }
  })
}

/** The note of a run that has reconciled some hours; nothing where it has not. */
export async function reconciliationNote(
  ledger: Pick<Ledger, 'audit' | 'answers'>,
  regions: readonly NotedRegion[],
): Promise<Pick<Note, 'action' | 'detail'> | undefined> {
  if (regions.length === 0) return undefined
  const before = new Map((await reconciledRegions(ledger)).map(({ region, hours }) => [region, hours]))
  const told = regions.map(({ region, from, to, verdicts, settled, open, held, leftOut }) => {
    const joined = before.get(region)?.filter(span => span.from <= from && span.to >= from) ?? []
    const since = Math.min(from, ...joined.map(span => span.from))
    const figures = Object.entries({ verdicts, settled, open, held, leftOut })
    const some = figures.filter(([, value]) => (typeof value === 'number' ? value > 0 : Object.keys(value).length > 0))
    return [region, { from: iso(from), to: iso(to), since: iso(since), ...Object.fromEntries(some) }]
  })
  return { action: 'reconcile', detail: JSON.stringify({ regions: Object.fromEntries(told) }) }
}

/** Who runs in turn with other processes says first that it does. */
export const begunNote = (id: string): Pick<Note, 'action' | 'detail'> => ({
  action: 'reconcile',
  detail: JSON.stringify({ begun: id }),
})

/** Who has begun a run, where it says only that. */
export const begunBy = (detail: string | undefined): unknown => membersOf(parsed(detail)).begun

/** What a note says; nothing of what is none. */
function readNote(detail: string | undefined): (NotedRegion & { readonly since: number })[] {
  const { regions } = membersOf(parsed(detail))
  return Object.entries(membersOf(regions)).flatMap(([region, value]) => {
    const { from, to, since, verdicts, settled, open, held, leftOut } = membersOf(value)
    const [start, end, first] = [from, to, since].map(time => Date.parse(String(time))) as [number, number, number]
    if (!(first <= start && start < end)) return []
    const figures = { verdicts: figuresOf(verdicts), settled: figuresOf(settled), open: figuresOf(open) }
    return [{ region, from: start, to: end, since: first, ...figures, held: countOf(held), leftOut: countOf(leftOut) }]
  })
}

function parsed(text = ''): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const membersOf = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {}

const countOf = (value: unknown): number =>
  Number.isSafeInteger(value) && (value as number) > 0 ? (value as number) : 0

const figuresOf = (value: unknown): Figures =>
  Object.fromEntries(Object.entries(membersOf(value)).map(([name, count]) => [name, countOf(count)]))
