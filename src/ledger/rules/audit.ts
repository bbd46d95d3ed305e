import { createHash, type Hash, randomBytes } from 'node:crypto'
import type { Account, CustomerAccount } from '../../usage/account.ts'
import type { Dimension } from '../../usage/dimension.ts'
import { LedgerError } from '../errors.ts'
import type {
  AgreementNews,
  AuditAction,
  AuditBreak,
  AuditEntry,
  AuditNote,
  AuditQuery,
  AuditVerdict,
  Included,
  NotCounted,
} from '../ledger.ts'
import { type ChangedTerm, storedIncluded } from './entitlements.ts'
import { checkTime } from './validation.ts'

/**
 * The chain of the audit trail. Each entry is hashed with the hash of the one before it, and what the ledger keeps
 * beside the trail says how many there are and what the last hash is. So an entry that was changed, removed, moved or
 * put in between shows, and so does the end where it was cut off.
 *
 * What it cannot show by itself: the hash is no signature. Who may write all of the ledger can cut off the last entries,
 * for which there is nothing to hash: the number and the hash of the one before are copied into what is kept beside the
 * trail. Or hash it anew from any entry on; or turn it all back to a trail of which nothing is chained yet. That shows
 * only against a hash of such an entry, or of a later one, that was kept elsewhere and is given to `verify`; or where the
 * database does not let the role of the senders change what is there (see the roles in the examples). Of the entries
 * before there was a chain, only the youngest are hashed, together, when the first is chained.
 */

/** An entry that is to be written. */
export interface NewEntry {
  readonly who: string
  readonly why: string
  /** Milliseconds since the epoch; when it is written, where nobody says. */
  readonly now?: number
  readonly action: AuditAction
  readonly account?: Account
  readonly dimension?: string
  readonly recordId?: string
  readonly amount?: bigint
  readonly detail?: string
  /** As in `AuditNote`. */
  readonly group?: string
}

export type ChainedEntry = AuditEntry & Required<Pick<AuditEntry, 'number' | 'hash' | 'writtenAt' | 'systemUser'>>

/** The end of the chain, as the ledger keeps it beside the trail. */
export interface ChainEnd {
  /** How many entries are chained. */
  readonly entries: number
  /** The hash of the last; of those before the chain, where it has none. */
  readonly hash: string
}

/** Where a chain begins that has nothing before it. */
export const NOTHING = '0'.repeat(64)

/** How many of the entries before there was a chain are hashed, the youngest first: a first entry does not take long. */
export const HASHED_BEFORE = 10_000

const MOST_BREAKS = 100

/** What of the trail is written when usage is folded, and not when it is done. */
const FOUND: ReadonlySet<string> = new Set(
  Object.keys({
    ...{ baseline: 0, 'old-counter': 0, 'too-late': 0, conflict: 0, gap: 0, 'shared-identity': 0 },
    ...{ 'sent-twice': 0, 'moving-start': 0, 'clock-ahead': 0, 'out-of-range': 0 },
  } satisfies Record<NotCounted, 0>),
)

/** Whether what waits to be folded may be missing in the answer. */
export const tellsOfFolded = ({ actions }: AuditQuery): boolean => actions?.some(action => FOUND.has(action)) ?? true

/** Puts entries at the end of the chain. */
export function chain(
  end: ChainEnd,
  entries: readonly NewEntry[],
  { systemUser, writtenAt }: { readonly systemUser: string; readonly writtenAt: number },
): { chained: ChainedEntry[]; end: ChainEnd } {
  let { entries: number, hash } = end
  const chained = entries.map(
    ({ who, why, now = writtenAt, action, account, dimension, recordId, amount, ...said }) => {
      const detail = detailOf(said)
      number += 1
      checkTime('now', Math.floor(now))
      const entry = {
        ...{ number, at: Math.floor(now), who: storable(who), why: storable(why), action },
        ...{ systemUser: storable(systemUser), writtenAt: Math.floor(writtenAt) },
        ...(account !== undefined && { account: storableAccount(account) }),
        ...(dimension !== undefined && { dimension: storable(dimension) }),
        ...(recordId !== undefined && { recordId }),
        ...(amount !== undefined && { amount }),
        ...(detail !== undefined && { detail: storable(detail) }),
      }
      hash = hashOf(hash, entry)
      return { ...entry, hash }
    },
  )
  return { chained, end: { entries: number, hash } }
}

/** What is said at the end of an entry's detail of those that were done together with it. */
const GROUP = /(?:^|; )group ([0-9a-f]+)$/

/** By which all that one command does is found in the audit trail, and undone. */
export const newGroup = (): string => randomBytes(5).toString('hex')

/** The group that an entry says, if any. */
export const groupOf = ({ detail }: Pick<AuditEntry, 'detail'>): string | undefined => GROUP.exec(detail ?? '')?.[1]

/** What an entry says beside its group. */
export const detailWithoutGroup = ({ detail }: Pick<AuditEntry, 'detail'>): string => (detail ?? '').replace(GROUP, '')

