import * as v from 'valibot'
import { strictObject } from '../check.ts'
import { costTagsOf, keptAllocations, sameSplit, tagSetOf } from './allocations.ts'
import type { Instant } from './clock.ts'
import { hourOf } from './time-rules.ts'
import { instant, validated } from './validation.ts'
import type { UsageAllocation } from './wire.ts'

/** Whose usage of what a quantity is: AWS takes one for each series and hour. */
export interface Series {
  region: string
  /** The product code; of a licence, the product it was declared for, if it was. */
  product?: string
  accountId?: string
  customerIdentifier?: string
  licenseArn?: string
  dimension: string
}

/** One quantity that AWS bills. All times are ISO 8601 in UTC. */
export interface BilledRecord extends Series {
  /** The start of the hour. */
  hour: string
  /** As it was sent. */
  timestamp: string
  quantity: number
  meteringRecordId: string
  /** When it was taken, by the simulator's clock. */
  takenAt: string
  /** Whether it was metered as by another tool. */
  foreign: boolean
  /** By which tags the buyer sees it split, if it was sent with them. */
  allocations?: UsageAllocation[]
}

/** What was billed of a series, over all the hours asked for. */
export interface BilledTotal extends Series {
  /** How many hours have a record, those of quantity 0 too. */
  records: number
  quantity: number
}

/** What a buyer who has activated the cost allocation tags of this seller sees of a series, over all the hours asked for. */
export interface BilledShare extends Series {
  /** By AWS's names, such as `aws:marketplace:isv:team`. Empty for what was metered without tags. */
  tags: Record<string, string>
  quantity: number
}

/** Which of what was billed is asked for; all, if nothing is said. */
export interface BilledFilter {
  region?: string | undefined
  product?: string | undefined
  /** An account id, a customer identifier or a licence's ARN. */
  customer?: string | undefined
  dimension?: string | undefined
  /** Only the hour that this lies in. */
  hour?: Instant | undefined
  /** Only hours that begin then or later. */
  from?: Instant | undefined
  /** Only hours that begin earlier. */
  to?: Instant | undefined
}

/** @internal */
export const billedFilterSchema = strictObject({
  region: v.optional(v.string()),
  product: v.optional(v.string()),
  customer: v.optional(v.string()),
  dimension: v.optional(v.string()),
  hour: v.optional(instant),
  from: v.optional(instant),
  to: v.optional(instant),
})

interface Entry {
  quantity: number
  meteringRecordId: string
  timestamp: number
  takenAt: number
  foreign: boolean
  allocations: readonly UsageAllocation[] | undefined
}

interface SeriesHours {
  series: Series
  /** By the hour's start. */
  hours: Map<number, Entry>
}

const iso = (milliseconds: number) => new Date(milliseconds).toISOString()

/** What has been billed. The first quantity for a series and hour stays for ever. */
export class Book {
  readonly #idPrefix: string
  #taken = 0
  /** By owner, then by dimension. */
  readonly #series = new Map<string, Map<string, SeriesHours>>()

  /** @param idPrefix 8 hexadecimal digits that this book's ids begin with */
  constructor(idPrefix: string) {
    this.#idPrefix = idPrefix
  }

