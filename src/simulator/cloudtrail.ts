import { gzipSync } from 'node:zlib'
import * as v from 'valibot'
import { strictObject } from '../check.ts'
import type { Series } from './book.ts'
import type { Caller } from './caller.ts'
import type { Instant, SimulatorClock } from './clock.ts'
import type { SimulatedServiceError } from './errors.ts'
import type { CheckedFault } from './faults.ts'
import type { Random } from './random.ts'
import { isObject } from './shape.ts'
import {
  bytesOf,
  type CallerIdentity,
  type CloudTrailEvent,
  EVENT_NAME,
  EVENT_SOURCE,
  eventOf,
  identityOf,
  type KeptCall,
  type KeptRecord,
  kept,
  type LeftOut,
  MAX_MEMBER_BYTES,
  MEMBERS,
  productCodeOf,
  requestParametersOf,
  seconds,
  userNameOf,
} from './trail-event.ts'
import type { Undocumented } from './undocumented.ts'
import { accountId, instant, validated } from './validation.ts'
import type { BatchMeterUsageRequest, BatchMeterUsageResult } from './wire.ts'

export interface CloudTrailOptions {
  /** How many of the latest events are kept (default 100000; fewer where they are more than 700 MB), 0 for none. */
  size?: number
  /** The seller's (default `999900001111`). */
  accountId?: string
  /**
   * Whose an access key is. Of others, one that begins with `AKIA` is the user of that name, and any other is a session of
   * that name of the role `meter`.
   */
  identities?: Record<string, CallerIdentity>
  /** `LookupEvents` a second for each region (default 2, as AWS); `null` for no limit. */
  lookupsPerSecond?: number | null
}

const name = v.pipe(v.string(), v.minLength(1))

/** @internal */
export const cloudTrailSchema = strictObject({
  size: v.optional(v.pipe(v.number(), v.safeInteger(), v.minValue(0)), 100_000),
  accountId: v.optional(accountId, '999900001111'),
  identities: v.optional(
    v.record(v.string(), v.union([v.strictObject({ role: name, session: name }), v.strictObject({ user: name })])),
    {},
  ),
  lookupsPerSecond: v.optional(v.nullable(v.number()), 2),
})

/** Which events are asked for; all, if nothing is said. */
export interface TrailFilter {
  region?: string | undefined
  /** Only events of then or later. */
  from?: Instant | undefined
  /** Only events of earlier. */
  to?: Instant | undefined
}

/** @internal */
export const trailFilterSchema = strictObject({
  region: v.optional(v.string()),
  from: v.optional(instant),
  to: v.optional(instant),
})

type LookupAttributes = {
  EventId: string
  EventName: string
  ReadOnly: string
  AccessKeyId: string
  EventSource: string
  Username: string
}

/** One event as `LookupEvents` lists it. */
export interface LookedUpEvent extends LookupAttributes {
  /** ISO 8601, as version 2 of AWS's CLI prints it; seconds since the epoch on the wire. */
  EventTime: string
  Resources: object[]
  /** The {@link CloudTrailEvent} as JSON. */
  CloudTrailEvent: string
}

/** A file as a trail leaves it in a bucket. */
export interface TrailFile {
  /** Its key in the bucket, without a prefix. */
  name: string
  /** Gzip of `{"Records":[…]}`. */
  content: Buffer
}

/** A request whose event is to be written: its answer as AWS gave it, whatever of it arrived. */
export interface TrailedCall {
  at: number
  caller: Caller
  requestId: string
  request: BatchMeterUsageRequest
  /** Of its records, if it was admitted. */
  admissions?: readonly { series: Series }[]
  result?: BatchMeterUsageResult | undefined
  error?: SimulatedServiceError | undefined
}

interface Entry extends KeptCall {
  readonly number: number
  /** Where it stands among the others, in milliseconds. */
  readonly place: number
  readonly visibleAt: number
  /** When it comes once more. */
  readonly again: number | undefined
  /** Bytes, at a guess. */
  readonly weight: number
}

