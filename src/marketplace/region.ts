import * as v from 'valibot'

export const REGION = /^[a-z]{2,4}(-[a-z]+)+-\d+$/
/** What an option's value has to be. */
export const REGION_EXPECTED = 'a region such as us-east-1, here or in AWS_REGION'

/** A region of AWS; by default that of the environment, as with the AWS SDK. */
export const regionOption = v.pipe(
  v.optional(v.string(), () => process.env.AWS_REGION || process.env.AWS_DEFAULT_REGION || ''),
  v.regex(REGION, REGION_EXPECTED),
)
