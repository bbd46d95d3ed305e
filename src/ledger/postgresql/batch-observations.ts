import type { Account } from '../../usage/account.ts'
import type { Observation } from '../ledger.ts'
import { OBSERVATION_KINDS } from '../rules/observation-kinds.ts'
import type { BatchNames } from './batch-names.ts'

/** The observations of a batch, as bytes, one after the other. */

/** Bytes of one observation. */
export const OBSERVATION_BYTES = 59

export function packPoints(bytes: Buffer, points: readonly Observation[], names: BatchNames): void {
  for (const [index, point] of points.entries()) {
    const at = index * OBSERVATION_BYTES
    bytes.write(point.counter, at, 'hex')
    bytes.writeUInt8(OBSERVATION_KINDS.indexOf(point.kind), at + 16)
    bytes.writeUInt16LE(names.dimension(point.dimension), at + 17)
    bytes.writeDoubleLE(point.start, at + 19)
    bytes.writeDoubleLE(point.time, at + 27)
    bytes.writeDoubleLE(point.receivedAt, at + 35)
    bytes.writeDoubleLE(point.maxGap ?? 0, at + 43)
    bytes.writeBigInt64LE(point.value, at + 51)
  }
}

export function unpackPoints(
  bytes: Buffer,
  points: number,
  accountAt: (place: number) => Account,
  dimensions: readonly string[],
): Observation[] {
  return Array.from({ length: points }, (_, index) => {
    const at = index * OBSERVATION_BYTES
    return {
      counter: bytes.toString('hex', at, at + 16),
      kind: OBSERVATION_KINDS[bytes.readUInt8(at + 16)] as Observation['kind'],
      account: accountAt(index),
      dimension: dimensions[bytes.readUInt16LE(at + 17)] as string,
      start: bytes.readDoubleLE(at + 19),
      time: bytes.readDoubleLE(at + 27),
      receivedAt: bytes.readDoubleLE(at + 35),
      maxGap: bytes.readDoubleLE(at + 43),
      value: bytes.readBigInt64LE(at + 51),
    }
  })
}
