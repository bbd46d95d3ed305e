import { closest } from '../closest-word.ts'
import { HOUR, hourOf, MINUTE, SECOND } from '../ledger/hours.ts'
import type { AuditNote, Included, IncludedDimension, Ledger } from '../ledger/ledger.ts'
import { knownAt, storedIncluded, waitsUntil } from '../ledger/rules/entitlements.ts'
import { withDeadline } from '../marketplace/deadline.ts'
import { type EntitlementClient, type ListedEntitlement, MAX_ENTITLEMENTS } from '../marketplace/entitlement-client.ts'
import { baseAmount } from '../text/quantity.ts'
import { type CustomerAccount, licenceId } from '../usage/account.ts'
import type { Dimension } from '../usage/dimension.ts'
import type { UsageOptions } from '../usage/options.ts'
import type { IncludedRule } from '../usage/rules.ts'
import { backoff } from './backoff.ts'
import { newsOf } from './entitlement-news.ts'
import { useOf } from './entitlement-use.ts'
import { describe } from './faults.ts'
import type { ParsedEntitlements } from './options.ts'

/** What a process knows of what contracts include, by its options. */
export interface ContractOptions {
  readonly usage: Pick<UsageOptions, 'productCode' | 'product'>
  /** By dimension; null where it is said that they include nothing. */
  readonly included: ReadonlyMap<string, IncludedRule | null>
  readonly entitlements: ParsedEntitlements
}

export interface ContractsOptions extends ContractOptions {
  readonly ledger: Ledger
  readonly client: EntitlementClient
  /** Milliseconds since the epoch. */
  readonly now: () => number
  /** Those that are configured. */
  readonly dimensions?: readonly Dimension[]
  /** How long an hour is closed after its end, in milliseconds. */
  readonly closeDelay: number
  /** How long a request may take, in milliseconds. */
  readonly requestTimeout: number
  readonly report: (event: ContractEvent) => void
  readonly random?: () => number
}

/** What is told of contracts. */
export type ContractEvent =
  /** What the ledger has of this process's products, in each pass. */
  | { readonly type: 'included'; readonly dimensions: readonly IncludedDimension[] }
  /** The ledger has something else than this process's options say, or they say nothing of what it has. */
  | { readonly type: 'other-terms'; readonly product: string; readonly dimension: string; readonly said: boolean }
  | ({ readonly type: 'entitlements' } & EntitlementsRead)
  /** AWS lists no entitlement of this name. */
  | { readonly type: 'unlisted'; readonly entitlement: string; readonly dimension: string }
  | { readonly type: 'used'; readonly levels: readonly UsedLevel[] }

/** What came of asking AWS for a product's entitlements. */
export interface EntitlementsRead {
  readonly productCode: string
  /** Why it is not known; undefined where it is. */
  readonly fault?: string
  /** What waits for it. */
  readonly waiting: readonly Waiting[]
}

export interface Waiting {
  readonly dimension: string
  /** In the balance by now, such as `1,200 token`. */
  readonly amount: string
  /** Until when, in milliseconds since the epoch, and what becomes of it then. */
  readonly until: number
  readonly outcome: Included['unknown']['outcome']
}

/** How many customers have little or nothing left of what contracts include of a dimension. */
export interface UsedLevel {
  readonly dimension: string
  /** A fifth or less, and more than nothing. */
  readonly low: number
  readonly usedUp: number
  /** How many of each this process had not told of yet, in the term or month that counts. */
  readonly newlyLow: number
  readonly newlyUsedUp: number
}

/** So long after an hour's end AWS is asked, or half the time until it is closed: what is new there may be a while on its way. */
const SETTLING = 2 * MINUTE
/** Between two lists of a product's entitlements by those who share a ledger, in milliseconds. */
const SPACING = 30 * SECOND
/** Until the pass after it. One that was not needed is nobody's in the next hour. */
const TURN_LASTS = 90 * SECOND
const RETRY_SHORTEST = 30 * SECOND
const RETRY_LONGEST = 15 * MINUTE
/** A list of a hundred thousand. What is longer goes round in circles. */
const MOST_PAGES = 4000
/** How many customers are remembered of whom was told what they have used. */
const MOST_TOLD = 100_000

/** How the reading of one product code stands. */
interface Reading {
  failures: number
  pausedUntil: number
  /** When this process may ask; undefined where it has not taken a turn. */
  turnAt: number | undefined
  listing: Promise<void> | undefined
}

/**
 * What contracts include, between options, AWS and the ledger: it says in the ledger what the options say, reads what
 * AWS says after each hour's end, and tells how much is left. The ledger decides.
 */
