import { DAY, HOUR } from '../../ledger/hours.ts'
import type { Ledger } from '../../ledger/ledger.ts'
import { RESTORED } from '../../ledger/rules/closing.ts'
import { UsageReportError } from '../errors.ts'
import type { EventFile } from '../event-files.ts'
import { prunedBefore, recordsByHour } from '../ledger-records.ts'
import { readRows, type Unread } from './csv-rows.ts'
import { Customers } from './customers.ts'
import { addRecord, addSum, type LedgerSum, nothing } from './ledger-sum.ts'
import { Products } from './products.ts'
import { rowReader, type UsageReportKind } from './report-rows.ts'
import { ReportedUsage } from './reported-usage.ts'
import { type UsageVerdict, usageVerdict } from './usage-verdict.ts'

export interface CompareUsageOptions {
  /** AWS's Daily Usage feed, or its Marketplace Usage dataset, as CSV: all of one kind, in any order. */
  readonly files: readonly EventFile[]
  /** AWS's Account feed, which says whose the feed's hashes of accounts are; without it customers are not told apart. */
  readonly accountFeed?: readonly EventFile[]
  /** The ledger's products, codes or labels, by AWS's ids or codes: beside those that agreements join. */
  readonly products?: ReadonlyMap<string, string>
  /** Only days from that of this instant on, and before that one. */
  readonly from?: number
  readonly to?: number
  /** Takes each verdict but `agreed`, before the next is found. */
  readonly onFinding: (finding: UsageFinding) => Promise<void> | void
}

/** A day's usage of a customer, dimension and region, as both have it. Quantities are in units, as AWS bills them. */
export interface UsageFinding {
  readonly verdict: UsageVerdict
  /** Its first millisecond, in UTC. */
  readonly day: number
  readonly region: string
  readonly dimension: string
  /** As the ledger calls it, or as the report does where the ledger has nothing. */
  readonly product: string
  /** An AWS account or an older identifier; nothing where the usage of several that are not told apart is summed up. */
  readonly customer: string | undefined
  readonly metered: number
  readonly billed: number
  /** Of the ledger's records: what AWS may have billed, and how many are of hours that somebody else has metered. */
  readonly inDoubt: number
  readonly inConflict: number
  readonly returned: number
  readonly waiting: number
  /** How many agreements the ledger's records are of: AWS's line has no licence. */
  readonly agreements: number
}

export interface UsageComparison {
  readonly kind: UsageReportKind | undefined
  readonly files: number
  readonly rows: number
  /** When the report's youngest row was written; of what AWS has taken later it knows nothing. */
  readonly writtenUntil: number | undefined
  /** The days that were compared, from the first millisecond of the first to the last one's; nothing where there are none. */
  readonly compared: { readonly first: number; readonly last: number } | undefined
  /** Whether customers are told apart. */
  readonly byCustomer: boolean
  readonly totals: readonly UsageTotal[]
  readonly verdicts: ReadonlyMap<UsageVerdict, number>
  /** What of the report was not compared, in units by the names of products, dimensions or days. */
  readonly otherProducts: ReadonlyMap<string, number>
  readonly otherDimensions: ReadonlyMap<string, number>
  readonly beforeReport: ReadonlyMap<string, number>
  readonly beforeLedger: ReadonlyMap<string, number>
  readonly pruned: ReadonlyMap<string, number>
  /** Products that nothing joins, so that all of them are compared as one. */
  readonly unjoinedProducts: { readonly reported: readonly string[]; readonly ledger: readonly string[] }
  /** How many lines of customers that nothing joins were compared as one. */
  readonly unjoinedCustomers: number
  readonly unread: Unread
}

/** A dimension's sums in a region, of all days that were compared. */
export interface UsageTotal {
  readonly dimension: string
  readonly region: string
  metered: number
  billed: number
}

/**
 * Holds AWS's daily usage report for sellers against a ledger: what AWS has billed, day by day, beside what the ledger has
 * as metered, and how far it explains what differs. The report has no hours and no licences, so a difference proves
 * nothing of a record: see `reconcile` for that.
 *
 * @throws UsageReportError where a file is none of AWS's reports, or a column is missing
 */
