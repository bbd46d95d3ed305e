/** The base of every error this package throws: a stable `code`, and the `cause` where there is one. */
export abstract class MarketplaceMeteringError extends Error {
  abstract readonly code: string
  override readonly name: string = new.target.name
}