/** Where an event stands in a list that has the latest first. */
export interface Position {
  place: number
  number: number
  /** Whether it is the one that comes once more. */
  again: boolean
}

/** @internal */
export interface Listed extends Position {
  entry: Entry
  visibleAt: number
}

/** The access key of another tool of the same seller, where it is not said. */
export const OTHER_TOOL = 'AKIAOTHERTOOL'

/** Event history's 90 days. */
const HISTORY = 90 * 86_400_000
const MAX_WEIGHT = 700_000_000
const WEIGHT_OF_CALL = 300
const WEIGHT_OF_RECORD = 150
const EVENTS_IN_FILE = 5000

const NO_RECORDS: readonly KeptRecord[] = []

/** AWS CloudTrail of the seller's account: an event for every `BatchMeterUsage` that came to AWS. */
export class CloudTrail {
  readonly accountId: string
  readonly #size: number
  readonly #identities: Map<string, CallerIdentity>
  readonly #clock: SimulatorClock
  readonly #idPrefix: string
  readonly #random: Random
  readonly #undocumented: () => Undocumented
  /** A ring: the entry of a number is at that number modulo its size. */
  readonly #ring: (Entry | undefined)[] = []
  #first = 0
  #next = 0
  #weight = 0
  #listed: Listed[] | undefined

  /**
   * @param idPrefix 8 hexadecimal digits that its events' ids begin with
   * @param undocumented asked whenever events are read
   */
  constructor(
    { size, accountId, identities }: Required<CloudTrailOptions>,
    clock: SimulatorClock,
    idPrefix: string,
    random: Random,
    undocumented: () => Undocumented,
  ) {
    this.accountId = accountId
    this.#size = size
    this.#identities = new Map(Object.entries({ [OTHER_TOOL]: { user: 'other-tool' }, ...identities }))
    this.#clock = clock
    this.#idPrefix = idPrefix
    this.#random = random
    this.#undocumented = undocumented
  }