function detailOf({ detail, group }: Pick<NewEntry, 'detail' | 'group'>): string | undefined {
  return group === undefined ? detail : [...(detail ? [detail] : []), `group ${group}`].join('; ')
}

/** What every engine gives back as it was: neither a NUL, nor half a character. */
export const storable = (text: string): string => text.toWellFormed().replaceAll('\0', '\ufffd')

function storableAccount<Kind extends Account>(account: Kind): Kind {
  return Object.fromEntries(Object.entries(account).map(([name, text]) => [name, storable(text)])) as unknown as Kind
}

function hashOf(before: string, entry: AuditEntry): string {
  return createHash('sha256').update(before).update(contentOf(entry)).digest('hex')
}

/** All that an entry says but its hash, in an order that no engine changes. */
function contentOf(entry: AuditEntry): string {
  const { number, at, who, why, writtenAt, systemUser, action, account, dimension, recordId, amount, detail } = entry
  const names = account && Object.entries(account).sort(([a], [b]) => (a < b ? -1 : 1))
  return JSON.stringify([
    ...[number, at, who, why, writtenAt, systemUser, action, names, dimension, recordId, String(amount), detail],
  ])
}

/** The error of an entry that no ledger has written so. */
export function unreadable(entry: string | number, cause: unknown): LedgerError {
  const what = `Entry ${entry} of the audit trail cannot be read; see "verify".`
  return new LedgerError('ERR_LEDGER_CORRUPT', what, { cause })
}

/**
 * What is hashed of an entry that is not stored as a ledger stores one, so that others may read something else of it
 * than it reads itself: all of it as it is, after a NUL, which no entry has that was written.
 */
export function foreignEntry(entry: AuditEntry, stored: unknown): AuditEntry {
  return { ...entry, detail: `\0${JSON.stringify(stored)}` }
}

/** The hash of the entries before the chain. */
export class HashBefore {
  #hash: Hash | undefined

  /** The next older one. */
  add(entry: AuditEntry): void {
    this.#hash ??= createHash('sha256')
    this.#hash.update(contentOf(entry))
  }

  digest(): string {
    return this.#hash?.digest('hex') ?? NOTHING
  }
}

/**
 * Where a chain whose last hash is gone goes on: after a hash that the next entry does not fit to, so that what was done
 * stays to be seen; undefined where nothing was chained yet.
 *
 * @param entries how many there are, as the ledger keeps it
 * @param highest the highest number of an entry that is there
 */
export function endWithoutHash(entries: number, highest: number): ChainEnd | undefined {
  const number = Math.max(entries, highest)
  return number === 0 ? undefined : { entries: number, hash: NOTHING }
}

/**
 * The verdict on a trail without a last hash.
 *
 * @param end of `endWithoutHash`
 * @param kept a hash that was kept elsewhere
 */
export function verdictWithoutHash(end: ChainEnd | undefined, kept: string | undefined): AuditVerdict {
  const breaks: AuditBreak[] = end === undefined ? [] : [{ kind: 'replaced', number: end.entries }]
  return { entries: 0, breaks: kept === undefined ? breaks : [...breaks, { kind: 'not-kept' }] }
}

/** Goes through a trail, entry by entry, and finds where it is not as it was written. */
export class TrailCheck {
  readonly #breaks: AuditBreak[] = []
  readonly #kept: string | undefined
  #keptAt: number | undefined
  #number = 0
  #hash: string

  /**
   * @param before what the first entry is chained to
   * @param found the hash of what is there of before the chain now
   * @param kept a hash that was kept elsewhere, to be looked for
   */
  constructor(before: string, found: string, kept: string | undefined) {
    this.#kept = kept
    this.#hash = before
    if (before === kept) this.#keptAt = 0
    if (before !== found) this.#break({ kind: 'changed-before' })
  }

  /** How many entries of the chain were there. */
  get number(): number {
    return this.#number
  }

