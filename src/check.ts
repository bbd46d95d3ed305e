import * as v from 'valibot'
import { meant } from './closest-word.ts'
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

/** What several checks make of their values. What is wrong in any of them is told at once. */
export function together<Results extends readonly unknown[]>(
  ...checks: { readonly [Index in keyof Results]: () => Results[Index] }
): Results {
  const problems: string[] = []
  const results = checks.map(check => {
    try {
      return check()
    } catch (error) {
      if (!(error instanceof ConfigurationError)) throw error
      problems.push(...error.problems)
      return undefined
    }
  })
  if (problems.length > 0) throw configurationError(problems)
  return results as unknown as Results
}

/** valibot's own, but for the keys that it has not: all are told, each with what may be meant by it. */
export function strictObject<const Entries extends v.ObjectEntries>(
  entries: Entries,
  message?: string,
): v.StrictObjectSchema<Entries, string | undefined> {
  const schema = v.strictObject(entries, message)
  const names = Object.keys(entries)
  const run = schema['~run']
  return Object.assign(schema, {
    '~run': (...[dataset, config]: Parameters<typeof run>): ReturnType<typeof run> => {
      const input = dataset.value
      const result = run.call(schema, dataset, config)
      const first = result.issues?.findIndex(issue => isUnknown(issue) && issue.path?.length === 1) ?? -1
      if (first === -1) return result
      const issue = result.issues?.[first] as v.StrictObjectIssue
      const others = unknownNames(input as object, names).map(
        ([key, message]): v.StrictObjectIssue => ({
          ...issue,
          ...{ input: key, received: JSON.stringify(key), message },
          path: [{ type: 'object', origin: 'key', input: input as Record<string, unknown>, key, value: undefined }],
        }),
      )
      result.issues?.splice(first, 1, ...(others as unknown as [v.StrictObjectIssue]))
      return result
    },
  })
}

/** What is wrong with an object's keys, where these are all that it may have. */
export function unknownOptions(object: object, names: readonly string[], path = ''): string[] {
  return unknownNames(object, names).map(([key, message]) => `${path}${key}: ${message}`)
}

/** The keys that an object has beside these names, and what to say of each. */
function unknownNames(object: object, names: readonly string[]): [key: string, message: string][] {
  if (Array.isArray(object)) return [['0', 'there is no such option (it is a list, and no object)']]
  // As valibot goes through them, with those that are inherited.
  const given: string[] = []
  for (const key in object) given.push(key)
  const free = names.filter(name => !given.includes(name))
  const unknown = given
    .filter(key => !names.includes(key))
    .map(key => ({ key, near: meant(key, free) ?? meant(key, names) }))
  const last = unknown.findLast(({ near }) => near === undefined)
  return unknown.map(one => {
    const hint = one.near ? ` (did you mean ${one.near}?)` : one === last ? ` (there are ${names.join(', ')})` : ''
    return [one.key, `there is no such option${hint}`]
  })
}

const isUnknown = ({ type, expected }: v.BaseIssue<unknown>) => type === 'strict_object' && expected === 'never'

/** An object by names that others give: valibot's own `record` leaves some out without a word, such as `constructor`. */
export function record<Key extends v.GenericSchema<string, string>, Value extends v.GenericSchema>(
  key: Key,
  value: Value,
) {
  return v.pipe(
    v.custom<Record<string, v.InferInput<Value>>>(
      input => typeof input === 'object' && input !== null && !Array.isArray(input),
      'an object',
    ),
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
    { problems },
  )
}

/** A value as messages show it, cut where it is long. */
export function show(value: unknown): string {
  if (typeof value === 'function')
    return value.constructor?.name === 'AsyncFunction' ? 'an async function' : 'a function'
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
  if (isUnknown(issue)) return `${path}${issue.message}`
  if (issue.type === 'strict_object' && issue.path?.at(-1)?.origin === 'key') return `${path}it is required`
  // Our own messages say what was expected; valibot's say it in its `expected`.
  const expected = issue.message.startsWith('Invalid ') ? plain(issue.expected ?? 'something else') : issue.message
  // In the place of all options there may be an address with a password.
  const got = issue.path === undefined && typeof issue.input === 'string' ? 'a string' : show(issue.input)
  return `${path}expected ${expected}, got ${got}`
}

const plain = (expected: string) =>
  ({ Object: 'an object', Array: 'a list', string: 'a string', number: 'a number', boolean: 'true or false' })[
    expected
  ] ?? expected
