import type { Agreement, Ledger, StatementLine } from '../../ledger/ledger.ts'
import { NO_FIGURES } from '../../ledger/rules/accounting.ts'
import { difference } from '../../ledger/rules/equation.ts'
import { type Overflow, overflows } from '../../ledger/rules/overflow.ts'
import { accountLabel } from '../../text/account.ts'
import { unitWords } from '../../text/amount-words.ts'
import { printable } from '../../text/printable.ts'
import { UNATTRIBUTED_REASONS } from '../../text/unattributed-reasons.ts'
import type { CustomerAccount, UnattributedReason } from '../../usage/account.ts'
import { formatAmount } from '../../usage/amount.ts'
import type { Dimension } from '../../usage/dimension.ts'
import { type Advice, shellWord } from './command.ts'
import { type Quantity, quantityOf, unitOf } from './quantity.ts'

/** Where the usage of a dimension stands, all customers together. */
export interface DimensionReport {
  readonly name: string
  /** What a quantity of one is: `token`, `1,000 token`, `h`. */
  readonly unit: string
  /** What quantities count, in words: `tokens`, `1,000 tokens`, `hours`. */
  readonly units: string
  /** The unit of the amounts: `s`, `By` or `1`. */
  readonly baseUnit: string
  /** The amount that a quantity of one is, in the base unit. */
  readonly size: string
  /** How many customers and unattributed accounts have usage of it. */
  readonly series: number
  readonly recorded: Quantity
  readonly included: Quantity
  readonly metered: Quantity
  readonly pending: Quantity
  readonly held: Quantity
  readonly balance: Quantity
  /** recorded − (included + metered + pending + held + balance), in the base unit: "0" unless the ledger is damaged. */
  readonly difference: string
  /** For how many series it is not 0. */
  readonly breaches: number
}

/** Usage that nobody can be billed for until a person says whose it is. */
export interface UnattributedReport {
  /** A short name that the commands take. */
  readonly account: string
  readonly reason: UnattributedReason
  /** The reason in words. */
  readonly means: string
  /** What the data points said, as JSON. */
  readonly evidence: string
  readonly dimension: string
  readonly quantity: Quantity
}

export interface Totals {
  /** When they were read, in milliseconds since the epoch. */
  readonly at: number
  readonly dimensions: ReadonlyMap<string, Dimension>
  readonly reports: readonly DimensionReport[]
  readonly overflows: readonly Overflow[]
  readonly unattributed: readonly UnattributedReport[]
  readonly unattributedCount: number
  /** What is known of customers' agreements, by the keys of their accounts. */
  readonly agreements: ReadonlyMap<string, Agreement>
  /** All who have usage or an agreement, by their keys. */
  readonly customers: ReadonlyMap<string, CustomerAccount>
}

/** How many customers' agreements are known, by their state. */
export interface AgreementCounts {
  readonly registered: number
  readonly active: number
  readonly ended: number
  /** Of those that have not ended, how many AWS says are not subscribed. */
  readonly refused: number
}

export function agreementCounts(agreements: Iterable<Agreement>): AgreementCounts {
  const counts = { registered: 0, active: 0, ended: 0, refused: 0 }
  for (const { state, refusedSince } of agreements) {
    counts[state] += 1
    if (state !== 'ended' && refusedSince !== undefined) counts.refused += 1
  }
  return counts
}

const UNATTRIBUTED_SHOWN = 50

type Figure = 'recorded' | 'included' | 'metered' | 'pending' | 'held' | 'balance'
type Sums = Record<Figure, bigint> & { series: number; breaches: number }

