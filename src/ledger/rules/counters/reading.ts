import type { Account } from '../../../usage/account.ts'
import { HOUR } from '../../hours.ts'
import type { NotCounted } from '../../ledger.ts'
import type { Stream, StreamState } from './evidence.ts'

/** What counters of all kinds are asked and answer. Times are microseconds since the epoch where nothing else is said. */

/** For how long a queue may hold points back, in microseconds: what is older is not put into order any more. */
export const MEMORY = 26 * HOUR * 1000

export interface Knot {
  readonly time: number
  readonly value: bigint
}

/** A point, its time as it is believed. */
export interface Reading extends Knot {
  readonly start: number
  readonly stream: Stream
  readonly account: Account
  /** In milliseconds. */
  readonly receivedAt: number
}

/** Whose usage it is that waits, and since when its metric is metered. */
export interface Waiter {
  readonly account: Account
  readonly since: number
  /** When it began to wait, in milliseconds. */
  readonly at: number
}

/** What there is to know beside a counter. */
export interface Surroundings {
  /** When metering began. */
  readonly since: number
  /** What was before it, a ledger that was lost may have counted; 0 where none was. */
  readonly restored: number
  readonly stream: StreamState | undefined
  /** The attributes of a stream. */
  attributesOf(stream: string): string | undefined
  /** Whether counters of one of these streams that were known went on at exactly this time. */
  wentOnAt(streams: readonly string[], time: number): boolean
  /** Whether others of one of these streams that have this start went on at a time, or later. */
  othersWentOn(streams: readonly string[], start: number, time: number): boolean
  /** Whether a start in whole seconds is said of several targets. */
  isShared(start: number): boolean
}

/** Usage that is found. */
export interface Emission {
  readonly account: Account
  readonly amount: bigint
  /** Why a person has to decide on it. */
  readonly held?: HeldVerdict
}

/** What a person has to decide on. */
export type HeldVerdict = 'old-counter' | 'too-late' | 'several-writers'

export interface Note {
  readonly verdict: NotCounted
  readonly account: Account
  readonly amount: bigint
}

/** By which rule a point is taken. */
export type Rule =
  /** It began after metering did, as its start says: all of it counts. */
  | 'own-start'
  /** It goes on from the highest value of its start. */
  | 'goes-on'
  /** The same, under another name. */
  | 'renamed'
  /** It is new in a stream that is known, so it began after the collection before. */
  | 'new-in-stream'
  /** It began before, or nobody knows when: what it says first is none of this usage. */
  | 'first-contact'
  /** Its start is none: it is followed by its values. */
  | 'by-values'
  /** What it is cannot be told yet: the next points tell. */
  | 'waits'
  /** Nobody can say whose point it is. */
  | 'several-writers'
  /** A delta, known by its start and time. */
  | 'delta'
  /** A level that holds until the next. */
  | 'level'

export interface Outcome<State> {
  readonly state: State
  readonly rule: Rule
  readonly emissions: readonly Emission[]
  readonly notes: readonly Note[]
}
