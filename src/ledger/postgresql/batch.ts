import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import { brotliCompress, brotliDecompress, constants } from 'node:zlib'
import { LedgerError } from '../errors.ts'
import type { Observation, UsageBatch, UsageEntry } from '../ledger.ts'
import { bytesOf, checkObservations, type Stream } from '../rules/counters/index.ts'
import { checkEntry } from '../rules/validation.ts'
import { namesOf, PackedAccounts, type PackedNames } from './batch-names.ts'
import { BatchStreams, OBSERVATION_BYTES, packPoints, unpackFirstPoints, unpackPoints } from './batch-observations.ts'
import { ENTRY_BYTES, UsageColumns } from './batch-usage.ts'

/**
 * A batch as one value of the journal, with all that is needed to make sense of it: what it would refer to might be
 * missing in a server that takes over. Its names come first, as JSON; then the entries, column by column, and the
 * observations, in little-endian numbers.
 */
export interface PackedBatch {
  readonly body: Buffer
  /** The same for the same entries in any order, and the same observations in the same order. */
  readonly digest: Buffer
  /** The names of the dimensions in it. */
  readonly dimensions: readonly string[]
  /** The earliest time in it, in milliseconds since the epoch; 0 where there is none. */
  readonly at: number
  /** Whether it has what the status tells: usage without a customer, or points of others' counters. */
  readonly inStatus: boolean
  /** Whether any of it is for some tags. */
  readonly hasTags: boolean
}

/**
 * The first byte of a body: another layout gets another one. Bodies of the first may be in a journal still; the last is
 * for what the others cannot say, so that a process of an earlier version, which does not know it, reads all else.
 */
const LAYOUT = 2
const FIRST_LAYOUT = 1
const LAYOUT_WITH_LARGE = 3
const HEAD_BYTES = 13

/** One integer of 64 bits holds it; a larger amount goes in several pieces. */
const LARGEST_PIECE = 2n ** 62n
/** And one above this, which an earlier version did not take, as a text. */
const LARGEST_DIVIDED = 2n ** 72n

const compress = promisify(brotliCompress)
const decompress = promisify(brotliDecompress)
/** It comes in pieces of so many bytes, each with a call back. */
const PIECE = 64 * 1024
const QUICKLY = { params: { [constants.BROTLI_PARAM_QUALITY]: 1 }, chunkSize: PIECE }

/** @throws LedgerError when an entry or observation is not what it has to be */
export async function packBatch({ entries, observations = [] }: UsageBatch): Promise<PackedBatch> {
  let at = Number.POSITIVE_INFINITY
  let anyLarge = false
  for (const entry of entries) {
    checkEntry(entry)
    at = Math.min(at, entry.hour)
    anyLarge ||= entry.amount > LARGEST_PIECE
  }
  checkObservations(observations)
  for (const { receivedAt } of observations) at = Math.min(at, receivedAt)
  const pieces = anyLarge ? entries.flatMap(divide) : entries
  const large = anyLarge ? largeAmounts(pieces) : NONE
  const names = namesOf(observations.length === 0 ? pieces : [...pieces, ...observations])
  const streams = new BatchStreams()
  for (const { stream } of observations) streams.add(stream)
  const rest: Omit<PackedHead, keyof PackedNames> = {
    streams: streams.list,
    ...(large.size > 0 && { large: [...large].map(([row, amount]) => [row, String(amount)]) }),
  }
  // One object of both.
  const text = `${names.text.slice(0, -1)},${JSON.stringify(rest).slice(1)}`
  const usageAt = HEAD_BYTES + Buffer.byteLength(text)
  const pointsAt = usageAt + pieces.length * ENTRY_BYTES
  const whole = Buffer.alloc(pointsAt + observations.length * OBSERVATION_BYTES)
  whole.writeUInt8(large.size > 0 ? LAYOUT_WITH_LARGE : LAYOUT)
  for (const [index, figure] of [usageAt, pieces.length, observations.length].entries()) {
    whole.writeUInt32LE(figure, 1 + index * 4)
  }
  whole.write(text, HEAD_BYTES)
  const usage = new UsageColumns(whole.subarray(usageAt, pointsAt), pieces.length, large)
  let row = 0
  for (const { dimension, hour, amount } of pieces) {
    usage.set(row, names.dimension(dimension), hour, amount)
    row += 1
  }
  packPoints(whole.subarray(pointsAt), observations, names, streams)
  const digest = createHash('sha256').update(usage.sum(names))
  for (const part of bytesOf(observations)) digest.update(part)
  return {
    body: await compress(whole, QUICKLY),
    digest: digest.digest(),
    dimensions: names.dimensions,
    at: Number.isFinite(at) ? at : 0,
    inStatus: observations.length > 0 || names.hasUnattributed,
    hasTags: names.hasTags,
  }
}

/** What comes first in a body. */
interface PackedHead extends PackedNames {
  /** Of the observations; the first layout had none. */
  readonly streams?: readonly Stream[]
  /** By their places, the amounts of entries that one integer does not hold. */
  readonly large?: readonly (readonly [place: number, amount: string])[]
}

/** What is in a body. */
export interface UnpackedBatch {
  readonly dimensions: readonly string[]
  /** How many entries there are, and each of them: its account, and the rest. */
  readonly rows: number
  readonly accounts: PackedAccounts
  readonly usage: UsageColumns
  readonly observations: readonly Observation[]
}

export async function unpackBatch(body: Buffer): Promise<UnpackedBatch> {
  const bytes = await decompress(body, { chunkSize: PIECE })
  const layout = bytes[0] as number
  if (layout < FIRST_LAYOUT || layout > LAYOUT_WITH_LARGE) {
    throw new LedgerError(
      'ERR_LEDGER_NEWER',
      `A batch in the ledger has layout ${layout}; this version of the package knows up to ${LAYOUT_WITH_LARGE}. ` +
        'Use the version that wrote it, or a later one.',
    )
  }
  const [usageAt, rows, points] = [bytes.readUInt32LE(1), bytes.readUInt32LE(5), bytes.readUInt32LE(9)]
  const pointsAt = usageAt + rows * ENTRY_BYTES
  const head = JSON.parse(bytes.toString('utf8', HEAD_BYTES, usageAt)) as PackedHead
  const { dimensions, streams = [] } = head
  const large = new Map(head.large?.map(([row, amount]) => [row, BigInt(amount)]))
  const accounts = new PackedAccounts(head)
  const given = [
    bytes.subarray(pointsAt),
    points,
    (place: number) => accounts.account(rows + place),
    dimensions,
  ] as const
  return {
    ...{ accounts, dimensions, rows, usage: new UsageColumns(bytes.subarray(usageAt, pointsAt), rows, large) },
    observations: layout === FIRST_LAYOUT ? unpackFirstPoints(...given) : unpackPoints(...given, streams),
  }
}

const NONE: ReadonlyMap<number, bigint> = new Map()

/** By their places, those that are not divided. */
function largeAmounts(pieces: readonly UsageEntry[]): ReadonlyMap<number, bigint> {
  const large = new Map<number, bigint>()
  for (const [place, { amount }] of pieces.entries()) if (amount > LARGEST_PIECE) large.set(place, amount)
  return large
}

function divide(entry: UsageEntry): UsageEntry[] {
  if (entry.amount > LARGEST_DIVIDED) return [entry]
  const pieces: UsageEntry[] = []
  let rest = entry.amount
  for (; rest > LARGEST_PIECE; rest -= LARGEST_PIECE) pieces.push({ ...entry, amount: LARGEST_PIECE })
  return [...pieces, { ...entry, amount: rest }]
}
