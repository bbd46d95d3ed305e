import type { CustomerAccount } from '../../usage/account.ts'
import { LedgerError } from '../errors.ts'
import { DAY, HOUR } from '../hours.ts'
import type {
  AuditNote,
  CustomerEntitlement,
  Entitlement,
  EntitlementNews,
  Included,
  IncludedDimension,
} from '../ledger.ts'
import { type BookedAgreement, endOf } from './agreement.ts'
import { checkTime } from './validation.ts'

/**
 * What contracts include: of which dimensions, how much for each customer, and how much of it is used. A term lies on
 * the time line between two instants, and an hour draws on the term that holds its beginning; in it, on what its month
 * has left, where each month has its own. What is drawn is never given back: a quantity that returns to the balance is
 * what was to be metered.
 */

/** A term of a customer's entitlement, as it is stored, as JSON. */
export interface BookedTerm {
  /** 0 for one that was there before it was first heard of. */
  readonly from: number
  readonly until: number | null
  /** Until when it is by what was said of it, where it has vanished before. */
  readonly expires: number | null
  /** In millionths of the base unit; null for what all customers have. */
  readonly amount: string | null
  /** Of AWS's entitlement, which says nothing of what all customers have. */
  readonly listed?: boolean
  /** When it was told. */
  readonly at: number
  /** What was drawn, by the beginning of each of its last months, or of itself. */
  readonly used: readonly (readonly [since: number, amount: string])[]
}

/** Of a dimension. */
export interface BookedEntitlement {
  /** The last terms, the earliest first. */
  readonly terms: readonly BookedTerm[]
  /** What of the balance waits until it is known what its hours may draw, the earliest first. */
  readonly waiting?: readonly HourUsage[]
}

/** By dimension. */
export type BookedEntitlements = Readonly<Record<string, BookedEntitlement>>

/** Usage of an hour, in millionths of the base unit, as it is stored. */
export type HourUsage = readonly [hour: number, amount: string]

/** So many terms of each kind, and months of each, are kept: an hour is closed within a day or two of its end, as a rule. */
const MOST_TERMS = 3
const MOST_MONTHS = 3
/** Usage is told apart by the last so many hours that it waits of; what is of earlier ones is of the first of them. */
const MOST_HOURS = 100
/** A term is renewed so long before its end at the earliest; what changes before is the same term. */
const RENEWED = DAY

/** Of which nothing is known. */
export const UNENTITLED: BookedEntitlement = { terms: [] }

/** What is registered of products' dimensions. */
export class IncludedDimensions {
  readonly #known: ReadonlyMap<string, IncludedDimension>

  constructor(dimensions: readonly IncludedDimension[]) {
    this.#known = new Map(dimensions.map(one => [nameOf(one.product, one.dimension), one]))
  }

  of(product: string, dimension: string): IncludedDimension | undefined {
    return this.#known.size === 0 ? undefined : this.#known.get(nameOf(product, dimension))
  }
}

const nameOf = (product: string, dimension: string): string => JSON.stringify([product, dimension])

/** What is said of a dimension, before and after it is said anew. */
export interface IncludedChange {
  readonly dimension: string
  readonly before: IncludedDimension | undefined
  readonly after: IncludedDimension | undefined
}

/** What changes when it is said anew which of a product's dimensions contracts include quantities of. */
export function changedIncluded(
  product: string,
  known: readonly IncludedDimension[],
  included: Readonly<Record<string, Included | null>>,
  now: number,
): IncludedChange[] {
  const before = new Map(known.filter(one => one.product === product).map(one => [one.dimension, one]))
  return Object.entries(included).flatMap(([dimension, wanted]) => {
    const [old, said] = [before.get(dimension), wanted ?? undefined]
    if (storedIncluded(old) === storedIncluded(said)) return []
    // What is known of an entitlement says nothing of another.
    const same = old?.entitlement === said?.entitlement && old?.unit === said?.unit
    const kept = same && old?.knownUntil !== undefined ? { knownUntil: old.knownUntil } : {}
    return [
      { dimension, before: old, after: said && { ...said, product, dimension, since: old?.since ?? now, ...kept } },
    ]
  })
}