export class Contracts {
  readonly #options: ContractsOptions
  readonly #random: () => number
  /** AWS's codes, with the products of the ledger that their entitlements are of. */
  readonly #codes: ReadonlyMap<string, readonly string[]>
  readonly #readings = new Map<string, Reading>()
  readonly #end = new AbortController()
  #registered = false
  /** What the ledger had when it was read last. */
  #last: readonly IncludedDimension[] = []
  #lookedAt = ''
  /** What was told of a customer's term. */
  readonly #told = new Map<string, 'low' | 'used up'>()

  constructor(options: ContractsOptions) {
    this.#options = options
    this.#random = options.random ?? Math.random
    const { usage, entitlements } = options
    this.#codes = codesOf(usage, entitlements)
  }

  /** Nothing is asked any more. */
  end(): void {
    this.#end.abort()
  }

  /** Says in the ledger what the options say, of the dimensions that are registered there. Rejects only for the ledger. */
  async register(): Promise<void> {
    const { ledger, included, entitlements, now } = this.#options
    if (this.#registered) return
    const known = included.size === 0 ? [] : (await ledger.dimensions()).map(({ name }) => name)
    const said = [...included].filter(([dimension]) => known.includes(dimension))
    const terms = Object.fromEntries(said.map(([name, rule]) => [name, termsOf(rule, entitlements)]))
    if (said.length > 0) {
      const by: AuditNote = { who: 'metering', why: 'the options of a process that meters say so', now: now() }
      for (const product of this.#products) await ledger.registerIncluded(product, terms, by)
    }
    if (included.size === 0) this.#tellTerms(await this.#known())
    this.#registered = said.length === included.size
  }

  get #products(): string[] {
    const { productCode, product } = this.#options.usage
    return [productCode, product].filter(name => name !== undefined)
  }

  /** What the ledger has of this process's products. */
  async #known(): Promise<readonly IncludedDimension[]> {
    const products = this.#products
    this.#last = (await this.#options.ledger.included()).filter(({ product }) => products.includes(product))
    return this.#last
  }

  /**
   * Before an hour is closed: has AWS asked where that is due, and waits for a while. Rejects only for the ledger; what AWS
   * does not answer is reported, and usage waits for it.
   */
  async beforeClosing(signal?: AbortSignal): Promise<void> {
    await this.register()
    const { included, requestTimeout, report } = this.#options
    if (included.size === 0) return
    const known = await this.#known()
    report({ type: 'included', dimensions: known })
    if (this.#registered) this.#tellTerms(known)
    for (const code of this.#codes.keys()) {
      const reading = this.#readings.get(code) ?? { failures: 0, pausedUntil: 0, turnAt: undefined, listing: undefined }
      this.#readings.set(code, reading)
      if (reading.listing === undefined && (await this.#mayAsk(code, reading, known))) {
        reading.listing = this.#read(code, reading).finally(() => {
          reading.listing = undefined
        })
      }
      const { listing } = reading
      // A long list comes to its end beside the passes.
      if (listing !== undefined)
        await withDeadline(requestTimeout, () => listing, { abortSignal: signal }).catch(() => {})
    }
  }

  /** Whether AWS is to be asked now, by this process. */
  async #mayAsk(code: string, reading: Reading, known: readonly IncludedDimension[]): Promise<boolean> {
    const { ledger, now } = this.#options
    if (this.#end.signal.aborted || this.#unknownOf(code, known).length === 0) return false
    const pause = reading.pausedUntil - now()
    // A longer one comes from a clock that was ahead.
    if (pause > 0 && pause <= RETRY_LONGEST) return false
    if (reading.turnAt === undefined || now() - reading.turnAt > TURN_LASTS)
      reading.turnAt = await ledger.clock.takeTurns(`entitlements ${code}`, 1, SPACING, now())
    if (reading.turnAt === undefined || reading.turnAt > now()) return false
    reading.turnAt = undefined
    // Whoever had the turn before may have asked.
    return this.#unknownOf(code, await this.#known()).length > 0
  }

