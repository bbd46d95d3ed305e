import * as v from 'valibot'
import { SimulatorConfigurationError } from './errors.ts'

/**
 * `value`, if it is what `schema` asks for.
 *
 * @param where what the value is called, for the message
 * @throws {SimulatorConfigurationError} naming where, what was expected and what came
 */
export function validated<Schema extends v.GenericSchema>(
  schema: Schema,
  value: unknown,
  where: string,
): v.InferOutput<Schema> {
  // To valibot a list is an object as well, and one without its members at that.
  if (schema.expects === 'Object' && Array.isArray(value)) {
    throw new SimulatorConfigurationError(`${where}: Expected Object but received Array`)
  }
  const result = v.safeParse(schema, value)
  if (result.success) return result.output
  const problems = result.issues.map(issue => {
    const steps = (issue.path ?? []).map(({ key }) => (typeof key === 'number' ? `[${key}]` : `.${key}`))
    return `${where}${steps.join('')}: ${issue.message}`
  })
  throw new SimulatorConfigurationError(problems.join('\n'))
}

/** A message in the words of valibot's own. */
export const expected = (what: string) => (issue: { received: string }) =>
  `Expected ${what} but received ${issue.received}`

// Without a zone a text would be read in the zone of whatever machine this runs on.
const INSTANT = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d))?$/

/** An `Instant`; comes out as milliseconds. */
export const instant = v.pipe(
  v.union([v.string(), v.number(), v.date()]),
  v.check(
    value => (typeof value !== 'string' || INSTANT.test(value)) && !Number.isNaN(new Date(value).getTime()),
    expected('an ISO 8601 time with a zone, or milliseconds since the epoch,'),
  ),
  v.transform(value => new Date(value).getTime()),
)

export const productCode = v.pipe(
  v.string(),
  v.regex(/^[-a-zA-Z0-9/=:_.@]{1,255}$/, expected('a product code (1 to 255 of a-z A-Z 0-9 - / = : _ . @)')),
)
export const accountId = v.pipe(v.string(), v.regex(/^\d{12}$/, expected('an AWS account id (12 digits)')))
export const customerIdentifier = v.pipe(v.string(), v.minLength(1), v.maxLength(255))
export const dimension = v.pipe(v.string(), v.minLength(1), v.maxLength(255))
export const region = v.pipe(
  v.string(),
  v.regex(/^[a-z]{2,}(-[a-z]+)+-\d+$/, expected('an AWS region, such as us-east-1,')),
)
/** The pattern of AWS License Manager's API reference. */
export const LICENSE_ARN =
  /^arn:aws(-[a-z-]+)?:[A-Za-z0-9][\w/.-]{0,62}:[\w/.-]{0,63}:[\w/.-]{0,63}:[A-Za-z0-9][\w:/+=,@.-]{0,1023}$/
export const licenseArn = v.pipe(v.string(), v.regex(LICENSE_ARN, expected('the ARN of a licence')))
