import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import { deflateRaw, inflateRaw } from 'node:zlib'
import { HOUR } from '../hours.ts'
import type { Observation } from '../ledger.ts'
import { counterKey, type Stream } from '../rules/counters/index.ts'
import { OBSERVATION_KINDS } from '../rules/observation-kinds.ts'
import { NumberReader, NumberWriter } from './packed-numbers.ts'
import type { GatheredUsage, UsageGroup } from './usage.ts'

/** A batch as bytes: amounts by hour and dimension, then points of counters. Accounts and dimensions by their numbers. */

/**
 * The first number of a body: another layout gets another one. Where no point says of which stream or series it is, it
 * is as before, so that a batch of the version before is known again.
 */
const LAYOUT = 1
const LAYOUT_WITH_STREAMS = 2

/** A point of a counter, with account and dimension by their numbers. */
export interface Point extends Omit<Observation, 'account' | 'dimension'> {
  readonly account: number
  readonly dimension: number
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
  writer.number(streams ? LAYOUT_WITH_STREAMS : LAYOUT)
  const { groups } = usage
  writer.number(groups.length)
  for (const group of groups) packGroup(writer, group)
  packPoints(writer, points)
  if (streams) packStreams(writer, points)
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

/** Adds a batch's usage to `usage`. Returns its points. */
export async function unpackBatch(body: Uint8Array, usage: GatheredUsage): Promise<Point[]> {
  const reader = new NumberReader(await decompress(body))
  const layout = reader.number()
  if (layout !== LAYOUT && layout !== LAYOUT_WITH_STREAMS) {
    throw new RangeError(`expected layout ${LAYOUT} or ${LAYOUT_WITH_STREAMS}, got ${layout}`)
  }
  for (let groups = reader.number(); groups > 0; groups -= 1) unpackGroup(reader, usage)
  const plain = unpackPoints(reader)
  const points = layout === LAYOUT ? plain : unpackStreams(reader, plain)
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