/** As it is stored, and as the audit trail says it. */
export function storedIncluded(included: Included | undefined): string {
  if (included === undefined) return 'nothing'
  const { per, entitlement, unit, quantity, unknown } = included
  return JSON.stringify({
    per,
    entitlement,
    unit,
    quantity,
    unknown: { after: unknown.after, outcome: unknown.outcome },
  })
}

/** Up to when it is known what AWS's entitlements are: not from a clock that was ahead. */
export function knownAt({ knownUntil }: IncludedDimension, now: number): number | undefined {
  return knownUntil !== undefined && knownUntil <= now ? knownUntil : undefined
}

/** Since when it is not known what AWS's entitlements are: since they were known last, or since the terms were said. */
export function unknownSince(contract: IncludedDimension, now: number): number {
  return knownAt(contract, now) ?? contract.since
}

/** When usage ends to wait for what AWS says. */
export function waitsUntil(contract: IncludedDimension, now: number): number {
  return unknownSince(contract, now) + contract.unknown.after
}

/** What of news is new: a list says nothing of a dimension of which a later one was told. */
export function newsSince(
  known: IncludedDimensions,
  product: string,
  news: EntitlementNews,
  { now }: AuditNote,
): EntitlementNews {
  const isOld = (dimension: string) => {
    const one = known.of(product, dimension)
    return one !== undefined && (knownAt(one, now) ?? Number.NEGATIVE_INFINITY) >= news.at
  }
  return news.complete ? { ...news, dimensions: news.dimensions.filter(one => !isOld(one)) } : news
}

/** What of an entitlement an hour may draw, in millionths of the base unit; or what becomes of the hour's usage. */
export type Left = bigint | 'wait' | 'hold'

/** Whose usage of which hour it is about. */
export interface Drawing {
  readonly contract: IncludedDimension
  readonly entitlement: BookedEntitlement
  readonly balance: bigint
  /** What of the balance was there before this hour's usage: what waited is in it, unless it has gone since. */
  readonly carried: bigint
  readonly agreement: BookedAgreement | null
  readonly size: bigint
  readonly hour: number
  readonly now: number
  /** Whether the agreement ends with it: then there is no later closing that could know more. */
  readonly final: boolean
}

/** How much may be drawn. */
export function leftOf(drawing: Drawing): Left {
  const { contract, now, hour, final } = drawing
  if (contract.quantity === undefined) {
    const knownUntil = knownAt(contract, now)
    const recent = now < waitsUntil(contract, now)
    // What AWS says after an hour's end is what was so in it.
    const known = knownUntil !== undefined && (knownUntil >= hour + HOUR || (final && recent))
    if (!known && !final && recent) return 'wait'
    if (!known && contract.unknown.outcome === 'hold') return 'hold'
  }
  return drawnBy(drawing).drawn
}

/** What is known after so much was drawn. */
export function afterDrawing(drawing: Drawing, amount: bigint): BookedEntitlement {
  return { terms: drawnBy(drawing, amount).terms }
}

/** What is known after the hour's usage has to wait. The same object where nothing of it is new. */
export function afterWaiting(drawing: Drawing): BookedEntitlement {
  const { entitlement, hour } = drawing
  const hours = hoursOf(drawing)
  if (hours.at(-1)?.[0] !== hour) return entitlement
  const [first, ...others] = hours.slice(-MOST_HOURS) as [[number, bigint], ...(readonly [number, bigint])[]]
  first[1] += hours.slice(0, -MOST_HOURS).reduce((sum, [, amount]) => sum + amount, 0n)
  return { ...entitlement, waiting: [first, ...others].map(([one, amount]) => [one, String(amount)] as const) }
}

