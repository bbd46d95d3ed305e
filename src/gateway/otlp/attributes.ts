import type { Attributes, AttributeValue } from '@opentelemetry/api'

/** What has no attributes. */
export const NO_ATTRIBUTES: Attributes = Object.freeze({})

/** An attribute's value as JSON can hold it. */
export type Value = string | number | boolean | null | readonly Value[] | { readonly [key: string]: Value }
export type Values = { [key: string]: Value }

/** Sets an attribute that is not there yet: of values under the same key the first one counts. */
export function setFirst(values: Values, key: string, value: Value): void {
  if (Object.hasOwn(values, key)) return
  // Assigning this one would change what the object inherits.
  if (key === '__proto__') Object.defineProperty(values, key, { value, enumerable: true })
  else values[key] = value
}

/** JSON has no NaN and no Infinity: these are written as OTLP/JSON writes them. */
export function doubleAttribute(value: number): Value {
  return Number.isFinite(value) ? value : String(value)
}

/** OTLP's values are wider than the API's type for them, which has no objects, no mixed lists and no null. */
export function asAttributes(values: Values): Attributes {
  return values as { [key: string]: AttributeValue }
}