/** Sums over all series, with the configured dimensions first in their order. */
export async function readTotals(
  ledger: Pick<Ledger, 'statement' | 'agreements'>,
  configured: readonly Dimension[],
  now: () => number,
): Promise<Totals> {
  const [lines, agreements] = await Promise.all([ledger.statement(), ledger.agreements()])
  const dimensions = new Map(configured.map(dimension => [dimension.name, dimension]))
  const sums = new Map(configured.map(({ name }) => [name, noUsage()]))
  const customers = new Map(agreements.map(({ account }) => [account.key, account]))
  const unattributed: UnattributedReport[] = []
  let unattributedCount = 0
  for (const line of lines) {
    dimensions.set(line.dimension.name, line.dimension)
    const sum = sums.get(line.dimension.name) ?? noUsage()
    sums.set(line.dimension.name, sum)
    addTo(sum, line)
    if (line.account.kind === 'customer') customers.set(line.account.key, line.account)
    if (line.account.kind === 'customer' || line.balance === 0n) continue
    unattributedCount += 1
    if (unattributed.length < UNATTRIBUTED_SHOWN) {
      unattributed.push({
        account: accountLabel(line.account),
        reason: line.account.reason,
        means: UNATTRIBUTED_REASONS[line.account.reason],
        evidence: printable(line.account.evidence),
        dimension: line.dimension.name,
        quantity: quantityOf(line.balance, line.dimension),
      })
    }
  }
  return {
    at: now(),
    dimensions,
    reports: [...dimensions.values()].map(dimension => reportOf(dimension, sums.get(dimension.name) ?? noUsage())),
    overflows: overflows(lines),
    unattributed,
    unattributedCount,
    agreements: new Map(agreements.map(agreement => [agreement.account.key, agreement])),
    customers,
  }
}

/** The same of the series of one dimension alone. */
export function dimensionReport(lines: readonly [StatementLine, ...StatementLine[]]): DimensionReport {
  const sums = noUsage()
  for (const line of lines) addTo(sums, line)
  return reportOf(lines[0].dimension, sums)
}

const noUsage = (): Sums => ({ ...NO_FIGURES, series: 0, breaches: 0 })

function addTo(sum: Sums, line: StatementLine): void {
  sum.recorded += line.recorded
  sum.included += line.included
  sum.metered += line.metered
  sum.pending += line.pending
  sum.held += line.held
  sum.balance += line.balance
  sum.series += 1
  if (difference(line) !== 0n) sum.breaches += 1
}

function reportOf(dimension: Dimension, sums: Sums): DimensionReport {
  const { recorded, included, metered, pending, held, balance, series, breaches } = sums
  return {
    name: dimension.name,
    unit: unitOf(dimension),
    units: unitWords(dimension),
    baseUnit: dimension.baseUnit,
    size: formatAmount(dimension.size),
    series,
    recorded: quantityOf(recorded, dimension),
    included: quantityOf(included, dimension),
    metered: quantityOf(metered, dimension),
    pending: quantityOf(pending, dimension),
    held: quantityOf(held, dimension),
    balance: quantityOf(balance, dimension),
    difference: formatAmount(difference(sums)),
    breaches,
  }
}

/** What a person does with them. */
export function unattributedCommands(
  unattributed: readonly UnattributedReport[],
  commandOf: (command: string) => string,
): Advice[] {
  const [only] = unattributed.length === 1 ? unattributed : []
  const what = only === undefined ? '<account> <dimension>' : `${only.account} ${shellWord(only.dimension)}`
  const theirs = {
    when: 'It is a customer of yours:',
    command: commandOf(`attribute ${what} --account-id <id> --why "…"`),
  }
  const nobody = { when: 'Nobody will be billed for it:', command: commandOf(`write-off ${what} --why "…"`) }
  if (unattributed.length <= 1) return [theirs, nobody]
  return [
    theirs,
    {
      when: 'A file says whose it is, by an attribute (see "attribute --help"):',
      command: commandOf('attribute --rules rules.csv --why "…" --dry-run'),
    },
    nobody,
    {
      when: 'Nobody will be billed for any of it:',
      command: commandOf('write-off --unattributed --why "…" --dry-run'),
    },
  ]
}
