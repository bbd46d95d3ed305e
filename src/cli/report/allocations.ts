import type { Quantities, RecordEntry } from '../../ledger/ledger.ts'
import { accountLabel, licenceLabel } from '../../text/account.ts'
import { csv } from '../../text/csv.ts'
import { plain } from '../../text/paint.ts'
import { printable } from '../../text/printable.ts'
import { quantityScale } from '../../text/quantity.ts'
import { type Column, indented, type TableOptions, table } from '../../text/table.ts'
import { iso, shortTime } from '../../text/time.ts'
import type { CustomerAccount } from '../../usage/account.ts'
import type { Dimension } from '../../usage/dimension.ts'
import { type Tags, textOfTags } from '../../usage/tags.ts'
import type { Allocations } from '../json.ts'
import type { Period } from '../period.ts'

/** What of a customer's quantities of a dimension is for some tags; without tags, for none. */
export interface AllocationLine extends Omit<Quantities, 'included'> {
  readonly account: CustomerAccount
  readonly dimension: string
  readonly tags?: Tags
}

export interface AllocationsReport {
  readonly now: number
  readonly period: Period
  /** The tag that they are told apart by, where it is one only. */
  readonly by?: string
  /** Those of all tags that the records have. */
  readonly keys: ReadonlySet<string>
  readonly dimensions: ReadonlyMap<string, Dimension>
  readonly lines: readonly AllocationLine[]
}

type State = keyof Omit<Quantities, 'included'>
const STATES = ['metered', 'pending', 'held'] as const satisfies readonly State[]

/** Adds up the allocations of records. */
export class Allocated {
  readonly keys = new Set<string>()
  readonly #by: string | undefined
  readonly #lines = new Map<string, { -readonly [Member in keyof AllocationLine]: AllocationLine[Member] }>()

  /** @param by a tag's key, where the others do not matter */
  constructor(by?: string) {
    this.#by = by
  }

  /** What has returned is in the balance, and in no quantity. */
  add({ account, dimension, quantity, allocations = [[quantity]], state }: RecordEntry): void {
    if (state === 'returned') return
    for (const [units, tags] of allocations) {
      for (const [key] of tags ?? []) this.keys.add(key)
      const kept = tags?.filter(([key]) => this.#by === undefined || key === this.#by) ?? []
      const key = JSON.stringify([dimension, account.key, textOfTags(kept)])
      const line = this.#lines.get(key) ?? {
        ...{ account, dimension, ...(kept.length > 0 && { tags: kept }) },
        ...{ metered: 0n, pending: 0n, held: 0n },
      }
      line[state] += BigInt(units)
      this.#lines.set(key, line)
    }
  }

  /** By dimension and customer, the largest first and what has no tags at the end. */
  lines(): AllocationLine[] {
    const all = ({ metered, pending, held }: AllocationLine) => metered + pending + held
    const place = ({ dimension, account }: AllocationLine) => JSON.stringify([dimension, account.key])
    return [...this.#lines.values()].sort((one, other) => {
      if (place(one) !== place(other)) return place(one) < place(other) ? -1 : 1
      if (one.tags === undefined || other.tags === undefined) return one.tags === undefined ? 1 : -1
      return Number(all(other) - all(one)) || (textOfTags(one.tags) < textOfTags(other.tags) ? -1 : 1)
    })
  }
}

/** What is told of a tag that no record has: it may be an attribute's name, or another letter. */
function strangeTag({ by, keys, lines }: AllocationsReport): string[] {
  if (by === undefined || keys.has(by) || lines.length === 0) return []
  const others =
    keys.size === 0
      ? 'none has any'
      : `they have ${[...keys]
          .sort()
          .map(key => printable(key))
          .join(', ')}`
  return [`No record has the tag ${printable(by)}: ${others}.`]
}

/** The keys that lines have, in order. */
function keysOf(lines: readonly AllocationLine[]): string[] {
  return [...new Set(lines.flatMap(({ tags = [] }) => tags.map(([key]) => key)))].sort()
}

