import { DAY, HOUR, hourOf, windowClosesAt } from '../../ledger/hours.ts'
import type { Agreement, Ledger, RecordEntry, StatementLine } from '../../ledger/ledger.ts'
import { agreementText } from '../../text/agreement.ts'
import { printable } from '../../text/printable.ts'
import { iso } from '../../text/time.ts'
import { type CustomerAccount, licenceId } from '../../usage/account.ts'
import { type Advice, shellWord } from './command.ts'
import { type HourLookup, hourLookup, regionsOf } from './lookup.ts'
import { type Quantity, quantityOf } from './quantity.ts'
import { type DimensionReport, dimensionReport, type Totals } from './totals.ts'
import { type CustomerName, customerOf, type HeldRecord, heldRecord } from './unsettled.ts'

/** What `GET /customers.json?find=…` answers. Times are ISO 8601 in UTC. */
export interface CustomersReport {
  /** When it was asked. */
  readonly at: string
  /** When it was read which customers there are: one who came since is not found yet. */
  readonly knownAt: string
  /** What was looked for: any part of an account id, licence, tenant or older identifier, or the whole key of one. */
  readonly find: string
  /** How many customers are called so, of whom at most 20 are named. */
  readonly found: number
  readonly customers: readonly FoundCustomer[]
  /** Where the units of the customer stand, if it is only one. */
  readonly customer: CustomerReport | null
}

export interface FoundCustomer extends CustomerName {
  /** AWS's older name of a customer that is known by its AWS account. */
  readonly identifier?: string
  /** What the seller calls it. */
  readonly tenant?: string
  /** What is known of its agreement, in words. */
  readonly agreement?: string
}

export interface CustomerReport {
  /** Since the ledger began. */
  readonly dimensions: readonly DimensionReport[]
  /** The beginning of the hours that are shown. */
  readonly since: string
  /** By dimension, in the order of those above, and by hour, the youngest first; without hours in which nothing was. */
  readonly hours: readonly CustomerHour[]
  /** Where more is said of each of these hours. */
  readonly lookups: readonly HourLookup[]
  /** Records without an end, of any hour, the youngest first; at most 100 of each state. */
  readonly records: readonly UnsettledRecord[]
  readonly moreRecords: boolean
  readonly commands: readonly Advice[]
}

/** Where the units of a dimension stand that were recorded in an hour, or are in its record: it has one at most. */
export interface CustomerHour {
  readonly hour: string
  readonly dimension: string
  readonly recorded: Quantity
  readonly included: Quantity
  readonly metered: Quantity
  readonly pending: Quantity
  readonly held: Quantity
  /** Why they are held. */
  readonly heldReasons: readonly string[]
  /** What of the hour is in no record of its own, less what its record has of other hours. */
  readonly balance: Quantity
  /** What became of the record. Of an hour without one it is `open` until it is closed, and `none` then. */
  readonly state: 'metered' | 'pending' | 'held' | 'open' | 'none'
}

export interface UnsettledRecord extends HeldRecord {
  readonly state: 'pending' | 'held'
  readonly reason?: string
  /** Until when AWS takes it, of one that is pending. */
  readonly takenUntil?: string
}

export interface FindOptions {
  readonly ledger: Pick<Ledger, 'status' | 'statement' | 'records' | 'answers'>
  readonly totals: Totals
  readonly now: number
  readonly commandOf: (command: string) => string
}

const NAMED = 20
const RECORDS = 100
/** As many hours as the page shows of all. */
const SHOWN = 2 * DAY

/** Looks among the customers that are in memory, and asks the ledger of one alone: neither reads what was long ago. */
export async function findCustomers(text: string, options: FindOptions): Promise<CustomersReport> {
  const { totals, now } = options
  const found = customersCalled(text, totals)
  const [only] = found.length === 1 ? found : []
  return {
    ...{ at: iso(now), knownAt: iso(totals.at), find: text, found: found.length },
    customers: found.slice(0, NAMED).map(account => foundCustomer(account, totals.agreements.get(account.key))),
    customer: only === undefined ? null : await customerReport(only, options),
  }
}

/** Those who are called exactly so come first. */
function customersCalled(text: string, { customers, agreements }: Totals): CustomerAccount[] {
  const one = customers.get(text)
  if (one !== undefined) return [one]
  // AWS writes what stands before a licence's id in two ways.
  const wanted = (/:license:l-/.test(text) ? licenceId(text) : text).toLowerCase()
  const rank = (account: CustomerAccount) => {
    const names = namesOf(account, agreements.get(account.key))
    if (names.includes(wanted)) return 0
    return names.some(name => name.includes(wanted)) ? 1 : undefined
  }
  const ranked = [...customers.values()].flatMap(account => {
    const place = rank(account)
    return place === undefined ? [] : [{ account, place }]
  })
  return ranked
    .sort((a, b) => a.place - b.place || (a.account.key < b.account.key ? -1 : 1))
    .map(({ account }) => account)
}

