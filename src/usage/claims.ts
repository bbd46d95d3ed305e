/**
 * Who bills what of a scope. The SDK hands the same object to all readers of a MeterProvider, and each of them all that was
 * used, so that two exporters of one ledger would have it there twice.
 */
const claimed = new WeakMap<object, Map<string, Claimant[]>>()

/** An exporter, as one of those that write to the same ledger and find customers in the same way. */
export class Claimant {
  readonly #ledger: unknown
  readonly #customers: unknown
  #ended = false

  /**
   * @param ledger the same value for the same ledger
   * @param customers the same value for the same way to find customers: of others, each may leave some to the other
   */
  constructor(ledger: unknown, customers: unknown) {
    this.#ledger = ledger
    this.#customers = customers
  }

  /** Whether this one bills some usage of a scope: whoever claims it first does, until it ends. */
  claims(scope: object, usage: string): boolean {
    const usages = claimed.get(scope) ?? new Map<string, Claimant[]>()
    claimed.set(scope, usages)
    const others = (usages.get(usage) ?? []).filter(other => !other.#ended)
    const owner = others.find(other => other.#ledger === this.#ledger && other.#customers === this.#customers)
    if (owner === undefined) usages.set(usage, [...others, this])
    return owner === undefined || owner === this
  }

  end(): void {
    this.#ended = true
  }
}
