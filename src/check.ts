import * as v from 'valibot'
import { ConfigurationError } from './errors.ts'

/**
 * Checks a value against a schema and returns what the schema makes of it. Everything that is wrong is told at once,
 * each as "`path`: expected …, got …".
 */
export function check<Schema extends v.GenericSchema>(schema: Schema, value: unknown): v.InferOutput<Schema> {
  const result = v.safeParse(schema, value)
  if (result.success) return result.output
  throw configurationError(result.issues.map(describe))
}

/** An object by names that others give: valibot's own `record` leaves some out without a word, such as `constructor`. */
export function record<Key extends v.GenericSchema<string, string>, Value extends v.GenericSchema>(
  key: Key,
  value: Value,
) {
  return v.pipe(
    v.custom<Record<string, v.InferInput<Value>>>(input => typeof input === 'object' && input !== null, 'an object'),
    v.transform(object => new Map(Object.entries(object))),
    v.map(key, value),
    v.transform(map => Object.fromEntries(map) as Record<string, v.InferOutput<Value>>),
  )
}

/** An error that lists what is wrong. */
export function configurationError(problems: readonly string[]): ConfigurationError {
  const [first, ...others] = problems
  return new ConfigurationError(
    others.length === 0
      ? `Invalid options: ${first}`
      : `Invalid options:${problems.map(text => `\n- ${text}`).join('')}`,
  )
}

/** A value as messages show it, cut where it is long. */
export function show(value: unknown): string {
  if (typeof value === 'function') return 'a function'
  if (typeof value === 'bigint') return `${value}n`
  // What an object of a class holds may be endless, or secret.
  if (typeof value === 'object' && value !== null && !isPlain(value)) return `a ${value.constructor?.name ?? 'object'}`
  const text =
    typeof value === 'number' || value === undefined ? String(value) : (JSON.stringify(value) ?? String(value))
  return text.length > 80 ? `${text.slice(0, 79)}…` : text
}

function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value)
  return prototype === null || prototype === Object.prototype || Array.isArray(value)
}

function describe(issue: v.BaseIssue<unknown>): string {
  const dotPath = v.getDotPath(issue)
  const path = dotPath === null ? '' : `${dotPath}: `
  if (issue.type === 'strict_object' && issue.expected === 'never') return `${path}there is no such option`
  if (issue.type === 'strict_object' && issue.path?.at(-1)?.origin === 'key') return `${path}it is required`
  // Our own messages say what was expected; valibot's say it in its `expected`.
  const expected = issue.message.startsWith('Invalid ') ? plain(issue.expected ?? 'something else') : issue.message
  return `${path}expected ${expected}, got ${show(issue.input)}`
}

const plain = (expected: string) =>
  ({ Object: 'an object', Array: 'a list', string: 'a string', number: 'a number', boolean: 'true or false' })[
    expected
  ] ?? expected
