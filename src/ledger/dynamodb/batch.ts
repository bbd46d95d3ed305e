import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import { deflateRaw, inflateRaw } from 'node:zlib'
import { HOUR } from '../hours.ts'
import type { Observation } from '../ledger.ts'
import { counterKey } from '../rules/counters.ts'
import { OBSERVATION_KINDS } from '../rules/observation-kinds.ts'
import { NumberReader, NumberWriter } from './packed-numbers.ts'
import type { GatheredUsage, UsageGroup } from './usage.ts'

/** A batch as bytes: amounts by hour and dimension, then points of counters. Accounts and dimensions by their numbers. */

/** The first number of a body: another layout gets another one. */
const LAYOUT = 1

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
  writer.number(LAYOUT)
  const { groups } = usage
  writer.number(groups.length)
  for (const group of groups) packGroup(writer, group)
  packPoints(writer, points)
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

/** Adds a batch's usage to `usage`. Returns its points. */
export async function unpackBatch(body: Uint8Array, usage: GatheredUsage): Promise<Point[]> {
  const reader = new NumberReader(await decompress(body))
  const layout = reader.number()
  if (layout !== LAYOUT) throw new RangeError(`expected layout ${LAYOUT}, got ${layout}`)
  for (let groups = reader.number(); groups > 0; groups -= 1) unpackGroup(reader, usage)
  const points = unpackPoints(reader)
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
  const columns = COLUMNS.map(() => {
    let value = 0
    return each(() => {
      value = reader.difference(value)
      return value
    })
  })
  const values = each(() => BigInt(reader.amount()))
  return values.map((value, index) => ({
    ...{ counter: counters[index] as string, kind: kinds[index] as Observation['kind'], value },
    ...(Object.fromEntries(COLUMNS.map((column, at) => [column, columns[at]?.[index]])) as Pick<Point, 'start'> &
      Omit<Point, 'counter' | 'kind' | 'value'>),
  }))
}