function namesOf({ accountId, customerIdentifier, licenseArn }: CustomerAccount, agreement?: Agreement): string[] {
  const licence = licenseArn === undefined ? [] : [licenseArn, licenceId(licenseArn)]
  return [accountId, customerIdentifier, ...licence, agreement?.tenant, agreement?.customerIdentifier].flatMap(
    name => name?.toLowerCase() ?? [],
  )
}

function foundCustomer(account: CustomerAccount, agreement: Agreement | undefined): FoundCustomer {
  const { tenant, customerIdentifier } = agreement ?? {}
  return {
    ...customerOf(account),
    ...(customerIdentifier !== undefined && { identifier: printable(customerIdentifier) }),
    ...(tenant !== undefined && { tenant: printable(tenant) }),
    ...(agreement !== undefined && { agreement: agreementText(agreement) }),
  }
}

async function customerReport(account: CustomerAccount, options: FindOptions): Promise<CustomerReport> {
  const { ledger, totals, now, commandOf } = options
  const { key: customer } = account
  const present = hourOf(now)
  const from = present + HOUR - SHOWN
  const lines = await ledger.statement({ customer })
  const spans = await ledger.statement({ customer, from, to: present + HOUR, by: 'hour' })
  const pending = await ledger.records({ customer, state: 'pending', limit: RECORDS + 1 })
  const held = await ledger.records({ customer, state: 'held', limit: RECORDS + 1 })
  const { closedThrough = Number.NEGATIVE_INFINITY } = await ledger.status()
  // One that is to come was closed by a clock that was ahead.
  const closed = Math.min(closedThrough, present - HOUR)
  const regions = regionsOf(account, await ledger.answers(), [...pending, ...held])
  const byDimension = Map.groupBy(lines, ({ dimension }) => dimension.name)
  const order = [...totals.dimensions.keys()]
  const names = [...byDimension.keys()].sort((a, b) => order.indexOf(a) - order.indexOf(b))
  const hours = names.flatMap(name =>
    spans
      .filter(({ dimension }) => dimension.name === name)
      .flatMap(line => customerHour(line, closed) ?? [])
      .reverse(),
  )
  const shownHours = new Set(hours.map(({ hour }) => hour))
  const records = [...pending.slice(0, RECORDS), ...held.slice(0, RECORDS)].sort((a, b) => b.hour - a.hour)
  return {
    dimensions: names.map(name => dimensionReport(byDimension.get(name) as [StatementLine])),
    since: iso(from),
    hours,
    lookups: [...shownHours].map(hour => hourLookup(account, Date.parse(hour), { regions, commandOf })),
    records: records.map(record => unsettledRecord(record, totals)),
    moreRecords: pending.length > RECORDS || held.length > RECORDS,
    commands: [
      { when: 'All of its records:', command: commandOf(`records --customer ${shellWord(customer)}`) },
      {
        when: 'Its units by hour, from any day on:',
        command: commandOf(`statement --customer ${shellWord(customer)} --by hour --from ${iso(from).slice(0, 10)}`),
      },
      { when: 'What persons and AWS’s news changed:', command: commandOf(`audit --customer ${shellWord(customer)}`) },
    ],
  }
}

function customerHour(line: StatementLine, closedThrough: number): CustomerHour | undefined {
  const { dimension, recorded, included, metered, pending, held, heldByReason, balance, span } = line
  if (span === undefined) return undefined
  const figures = { recorded, included, metered, pending, held, balance }
  if (Object.values(figures).every(amount => amount === 0n)) return undefined
  const of = (amount: bigint) => quantityOf(amount, dimension)
  return {
    ...{ hour: iso(span.from), dimension: dimension.name },
    ...{ recorded: of(recorded), included: of(included), metered: of(metered), pending: of(pending), held: of(held) },
    heldReasons: Object.entries(heldByReason).flatMap(([reason, amount]) => (amount === 0n ? [] : [reason])),
    balance: of(balance),
    state: stateOf(line, span.from, closedThrough),
  }
}

function stateOf(
  { metered, pending, held }: StatementLine,
  hour: number,
  closedThrough: number,
): CustomerHour['state'] {
  if (held !== 0n) return 'held'
  if (pending !== 0n) return 'pending'
  if (metered !== 0n) return 'metered'
  return hour > closedThrough ? 'open' : 'none'
}

function unsettledRecord(record: RecordEntry, { dimensions }: Totals): UnsettledRecord {
  const { state, reason, hour } = record
  return {
    ...heldRecord(record, dimensions),
    state: state === 'held' ? 'held' : 'pending',
    ...(reason !== undefined && { reason }),
    ...(state === 'pending' && { takenUntil: iso(windowClosesAt(hour)) }),
  }
}
