import * as v from 'valibot'
import { expected, validated } from './validation.ts'

/**
 * What AWS leaves undocumented or says in two ways, with the answers that may be meant; the simulator gives the first
 * unless it is told otherwise. Whoever meters well is right whichever it is.
 *
 * - `resend`: the identical record again. The API reference says `Success`; one sentence of AWS's guidance for sellers
 *   says `DuplicateRecord`.
 * - `unknownCustomer`: a customer that is not among those that are declared.
 * - `endedLicence`: a licence whose time is over, and the hour after it as well.
 * - `pendingLicence`: a licence that is not active yet.
 * - `unknownDimension`: a dimension that the product does not have. By one sentence of the guidance it is taken, at $0.
 * - `licensedIdentifier`: the `CustomerIdentifier` of `ResolveCustomer` for products with Concurrent Agreements.
 * - `resplit`: the same quantity again with other allocations, or none. It is counted: see `Counters`.
 * - `emptyTagValue`: a tag without a value. The model asks for one, prose does not.
 * - `tagCharacters`: whether tags have the characters that are listed, or also those of a range that the model's pattern has.
 * - `tagKeys`: how far the guide's five keys go: all allocations of a record, or each of them.
 * - `awsTagKey`: a tag's key that begins with AWS's own `aws:`.
 * - `unknownEntitledProduct`: `GetEntitlements` for a product that is not declared.
 * - `endedEntitlement`: whether it lists an entitlement whose agreement has ended (also by a renewal under another licence)
 *   until it would have expired.
 * - `emptyPage`: whether its pages are preceded by empty ones, each with a `NextToken`, which AWS says may be.
 * - `trailAccountMember`: how CloudTrail's events spell a record's account. AWS's page has the one, its script the other.
 * - `trailTimestamp`: how they write a record's timestamp: `Nov 3, 2026 10:20:00 AM`, the same with a comma after the year,
 *   with U+202F before AM and PM, or with both, ISO 8601, or seconds since the epoch.
 * - `trailLeftOut`: what stands for a member that they leave out.
 */
export const UNDOCUMENTED = {
  resend: ['Success', 'DuplicateRecord'],
  unknownCustomer: ['CustomerNotSubscribed', 'InvalidCustomerIdentifierException'],
  endedLicence: ['CustomerNotSubscribed', 'InvalidLicenseException'],
  pendingLicence: ['InvalidLicenseException', 'CustomerNotSubscribed'],
  unknownDimension: ['InvalidUsageDimensionException', 'Success'],
  licensedIdentifier: ['missing', 'null', 'empty'],
  resplit: ['Success', 'DuplicateRecord'],
  emptyTagValue: ['InvalidTagException', 'Success'],
  tagCharacters: ['list', 'range'],
  tagKeys: ['of-record', 'of-allocation'],
  awsTagKey: ['InvalidTagException', 'Success'],
  unknownEntitledProduct: ['InvalidParameterException', 'none'],
  endedEntitlement: ['unlisted', 'until-expiry'],
  emptyPage: ['never', 'before-each'],
  trailAccountMember: ['customerAWSAccountID', 'customerAWSAccountId'],
  trailTimestamp: ['text', 'comma', 'narrow-space', 'comma-narrow-space', 'iso', 'seconds'],
  trailLeftOut: ['missing', 'null'],
} as const

type Question = keyof typeof UNDOCUMENTED

/** How the simulator answers where AWS's documents do not say. */
export type Undocumented = { -readonly [Name in Question]: (typeof UNDOCUMENTED)[Name][number] }

const QUESTIONS = Object.keys(UNDOCUMENTED) as Question[]

const schema = v.strictObject(
  Object.fromEntries(QUESTIONS.map(name => [name, v.optional(v.picklist(UNDOCUMENTED[name]))])),
)

/** What is answered where nothing else is said. */
const FIRST = Object.fromEntries(QUESTIONS.map(name => [name, UNDOCUMENTED[name][0]])) as Undocumented

/** @throws {SimulatorConfigurationError} */
export function readUndocumented(
  answers: Partial<Undocumented>,
  where = 'undocumented',
  before: Undocumented = FIRST,
): Undocumented {
  return { ...before, ...(validated(schema, answers, where) as Partial<Undocumented>) }
}

/**
 * An answer from the command line: `question=answer`.
 *
 * @throws {SimulatorConfigurationError}
 */
export function parseUndocumented(text: string): Partial<Undocumented> {
  const [question = '', answer] = text.split('=')
  const known = v.pipe(
    v.string(),
    v.check(() => answer !== undefined, expected('question=answer, such as resend=DuplicateRecord,')),
  )
  validated(known, text, 'undocumented')
  const answers = { [question]: answer } as Partial<Undocumented>
  readUndocumented(answers, `undocumented ${text}`)
  return answers
}
