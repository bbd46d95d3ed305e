import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import { deflateRaw, inflateRaw } from 'node:zlib'
import { type Tags, textOfTags } from '../../usage/tags.ts'
import { HOUR } from '../hours.ts'
import type { Observation } from '../ledger.ts'
import { counterKey, type Stream } from '../rules/counters/index.ts'
import { OBSERVATION_KINDS } from '../rules/observation-kinds.ts'
import { NumberReader, NumberWriter } from './packed-numbers.ts'
import type { ShareUsage } from './shares.ts'
import type { GatheredUsage, UsageGroup } from './usage.ts'

/** A batch as bytes: amounts by hour and dimension, then points of counters. Accounts and dimensions by their numbers. */

/**
 * The first number of a body: another layout gets another one. Where no point says of which stream or series it is, it
 * is as before, so that a batch of the version before is known again.
 */
const LAYOUT = 1
const LAYOUT_WITH_STREAMS = 2
/** And what usage is for. */
const LAYOUT_WITH_TAGS = 3

/** A point of a counter, with account and dimension by their numbers. */
export interface Point extends Omit<Observation, 'account' | 'dimension'> {
  readonly account: number
  readonly dimension: number
  /** What it is for. */
  readonly tags?: Tags | undefined
}

export interface PackedBatch {
  readonly body: Uint8Array
  /** The same for the same entries in any order, and points in the same. */
  readonly digest: string
}

const compress = promisify(deflateRaw)
const decompress = promisify(inflateRaw)

export async function packBatch(usage: GatheredUsage, points: readonly Point[]): Promise<PackedBatch> {
  const writer = new NumberWriter()
  const streams = points.some(({ stream, series }) => stream !== undefined || series !== undefined)
  const tagged = usage.shares.length > 0 || points.some(({ tags }) => tags !== undefined)
  writer.number(tagged ? LAYOUT_WITH_TAGS : streams ? LAYOUT_WITH_STREAMS : LAYOUT)
  const { groups } = usage
  writer.number(groups.length)
  for (const group of groups) packGroup(writer, group)
  packPoints(writer, points)
  if (streams || tagged) packStreams(writer, points)
  if (tagged) packTags(writer, usage.shares, points)
  const bytes = writer.written
  return { body: await compress(bytes), digest: createHash('sha256').update(bytes).digest('base64') }
}

function packGroup(writer: NumberWriter, { hour, dimension, amounts }: UsageGroup): void {
  const { accounts } = amounts
  writer.number(hour / HOUR)
  writer.number(dimension)
  writer.number(accounts.length)
  let before = 0
  for (const account of accounts) {
    writer.number(account - before)
    before = account
  }
  for (const account of accounts) writer.amount(amounts.get(account))
}

/** Column by column, since neighbours are alike. */
function packPoints(writer: NumberWriter, points: readonly Point[]): void {
  writer.number(points.length)
  for (const { counter } of points) writer.bytes(counterKey(counter))
  for (const { kind } of points) writer.number(OBSERVATION_KINDS.indexOf(kind))
  for (const column of COLUMNS) {
    let before = 0
    for (const point of points) {
      const value = point[column] ?? 0
      writer.difference(value, before)
      before = value
    }
  }
  for (const { value } of points) writer.amount(value)
}

const COLUMNS = ['account', 'dimension', 'start', 'time', 'receivedAt', 'maxGap'] as const

/** Each stream once, then of each point which one it is of, from 1, and its series. */
function packStreams(writer: NumberWriter, points: readonly Point[]): void {
  const numbers = new Map<Stream | undefined, number>([[undefined, 0]])
  for (const { stream } of points) if (!numbers.has(stream)) numbers.set(stream, numbers.size)
  writer.number(numbers.size - 1)
  for (const stream of numbers.keys()) {
    if (stream === undefined) continue
    writer.bytes(counterKey(stream.key))
    writer.text(stream.target)
    writer.text(stream.metric)
    writer.text(stream.attributes)
  }
  for (const { stream } of points) writer.number(numbers.get(stream) as number)
  for (const { series } of points) writer.number(series === undefined ? 0 : 1)
  for (const { series } of points) if (series !== undefined) writer.bytes(counterKey(series))
}