  /** What of AWS's entitlements is not known up to the last full hour's end. */
  #unknownOf(code: string, known: readonly IncludedDimension[]): IncludedDimension[] {
    const { included, now, closeDelay } = this.#options
    const products = this.#codes.get(code) as readonly string[]
    const over = hourOf(now() - Math.min(closeDelay / 2, SETTLING))
    return known.filter(
      one =>
        products.includes(one.product) &&
        one.entitlement !== undefined &&
        isSaidBy(included.get(one.dimension), one) &&
        (knownAt(one, now()) ?? 0) < over,
    )
  }

  /** Reads and notes all of a product's entitlements. It never rejects. */
  async #read(code: string, reading: Reading): Promise<void> {
    const { report, now } = this.#options
    try {
      const at = now()
      const listed = await this.#list(code)
      const problems = await this.#note(code, at, listed)
      if (problems.length > 0) throw new NotUnderstood(problems.join(' '))
      reading.failures = 0
      await this.#known()
      report({ type: 'entitlements', productCode: code, waiting: [] })
    } catch (error) {
      if (this.#end.signal.aborted) return
      reading.failures += 1
      reading.pausedUntil = now() + backoff(reading.failures, RETRY_SHORTEST, RETRY_LONGEST, this.#random)
      const fault = error instanceof NotUnderstood ? error.message : describe(error)
      const waiting = await this.#waiting(code).catch(() => [])
      report({ type: 'entitlements', productCode: code, fault, waiting })
    }
  }

  /** All of a product, page after page. */
  async #list(ProductCode: string): Promise<ListedEntitlement[]> {
    const { client, requestTimeout } = this.#options
    const listed: ListedEntitlement[] = []
    const tokens = new Set<string>()
    for (let NextToken: string | undefined; ; ) {
      const request = { ProductCode, MaxResults: MAX_ENTITLEMENTS, ...(NextToken !== undefined && { NextToken }) }
      const answer = await withDeadline(
        requestTimeout,
        abortSignal => client.getEntitlements(request, { abortSignal }),
        { abortSignal: this.#end.signal },
      )
      // An empty page may go on.
      listed.push(...(answer.Entitlements ?? []))
      NextToken = answer.NextToken || undefined
      // AWS lists nobody by an empty list.
      if (answer.Entitlements === undefined && NextToken === undefined)
        throw new NotUnderstood('The answer has no list of entitlements.')
      if (NextToken === undefined) return listed
      if (tokens.has(NextToken) || tokens.size === MOST_PAGES)
        throw new NotUnderstood('The list of entitlements does not end: a page was told to follow that came before.')
      tokens.add(NextToken)
    }
  }

  /** Returns why it is not known of some dimensions. */
  async #note(code: string, at: number, listed: readonly ListedEntitlement[]): Promise<string[]> {
    const { ledger, usage, included, now, report } = this.#options
    const unknown = this.#unknownOf(code, await this.#known())
    const names = [...new Set(listed.flatMap(one => one.Dimension ?? []))]
    const problems: string[] = []
    const misspelt = new Set<string>()
    for (const { entitlement = '', dimension } of unknown) {
      if (names.includes(entitlement)) continue
      const near = closest(
        entitlement,
        names.filter(name => !this.#isMapped(name)),
      )
      if (near === undefined) report({ type: 'unlisted', entitlement, dimension })
      else {
        // By a name with a letter wrong, what contracts have paid for would be metered.
        problems.push(
          `There is no entitlement ${entitlement}, but ${near}: mend included of ${dimension} where that is meant.`,
        )
        misspelt.add(dimension)
      }
    }
    for (const name of this.#codes.get(code) as readonly string[]) {
      const wanted = unknown.filter(one => one.product === name && !misspelt.has(one.dimension))
      if (wanted.length === 0) continue
      const [licensed, coded] = [name === usage.product, name === usage.productCode]
      const licences = licensed ? await this.#licences(name) : new Map()
      const beside = usage.productCode !== undefined
      const news = newsOf(listed, wanted, included, { name, licensed, coded, beside, licences }, at)
      problems.push(...news.problems)
      if (news.dimensions.length === 0) continue
      const { dimensions, entitlements } = news
      const by = { who: 'metering', why: `AWS's entitlements of ${code}`, now: now() }
      await ledger.noteEntitlements(name, { at, dimensions, entitlements, complete: true }, by)
    }
    return [...new Set(problems)]
  }

  #isMapped(entitlement: string): boolean {
    return [...this.#options.included.values()].some(rule => rule?.entitlement === entitlement)
  }

  /** The accounts of licences as the ledger has them: AWS writes what stands before a licence's id in two ways. */
  async #licences(product: string): Promise<Map<string, CustomerAccount[]>> {
    const { ledger } = this.#options
    const licences = new Map<string, CustomerAccount[]>()
    // Those that have usage before those that are only known of.
    for (const known of [() => ledger.statement(), () => ledger.agreements(), () => ledger.entitlements()]) {
      const found = new Map<string, Map<string, CustomerAccount>>()
      for (const { account } of (await known()) as readonly { account: { kind: string } }[]) {
        const customer = account as CustomerAccount
        if (account.kind !== 'customer' || customer.product !== product || customer.licenseArn === undefined) continue
        const id = licenceId(customer.licenseArn)
        found.set(id, (found.get(id) ?? new Map()).set(customer.key, customer))
      }
      for (const [id, accounts] of found) if (!licences.has(id)) licences.set(id, [...accounts.values()])
    }
    return licences
  }

  async #waiting(code: string): Promise<Waiting[]> {
    const { ledger, now } = this.#options
    const unknown = this.#unknownOf(code, await this.#known())
    const waiting: Waiting[] = []
    for (const one of unknown) {
      const { product, dimension } = one
      const lines = (await ledger.statement({ dimension })).filter(({ account }) => account.product === product)
      const amount = lines.reduce((sum, { balance }) => sum + balance, 0n)
      const until = waitsUntil(one, now())
      const [line] = lines
      if (line !== undefined)
        waiting.push({ dimension, amount: baseAmount(amount, line.dimension), until, outcome: one.unknown.outcome })
    }
    return waiting
  }

  /** Tells where the ledger has something else than the options say: who has said it last is heeded. */
  #tellTerms(known: readonly IncludedDimension[]): void {
    const { included, entitlements, dimensions = [], report } = this.#options
    for (const product of this.#products) {
      for (const { name: dimension } of dimensions) {
        const rule = included.get(dimension)
        const one = known.find(other => other.product === product && other.dimension === dimension)
        const same = storedIncluded((rule && termsOf(rule, entitlements)) ?? undefined) === storedIncluded(one)
        if (!same) report({ type: 'other-terms', product, dimension, said: rule !== undefined })
      }
    }
  }

  /** After hours were closed: how many customers have little left. It looks when something can have changed. */
  async afterClosing(): Promise<void> {
    const { ledger, now, closeDelay, included, report } = this.#options
    if (included.size === 0) return
    const known = this.#last
    const state = JSON.stringify([hourOf(now() - closeDelay - HOUR), ...known.map(one => one.knownUntil ?? 0)])
    if (state === this.#lookedAt) return
    this.#lookedAt = state
    const levels = new Map(
      known.map(({ dimension }) => [dimension, { low: 0, usedUp: 0, newlyLow: 0, newlyUsedUp: 0 }]),
    )
    for (const one of await ledger.entitlements()) {
      const { account, dimension, amount } = one
      const terms = known.find(other => other.product === account.product && other.dimension === dimension)
      const use = terms && useOf(one, terms.per, now())
      const level = levels.get(dimension)
      if (use === undefined || level === undefined || amount === 0n || use.left * 5n > amount) continue
      const what = use.left === 0n ? 'used up' : 'low'
      if (what === 'low') level.low += 1
      else level.usedUp += 1
      const key = JSON.stringify([account.key, dimension, use.since])
      const before = this.#told.get(key)
      if (before === what || before === 'used up') continue
      if (what === 'low') level.newlyLow += 1
      else level.newlyUsedUp += 1
      this.#told.delete(key)
      this.#told.set(key, what)
      if (this.#told.size > MOST_TOLD) this.#told.delete(this.#told.keys().next().value as string)
    }
    report({ type: 'used', levels: [...levels].map(([dimension, level]) => ({ dimension, ...level })) })
  }
}

/** AWS's codes, with the products of the ledger that their entitlements are of. */
function codesOf(
  { productCode, product }: ContractOptions['usage'],
  entitlements: { readonly productCode?: string | undefined } = {},
): Map<string, string[]> {
  const codes = new Map<string, string[]>()
  for (const [name, code] of [
    [productCode, productCode],
    [product, entitlements.productCode ?? productCode],
  ]) {
    // One name may be both.
    if (name !== undefined && code !== undefined) codes.set(code, [...new Set([...(codes.get(code) ?? []), name])])
  }
  return codes
}

/** AWS's codes of the products that it is asked for the entitlements of. */
export function entitledCodes(
  usage: ContractOptions['usage'],
  included: ContractOptions['included'],
  entitlements?: { readonly productCode?: string | undefined },
): string[] {
  const entitled = [...included.values()].some(rule => rule?.entitlement !== undefined)
  return entitled ? [...codesOf(usage, entitlements).keys()] : []
}

/** What is not AWS's error, but makes no sense in its answer. */
class NotUnderstood extends Error {}

/** Whether a process that asks AWS by its options asks for what the ledger has. */
function isSaidBy(rule: IncludedRule | null | undefined, { entitlement, unit }: IncludedDimension): boolean {
  return rule?.entitlement === entitlement && String(rule?.size) === unit
}

function termsOf(rule: IncludedRule | null, { unknown }: ParsedEntitlements): Included | null {
  if (rule === null) return null
  const { per, entitlement, quantity, size } = rule
  return {
    ...{ per, unknown },
    ...(entitlement !== undefined && { entitlement, unit: String(size) }),
    ...(quantity !== undefined && { quantity }),
  }
}
