import { UndecodableError } from './errors.ts'

/** How deep values may be nested in attributes. */
export const MAX_NESTING = 64

/**
 * How many resources, scopes, metrics and points a request may have together. Empty ones take two or three bytes, and
 * fifty times as many when they are decoded.
 */
export const MAX_ENTRIES = 1_000_000

/**
 * How large the attributes of a resource, a scope or a point may be, keys and values: in protobuf their bytes, in JSON
 * the characters of their text. What names a counter is hashed and compared for each of its points.
 */
export const MAX_ATTRIBUTES_SIZE = 64 * 1024

/** How long a metric's name and unit, and a scope's name and version may be, in bytes, or in characters in JSON. */
export const MAX_NAME_SIZE = 4 * 1024

export function attributesTooLarge(where: string, size: number): UndecodableError {
  return tooLarge(where, 'attributes', MAX_ATTRIBUTES_SIZE, size)
}

export function nameTooLong(where: string, size: number): UndecodableError {
  return tooLarge(where, 'a name, version or unit', MAX_NAME_SIZE, size)
}

function tooLarge(where: string, what: string, most: number, size: number): UndecodableError {
  const [limit, got] = [most, size].map(bytes => bytes.toLocaleString('en'))
  return new UndecodableError(where, `expected ${what} of at most ${limit} bytes, got ${got}`)
}

export function tooManyEntries(where: string): UndecodableError {
  const most = MAX_ENTRIES.toLocaleString('en')
  return new UndecodableError(where, `expected at most ${most} resources, scopes, metrics and points, got more`)
}

export function nestedTooDeeply(where: string): UndecodableError {
  return new UndecodableError(where, `expected values nested at most ${MAX_NESTING} deep, got deeper ones`)
}