export async function compareUsageReport(
  ledger: Pick<Ledger, 'records' | 'audit' | 'agreements' | 'statement' | 'dimensions'>,
  options: CompareUsageOptions,
): Promise<UsageComparison> {
  const { files, accountFeed, products: said = new Map() } = options
  const unread: Unread = { count: 0, first: [] }
  const agreements = await ledger.agreements()
  const products = new Products(said, agreements)
  const customers = new Customers(agreements)
  if (accountFeed !== undefined) await customers.read(accountFeed, unread)
  const usage = new ReportedUsage()
  try {
    const kind = await readUsage(files, usage, products, unread)
    const accounts = (await ledger.statement()).flatMap(({ account }) => (account.kind === 'customer' ? [account] : []))
    const dimensions = new Set((await ledger.dimensions()).map(({ name }) => name))
    const names = { products, customers, kind, sold: new Set(accounts.map(({ product }) => product)), dimensions }
    const compared = await new Comparison(ledger, options, usage, names).run()
    const writtenUntil = usage.rows === 0 ? undefined : usage.writtenUntil
    return { kind, files: files.length, rows: usage.rows, writtenUntil, ...compared, unread }
  } finally {
    usage.close()
  }
}

async function readUsage(
  files: readonly EventFile[],
  usage: ReportedUsage,
  products: Products,
  unread: Unread,
): Promise<UsageReportKind | undefined> {
  let kind: UsageReportKind | undefined
  for (const file of files) {
    await readRows(
      file,
      columns => {
        const reader = rowReader(columns, file.name)
        if (kind !== undefined && reader.kind !== kind) {
          throw new UsageReportError(
            `Expected files of one report, got the Daily Usage feed and the Marketplace Usage dataset (${file.name}): both ` +
              'have the same usage.',
          )
        }
        kind = reader.kind
        return row => {
          const read = reader.read(row)
          usage.add(read)
          if (read.usage !== undefined) products.see(read.usage.product, read.usage.agreementId)
        }
      },
      unread,
    )
  }
  usage.complete()
  return kind
}

interface Names {
  readonly products: Products
  readonly customers: Customers
  readonly kind: UsageReportKind | undefined
  /** The ledger's products. */
  readonly sold: ReadonlySet<string>
  readonly dimensions: ReadonlySet<string>
}

/** What both have of a day, customer, dimension and region. */
interface Line {
  readonly region: string
  readonly dimension: string
  /** One name for all of a product's; empty where nothing joins it. */
  readonly product: string
  readonly shownProduct: string
  /** Empty where nothing joins it. */
  readonly customer: string
  /** Whether the report could have the customer under this name. */
  readonly joined: boolean
  readonly sum: LedgerSum
  /** In hundredths of a unit; nothing where the report has no such line. */
  billed: number | undefined
}

/** AWS takes a day's usage for a day after it, and has it in the report a day later. */
const COMPLETE_AFTER = 2 * DAY