/** What of a balance is of which hour: what waited of those that it waited of, and the rest of this one. */
function hoursOf({ entitlement, balance, carried, hour }: Drawing): [hour: number, amount: bigint][] {
  const hours: [number, bigint][] = []
  let waiting = 0n
  for (const [waited, amount] of entitlement.waiting ?? []) {
    const there = least(BigInt(amount), carried - waiting)
    if (there > 0n) hours.push([waited, there])
    waiting += there
  }
  if (balance > waiting) hours.push([hour, balance - waiting])
  return hours
}

/** Draws the whole units of each hour on its own term and month, as far as they have it, and at most so much. */
function drawnBy(drawing: Drawing, most?: bigint): { drawn: bigint; terms: readonly BookedTerm[] } {
  const { entitlement, size } = drawing
  let { terms } = entitlement
  let [drawn, fraction] = [0n, 0n]
  for (const [hour, amount] of hoursOf(drawing)) {
    const usage = fraction + amount
    fraction = usage % size
    const one = { ...drawing, terms, hour }
    const term = termOf(one)
    if (term === undefined) continue
    const since = periodOf(term, one)
    const used = usedIn(term, since)
    const left = least(amountOf(term, one) - used, usage, most === undefined ? usage : most - drawn)
    const units = left - (left % size)
    if (units <= 0n) continue
    drawn += units
    const months = [...term.used.filter(([other]) => other !== since), [since, String(used + units)] as const]
    const after = { ...term, used: months.sort(([a], [b]) => a - b).slice(-MOST_MONTHS) }
    terms = lastOf(terms.includes(term) ? terms.map(other => (other === term ? after : other)) : [...terms, after])
  }
  return { drawn, terms }
}

const least = (...amounts: readonly bigint[]): bigint => amounts.reduce((a, b) => (b < a ? b : a))

function lastOf(terms: readonly BookedTerm[]): readonly BookedTerm[] {
  const kinds = Map.groupBy(
    [...terms].sort((a, b) => a.from - b.from),
    ({ amount, listed = false }) => amount !== null && (listed ? 'listed' : 'told'),
  )
  return [...kinds.values()].flatMap(kind => kind.slice(-MOST_TERMS)).sort((a, b) => a.from - b.from)
}

/** What one hour draws on. */
type HourDrawing = Pick<Drawing, 'contract' | 'agreement' | 'hour' | 'now'> & { readonly terms: readonly BookedTerm[] }

/** The term that holds an hour's beginning. */
function termOf({ contract, terms, agreement, hour, now }: HourDrawing): BookedTerm | undefined {
  const holds = ({ from, until }: BookedTerm) => from <= hour && (until === null || hour < until)
  const told = terms.findLast(term => isToldOf(term, contract) && holds(term))
  if (told !== undefined || contract.quantity === undefined) return told
  // Of what all have, a term is an agreement.
  const from = contract.per === 'term' ? begunAt(agreement, hour) : 0
  return (
    terms.find(term => term.amount === null && term.from === from) ?? {
      ...{ from, until: null, expires: null, amount: null, at: now, used: [] },
    }
  )
}

/** Whether a term is a customer's own: of its entitlement, or, where all have a quantity, instead of that. */
function isToldOf(term: BookedTerm, { quantity }: Pick<Included, 'quantity'>): boolean {
  return isTold(term, quantity === undefined)
}

const isTold = ({ amount, listed = false }: BookedTerm, byList: boolean): boolean =>
  amount !== null && listed === byList

/** When the agreement began that an hour is of, after another had ended; 0 for the first. */
function begunAt(agreement: BookedAgreement | null, hour: number): number {
  const marks = agreement?.marks ?? []
  const before = marks.filter(([at]) => at < hour + HOUR)
  const ended = before.findLastIndex(([, what], index) => what === 'ended' && index < before.length - 1)
  return ended === -1 ? 0 : (before[ended + 1]?.[0] ?? 0)
}

