import { MarketplaceMeteringError } from '../errors.ts'

/** An option is not what it has to be. Thrown when the exporter is made, never when a bill is due. */
export class ConfigurationError extends MarketplaceMeteringError {
  readonly code = 'ERR_CONFIGURATION'
}