class Comparison {
  readonly #ledger: Pick<Ledger, 'records' | 'audit'>
  readonly #options: CompareUsageOptions
  readonly #usage: ReportedUsage
  readonly #names: Names
  readonly #byCustomer: boolean
  /** The products that both have: the ledger's names by the one for all of each. */
  readonly #joined: ReadonlyMap<string, string>
  /** The ledger's products that none of the report's is known to be. */
  readonly #unjoined: readonly string[]
  readonly #totals = new Map<string, UsageTotal>()
  readonly #verdicts = new Map<UsageVerdict, number>()
  readonly #left = {
    ...{ otherProducts: new Map<string, number>(), otherDimensions: new Map<string, number>() },
    ...{ beforeReport: new Map<string, number>(), beforeLedger: new Map<string, number>() },
    pruned: new Map<string, number>(),
  }
  readonly #unjoinedProducts = new Set<string>()
  #unjoinedCustomers = 0
  /** What is too much or too little on the day before, until it is seen whether this day makes up for it. */
  #open = new Map<string, UsageFinding>()

  constructor(
    ledger: Pick<Ledger, 'records' | 'audit'>,
    options: CompareUsageOptions,
    usage: ReportedUsage,
    names: Names,
  ) {
    this.#ledger = ledger
    this.#options = options
    this.#usage = usage
    this.#names = names
    const { products, sold, kind, customers } = names
    const reported = products.reported()
    const both = [...sold].filter(product => reported.has(products.nameOf(product)))
    this.#joined = new Map(both.map(product => [products.nameOf(product), product]))
    this.#unjoined = [...sold].filter(product => !this.#joined.has(products.nameOf(product)))
    this.#byCustomer = kind !== undefined && customers.known(kind)
  }

  async run(): Promise<Omit<UsageComparison, 'kind' | 'files' | 'rows' | 'writtenUntil' | 'unread'>> {
    const { from, to = Number.POSITIVE_INFINITY } = this.#options
    const { writtenFrom, writtenUntil } = this.#usage
    const days = this.#usage.days()
    const last = days.at(-1)
    const pruned = await prunedBefore(this.#ledger)
    const complete = dayOf(writtenUntil - COMPLETE_AFTER)
    let compared: { first: number; last: number } | undefined
    if (last !== undefined) {
      // What its first rows revise of days before was written in files before.
      const first = from === undefined ? dayOf(writtenFrom) - DAY : dayOf(from)
      for (const one of days) if (from === undefined && one.day < first) this.#leave('beforeReport', one)
      const quantities = new Map(days.map(one => [one.day, one.quantity]))
      const end = Math.min(Math.max(last.day, complete) + DAY, Math.ceil(to / DAY) * DAY)
      for await (const [day, lines] of this.#byDay(first, end)) {
        const reported = { day, quantity: quantities.get(day) ?? 0 }
        if (day < pruned) this.#leave('pruned', reported)
        else if (compared === undefined && from === undefined && lines.size === 0) this.#leave('beforeLedger', reported)
        else {
          compared = { first: compared?.first ?? day, last: day }
          await this.#day(day, lines, day <= complete)
        }
      }
      await this.#tell(this.#open.values())
    }
    return {
      compared,
      byCustomer: this.#byCustomer,
      totals: [...this.#totals].sort(([one], [other]) => (one < other ? -1 : 1)).map(([, total]) => total),
      verdicts: this.#verdicts,
      ...this.#left,
      unjoinedProducts: { reported: [...this.#unjoinedProducts], ledger: this.#unjoined },
      unjoinedCustomers: this.#unjoinedCustomers,
    }
  }

  /** The ledger's lines of each day. */
  async *#byDay(from: number, to: number): AsyncGenerator<[number, Map<string, Line>]> {
    let lines = new Map<string, Line>()
    for await (const [hour, records] of recordsByHour(this.#ledger, from, to)) {
      for (const record of records) {
        // What a restore holds in one piece was never sent, and is of no day.
        if (record.region === RESTORED) continue
        const { name, joined } = this.#names.customers.ofLedger(record.account)
        addRecord(this.#line(lines, record, record.account.product, name, joined).sum, record)
      }
      if ((hour + HOUR) % DAY !== 0) continue
      yield [hour + HOUR - DAY, lines]
      lines = new Map()
    }
  }

  #line(
    lines: Map<string, Line>,
    { region, dimension }: Pick<Line, 'region' | 'dimension'>,
    named: string,
    name: string,
    joined: boolean,
  ): Line {
    const product = this.#joinedName(named)
    const customer = this.#byCustomer ? name : ''
    const key = JSON.stringify([region, dimension, product, customer])
    const known = lines.get(key)
    if (known !== undefined) return known
    const shownProduct = this.#joined.get(product) ?? named
    const line = { region, dimension, product, shownProduct, customer, joined, sum: nothing(), billed: undefined }
    lines.set(key, line)
    return line
  }

  #joinedName(product: string): string {
    const name = this.#names.products.nameOf(product)
    return this.#joined.has(name) ? name : ''
  }

  async #day(day: number, lines: Map<string, Line>, complete: boolean): Promise<void> {
    for (const { region, dimension, product, account, quantity } of this.#usage.ofDay(day)) {
      if (this.#joinedName(product) === '') {
        // Where each of the ledger's products is joined to another of the report's, this one is none of them.
        if (this.#unjoined.length === 0) {
          add(this.#left.otherProducts, product, quantity)
          continue
        }
        this.#unjoinedProducts.add(product)
      }
      if (!this.#names.dimensions.has(dimension)) {
        add(this.#left.otherDimensions, dimension, quantity)
        continue
      }
      const customer = this.#byCustomer
        ? this.#names.customers.reported(this.#names.kind as UsageReportKind, account)
        : ''
      const line = this.#line(lines, { region, dimension }, product, customer, true)
      line.billed = (line.billed ?? 0) + quantity
    }
    const open = new Map<string, UsageFinding>()
    const told: UsageFinding[] = []
    for (const line of this.#together([...lines.values()])) {
      const finding = this.#judge(day, line, complete)
      const key = JSON.stringify([line.region, line.dimension, line.product, line.customer])
      if (finding.verdict !== 'less' && finding.verdict !== 'more') {
        told.push(finding)
        continue
      }
      const before = this.#open.get(key)
      if (before === undefined || cents(before) !== -cents(finding)) open.set(key, finding)
      else {
        this.#open.delete(key)
        told.push({ ...before, verdict: 'other-day' }, { ...finding, verdict: 'other-day' })
      }
    }
    await this.#tell([...this.#open.values(), ...told])
    this.#open = open
  }

  /**
   * Lines of which one of the two does not know the customer are one with all that the other has alone: of one of them it
   * may be.
   */
  #together(lines: readonly Line[]): Line[] {
    if (!this.#byCustomer) return [...lines]
    return [
      ...Map.groupBy(lines, ({ region, dimension, product }) => JSON.stringify([region, dimension, product])).values(),
    ].flatMap(group => {
      const unknown = group.some(({ customer, billed }) => customer === '' && billed !== undefined)
      const unjoined = group.some(({ joined, billed }) => !joined && billed === undefined)
      const isOne = ({ customer, joined, billed, sum }: Line) =>
        customer === '' || (billed === undefined && (unknown || !joined)) || (unjoined && sum.records === 0)
      const [one, ...others] = group.filter(isOne)
      if (one === undefined) return group
      const sum = nothing()
      let billed: number | undefined
      for (const line of [one, ...others]) {
        addSum(sum, line.sum)
        if (line.billed !== undefined) billed = (billed ?? 0) + line.billed
      }
      if (others.length > 0) this.#unjoinedCustomers += others.length + 1
      return [...group.filter(line => !isOne(line)), { ...one, customer: '', sum, billed }]
    })
  }

  #judge(day: number, line: Line, complete: boolean): UsageFinding {
    const { region, dimension, shownProduct: product, customer, sum, billed = 0 } = line
    const key = JSON.stringify([dimension, region])
    const total = this.#totals.get(key) ?? { dimension, region, metered: 0, billed: 0 }
    this.#totals.set(key, total)
    total.metered = units(Math.round(total.metered * 100) + sum.metered)
    total.billed = units(Math.round(total.billed * 100) + billed)
    return {
      verdict: usageVerdict(sum, billed, complete),
      ...{ day, region, dimension, product, customer: customer === '' ? undefined : customer },
      ...{ metered: units(sum.metered), billed: units(billed) },
      inDoubt: units(sum.inDoubt.reduce((all, one) => all + one, 0)),
      ...{ inConflict: sum.inConflict, returned: units(sum.returned), waiting: units(sum.waiting) },
      agreements: sum.accounts.size,
    }
  }

  async #tell(findings: Iterable<UsageFinding>): Promise<void> {
    for (const finding of findings) {
      const { verdict } = finding
      this.#verdicts.set(verdict, (this.#verdicts.get(verdict) ?? 0) + 1)
      if (verdict !== 'agreed') await this.#options.onFinding(finding)
    }
  }

  /** What is not compared, and told. */
  #leave(
    why: 'beforeReport' | 'beforeLedger' | 'pruned',
    { day, quantity }: { readonly day: number; readonly quantity: number },
  ): void {
    if (quantity !== 0) add(this.#left[why], new Date(day).toISOString().slice(0, 10), quantity)
  }
}

const dayOf = (time: number) => Math.floor(time / DAY) * DAY
const units = (hundredths: number) => hundredths / 100
/** How much more AWS has billed, in hundredths of a unit. */
const cents = ({ billed, metered }: UsageFinding) => Math.round((billed - metered) * 100)

function add(sums: Map<string, number>, key: string, quantity: number): void {
  sums.set(key, units(Math.round((sums.get(key) ?? 0) * 100) + quantity))
}
