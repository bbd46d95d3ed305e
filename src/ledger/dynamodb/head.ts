import type { Dimension } from '../../usage/dimension.ts'
import { LedgerError } from '../errors.ts'
import type { CloseOptions, NotCounted } from '../ledger.ts'
import type { Forgetting } from '../rules/counters/index.ts'
import { type Accounts, countAccounts, type KnownAccounts } from './accounts.ts'
import { END, type Item, type Key, pause, type Table } from './table.ts'

/** What all processes share of the ledger as a whole: how far it is folded and closed, and what is to be folded. */

const LEDGER = 'ledger'
export const HEAD: Key = { pk: LEDGER, sk: 'head' }
export const DIMENSIONS: Key = { pk: LEDGER, sk: 'dimensions' }
/** Where nothing is: it is asked for where only the answer's time matters. */
export const NOTHING: Key = { pk: LEDGER, sk: 'nothing' }

const JOURNAL = 'journal'

/**
 * Another layout of the table gets another one. By the second one, counters know of their streams; by the third one, the
 * audit trail is a chain; by the fourth one, customers' agreements are known.
 */
const FORMAT = 4
/**
 * What only the present version can bill rightly, where it is used: what contracts include, and what usage is for. Until
 * then replicas of the version before go on.
 */
const LATEST = 5
const WITH_STREAMS = 2

/**
 * A cut says which batches are folded together, and on which terms hours are closed with them. Once it is written down
 * it does not change, so that whoever folds may die anywhere and any others go on, all at once too: each part of the
 * ledger takes in what the cut brings it once, and then has the cut's number.
 */
export interface Head extends KnownAccounts {
  readonly format: number
  /** The number of the last cut. */
  readonly cut: number
  /** Whether all that it brings is where it belongs. Before that there is no other cut. */
  readonly applied: boolean
  /** From which to which batch of each writer it goes. */
  readonly batches: Readonly<Record<string, readonly [number, number]>>
  /** When it was made, in milliseconds since the epoch. */
  readonly at: number
  /** Whether hours are closed with it, and on which terms. */
  readonly closing: CloseOptions | null
  /** Whether all is decided with it that counters have waiting of a customer. */
  readonly deciding: Deciding | null
  /** The last hour that is closed. */
  readonly closedThrough: number | null
  /** Up to when deltas are forgotten, in microseconds since the epoch. */
  readonly forgottenBefore: number
  /** The youngest hour that has usage. */
  readonly youngest: number
  /** How far silent counters are forgotten. */
  readonly silent: Forgetting
  /** How far this cut forgets them. It brings nothing else. */
  readonly forgetting: Forgetting | null
  /** What was counted before, in milliseconds since the epoch, a ledger that was lost may have billed; 0 where none was. */
  readonly restored: number
  /** The cut that a version of the first format had begun with when the table got this one, or 0. */
  readonly begunBefore: number
  readonly notCounted: Partial<Record<NotCounted, number>>
}

/** Whose usage it is that is not to wait any longer. */
export interface Deciding {
  readonly accountKey: string
  /** Milliseconds since the epoch. */
  readonly now: number
}

const NEW: Head = {
  ...{ format: FORMAT, cut: 0, applied: true, batches: {}, at: 0, closing: null, deciding: null, closedThrough: null },
  ...{ customers: 0, unattributed: 0, log: 0, forgottenBefore: 0, restored: 0, begunBefore: 0, notCounted: {} },
  ...{ youngest: 0, silent: { before: 0, at: 0 }, forgetting: null },
}

/** A batch that waits to be folded. */
export interface Batch extends Key, BatchHeader {
  /** What is in it, where it is small. */
  readonly body: Uint8Array | undefined
}

export interface BatchHeader extends KnownAccounts {
  readonly writer: string
  readonly sequence: number
  readonly digest: string
  /** Under which name its body is, where it is not here; the same batch may have been tried under others. */
  readonly attempt: string
  /** Into how many items its body is divided; 0 where it is here. */
  readonly chunks: number
  readonly bytes: number
  /** What of it nobody can be billed for, by dimension. */
  readonly unattributedAmounts: readonly (readonly [number, string])[]
  /** Whether there are points of others' counters in it. */
  readonly observed: boolean
}