  /**
   * Takes the next entry, in the order of the trail.
   *
   * @param isFound whether it is found by its action
   */
  add(entry: AuditEntry, isFound: boolean): void {
    const { number, hash, at } = entry
    if (number === undefined || hash === undefined || number <= this.#number) {
      this.#break({ kind: 'inserted', at, ...(number !== undefined && { number }) })
      return
    }
    if (number > this.#number + 1) {
      // What it was chained to is gone, so that only those after it can be told.
      this.#break({ kind: 'missing', from: this.#number + 1, number: number - 1 })
    } else if (hashOf(this.#hash, entry) !== hash) {
      this.#break({ kind: 'changed', number, at })
    }
    if (!isFound) this.#break({ kind: 'hidden', number, at })
    if (hash === this.#kept) this.#keptAt = number
    this.#number = number
    this.#hash = hash
  }

  /** @param end what the ledger keeps beside the trail */
  end({ entries, hash }: ChainEnd): AuditVerdict {
    if (this.#number < entries) this.#break({ kind: 'missing', from: this.#number + 1, number: entries })
    else if (this.#number > entries || this.#hash !== hash) this.#break({ kind: 'replaced', number: this.#number })
    if (this.#kept !== undefined && this.#keptAt === undefined) this.#break({ kind: 'not-kept' })
    return { entries, hash, breaks: this.#breaks, ...(this.#keptAt !== undefined && { keptAt: this.#keptAt }) }
  }

  #break(one: AuditBreak): void {
    if (this.#breaks.length < MOST_BREAKS) this.#breaks.push(one)
  }
}

/** What is said of a dimension that is registered anew on other terms; undefined where they are the same. */
export function changedTerms(known: Dimension, { unit, size, maxQuantity }: Dimension): string | undefined {
  const terms = [
    ['unit', known.unit, unit],
    ['size', known.size, size],
    ['maxQuantity', known.maxQuantity ?? 'none', maxQuantity ?? 'none'],
  ]
  const changed = terms.filter(([, before, after]) => before !== after)
  return changed.length === 0
    ? undefined
    : changed.map(([name, before, after]) => `${name} ${before} → ${after}`).join(', ')
}

/** The entry of a dimension that is registered anew, if it has other terms. */
export function registerEntries(known: Dimension | undefined, dimension: Dimension): NewEntry[] {
  const detail = known && changedTerms(known, dimension)
  if (detail === undefined) return []
  const why = 'a process was configured with other terms than the ledger had'
  return [{ who: 'configuration', why, action: 'register', dimension: dimension.name, detail }]
}

/** The entry of what contracts include of a dimension, where that is said anew. */
export function includedEntry(
  product: string,
  dimension: string,
  before: Included | undefined,
  after: Included | undefined,
  by: AuditNote,
): NewEntry {
  const detail = `${product}: ${storedIncluded(before)} → ${storedIncluded(after)}`
  return { ...by, action: 'entitlement', dimension, detail }
}

/** The entries of a customer's entitlements that have changed. */
export function entitlementEntries(
  account: CustomerAccount,
  changed: readonly ChangedTerm[],
  by: AuditNote,
): NewEntry[] {
  return changed.map(({ dimension, term: { amount, from, until } }) => {
    const times = [
      from === 0 ? [] : `from ${new Date(from).toISOString()}`,
      until === null ? [] : `until ${new Date(until).toISOString()}`,
    ]
    return {
      ...by,
      action: 'entitlement',
      account,
      dimension,
      amount: BigInt(amount ?? 0),
      detail: times.flat().join(' '),
    }
  })
}

/** The entry of what is deleted up to an hour. */
export function pruneEntry(before: number, by: Pick<NewEntry, 'who' | 'why' | 'now'> | undefined): NewEntry {
  const { who, why, now } = by ?? { who: 'ledger', why: 'nobody has said why' }
  const detail = `settled records of hours before ${new Date(before).toISOString()}`
  return { who, why, ...(now !== undefined && { now }), action: 'prune', detail }
}

/**
 * The entry of a ledger that was declared restored.
 *
 * @param closed the last hour that was closed at the backup
 */
export function restoreEntry(by: Pick<NewEntry, 'who' | 'why' | 'now'>, closed: number): NewEntry {
  const hour = closed === Number.NEGATIVE_INFINITY ? 'no hour' : new Date(closed).toISOString()
  return { ...by, action: 'restore', detail: `closed through ${hour} at the backup` }
}

/** The last hour that was closed at the backup, as such an entry says; before all, where it does not. */
export function backupClosedThrough(detail: string | undefined): number {
  const time = Date.parse(/^closed through (\S+Z) at the backup$/.exec(detail ?? '')?.[1] ?? '')
  return Number.isNaN(time) ? Number.NEGATIVE_INFINITY : time
}

/** The entry of an agreement that has ended. */
export function finalizeEntry(
  account: Account,
  {
    who = 'ledger',
    why = 'its agreement has ended',
    now,
    endedAt,
  }: { who?: string; why?: string; now: number; endedAt: number },
): NewEntry {
  return { who, why, now, action: 'finalize', account, detail: `ended at ${new Date(endedAt).toISOString()}` }
}

/** The entry of what was told of a customer's agreement. */
export function agreementEntry(
  account: Account,
  { what, at }: Pick<AgreementNews, 'what' | 'at'>,
  { now, who = 'ledger', why }: { who?: string; why?: string; now: number },
): NewEntry {
  const time = new Date(at).toISOString()
  if (what === 'ended') return finalizeEntry(account, { who, now, endedAt: at, ...(why !== undefined && { why }) })
  const said = what === 'active' ? 'its agreement is active' : 'it came with a token of AWS'
  return { who, why: why ?? said, now, action: 'agreement', account, detail: `${what} at ${time}` }
}

/** The entries of what a sender feeds, by the keys of the customers. */
export function feedEntries(sender: string, customers: readonly CustomerAccount[], now: number): Map<string, NewEntry> {
  const why = 'the first usage of this customer that it has sent'
  const entries = customers.map(storableAccount).map(account => {
    return [account.key, { who: storable(sender), why, now, action: 'fed', account }] as const
  })
  return new Map(entries)
}
