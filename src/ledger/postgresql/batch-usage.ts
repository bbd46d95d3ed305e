import { HOUR } from '../hours.ts'
import type { BatchNames } from './batch-names.ts'

/** Bytes of one entry. */
export const ENTRY_BYTES = 14

/** Entries as columns: the places of dimensions in their list, hours since the epoch, amounts. */
export class UsageColumns {
  readonly #view: DataView
  readonly #rows: number
  readonly #large: ReadonlyMap<number, bigint>

  /** @param large by their rows, the amounts that the column has no room for: it has 0 there */
  constructor(bytes: Buffer, rows: number, large: ReadonlyMap<number, bigint>) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#rows = rows
    this.#large = large
  }

  set(row: number, dimension: number, hour: number, amount: bigint): void {
    this.#view.setUint16(row * 2, dimension, true)
    this.#view.setUint32(this.#rows * 2 + row * 4, hour / HOUR, true)
    this.#view.setBigInt64(this.#rows * 6 + row * 8, this.#large.has(row) ? 0n : amount, true)
  }

  dimension(row: number): number {
    return this.#view.getUint16(row * 2, true)
  }

  hour(row: number): number {
    return this.#view.getUint32(this.#rows * 2 + row * 4, true) * HOUR
  }

  amount(row: number): bigint {
    return this.#large.get(row) ?? this.#view.getBigInt64(this.#rows * 6 + row * 8, true)
  }

  /**
   * 64 bits that stand for the entries in any order: each is hashed, and the hashes are added up. To sort them first
   * would take longer than all else.
   */
  sum({ accountHashes, dimensionHashes }: BatchNames): Uint32Array {
    const sum = new Uint32Array(2)
    for (let row = 0; row < this.#rows; row += 1) {
      const account = 2 * row
      const dimension = 2 * this.dimension(row)
      const hour = this.#view.getUint32(this.#rows * 2 + row * 4, true)
      const low = this.#view.getUint32(this.#rows * 6 + row * 8, true)
      const high = this.#view.getUint32(this.#rows * 6 + row * 8 + 4, true)
      for (let half = 0; half < 2; half += 1) {
        const series = mix(accountHashes[account + half] as number, dimensionHashes[dimension + half] as number)
        let hash = mix(mix(mix(series, hour), low), high)
        for (let rest = this.#large.get(row) ?? 0n; rest > 0n; rest >>= 32n)
          hash = mix(hash, Number(rest & 0xffffffffn))
        sum[half] = (sum[half] as number) + finish(hash)
      }
    }
    return sum
  }
}

/** A round, and the end, of MurmurHash3. */
function mix(hash: number, word: number): number {
  const scrambled = Math.imul(word, 0xcc9e2d51)
  const mixed = hash ^ Math.imul((scrambled << 15) | (scrambled >>> 17), 0x1b873593)
  return Math.imul((mixed << 13) | (mixed >>> 19), 5) + 0xe6546b64
}

function finish(hash: number): number {
  const first = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  const second = Math.imul(first ^ (first >>> 13), 0xc2b2ae35)
  return (second ^ (second >>> 16)) >>> 0
}
