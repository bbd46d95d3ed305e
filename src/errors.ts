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
  /** Each thing that is wrong, as `path: expected …, got …`. */
  readonly problems: readonly string[]

  constructor(
    message: string,
    { problems = [message], ...options }: ErrorOptions & { problems?: readonly string[] } = {},
  ) {
    super(message, options)
    this.problems = problems
  }
}

/**
 * What to say of a package that could not be imported: whether it is not there, or does not load. The `import` itself
 * stands in a `try` beside the call: by that bundlers know that the package may be missing.
 */
export function importError(name: string, purpose: string, cause: unknown): ConfigurationError {
  const { code, message } = cause as NodeJS.ErrnoException
  const missing = /MODULE_NOT_FOUND$/.test(code ?? '') && message.includes(`'${name}'`)
  return new ConfigurationError(
    missing
      ? `Expected ${name} to be installed (npm install ${name}, and start again; for a bundle before it is made)${purpose}`
      : `Expected ${name} to load (if it was installed since this process began, start again), got ${message}`,
    { cause },
  )
}