export interface View {
  readonly head: Head
  readonly version: string
  /** By number. */
  readonly dimensions: readonly Dimension[]
  /** In the order of their writers and sequences: those to fold, and those of the last cut that are not deleted yet. */
  readonly batches: readonly Batch[]
}

/** Where a batch waits. Those with what the status tells are by themselves. */
export function placeOfBatch(writer: string, sequence: number, unattributed: boolean): Key {
  return { pk: JOURNAL, sk: `${unattributed ? UNATTRIBUTED : 'batch'}#${writer}#${placeOf(sequence)}` }
}

const UNATTRIBUTED = 'unattributed'

export const placeOf = (sequence: number): string => String(sequence).padStart(16, '0')

/**
 * All of it: the head first. So where it is still the same when a cut is made, none of these batches was folded before,
 * but for those it names.
 */
export async function readView(table: Table): Promise<View> {
  for (;;) {
    const view = await viewFrom(table, await readHead(table))
    if (view !== undefined) return view
  }
}

/** All of it, with a head that was read before; undefined where it is to be read anew. */
export async function viewFrom(
  table: Table,
  { head, version }: Pick<View, 'head' | 'version'>,
): Promise<View | undefined> {
  const [[dimensions], items] = await Promise.all([
    table.get('read the ledger', [DIMENSIONS]),
    table.list('read the journal', JOURNAL),
  ])
  const batches = items.map(batchOf)
  batches.sort((a, b) => (a.writer < b.writer ? -1 : a.writer > b.writer ? 1 : a.sequence - b.sequence))
  const view = { head, version, dimensions: dimensionsOf(dimensions), batches }
  return (await isWhole(table, view)) ? view : undefined
}

/**
 * Whether no batch is missing that comes before one that is there. The journal is no snapshot: what comes while it is
 * read is in it or not, the earlier too where its place was gone by already. Of a writer that the last cut has not
 * named, a gap at the beginning cannot be seen. But what comes before its first batch was there earlier, so that it is
 * found now, unless it is folded and deleted.
 */
async function isWhole(table: Table, { head, batches }: View): Promise<boolean> {
  const firsts = [...Map.groupBy(batches, ({ writer }) => writer)].flatMap(([writer, [first]]) => {
    return head.batches[writer] === undefined && first !== undefined && first.sequence > 1 ? [first] : []
  })
  const before = firsts.flatMap(({ writer, sequence }) =>
    [false, true].map(unattributed => placeOfBatch(writer, sequence - 1, unattributed)),
  )
  return (await table.get('read the journal', before)).length === 0
}

/** The head alone. */
export async function readHead(table: Table): Promise<Pick<View, 'head' | 'version'>> {
  return headOf((await table.get('read the ledger', [HEAD]))[0])
}

/** The head, and another item that is told of the ledger as a whole. */
export async function readHeadAnd(
  table: Table,
  other: Key,
): Promise<Pick<View, 'head' | 'version'> & { readonly other: Item | undefined }> {
  const items = new Map((await table.get('read the ledger', [HEAD, other])).map(item => [item.sk, item]))
  return { ...headOf(items.get(HEAD.sk)), other: items.get(other.sk) }
}

/** What waits that nobody can be billed for. */
export async function readUnattributedBatches(table: Table): Promise<Batch[]> {
  const range = { from: `${UNATTRIBUTED}#`, to: `${UNATTRIBUTED}#${END}` }
  return (await table.list('read the journal', JOURNAL, range)).map(batchOf)
}