function amountOf({ amount }: BookedTerm, { contract, size }: Drawing): bigint {
  return amount === null ? BigInt(contract.quantity as number) * size : BigInt(amount)
}

function periodOf({ from }: BookedTerm, { contract, hour }: Pick<Drawing, 'contract' | 'hour'>): number {
  const date = new Date(hour)
  return contract.per === 'term' ? from : Math.max(from, Date.UTC(date.getUTCFullYear(), date.getUTCMonth()))
}

function usedIn({ used }: BookedTerm, since: number): bigint {
  return BigInt(used.find(([at]) => at === since)?.[1] ?? 0)
}

/**
 * A customer's terms after news. The same object where they say nothing new.
 *
 * @param told undefined where it has no entitlement
 * @param at when it was so
 */
export function afterEntitlementNews(
  terms: readonly BookedTerm[],
  told: Pick<Entitlement, 'amount' | 'until'> | undefined,
  { at, complete }: Pick<EntitlementNews, 'at' | 'complete'>,
  agreement: BookedAgreement | null,
  now: number,
): readonly BookedTerm[] {
  const last = terms.findLast(term => isTold(term, complete))
  // What is to come was told by a clock that was ahead.
  if (last !== undefined && at <= last.at && last.at <= now) return terms
  if (told === undefined) {
    if (last === undefined || (last.until !== null && last.until <= at)) return terms
    return replaced(terms, last, { ...last, until: at, at })
  }
  const { amount, until = null } = told
  // By its date it is there at least so long. AWS lists it still: its renewal may be new there, and comes.
  const goesOn = complete && until !== null && until <= at
  const term = { until: goesOn ? at + RENEWED : until, expires: until, amount: String(amount), at, listed: complete }
  if (last === undefined) {
    // What was used of what all customers have is used of the customer's own.
    const other = terms.findLast(one => one.listed !== true)
    const { from, used } = other ?? { from: 0, used: [] }
    return lastOf([...terms.filter(one => complete || one !== other), { ...term, from, used }])
  }
  const from = renewedAt(last, until, at, agreement)
  if (from !== undefined) {
    const before = { ...last, until: from }
    return lastOf([...terms.map(one => (one === last ? before : one)), { ...term, from, used: [] }])
  }
  const holds = goesOn ? (last.until ?? 0) > at : last.until === until
  const same = last.amount === term.amount && holds && last.expires === until
  return same ? terms : replaced(terms, last, { ...last, ...term })
}

/** When another term began than the last that is known; undefined while it is still that one. */
function renewedAt(
  { until, expires, at: toldAt }: BookedTerm,
  now: number | null,
  at: number,
  agreement: BookedAgreement | null,
): number | undefined {
  const marks = agreement?.marks ?? []
  const begun = marks.findLast(
    ([time, what], index) => what !== 'ended' && time <= at && marks[index - 1]?.[1] === 'ended',
  )
  // Another agreement, be it on the same terms.
  if (begun !== undefined && begun[0] > toldAt) return begun[0]
  if (until === null || now === expires) return undefined
  // One that has vanished comes again as it was; with another end it is another, and so is one that went on.
  if (until !== expires) return Math.min(until, expires ?? until)
  return at >= until - RENEWED ? until : undefined
}

function replaced(terms: readonly BookedTerm[], one: BookedTerm, by: BookedTerm): readonly BookedTerm[] {
  return terms.map(term => (term === one ? by : term))
}

