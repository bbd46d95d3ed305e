import type { Account } from '../../usage/account.ts'
import type { Observation } from '../ledger.ts'
import type { Stream } from '../rules/counters/index.ts'
import { OBSERVATION_KINDS } from '../rules/observation-kinds.ts'
import type { BatchNames } from './batch-names.ts'

/** The observations of a batch, as bytes, one after the other. */

/** Bytes of one observation. */
export const OBSERVATION_BYTES = 87

const WORD = 64n
const LOW_WORD = 2n ** WORD - 1n

/** What a batch's observations come in: each stream once, told by its place. */
export class BatchStreams {
  readonly list: Stream[] = []
  readonly #places = new Map<string, number>()

  add(stream: Stream | undefined): void {
    if (stream === undefined || this.#places.has(stream.key)) return
    this.#places.set(stream.key, this.list.push(stream))
  }

  /** From 1 on; 0 of none. */
  place(stream: Stream | undefined): number {
    return stream === undefined ? 0 : (this.#places.get(stream.key) as number)
  }
}

export function packPoints(
  bytes: Buffer,
  points: readonly Observation[],
  names: BatchNames,
  streams: BatchStreams,
): void {
  for (const [index, point] of points.entries()) {
    const at = index * OBSERVATION_BYTES
    bytes.write(point.counter, at, 'hex')
    bytes.writeUInt8(OBSERVATION_KINDS.indexOf(point.kind), at + 16)
    bytes.writeUInt16LE(names.dimension(point.dimension), at + 17)
    bytes.writeDoubleLE(point.start, at + 19)
    bytes.writeDoubleLE(point.time, at + 27)
    bytes.writeDoubleLE(point.receivedAt, at + 35)
    bytes.writeDoubleLE(point.maxGap ?? 0, at + 43)
    bytes.write(point.series ?? point.counter, at + 51, 'hex')
    bytes.writeUInt32LE(streams.place(point.stream), at + 67)
    bytes.writeBigUInt64LE(point.value & LOW_WORD, at + 71)
    bytes.writeBigUInt64LE(point.value >> WORD, at + 79)
  }
}

export function unpackPoints(
  bytes: Buffer,
  points: number,
  accountAt: (place: number) => Account,
  dimensions: readonly string[],
  streams: readonly Stream[],
): Observation[] {
  return Array.from({ length: points }, (_, index) => {
    const at = index * OBSERVATION_BYTES
    const stream = streams[bytes.readUInt32LE(at + 67) - 1]
    return {
      ...unpackShared(bytes, at, accountAt(index), dimensions),
      series: bytes.toString('hex', at + 51, at + 67),
      ...(stream && { stream }),
      value: bytes.readBigUInt64LE(at + 71) | (bytes.readBigUInt64LE(at + 79) << WORD),
    }
  })
}

/** Bytes of one observation of the first layout, which had no series and streams, and values of 64 bits. */
const FIRST_BYTES = 59

export function unpackFirstPoints(
  bytes: Buffer,
  points: number,
  accountAt: (place: number) => Account,
  dimensions: readonly string[],
): Observation[] {
  return Array.from({ length: points }, (_, index) => {
    const at = index * FIRST_BYTES
    return { ...unpackShared(bytes, at, accountAt(index), dimensions), value: bytes.readBigInt64LE(at + 51) }
  })
}

/** What the first layout has, too, in the same places. */
function unpackShared(
  bytes: Buffer,
  at: number,
  account: Account,
  dimensions: readonly string[],
): Omit<Observation, 'value'> {
  return {
    counter: bytes.toString('hex', at, at + 16),
    kind: OBSERVATION_KINDS[bytes.readUInt8(at + 16)] as Observation['kind'],
    account,
    dimension: dimensions[bytes.readUInt16LE(at + 17)] as string,
    start: bytes.readDoubleLE(at + 19),
    time: bytes.readDoubleLE(at + 27),
    receivedAt: bytes.readDoubleLE(at + 35),
    maxGap: bytes.readDoubleLE(at + 43),
  }
}