/** Checks that there is a ledger of this format, and changes nothing. */
export async function refuseOther(table: Table): Promise<void> {
  const [item] = await table.get('open the ledger', [HEAD])
  if (item === undefined)
    throw new LedgerError('ERR_LEDGER_NOT_FOUND', `There is no ledger in the table ${table.name}.`)
  const { format } = headOf(item).head
  if (format >= FORMAT) return
  throw new LedgerError(
    'ERR_LEDGER_READ_ONLY',
    `The ledger has format ${format}, expected ${FORMAT}: it is of an older version of this package, and is brought ` +
      'forward when an exporter or gateway opens it.',
  )
}

/** Of a table that has something else in it. */
export function withoutLedger(name: string, items: number): LedgerError {
  return new LedgerError(
    'ERR_LEDGER_FOREIGN',
    `The table ${name} has ${items} items, and none of them begins a ledger: it is another application's. Give the ledger a ` +
      'table of its own (see createLedgerTable).',
  )
}

/**
 * Makes the ledger where there is none, and brings one of a version before to this format.
 *
 * @param items how many there are in the table, as DynamoDB counts them every six hours
 */
export async function begin(table: Table, items: number): Promise<void> {
  for (;;) {
    const [item] = await table.get('open the ledger', [HEAD])
    if (item === undefined) {
      if (items > 0) throw withoutLedger(table.name, items)
      await table.write('make the ledger', [{ put: HEAD, over: undefined, data: NEW }])
      return
    }
    const { head, version } = headOf(item)
    if (head.format >= FORMAT) return
    const begunBefore = head.format >= WITH_STREAMS ? head.begunBefore : head.applied ? 0 : head.cut
    const data = { ...NEW, ...head, format: FORMAT, begunBefore }
    if ((await table.write('bring the ledger to this format', [{ put: HEAD, over: version, data }])) !== undefined)
      return
  }
}

/** Has replicas of the version before stop, which would bill wrongly what is about to be written. */
export async function requireFormat(table: Table): Promise<void> {
  for (let failures = 1; ; failures += 1) {
    const { head, version } = await readHead(table)
    if (head.format >= LATEST) return
    const put = { put: HEAD, over: version, data: { ...head, format: LATEST } }
    if ((await table.write('bring the ledger to this format', [put])) !== undefined) return
    await pause(failures)
  }
}

/**
 * Makes sure that the head counts an account, so that whoever goes through all series comes by it. Returns the head, with
 * the log of accounts read as far as it says.
 */
export async function countInHead(
  { table, accounts }: { readonly table: Table; readonly accounts: Accounts },
  account: number,
): Promise<Head> {
  for (let failures = 1; ; failures += 1) {
    const { head, version } = await readHead(table)
    const counted = countAccounts(head, [account])
    const data = { ...counted, log: Math.max(head.log, accounts.known.log) }
    const known = counted.customers === head.customers && data.log === head.log
    if (known || (await table.write('count an account', [{ put: HEAD, over: version, data }])) !== undefined) {
      await accounts.readUpTo(data.log)
      return data
    }
    await pause(failures)
  }
}

function headOf(item: Item | undefined): Pick<View, 'head' | 'version'> {
  if (item === undefined) {
    throw new LedgerError('ERR_LEDGER_CORRUPT', 'The table has no ledger any more: its item "head" is gone.')
  }
  const head = { ...NEW, ...(item.data as Head) }
  if (head.format > LATEST) {
    throw new LedgerError(
      'ERR_LEDGER_NEWER',
      `The ledger has format ${head.format}; this version of the package knows up to ${LATEST}. ` +
        'Use the version that wrote it, or a later one.',
    )
  }
  return { head, version: item.version }
}

export function dimensionsOf(item: Item | undefined): Dimension[] {
  return ((item?.data as (Omit<Dimension, 'size'> & { size: string })[] | undefined) ?? []).map(dimension => ({
    ...dimension,
    size: BigInt(dimension.size),
  }))
}

const batchOf = ({ pk, sk, data, body }: Item): Batch => ({ pk, sk, ...(data as BatchHeader), body })

/** Others have finished the cut that is being folded here, and gone on: what is to do has to be looked at again. */
export class SupersededError extends Error {}