/** Each set of tags once; then, in an order that does not depend on theirs, what of the usage is for it; then of points. */
function packTags(writer: NumberWriter, shares: readonly ShareUsage[], points: readonly Point[]): void {
  const texts = new Set([...shares, ...points].flatMap(({ tags }) => (tags === undefined ? [] : [textOfTags(tags)])))
  const numbers = new Map([...texts].sort().map((text, index) => [text, index + 1]))
  const numberOf = (tags: Tags | undefined) => (tags === undefined ? 0 : (numbers.get(textOfTags(tags)) as number))
  writer.number(numbers.size)
  for (const text of numbers.keys()) writer.text(text)
  const sorted = shares
    .map(({ tags, ...share }) => ({ ...share, number: numberOf(tags) }))
    .sort((a, b) => a.hour - b.hour || a.dimension - b.dimension || a.account - b.account || a.number - b.number)
  writer.number(sorted.length)
  for (const { hour, dimension, account, number, amount } of sorted) {
    for (const value of [hour / HOUR, dimension, account, number]) writer.number(value)
    writer.amount(amount)
  }
  for (const { tags } of points) writer.number(numberOf(tags))
}

/** Adds a batch's usage to `usage`. Returns its points. */
export async function unpackBatch(body: Uint8Array, usage: GatheredUsage): Promise<Point[]> {
  const reader = new NumberReader(await decompress(body))
  const layout = reader.number()
  if (layout < LAYOUT || layout > LAYOUT_WITH_TAGS) {
    throw new RangeError(`expected a layout from ${LAYOUT} to ${LAYOUT_WITH_TAGS}, got ${layout}`)
  }
  for (let groups = reader.number(); groups > 0; groups -= 1) unpackGroup(reader, usage)
  const plain = unpackPoints(reader)
  const streamed = layout === LAYOUT ? plain : unpackStreams(reader, plain)
  const points = layout === LAYOUT_WITH_TAGS ? unpackTags(reader, streamed, usage) : streamed
  if (!reader.atEnd) throw new RangeError('there are bytes after the end')
  return points
}

function unpackGroup(reader: NumberReader, usage: GatheredUsage): void {
  const { amounts } = usage.group(reader.number() * HOUR, reader.number())
  const accounts = new Int32Array(reader.number())
  let account = 0
  for (let index = 0; index < accounts.length; index += 1) {
    account += reader.number()
    accounts[index] = account
  }
  for (const account of accounts) amounts.add(account, reader.amount())
}

function unpackPoints(reader: NumberReader): Point[] {
  const length = reader.number()
  const each = <Value>(read: () => Value) => Array.from({ length }, read)
  const counters = each(() => Buffer.from(reader.bytes(16)).toString('hex'))
  const kinds = each(() => OBSERVATION_KINDS[reader.number()] as Observation['kind'])
  const [account, dimension, start, time, receivedAt, maxGap] = COLUMNS.map(() => {
    let value = 0
    return each(() => {
      value = reader.difference(value)
      return value
    })
  }) as [number[], number[], number[], number[], number[], number[]]
  const values = each(() => BigInt(reader.amount()))
  return values.map((value, index) => ({
    ...{ counter: counters[index] as string, kind: kinds[index] as Observation['kind'], value },
    ...{ account: account[index] as number, dimension: dimension[index] as number },
    ...{ start: start[index] as number, time: time[index] as number },
    ...{ receivedAt: receivedAt[index] as number, maxGap: maxGap[index] as number },
  }))
}

function unpackStreams(reader: NumberReader, points: readonly Point[]): Point[] {
  const streams = Array.from({ length: reader.number() }, (): Stream => {
    const key = Buffer.from(reader.bytes(16)).toString('hex')
    return { key, target: reader.text(), metric: reader.text(), attributes: reader.text() }
  })
  const numbers = points.map(() => reader.number())
  const named = points.map(() => reader.number() === 1)
  return points.map((point, index) => {
    const stream = streams[(numbers[index] as number) - 1]
    const series = named[index] ? Buffer.from(reader.bytes(16)).toString('hex') : undefined
    return { ...point, ...(stream && { stream }), ...(series !== undefined && { series }) }
  })
}

function unpackTags(reader: NumberReader, points: readonly Point[], usage: GatheredUsage): Point[] {
  const sets = Array.from({ length: reader.number() }, () => JSON.parse(reader.text()) as Tags)
  for (let shares = reader.number(); shares > 0; shares -= 1) {
    const [hour, dimension, account] = [reader.number() * HOUR, reader.number(), reader.number()]
    const tags = sets[reader.number() - 1] as Tags
    usage.shares.push({ hour, dimension, account, tags, amount: BigInt(reader.amount()) })
  }
  return points.map(point => {
    const tags = sets[reader.number() - 1]
    return tags === undefined ? point : { ...point, tags }
  })
}