/** @throws LedgerError where news cannot be so */
export function checkEntitlements({ at, entitlements, dimensions }: EntitlementNews): void {
  checkTime('at', at)
  for (const { dimension, amount, until, account } of entitlements) {
    if (until !== undefined) checkTime('until', until)
    if (!dimensions.includes(dimension)) {
      throw new LedgerError('ERR_LEDGER_INVALID', `Expected one of ${dimensions.join(', ')}, got "${dimension}".`)
    }
    if (typeof amount === 'bigint' && amount >= 0n) continue
    throw new LedgerError(
      'ERR_LEDGER_INVALID',
      `Expected an amount of ${dimension} of 0 or more for ${account.key}, got ${amount}.`,
    )
  }
}

/** Refuses news of what nothing is registered of. */
export function checkRegistered(product: string, dimensions: readonly string[], known: IncludedDimensions): void {
  const missing = dimensions.find(dimension => known.of(product, dimension) === undefined)
  if (missing === undefined) return
  throw new LedgerError(
    'ERR_LEDGER_INVALID',
    `Expected a dimension of ${product} of which contracts include something, got "${missing}".`,
  )
}

/** A customer's entitlements after news of some dimensions. The same object where they say nothing new. */
export function afterNewsOf(
  before: BookedEntitlements | null,
  told: readonly Entitlement[],
  { dimensions, ...news }: EntitlementNews,
  agreement: BookedAgreement | null,
  now: number,
): BookedEntitlements | null {
  let after = before
  for (const dimension of dimensions) {
    const one = told.find(other => other.dimension === dimension)
    if (one === undefined && !news.complete) continue
    const known = after?.[dimension] ?? UNENTITLED
    const terms = afterEntitlementNews(known.terms, one, news, agreement, now)
    if (terms !== known.terms) after = { ...after, [dimension]: { ...known, terms } }
  }
  return after
}

/** What news say of each customer, by its account's key. */
export function toldBy({ entitlements }: EntitlementNews): ReadonlyMap<string, ToldCustomer> {
  const told = new Map<string, { account: CustomerAccount; entitlements: Entitlement[] }>()
  for (const one of entitlements) {
    const known = told.get(one.account.key) ?? { account: one.account, entitlements: [] }
    known.entitlements.push(one)
    told.set(one.account.key, known)
  }
  return told
}

interface ToldCustomer {
  readonly account: CustomerAccount
  readonly entitlements: readonly Entitlement[]
}

/** A term that is new, or was changed, of a dimension. */
export interface ChangedTerm {
  readonly dimension: string
  readonly term: BookedTerm
}

export function changedTerms(before: BookedEntitlements | null, after: BookedEntitlements | null): ChangedTerm[] {
  return Object.entries(after ?? {}).flatMap(([dimension, { terms }]) => {
    const term = terms.at(-1)
    return terms === before?.[dimension]?.terms || term === undefined ? [] : [{ dimension, term }]
  })
}

/** What is told of a customer's entitlements: of each dimension its last term. */
export function toldEntitlements(
  account: Entitlement['account'],
  entitlements: BookedEntitlements | null,
  included: IncludedDimensions,
  sizeOf: (dimension: string) => bigint,
): CustomerEntitlement[] {
  return Object.entries(entitlements ?? {}).flatMap(([dimension, { terms }]) => {
    const known = included.of(account.product, dimension)
    const shown = terms.filter(term => term.amount === null || known === undefined || isToldOf(term, known))
    return shown.map(term => {
      const { from, until, used } = term
      const [since, drawn] = used.at(-1) ?? []
      const all = BigInt(known?.quantity ?? 0) * sizeOf(dimension)
      return {
        ...{ account, dimension, amount: term.amount === null ? all : BigInt(term.amount), used: BigInt(drawn ?? 0) },
        ...(from !== 0 && { from }),
        ...(until !== null && { until }),
        ...(since !== undefined && since !== 0 && { usedSince: since }),
      }
    })
  })
}

/** Whether an agreement's end leaves no later closing of an hour. */
export function isFinal(agreement: BookedAgreement | null, hour: number): boolean {
  const end = endOf(agreement)
  return end !== null && end <= hour + HOUR
}
