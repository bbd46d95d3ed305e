/**
 * A set of tags that usage of a customer is allocated to, as AWS shows it in the customer's bill: one to five, in the order
 * of their keys. A key has 1 to 100, a value 1 to 256 of letters, digits, space and `+ - = . _ : / @`.
 * https://docs.aws.amazon.com/marketplace/latest/APIReference/API_marketplace-metering_Tag.html
 */
export type Tags = readonly (readonly [key: string, value: string])[]

export const MOST_TAGS = 5
export const TAG_KEY = /^[-a-zA-Z0-9 +=._:/@]{1,100}$/
export const TAG_VALUE = /^[-a-zA-Z0-9 +=._:/@]{1,256}$/

/** The same text for the same tags. */
export function textOfTags(tags: Tags): string {
  return JSON.stringify(tags)
}
