/** So many of a name's hexadecimal digits are kept: what a double holds exactly. */
const DIGITS = 13

/**
 * Names of counters, of which there may be hundreds of thousands: nine to sixteen bytes each, where a set of texts takes
 * ninety. Of a million names it takes two for one about once in ten thousand days.
 */
export class NameSet {
  #size = 0
  /** A place that is free is 0. */
  #places = new Float64Array(16)

  get size(): number {
    return this.#size
  }

  has(name: string): boolean {
    const value = numberOf(name)
    return this.#places[this.#placeOf(value)] === value
  }

  add(name: string): void {
    const value = numberOf(name)
    const place = this.#placeOf(value)
    if (this.#places[place] === value) return
    this.#places[place] = value
    this.#size += 1
    if (this.#size > 0.75 * this.#places.length) this.#grow()
  }

  /** Where a value is, or is to be: names are digests, so any of their digits spread them. */
  #placeOf(value: number): number {
    const places = this.#places
    let place = value % places.length
    while (places[place] !== 0 && places[place] !== value) place = (place + 1) % places.length
    return place
  }

  #grow(): void {
    const before = this.#places
    this.#places = new Float64Array(2 * before.length)
    for (const value of before) if (value !== 0) this.#places[this.#placeOf(value)] = value
  }
}

const numberOf = (name: string): number => Number.parseInt(name.slice(0, DIGITS), 16) + 1
