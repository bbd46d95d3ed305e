import { DAY } from '../../ledger/hours.ts'
import { UsageReportError } from '../errors.ts'
import { eventTime } from '../event-time.ts'
import { cellText, columnOf, headerText } from './csv-rows.ts'

/** AWS's Daily Usage feed, or the newer Marketplace Usage dataset. */
export type UsageReportKind = 'usage-feed' | 'usage-dataset'

/** A row: what a line of the report says from a time on, or that it is taken back. Times are milliseconds. */
export interface ReportRow {
  readonly id: string
  /** A line's versions, of which the latest counts; a dataset has one of each. */
  readonly validFrom: number
  /** Of rows of a version the latest counts; of equal ones that with the higher rank. */
  readonly updated: number
  readonly rank: 0 | 1 | typeof TAKEN_BACK
  /** Nothing of one that is taken back. */
  readonly usage: ReportedSum | undefined
}

/** A day's usage of one dimension, as AWS has billed it. Names are AWS's; what is not said is empty. */
export interface ReportedSum {
  /** The day's first millisecond, in UTC. */
  readonly day: number
  readonly region: string
  readonly product: string
  readonly account: string
  readonly dimension: string
  /** In hundredths of a unit. */
  readonly quantity: number
  readonly agreementId?: string
}

export const TAKEN_BACK = 2

const RANKS: { readonly [type: string]: ReportRow['rank'] } = { INSERT: 0, UPDATE: 1, DELETE: TAKEN_BACK }

/** What tells the two apart. */
const FEED_ID = 'usage_feed_id'
const DATASET_ID = 'internal_usage_line_item_id'

type Cell =
  | 'id'
  | 'validFrom'
  | 'updated'
  | 'ended'
  | 'day'
  | 'region'
  | 'product'
  | 'account'
  | 'dimension'
  | 'quantity'
/** A column's names: the first that is there counts. */
type Columns = Readonly<Record<Cell, readonly [string, ...string[]]>>

const USAGE = { day: ['usage_date'], region: ['region'], dimension: ['dimension_key'] } as const
const FEED: Columns = {
  ...USAGE,
  ...{ id: [FEED_ID], validFrom: ['valid_from'], updated: ['update_date'], ended: ['delete_date'] },
  ...{ product: ['product_id'], account: ['end_user_account_id'], quantity: ['usage_quantity'] },
}
const DATASET: Columns = {
  ...USAGE,
  ...{ id: [DATASET_ID], validFrom: [DATASET_ID], updated: ['row_modified_date'], ended: ['row_type'] },
  // A code is what ledgers know a product by.
  ...{
    product: ['product_code', 'product_id'],
    account: ['end_user_aws_account_id'],
    quantity: ['estimated_usage_units'],
  },
}

/**
 * How the rows under a header are read.
 *
 * @throws UsageReportError where it is of neither report, or a column is missing
 */
export function rowReader(
  columns: readonly string[],
  file: string,
): { readonly kind: UsageReportKind; readonly read: (row: readonly string[]) => ReportRow } {
  if (!columns.includes(FEED_ID) && !columns.includes(DATASET_ID)) {
    throw new UsageReportError(
      `Expected AWS's Daily Usage feed (with a column ${FEED_ID}) or Marketplace Usage dataset (with ${DATASET_ID}) in ` +
        `${file}, got a header with ${headerText(columns)}.`,
    )
  }
  const isFeed = columns.includes(FEED_ID)
  const names = isFeed ? FEED : DATASET
  const at = Object.fromEntries(
    Object.entries(names).map(([name, wanted]) => [name, columnOf(columns, wanted, file)]),
  ) as Record<Cell, number>
  const agreementAt = columns.indexOf('agreement_id')
  const read = (row: readonly string[]): ReportRow => {
    const cell = (name: Cell) => row[at[name]]?.trim() ?? ''
    const id = cell('id')
    if (id === '') throw new UsageReportError(`Expected ${names.id[0]}, got nothing.`)
    const updated = time(cell('updated'), names.updated[0])
    const validFrom = isFeed ? time(cell('validFrom'), names.validFrom[0]) : 0
    const rank = isFeed ? (cellText(cell('ended')) === '' ? 0 : TAKEN_BACK) : RANKS[cell('ended').toUpperCase()]
    if (rank === undefined) {
      throw new UsageReportError(`Expected row_type INSERT, UPDATE or DELETE, got ${JSON.stringify(cell('ended'))}.`)
    }
    if (rank === TAKEN_BACK) return { id, validFrom, updated, rank, usage: undefined }
    const agreementId = cellText(row[agreementAt]?.trim())
    const usage = {
      day: Math.floor(time(cell('day'), names.day[0]) / DAY) * DAY,
      region: cell('region'),
      product: cellText(cell('product')),
      account: cellText(cell('account')),
      dimension: cell('dimension'),
      quantity: hundredths(cell('quantity'), names.quantity[0]),
      ...(agreementId !== '' && { agreementId }),
    }
    return { id, validFrom, updated, rank, usage }
  }
  return { kind: isFeed ? 'usage-feed' : 'usage-dataset', read }
}

/** ISO 8601; a date alone, or with a space before the time, as databases write it, is UTC too. */
function time(text: string, column: string): number {
  const full = /^\d{4}-\d\d-\d\d$/.test(text)
    ? `${text}T00:00Z`
    : text.replace(/^(\S{10}) (?=\d)/, '$1T').replace(/ UTC$/, 'Z')
  // Date would take the 30th of February for the 2nd of March.
  const date = full.slice(0, 10)
  const isDate = /^\d{4}-\d\d-\d\d$/.test(date) && new Date(`${date}T00:00Z`).toJSON()?.startsWith(date)
  const found = isDate ? eventTime(full) : undefined
  if (found !== undefined) return found
  throw new UsageReportError(`Expected a time such as 2026-11-03T00:00:00Z in ${column}, got ${JSON.stringify(text)}.`)
}

function hundredths(text: string, column: string): number {
  const value = /^-?\d+(\.\d+)?(e[+-]?\d{1,2})?$/i.test(text) ? Number(text) * 100 : Number.NaN
  const whole = Math.round(value)
  // Of large numbers a float's last digit is more than nothing.
  const exact = Math.abs(value - whole) <= 1e-3 + Math.abs(value) * Number.EPSILON
  if (exact && Number.isSafeInteger(whole)) return whole
  throw new UsageReportError(`Expected a number of at most two decimals in ${column}, got ${JSON.stringify(text)}.`)
}
