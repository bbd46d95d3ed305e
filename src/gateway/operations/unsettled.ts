import { windowClosesAt } from '../../ledger/hours.ts'
import type { HeldReason, Ledger, LedgerStatus, RecordEntry } from '../../ledger/ledger.ts'
import { accountLabel, licenceLabel } from '../../text/account.ts'
import { agreementText } from '../../text/agreement.ts'
import { HELD_ADVICE, heldCommands, paragraph } from '../../text/held-advice.ts'
import { printable } from '../../text/printable.ts'
import type { Dimension } from '../../usage/dimension.ts'
import type { Advice } from './command.ts'
import { type Quantity, quantityIn, type Usage, usagesOf } from './quantity.ts'
import { allPending, amountsOf, firstPending, type Pending, type Stake, sameDeadline, stakeOf } from './stake.ts'
import type { Totals } from './totals.ts'

/** How many pending and held records are looked at. */
const READ = 1000
const HELD_SHOWN = 50
const CUSTOMERS_SHOWN = 20
const ANSWER_LENGTH = 200

/** Held records with one cause, with what a person does about them. */
export interface HeldReport {
  readonly cause: HeldReason
  readonly records: number
  readonly means: string
  readonly commands: readonly Advice[]
  /** What happens to a quantity that is released. */
  readonly released: string
  /** The youngest of them. */
  readonly shown: readonly HeldRecord[]
}

/** A customer as a table names it. */
export interface CustomerName {
  /** By which `customers.json` and the commands find this one alone. */
  readonly key: string
  readonly customer: string
  readonly licence?: string
  readonly product: string
}

export interface HeldRecord extends CustomerName {
  readonly id: string
  readonly hour: string
  readonly dimension: string
  readonly quantity: Quantity
  readonly unit: string
  readonly attempts: number
  readonly lastAnswer?: string
}

/** A customer with usage in records that have no end yet, pending or held. */
export interface UnsettledCustomer extends CustomerName {
  /** What is known of its agreement, in words. */
  readonly agreement?: string
  /** The hour of its oldest such record. */
  readonly oldestHour: string
  /** Until when AWS takes its oldest pending record, and what is at stake then. */
  readonly takenUntil?: string
  readonly atStake?: Stake
  readonly pending: number
  readonly held: number
  readonly usage: readonly Usage[]
}

/** Records without an end, as far as they were looked at. */
export interface Unsettled {
  readonly records: readonly RecordEntry[]
  /** Whether there are more of a state than these. */
  readonly more: { readonly pending: boolean; readonly held: boolean }
  /** What AWS stops to take first. */
  readonly first: Pending
}

/** Records without an end: the youngest, and those that AWS stops to take first. */
export async function readUnsettled(ledger: Pick<Ledger, 'records'>, status: LedgerStatus): Promise<Unsettled> {
  const { oldestPendingHour: oldest } = status
  const isMore = (records: readonly RecordEntry[]) => records.length === READ
  const held = await ledger.records({ state: 'held', limit: READ })
  const more = { pending: false, held: isMore(held) }
  if (oldest === undefined) return { records: held, more, first: firstPending([]) }
  const to = sameDeadline(oldest)
  const pending = await ledger.records({ state: 'pending', limit: READ })
  const first = await ledger.records({ state: 'pending', from: oldest, to, limit: READ })
  const all = allPending(status)
  return {
    records: [...new Map([...held, ...pending, ...first].map(record => [record.id, record])).values()],
    more: { ...more, pending: isMore(pending) },
    first: !isMore(first)
      ? firstPending(first)
      : pending.every(({ hour }) => hour < to)
        ? all
        : { ...firstPending(first), of: all.records },
  }
}

/**
 * By cause, in the order of the advice: what AWS may have billed comes first. A cause that none of the records has which
 * were looked at is told all the same.
 */
export function heldReports(
  held: LedgerStatus['held'],
  records: readonly RecordEntry[],
  dimensions: ReadonlyMap<string, Dimension>,
  commandOf: (command: string) => string,
): HeldReport[] {
  const byCause = Map.groupBy(
    records.filter(({ state }) => state === 'held'),
    ({ reason }) => reason as HeldReason,
  )
  return (Object.keys(HELD_ADVICE) as HeldReason[]).flatMap(cause => {
    const count = held.reduce((sum, figure) => sum + (figure.reason === cause ? figure.records : 0), 0)
    if (count === 0) return []
    const group = byCause.get(cause) ?? []
    const { means, released } = HELD_ADVICE[cause]
    return {
      cause,
      records: count,
      means: paragraph(means),
      commands: heldCommands(cause, count, group[0]?.id).map(([when, command]) => ({
        when,
        command: commandOf(command),
      })),
      released: paragraph(released),
      shown: group.slice(0, HELD_SHOWN).map(record => heldRecord(record, dimensions)),
    }
  })
}

/** Those who wait the longest. */
export function unsettledCustomers(
  records: readonly RecordEntry[],
  { dimensions, agreements }: Pick<Totals, 'dimensions' | 'agreements'>,
): UnsettledCustomer[] {
  return [...Map.groupBy(records, record => record.account.key).values()]
    .map(own => ({ own, oldest: oldestHour(own) }))
    .sort((a, b) => a.oldest - b.oldest || b.own.length - a.own.length)
    .slice(0, CUSTOMERS_SHOWN)
    .map(({ own, oldest }) => {
      const [{ account }] = own as [RecordEntry]
      const pending = own.filter(({ state }) => state === 'pending')
      const agreement = agreements.get(account.key)
      return {
        ...customerOf(account),
        ...(agreement !== undefined && { agreement: agreementText(agreement) }),
        oldestHour: new Date(oldest).toISOString(),
        ...(pending.length > 0 && {
          takenUntil: new Date(windowClosesAt(oldestHour(pending))).toISOString(),
          atStake: stakeOf(firstPending(pending), dimensions),
        }),
        pending: pending.length,
        held: own.length - pending.length,
        usage: usagesOf(amountsOf(own), dimensions),
      }
    })
}

export function heldRecord(record: RecordEntry, dimensions: ReadonlyMap<string, Dimension>): HeldRecord {
  const { id, account, dimension, hour, quantity, size, attempts, lastAnswer } = record
  return {
    id,
    hour: new Date(hour).toISOString(),
    ...customerOf(account),
    dimension,
    ...quantityIn(BigInt(quantity) * size, dimensions.get(dimension)),
    attempts,
    ...(lastAnswer !== undefined && { lastAnswer: printable(lastAnswer, ANSWER_LENGTH) }),
  }
}

export function customerOf(account: RecordEntry['account']): CustomerName {
  const { key, product } = account
  const licence = licenceLabel(account)
  return { key, customer: accountLabel(account), ...(licence !== '' && { licence }), product }
}

const oldestHour = (records: readonly RecordEntry[]) =>
  records.reduce((oldest, { hour }) => Math.min(oldest, hour), Infinity)
