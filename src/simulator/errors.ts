import { MarketplaceMeteringError } from '../errors.ts'

/** An option, a catalogue, a fault or a control request is not what it has to be. Says where, what was expected and what came. */
export class SimulatorConfigurationError extends MarketplaceMeteringError {
  readonly code = 'ERR_SIMULATOR_CONFIGURATION'
}

/** What the AWS SDK adds to its errors, as far as the simulator knows it. */
export interface ErrorMetadata {
  attempts: number
  httpStatusCode?: number
  requestId?: string
}

/** An answer of AWS that is an error: `name` is AWS's, as in the AWS SDK's errors. On the wire it is `__type`. */
export class SimulatedServiceError extends MarketplaceMeteringError {
  readonly code = 'ERR_SIMULATED_SERVICE'
  readonly $fault: 'client' | 'server'
  readonly $metadata: ErrorMetadata

  constructor(name: string, message: string, httpStatusCode = 400) {
    super(message)
    this.name = name
    this.$fault = httpStatusCode >= 500 ? 'server' : 'client'
    this.$metadata = { attempts: 1, httpStatusCode }
  }
}

/** The connection was reset. Whether the records were taken is not for the caller to know. */
export class SimulatedResetError extends MarketplaceMeteringError {
  readonly code = 'ECONNRESET'
  readonly syscall = 'read'
  readonly $metadata: ErrorMetadata = { attempts: 1 }

  constructor() {
    super('read ECONNRESET')
    this.name = 'Error'
  }
}

/** The answer was not JSON. The AWS SDK throws a `SyntaxError` then. */
export class SimulatedAnswerError extends MarketplaceMeteringError {
  readonly code = 'ERR_SIMULATED_ANSWER'
  readonly $metadata: ErrorMetadata

  constructor(httpStatusCode: number) {
    super('The answer is not valid JSON')
    this.name = 'SyntaxError'
    this.$metadata = { attempts: 1, httpStatusCode }
  }
}
