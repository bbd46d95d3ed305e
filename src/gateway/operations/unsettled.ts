import { HOUR, windowClosesAt } from '../../ledger/hours.ts'
import type { HeldReason, Ledger, LedgerStatus, RecordEntry } from '../../ledger/ledger.ts'
import { accountLabel, licenceLabel } from '../../text/account.ts'
import { agreementText } from '../../text/agreement.ts'
import { HELD_ADVICE, heldCommands, paragraph } from '../../text/held-advice.ts'
import { printable } from '../../text/printable.ts'
import { formatAmount } from '../../usage/amount.ts'
import type { Dimension } from '../../usage/dimension.ts'
import type { Advice } from './command.ts'
import { type Quantity, quantityOf, unitOf } from './quantity.ts'
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

export interface HeldRecord {
  readonly id: string
  readonly hour: string
  readonly customer: string
  readonly licence?: string
  readonly product: string
  readonly dimension: string
  readonly quantity: Quantity
  readonly unit: string
  readonly attempts: number
  readonly lastAnswer?: string
}

/** A customer with usage in records that have no end yet, pending or held. */
export interface UnsettledCustomer {
  readonly customer: string
  readonly licence?: string
  readonly product: string
  /** What is known of its agreement, in words. */
  readonly agreement?: string
  /** The hour of its oldest such record. */
  readonly oldestHour: string
  /** Until when AWS takes its oldest pending record. */
  readonly takenUntil?: string
  readonly pending: number
  readonly held: number
  readonly usage: readonly { readonly dimension: string; readonly quantity: Quantity; readonly unit: string }[]
}

/**
 * Records without an end: the youngest, and those of the oldest hour, which are the first that AWS will no longer take.
 */
export async function readUnsettled(ledger: Pick<Ledger, 'records'>, status: LedgerStatus): Promise<RecordEntry[]> {
  const records = await ledger.records({ state: 'held', limit: READ })
  if (status.oldestPendingHour !== undefined) {
    const from = status.oldestPendingHour
    records.push(...(await ledger.records({ state: 'pending', limit: READ })))
    records.push(...(await ledger.records({ state: 'pending', from, to: from + HOUR, limit: READ })))
  }
  return [...new Map(records.map(record => [record.id, record])).values()]
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
        ...(pending.length > 0 && { takenUntil: new Date(windowClosesAt(oldestHour(pending))).toISOString() }),
        pending: pending.length,
        held: own.length - pending.length,
        usage: [...Map.groupBy(own, ({ dimension }) => dimension)].map(([dimension, group]) => ({
          dimension,
          ...quantityIn(
            group.reduce((sum, { quantity, size }) => sum + BigInt(quantity) * size, 0n),
            dimensions.get(dimension),
          ),
        })),
      }
    })
}

function heldRecord(record: RecordEntry, dimensions: ReadonlyMap<string, Dimension>): HeldRecord {
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

function customerOf(account: RecordEntry['account']) {
  const licence = licenceLabel(account)
  return { customer: accountLabel(account), ...(licence !== '' && { licence }), product: account.product }
}

/** A dimension that the ledger has learnt of since its totals were read is shown in base units. */
export function quantityIn(amount: bigint, dimension: Dimension | undefined): { quantity: Quantity; unit: string } {
  if (dimension !== undefined) return { quantity: quantityOf(amount, dimension), unit: unitOf(dimension) }
  const text = formatAmount(amount)
  return { quantity: { amount: text, quantity: text }, unit: 'in base units' }
}

const oldestHour = (records: readonly RecordEntry[]) =>
  records.reduce((oldest, { hour }) => Math.min(oldest, hour), Infinity)
