import { UndecodableError } from './errors.ts'

/** How deep values may be nested in attributes. */
export const MAX_NESTING = 64

/**
 * How many resources, scopes, metrics and points a request may have together. Empty ones take two or three bytes, and
 * fifty times as many when they are decoded.
 */
export const MAX_ENTRIES = 1_000_000

export function tooManyEntries(where: string): UndecodableError {
  const most = MAX_ENTRIES.toLocaleString('en')
  return new UndecodableError(where, `expected at most ${most} resources, scopes, metrics and points, got more`)
}

export function nestedTooDeeply(where: string): UndecodableError {
  return new UndecodableError(where, `expected values nested at most ${MAX_NESTING} deep, got deeper ones`)
}
