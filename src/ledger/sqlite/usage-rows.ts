const MILLION = 1_000_000

/** Of each row the hour, the series, and the amount as whole units and millionths. */
const COLUMNS = 4

/** Amounts of series in hours. There may be many, so they are kept as numbers, one after the other. */
export class UsageRows {
  #values: Float64Array<ArrayBuffer>
  /** Of those whose whole units a number does not hold, in millionths. */
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

  /** @param amount in millionths */
  add(hour: number, series: number, amount: bigint): void {
    const values = this.#values
    const row = this.length
    const place = COLUMNS * row
    const number = Number(amount)
    values[place] = hour
    values[place + 1] = series
    if (Number.isSafeInteger(number)) {
      const millionths = number % MILLION
      values[place + 2] = (number - millionths) / MILLION
      values[place + 3] = millionths
    } else {
      const whole = Number(amount / BigInt(MILLION))
      values[place + 2] = whole
      values[place + 3] = Number(amount % BigInt(MILLION))
      if (!Number.isSafeInteger(whole)) this.#exact.set(row, amount)
    }
    this.length += 1
    if (row > 0 && this.#inOrder) this.#inOrder = compare(values, row - 1, row) <= 0
  }

  hour(row: number): number {
    return this.#values[COLUMNS * row] as number
  }

  series(row: number): number {
    return this.#values[COLUMNS * row + 1] as number
  }

  whole(row: number): number {
    return this.#values[COLUMNS * row + 2] as number
  }

  /** As much as is less than a whole unit. */
  millionths(row: number): number {
    return this.#values[COLUMNS * row + 3] as number
  }

  /** The amount in millionths. */
  amount(row: number): bigint {
    return this.#exact.get(row) ?? BigInt(this.whole(row)) * BigInt(MILLION) + BigInt(this.millionths(row))
  }

  /** By hour, series and amount. */
  sort(): void {
    if (this.#inOrder) return
    const before = this.#values
    const order = Array.from({ length: this.length }, (_, row) => row).sort((a, b) => compare(before, a, b))
    this.#values = new Float64Array(before.length)
    const exact = this.#exact
    this.#exact = new Map()
    for (const [row, was] of order.entries()) {
      this.#values.set(before.subarray(COLUMNS * was, COLUMNS * (was + 1)), COLUMNS * row)
      const amount = exact.get(was)
      if (amount !== undefined) this.#exact.set(row, amount)
    }
    this.#inOrder = true
  }

  /** What tells them from others, for a digest: numbers, and texts of amounts that numbers do not hold. */
  get digested(): { readonly values: Float64Array; readonly texts: readonly string[] } {
    const texts = [...this.#exact].map(([row, amount]) => `${this.hour(row)} ${this.series(row)} ${amount} `)
    return { values: this.#values.subarray(0, COLUMNS * this.length), texts: texts.sort() }
  }
}

function compare(values: Float64Array, one: number, other: number): number {
  for (let column = 0; column < COLUMNS; column += 1) {
    const difference = (values[COLUMNS * one + column] as number) - (values[COLUMNS * other + column] as number)
    if (difference !== 0) return difference
  }
  return 0
}
