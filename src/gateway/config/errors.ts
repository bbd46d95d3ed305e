import { MarketplaceMeteringError } from '../../errors.ts'

/** Something in the configuration file is not what it has to be. */
export interface Problem {
  /** Counted from 1. */
  readonly line: number
  readonly column: number
  /** The option's path, what was expected, and what came; secrets are not shown. */
  readonly message: string
}

/** The configuration file cannot be used. The message has a line for each problem, as compilers print them. */
export class GatewayConfigError extends MarketplaceMeteringError {
  readonly code = 'ERR_GATEWAY_CONFIG'
  /** None where the file cannot be read at all. */
  readonly problems: readonly Problem[]

  constructor(message: string, problems: readonly Problem[] = [], options?: ErrorOptions) {
    super(message, options)
    this.problems = problems
  }
}

/** An error with every problem of a file, from its top to its bottom. */
export function problemsIn(file: string, problems: readonly Problem[]): GatewayConfigError {
  const sorted = [...problems].sort((a, b) => a.line - b.line || a.column - b.column)
  const lines = sorted.map(({ line, column, message }) => `${file}:${line}:${column}: ${message}`)
  return new GatewayConfigError(lines.join('\n'), sorted)
}
