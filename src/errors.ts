/** The base of every error this package throws: a stable `code`, and the `cause` where there is one. */
export abstract class MarketplaceMeteringError extends Error {
  abstract readonly code: string

  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = new.target.name
  }
}
