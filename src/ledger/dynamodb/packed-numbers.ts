/** Integers as bytes, the fewer the smaller: seven bits in each, the last one without the eighth. */
export class NumberWriter {
  #bytes = Buffer.alloc(1024)
  #length = 0

  number(value: number): void {
    this.#makeRoom(8)
    let rest = value
    for (; rest > 127; rest = Math.floor(rest / 128)) this.#bytes[this.#length++] = (rest % 128) + 128
    this.#bytes[this.#length++] = rest
  }

  /** A number as it differs from the one before; one that is no integer, as it is. */
  difference(value: number, before: number): void {
    const difference = value - before
    if (Number.isSafeInteger(2 * difference) && Number.isSafeInteger(value)) {
      this.number(difference < 0 ? -2 * difference : 2 * difference + 1)
    } else {
      this.number(0)
      this.bytes(new Uint8Array(Float64Array.of(value).buffer))
    }
  }

  bigint(value: bigint): void {
    this.#makeRoom(16)
    let rest = value
    // Numbers are faster.
    for (; rest > MOST; rest >>= 7n) this.#bytes[this.#length++] = Number(rest & 127n) + 128
    this.number(Number(rest))
  }

  /** An amount in millionths: mostly it is of whole units. */
  amount(amount: number | bigint): void {
    const small = Number(amount)
    if (small < SMALL) {
      this.number(small % 1_000_000 === 0 ? small / 500_000 : 2 * small + 1)
    } else {
      const large = BigInt(amount)
      this.bigint(large % MILLION === 0n ? (large / MILLION) * 2n : large * 2n + 1n)
    }
  }

  bytes(bytes: Uint8Array): void {
    this.#makeRoom(bytes.length)
    this.#bytes.set(bytes, this.#length)
    this.#length += bytes.length
  }

  text(text: string): void {
    const bytes = Buffer.from(text)
    this.number(bytes.length)
    this.bytes(bytes)
  }

  get written(): Buffer {
    return this.#bytes.subarray(0, this.#length)
  }

  #makeRoom(more: number): void {
    if (this.#length + more <= this.#bytes.length) return
    const larger = Buffer.alloc(2 * this.#bytes.length + more)
    larger.set(this.#bytes)
    this.#bytes = larger
  }
}

export class NumberReader {
  readonly #bytes: Uint8Array
  #place = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  number(): number {
    let value = 0
    for (let factor = 1; ; factor *= 128) {
      const byte = this.#byte()
      if (byte < 128) return value + byte * factor
      value += (byte - 128) * factor
    }
  }

  difference(before: number): number {
    const value = this.number()
    if (value === 0) return Buffer.from(this.bytes(8)).readDoubleLE()
    return before + (value % 2 === 0 ? -value / 2 : (value - 1) / 2)
  }

  bigint(): bigint {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = this.#byte()
      value += BigInt(byte & 127) << shift
      if (byte < 128) return value
    }
  }

  /** A number where that is exact. */
  amount(): number | bigint {
    const start = this.#place
    const value = this.number()
    if (value <= Number.MAX_SAFE_INTEGER) {
      const half = Math.floor(value / 2)
      const amount = value % 2 === 0 ? half * 1_000_000 : half
      return amount <= Number.MAX_SAFE_INTEGER ? amount : BigInt(half) * MILLION
    }
    this.#place = start
    const large = this.bigint()
    return large % 2n === 0n ? (large / 2n) * MILLION : large / 2n
  }

  bytes(length: number): Uint8Array {
    this.#place += length
    return this.#bytes.subarray(this.#place - length, this.#place)
  }

  text(): string {
    return Buffer.from(this.bytes(this.number())).toString()
  }

  get atEnd(): boolean {
    return this.#place === this.#bytes.length
  }

  #byte(): number {
    const byte = this.#bytes[this.#place]
    if (byte === undefined) throw new RangeError('the bytes end in the middle of a number')
    this.#place += 1
    return byte
  }
}

const MILLION = 1_000_000n
const MOST = BigInt(Number.MAX_SAFE_INTEGER)
const SMALL = 2 ** 52