  /**
   * Meters a quantity.
   *
   * @param owner one text for each region and customer (of a product, or with a licence)
   * @returns the series as the book has it; the `MeteringRecordId`, unless the hour is taken with another quantity; whether
   *   the hour was taken; and whether that was with the same quantity and other allocations
   */
  meter(
    owner: string,
    named: Series,
    entry: Omit<Entry, 'meteringRecordId'>,
  ): { series: Series; meteringRecordId: string | undefined; again: boolean; resplit: boolean } {
    const { series, hours } = this.#hoursOf(owner, named)
    const hour = hourOf(entry.timestamp)
    const first = hours.get(hour)
    if (first !== undefined) {
      const same = first.quantity === entry.quantity
      const resplit = same && !sameSplit(first.allocations, entry.allocations)
      return { series, meteringRecordId: same ? first.meteringRecordId : undefined, again: true, resplit }
    }
    const number = (++this.#taken).toString(16).padStart(12, '0')
    const meteringRecordId = `${this.#idPrefix}-0000-4000-8000-${number}`
    hours.set(hour, { ...entry, meteringRecordId })
    return { series, meteringRecordId, again: false, resplit: false }
  }

  /** Takes over what another book has billed. What this one already has stays. */
  load(owner: string, record: BilledRecord): void {
    const { hour: _, timestamp, takenAt, quantity, meteringRecordId, foreign, allocations, ...series } = record
    const { hours } = this.#hoursOf(owner, series)
    const at = Date.parse(timestamp)
    const hour = hourOf(at)
    if (hours.has(hour)) return
    hours.set(hour, { quantity, meteringRecordId, timestamp: at, takenAt: Date.parse(takenAt), foreign, allocations })
    this.#taken++
  }

  records(filter: BilledFilter = {}): BilledRecord[] {
    const records: BilledRecord[] = []
    for (const { series, hour, entry } of this.#select(filter)) {
      records.push({
        ...series,
        hour: iso(hour),
        timestamp: iso(entry.timestamp),
        quantity: entry.quantity,
        meteringRecordId: entry.meteringRecordId,
        takenAt: iso(entry.takenAt),
        foreign: entry.foreign,
        ...(entry.allocations && { allocations: keptAllocations(entry.allocations) }),
      })
    }
    return records
  }

  totals(filter: BilledFilter = {}): BilledTotal[] {
    const totals = new Map<Series, BilledTotal>()
    for (const { series, entry } of this.#select(filter)) {
      const total = totals.get(series)
      if (total === undefined) totals.set(series, { ...series, records: 1, quantity: entry.quantity })
      else {
        total.records++
        total.quantity += entry.quantity
      }
    }
    return [...totals.values()]
  }

  shares(filter: BilledFilter = {}): BilledShare[] {
    const shares = new Map<Series, Map<string, BilledShare>>()
    for (const { series, entry } of this.#select(filter)) {
      const allocations: readonly UsageAllocation[] = entry.allocations ?? [{ AllocatedUsageQuantity: entry.quantity }]
      let ofSeries = shares.get(series)
      if (ofSeries === undefined) {
        ofSeries = new Map()
        shares.set(series, ofSeries)
      }
      for (const { AllocatedUsageQuantity: quantity = 0, Tags } of allocations) {
        const tagSet = tagSetOf(Tags)
        const share = ofSeries.get(tagSet)
        if (share === undefined) ofSeries.set(tagSet, { ...series, tags: costTagsOf(Tags), quantity })
        else share.quantity += quantity
      }
    }
    return [...shares.values()].flatMap(ofSeries => [...ofSeries.values()])
  }

  #hoursOf(owner: string, series: Series): SeriesHours {
    let dimensions = this.#series.get(owner)
    if (dimensions === undefined) {
      dimensions = new Map()
      this.#series.set(owner, dimensions)
    }
    let known = dimensions.get(series.dimension)
    if (known === undefined) {
      known = { series, hours: new Map() }
      dimensions.set(series.dimension, known)
    }
    return known
  }

  *#select(filter: BilledFilter): Generator<{ series: Series; hour: number; entry: Entry }> {
    const { region, product, customer, dimension, hour, from, to } = validated(billedFilterSchema, filter, 'filter')
    const only = hour === undefined ? undefined : hourOf(hour)
    for (const dimensions of this.#series.values()) {
      for (const { series, hours } of dimensions.values()) {
        if (region !== undefined && series.region !== region) continue
        if (product !== undefined && series.product !== product) continue
        if (dimension !== undefined && series.dimension !== dimension) continue
        if (customer !== undefined && !names(series, customer)) continue
        for (const [start, entry] of hours) {
          if (only !== undefined && start !== only) continue
          if (from !== undefined && start < from) continue
          if (to !== undefined && start >= to) continue
          yield { series, hour: start, entry }
        }
      }
    }
  }
}

const names = ({ accountId, customerIdentifier, licenseArn }: Series, customer: string): boolean =>
  accountId === customer || customerIdentifier === customer || licenseArn === customer
