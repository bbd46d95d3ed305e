const MILLION = 1_000_000

/** Of each row the hour, the series, and the amount as whole units and millionths. */
const COLUMNS = 4

/** Amounts of series in hours. There may be a hundred thousand, so they are kept as numbers, one after the other. */
export class UsageRows {
  #values: Float64Array<ArrayBuffer>
  /** Of those that numbers do not hold. */
  #exact = new Map<number, bigint>()
  #inOrder = true
  length = 0

  /** @param most how many there may be */
  constructor(most: number) {
    this.#values = new Float64Array(COLUMNS * most)
  }

  /** @param amount in millionths */
  static of(hour: number, series: number, amount: bigint): UsageRows {
    const rows = new UsageRows(1)
    rows.add(hour, series, amount)
    return rows
  }

  add(hour: number, series: number, amount: bigint): void {
    const number = Number(amount)
    let whole: number
    let millionths: number
    if (Number.isSafeInteger(number)) {
      millionths = number % MILLION
      whole = (number - millionths) / MILLION
    } else {
      millionths = Number(amount % BigInt(MILLION))
      whole = Number(amount / BigInt(MILLION))
      this.#exact.set(this.length, amount)
    }
    const place = COLUMNS * this.length
    this.#values[place] = hour
    this.#values[place + 1] = series
    this.#values[place + 2] = whole
    this.#values[place + 3] = millionths
    this.#inOrder &&= this.length === 0 || this.#compare(this.length - 1, this.length) <= 0
    this.length += 1
  }

  hour(row: number): number {
    return this.#values[COLUMNS * row] as number
  }

  series(row: number): number {
    return this.#values[COLUMNS * row + 1] as number
  }

  /** In millionths: a number where that is exact. */
  amount(row: number): number | bigint {
    const exact = this.#exact.size === 0 ? undefined : this.#exact.get(row)
    return exact ?? this.#whole(row) * MILLION + this.#millionths(row)
  }

  /** Sorts them by hour, series and amount. */
  sort(): void {
    if (this.#inOrder) return
    const order = Array.from({ length: this.length }, (_, row) => row).sort((a, b) => this.#compare(a, b))
    const values = new Float64Array(this.#values.length)
    const exact = new Map<number, bigint>()
    for (const [row, before] of order.entries()) {
      values.set(this.#values.subarray(COLUMNS * before, COLUMNS * (before + 1)), COLUMNS * row)
      const amount = this.#exact.get(before)
      if (amount !== undefined) exact.set(row, amount)
    }
    this.#values = values
    this.#exact = exact
    this.#inOrder = true
  }

  /** What tells them from others, for a digest; of the amounts in it that are not exact, there are texts. */
  get digested(): { readonly values: Float64Array; readonly texts: readonly string[] } {
    // Doubles tell apart all that an earlier version took, whose digests stay as they are.
    const inexact = [...this.#exact].filter(([row]) => !Number.isSafeInteger(this.#whole(row)))
    const texts = inexact.map(([row, amount]) => `${this.hour(row)} ${this.series(row)} ${amount} `)
    return { values: this.#values.subarray(0, COLUMNS * this.length), texts: texts.sort() }
  }

  #whole(row: number): number {
    return this.#values[COLUMNS * row + 2] as number
  }

  #millionths(row: number): number {
    return this.#values[COLUMNS * row + 3] as number
  }

  #compare(one: number, other: number): number {
    return (
      this.hour(one) - this.hour(other) ||
      this.series(one) - this.series(other) ||
      this.#whole(one) - this.#whole(other) ||
      this.#millionths(one) - this.#millionths(other)
    )
  }
}