  /** The events that can be seen by now, as they are listed: the oldest first, where no fault has them in disorder. */
  events(filter: TrailFilter = {}): CloudTrailEvent[] {
    return [...this.#select(filter)].map(({ entry }) => this.#event(entry))
  }

  /** The same as `aws cloudtrail lookup-events` prints them: of the last 90 days, the latest first. */
  lookup(filter: TrailFilter = {}): { Events: LookedUpEvent[] } {
    const since = this.historySince
    const found = [...this.#select(filter)].filter(({ entry }) => entry.at >= since)
    return { Events: found.reverse().map(({ entry }) => this.lookedUp(entry)) }
  }

  /** The same as a trail leaves them in a bucket: files for each region and day. */
  *files(filter: TrailFilter = {}): Generator<TrailFile> {
    const folders = new Map<string, Entry[]>()
    for (const { entry } of this.#select(filter)) {
      const folder = `${entry.caller.region}/${seconds(entry.at).slice(0, 10).replaceAll('-', '/')}`
      const entries = folders.get(folder)
      if (entries === undefined) folders.set(folder, [entry])
      else entries.push(entry)
    }
    for (const folder of [...folders.keys()].sort()) {
      const entries = folders.get(folder) as Entry[]
      const region = folder.split('/')[0]
      for (let start = 0; start < entries.length; start += EVENTS_IN_FILE) {
        const some = entries.slice(start, start + EVENTS_IN_FILE)
        const { at, number } = some.at(-1) as Entry
        const time = seconds(at).replace(/[-:]|\d\dZ$/g, '')
        const unique = number.toString(36).padStart(16, '0')
        yield {
          name: `AWSLogs/${this.accountId}/CloudTrail/${folder}/${this.accountId}_CloudTrail_${region}_${time}Z_${unique}.json.gz`,
          content: gzipSync(JSON.stringify({ Records: some.map(entry => this.#event(entry)) })),
        }
      }
    }
  }

  /**
   * Writes an event.
   *
   * @param faults what happens to it
   * @internal
   */
  write(call: TrailedCall, faults: readonly CheckedFault[]): void {
    if (this.#size === 0 || faults.some(({ kind }) => kind === 'trail-gap')) return
    const whole = this.#kept(call)
    let [visibleAt, place]: [number, number] = [call.at, call.at]
    let again: number | undefined
    const leftOut = new Set(whole.leftOut)
    for (const { kind, milliseconds, share } of faults) {
      if (kind === 'trail-late') visibleAt += milliseconds
      else if (kind === 'trail-shuffled') place += this.#random() * milliseconds
      else if (kind === 'trail-duplicate') again = milliseconds
      else if (kind === 'trail-left-out') {
        const certain = Math.floor(this.#random() * MEMBERS.length)
        MEMBERS.forEach((member, index) => {
          if (this.#random() < share || index === certain) leftOut.add(member)
        })
      }
    }
    if (again !== undefined) again += visibleAt
    while (this.#next - this.#first === this.#size || this.#weight > MAX_WEIGHT) this.#forget()
    const number = this.#next++
    this.#ring[number % this.#size] = { ...whole, leftOut: [...leftOut], number, place, visibleAt, again }
    this.#weight += whole.weight
    this.#listed = undefined
  }

  /**
   * By what an event can be looked up.
   *
   * @internal
   */
  attributesOf(entry: Entry): LookupAttributes {
    return {
      EventId: `${this.#idPrefix}-0000-4000-a000-${entry.number.toString(16).padStart(12, '0')}`,
      EventName: EVENT_NAME,
      ReadOnly: 'false',
      AccessKeyId: entry.caller.accessKeyId,
      EventSource: EVENT_SOURCE,
      Username: userNameOf(this.#identity(entry)),
    }
  }

  /** @internal */
  lookedUp(entry: Entry): LookedUpEvent {
    const event = this.#event(entry)
    return {
      ...this.attributesOf(entry),
      EventTime: event.eventTime,
      Resources: [],
      CloudTrailEvent: JSON.stringify(event),
    }
  }

  /**
   * Since when events can be looked up, in milliseconds.
   *
   * @internal
   */
  get historySince(): number {
    return this.#clock.now() - HISTORY
  }

  /**
   * All that can be seen by now, the latest first, from a position on.
   *
   * @internal
   */
  *latest(after?: Position): Generator<Listed> {
    const now = this.#clock.now()
    const all = this.#list()
    let low = all.length
    if (after !== undefined) {
      let high = low
      low = 0
      while (low < high) {
        const middle = (low + high) >> 1
        if (order(all[middle] as Listed, after) < 0) low = middle + 1
        else high = middle
      }
    }
    for (let index = low - 1; index >= 0; index--) {
      const listed = all[index] as Listed
      if (listed.visibleAt <= now) yield listed
    }
  }

  #event(entry: Entry): CloudTrailEvent {
    const { EventId: eventID } = this.attributesOf(entry)
    return eventOf(entry, { eventID, accountId: this.accountId, identity: this.#identity(entry) }, this.#undocumented())
  }

  *#select(filter: TrailFilter): Generator<Listed> {
    const { region, from, to } = validated(trailFilterSchema, filter, 'filter')
    const now = this.#clock.now()
    for (const listed of this.#list()) {
      const { at, caller } = listed.entry
      if (region !== undefined && caller.region !== region) continue
      if ((from !== undefined && at < from) || (to !== undefined && at >= to)) continue
      if (listed.visibleAt <= now) yield listed
    }
  }

  /** All, the oldest first. Sorting is for whoever reads, not for whoever meters. */
  #list(): Listed[] {
    if (this.#listed !== undefined) return this.#listed
    const all: Listed[] = []
    for (let number = this.#first; number < this.#next; number++) {
      const entry = this.#ring[number % this.#size] as Entry
      const { place, visibleAt, again } = entry
      all.push({ entry, place, number, again: false, visibleAt })
      if (again !== undefined) all.push({ entry, place, number, again: true, visibleAt: again })
    }
    this.#listed = all.sort(order)
    return all
  }

  #identity({ caller: { accessKeyId } }: KeptCall): CallerIdentity {
    return this.#identities.get(accessKeyId) ?? identityOf(accessKeyId)
  }

  #kept(call: TrailedCall): KeptCall & { weight: number } {
    const { at, caller, requestId, request, admissions, result, error } = call
    const { region, accessKeyId, sourceIPAddress = '', userAgent = '' } = caller
    const known = isObject(request) && error?.name !== 'SerializationException'
    const sent = known && Array.isArray(request.UsageRecords) ? request.UsageRecords : []
    let weight = WEIGHT_OF_CALL + userAgent.length
    let records: KeptRecord[] | undefined = known ? [] : undefined
    let large = false
    for (let index = 0; index < sent.length; index++) {
      const record = sent[index]
      if (!isObject(record)) continue
      const copy = kept(record, admissions?.[index]?.series)
      weight += weightOf(copy)
      records?.push(copy)
    }
    const productCode = known ? productCodeOf(request) : undefined
    // What is far from the limit is measured when somebody reads it.
    if (records !== undefined && weight > MAX_MEMBER_BYTES / 2) {
      large = bytesOf(requestParametersOf({ records, productCode }, this.#undocumented())) > MAX_MEMBER_BYTES
    }
    const copies = records ?? NO_RECORDS
    const [results, unprocessed] =
      result === undefined || large ? [NO_RECORDS, NO_RECORDS] : answered(sent, copies, result)
    // The answer repeats the records, so it is larger still.
    const leftOut: readonly LeftOut[] = large ? MEMBERS : []
    if (large) {
      records = undefined
      weight = WEIGHT_OF_CALL
    }
    const message = error?.message ?? ''
    return {
      at,
      caller: { region, accessKeyId, sourceIPAddress, userAgent },
      requestId,
      productCode,
      records,
      results,
      unprocessed,
      error: error && { name: error.name, message },
      leftOut,
      weight: weight + message.length,
    }
  }

  #forget(): void {
    const index = this.#first++ % this.#size
    this.#weight -= (this.#ring[index] as Entry).weight
    this.#ring[index] = undefined
  }
}

function weightOf({ dimension, accountId, customerIdentifier, licenseArn, allocations }: KeptRecord): number {
  return (
    WEIGHT_OF_RECORD +
    (dimension?.length ?? 0) +
    (accountId?.length ?? 0) +
    (customerIdentifier?.length ?? 0) +
    (licenseArn?.length ?? 0) +
    (allocations === undefined ? 0 : 2 * bytesOf(allocations))
  )
}

function order(one: Position, other: Position): number {
  return one.place - other.place || one.number - other.number || Number(one.again) - Number(other.again)
}

/** What was answered of each record, noted on it, in the answer's order. */
function answered(
  sent: readonly unknown[],
  copies: readonly KeptRecord[],
  { Results, UnprocessedRecords }: BatchMeterUsageResult,
): [readonly KeptRecord[], readonly KeptRecord[]] {
  const copyOf = (record: unknown, likely: number) =>
    copies[sent[likely] === record ? likely : sent.indexOf(record)] as KeptRecord
  let whole = Results.length === copies.length
  const results = Results.map(({ UsageRecord, Status, MeteringRecordId }, index) => {
    const copy = copyOf(UsageRecord, index)
    if (copy !== copies[index]) whole = false
    copy.status = Status
    copy.meteringRecordId = MeteringRecordId
    return copy
  })
  return [
    whole ? copies : results,
    UnprocessedRecords.length === 0 ? NO_RECORDS : UnprocessedRecords.map((record, index) => copyOf(record, index)),
  ]
}