const tagValue = ({ tags }: Pick<AllocationLine, 'tags'>, key: string) => tags?.find(([own]) => own === key)?.[1]

/** For a person: a table for each dimension. */
export function allocationsTable(report: AllocationsReport, options: TableOptions = {}): string {
  const { now, period, lines, dimensions } = report
  const { from, to } = period
  const title =
    `Allocations from ${from === undefined ? 'the beginning' : shortTime(from)} to ` +
    `${to === undefined ? `now, ${shortTime(now)}` : shortTime(to)}`
  const sections = [...Map.groupBy(lines, ({ dimension }) => dimension)].map(([dimension, own]) => {
    const { paint = plain } = options
    const sold = dimensions.get(dimension)
    const unit = sold === undefined ? '' : `, in ${printable(quantityScale(sold).unit)}`
    return `${paint('bold', printable(dimension))}${unit}\n${indented(section(own, options))}`
  })
  return [title, ...(sections.length === 0 ? ['No usage records.'] : sections), ...strangeTag(report)].join('\n\n')
}

function section(lines: readonly AllocationLine[], options: TableOptions): string {
  interface Row extends Record<State, bigint> {
    readonly line: AllocationLine | undefined
  }
  const rows: Row[] = lines.map(line => ({ ...line, line }))
  const sum = (state: State) => lines.reduce((total, line) => total + line[state], 0n)
  rows.push({ line: undefined, metered: sum('metered'), pending: sum('pending'), held: sum('held') })
  const bold = ({ line }: Row) => (line === undefined ? 'bold' : undefined)
  const columns: Column<Row>[] = [
    { title: 'CUSTOMER', of: ({ line }) => (line === undefined ? 'TOTAL' : accountLabel(line.account)), format: bold },
    ...(lines.some(({ account }) => account.licenseArn !== undefined)
      ? [{ title: 'LICENCE', of: ({ line }: Row) => (line === undefined ? '' : licenceLabel(line.account)) }]
      : []),
    ...keysOf(lines).map(key => ({
      title: printable(key).toUpperCase(),
      of: ({ line }: Row) => (line === undefined ? '' : printable(tagValue(line, key) ?? '-')),
    })),
    ...STATES.map(state => ({
      title: state.toUpperCase(),
      of: (row: Row) => row[state].toLocaleString('en-US'),
      ...{ number: true as const, format: bold },
    })),
  ]
  return table(columns, rows, options)
}

/** For a program. Quantities are in units of the dimension, as strings; `tags` is null of what has none. */
export function allocationsJson({ now, period, by, lines }: AllocationsReport): Allocations {
  const isoOrNull = (time: number | undefined) => (time === undefined ? null : iso(time))
  return {
    ...{ at: iso(now), from: isoOrNull(period.from), to: isoOrNull(period.to), by: by ?? null },
    lines: lines.map(({ account, dimension, tags, metered, pending, held }) => ({
      ...{ account, dimension, tags: tags === undefined ? null : Object.fromEntries(tags) },
      ...{ metered: String(metered), pending: String(pending), held: String(held) },
    })),
  }
}

/** For a spreadsheet, with a column for each tag. */
export function allocationsCsv({ lines }: AllocationsReport): string {
  const keys = keysOf(lines)
  const header = [
    ...['account', 'product', 'account_id', 'customer_identifier', 'license_arn', 'dimension'],
    ...keys.map(key => `tag ${key}`),
    ...STATES.map(state => `${state}_quantity`),
  ]
  const rows = lines.map(line => [
    ...[line.account.key, line.account.product, line.account.accountId, line.account.customerIdentifier],
    ...[line.account.licenseArn, line.dimension, ...keys.map(key => tagValue(line, key))],
    ...STATES.map(state => ({ value: String(line[state]) })),
  ])
  return csv(header, rows)
}
