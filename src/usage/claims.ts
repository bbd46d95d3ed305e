/**
 * Who bills what of a scope. The SDK hands the same object to all readers of a MeterProvider, and each of them all that was
 * used, so that two exporters of one ledger would have it there twice.
 */
const claimed = new WeakMap<object, Map<string, Claimant[]>>()

/** An exporter, as one of those that write to the same ledger. */
export class Claimant {
  readonly #ledger: unknown
  #ended = false

  /** @param ledger the same value for the same ledger */
  constructor(ledger: unknown) {
    this.#ledger = ledger
  }

  /** Whether this one bills some usage of a scope: whoever claims it first does, until it ends. */
  claims(scope: object, usage: string): boolean {
    const usages = claimed.get(scope) ?? new Map<string, Claimant[]>()
    claimed.set(scope, usages)
    const others = (usages.get(usage) ?? []).filter(other => !other.#ended)
    const owner = others.find(other => other.#ledger === this.#ledger)
    if (owner === undefined) usages.set(usage, [...others, this])
    return owner === undefined || owner === this
  }

  end(): void {
    this.#ended = true
  }
}
