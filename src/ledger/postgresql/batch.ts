import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import { brotliCompress, brotliDecompress, constants } from 'node:zlib'
import { LedgerError } from '../errors.ts'
import type { Observation, UsageBatch, UsageEntry } from '../ledger.ts'
import { bytesOf, checkObservations } from '../rules/counters.ts'
import { checkEntry } from '../rules/validation.ts'
import { BatchNames, PackedAccounts, type PackedNames } from './batch-names.ts'
import { OBSERVATION_BYTES, packPoints, unpackPoints } from './batch-observations.ts'
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
}

/** The first byte of a body: another layout gets another one. */
const LAYOUT = 1
const HEAD_BYTES = 13

/** One integer of 64 bits holds it; a larger amount goes in several pieces. */
const LARGEST_PIECE = 2n ** 62n

const compress = promisify(brotliCompress)
const decompress = promisify(brotliDecompress)
/** It comes in pieces of so many bytes, each with a call back. */
const PIECE = 64 * 1024
const QUICKLY = { params: { [constants.BROTLI_PARAM_QUALITY]: 1 }, chunkSize: PIECE }

/** @throws LedgerError when an entry or observation is not what it has to be */
export async function packBatch({ entries, observations = [] }: UsageBatch): Promise<PackedBatch> {
  let at = Number.POSITIVE_INFINITY
  let large = false
  for (const entry of entries) {
    checkEntry(entry)
    at = Math.min(at, entry.hour)
    large ||= entry.amount > LARGEST_PIECE
  }
  checkObservations(observations)
  for (const { receivedAt } of observations) at = Math.min(at, receivedAt)
  const pieces = large ? entries.flatMap(divide) : entries
  const names = new BatchNames(pieces.length + observations.length)
  for (const { account, dimension } of pieces) names.add(account, dimension)
  for (const { account, dimension } of observations) names.add(account, dimension)
  const text = JSON.stringify(names.pack())
  const usageAt = HEAD_BYTES + Buffer.byteLength(text)
  const pointsAt = usageAt + pieces.length * ENTRY_BYTES
  const whole = Buffer.alloc(pointsAt + observations.length * OBSERVATION_BYTES)
  whole.writeUInt8(LAYOUT)
  for (const [index, figure] of [usageAt, pieces.length, observations.length].entries()) {
    whole.writeUInt32LE(figure, 1 + index * 4)
  }
  whole.write(text, HEAD_BYTES)
  const usage = new UsageColumns(whole.subarray(usageAt, pointsAt), pieces.length)
  let row = 0
  for (const { dimension, hour, amount } of pieces) {
    usage.set(row, names.dimension(dimension), hour, amount)
    row += 1
  }
  packPoints(whole.subarray(pointsAt), observations, names)
  const digest = createHash('sha256').update(usage.sum(names))
  for (const part of bytesOf(observations)) digest.update(part)
  return {
    body: await compress(whole, QUICKLY),
    digest: digest.digest(),
    dimensions: names.dimensions,
    at: Number.isFinite(at) ? at : 0,
    inStatus: observations.length > 0 || names.hasUnattributed,
  }
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
  if (bytes[0] !== LAYOUT) {
    throw new LedgerError(
      'ERR_LEDGER_NEWER',
      `A batch in the ledger has layout ${bytes[0]}; this version of the package knows ${LAYOUT}. ` +
        'Use the version that wrote it, or a later one.',
    )
  }
  const [usageAt, rows, points] = [bytes.readUInt32LE(1), bytes.readUInt32LE(5), bytes.readUInt32LE(9)]
  const pointsAt = usageAt + rows * ENTRY_BYTES
  const names = JSON.parse(bytes.toString('utf8', HEAD_BYTES, usageAt)) as PackedNames
  const [accounts, { dimensions }] = [new PackedAccounts(names), names]
  return {
    ...{ accounts, dimensions, rows, usage: new UsageColumns(bytes.subarray(usageAt, pointsAt), rows) },
    observations: unpackPoints(bytes.subarray(pointsAt), points, place => accounts.account(rows + place), dimensions),
  }
}

function divide(entry: UsageEntry): UsageEntry[] {
  const pieces: UsageEntry[] = []
  let rest = entry.amount
  for (; rest > LARGEST_PIECE; rest -= LARGEST_PIECE) pieces.push({ ...entry, amount: LARGEST_PIECE })
  return [...pieces, { ...entry, amount: rest }]
}
