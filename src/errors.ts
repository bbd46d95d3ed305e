/** The base of every error this package throws: a stable `code`, and the `cause` where there is one. */
export abstract class MarketplaceMeteringError extends Error {
  abstract readonly code: string

  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = new.target.name
  }
}

/** An option is not what it has to be. Thrown when the exporter is made, never when a bill is due. */
export class ConfigurationError extends MarketplaceMeteringError {
  readonly code = 'ERR_CONFIGURATION'
}
