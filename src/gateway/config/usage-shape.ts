import * as v from 'valibot'
import { MAX_QUANTITY } from '../../usage/dimension.ts'
import {
  type CustomerAttributes,
  type DimensionOptions,
  PRODUCT,
  type Tenant,
  type UsageOptions,
} from '../../usage/options.ts'
import { PRESETS } from '../../usage/presets.ts'
import type { Rule } from '../../usage/rule.ts'
import { MOST_TAGS, TAG_KEY } from '../../usage/tags.ts'
import { described } from './description.ts'
import { duration } from './values.ts'

/**
 * What editors are told of the options that are about usage. `UsageMapper` is what checks them: it says what is wrong
 * better than a schema can, which has to name all the ways in which it could be right.
 */

type Shape<Options> = { readonly [Key in keyof Required<Options>]: v.GenericSchema }

const some = <Schema extends v.GenericSchema>(schema: Schema) =>
  v.union([schema, v.pipe(v.array(schema), v.minLength(1))])
const scalar = v.union([v.string(), v.number(), v.boolean()])

export const MAX_GAP = duration('1ms', '1d')

const rule = v.strictObject({
  metric: described(some(v.string()), 'Names of metrics, exactly as they arrive.'),
  attributes: described(
    v.optional(v.record(v.string(), v.union([scalar, v.pipe(v.array(scalar), v.minLength(1)), v.null()]))),
    "What the point's attributes have to be: the value, one of the values, or absent (null).",
  ),
  value: described(
    v.optional(v.picklist(['sum', 'count', 'integral'])),
    "A histogram's sum (the default) or count; or a gauge's integral over time.",
  ),
  unit: described(
    v.optional(v.string()),
    "The unit of the metric's values, where its own is missing or wrong. Of an integral: 1 or %.",
  ),
  maxGap: described(
    v.optional(MAX_GAP),
    'Of an integral, the longest time between two points that the level is taken to have held. 5m by default.',
  ),
  baseline: described(
    v.optional(v.boolean()),
    "Of a counter that is read from what outlives its process, such as a device's or a database's total: true, and the " +
      'first value of each series after each start is not billed.',
  ),
} satisfies Shape<Rule>)

/** A preset, or a rule. */
export const SOURCE = v.union([v.picklist(Object.keys(PRESETS)), rule])

const included = v.strictObject({
  entitlement: described(
    v.optional(v.string()),
    "The API name of the listing's dimension that contracts are sold by: AWS is asked how much each customer has.",
  ),
  quantity: described(
    v.optional(v.pipe(v.number(), v.integer(), v.minValue(1))),
    'Instead of it: how much of the dimension, as it is sold, every customer has of whom nothing else is noted.',
  ),
  per: described(
    v.picklist(['term', 'month']),
    "Whether it is for a contract's term, or begins anew with each month (UTC).",
  ),
  unit: described(
    v.optional(v.pipe(v.number(), v.gtValue(0))),
    "How many of the dimension's units one entitled unit stands for. By default its per.",
  ),
})

const tagKey = v.pipe(v.string(), v.regex(TAG_KEY))
const allocationTag = v.union([tagKey, v.strictObject({ tag: tagKey, attribute: v.string() })])

const dimension = v.strictObject({
  unit: described(v.string(), 'What is sold: {token}, h, GBy, …'),
  per: described(
    v.optional(v.pipe(v.number(), v.gtValue(0))),
    'How many units a quantity of one stands for: 1000 for tokens sold by the thousand. 1 by default.',
  ),
  maxQuantity: described(
    v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(MAX_QUANTITY))),
    'A record with a larger quantity is held instead of sent.',
  ),
  alertQuantity: described(
    v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(MAX_QUANTITY))),
    'A record with a larger quantity raises an alarm, and is sent. Below maxQuantity.',
  ),
  from: described(some(SOURCE), 'What is added up: presets by name, or rules.'),
  additive: described(v.optional(v.boolean()), 'That several sources add up. Otherwise two of them raise an alarm.'),
  included: described(
    v.optional(v.union([included, v.literal(false)])),
    'What contracts include of it, so that only what is beyond is metered. Left out, what was said last stays; false takes ' +
      'it back.',
  ),
  allocations: described(
    v.optional(v.pipe(v.array(allocationTag), v.minLength(1), v.maxLength(MOST_TAGS))),
    "What the customer's bill is split by: tags, such as a model or a team, each from the attribute of its name, or as " +
      '{ tag, attribute }. Never a secret: the customer sees them.',
  ),
} satisfies Shape<DimensionOptions>)

const attributeSource = v.union([
  v.string(),
  v.strictObject({ attribute: v.string() }),
  v.strictObject({ resource: v.string() }),
  v.strictObject({ value: v.string() }),
])

const customer = v.strictObject({
  accountId: described(v.optional(attributeSource), 'Where the AWS account id is: a string of 12 digits.'),
  customerIdentifier: described(v.optional(attributeSource), 'Where the older identifier is, with productCode only.'),
  licenseArn: described(
    v.optional(attributeSource),
    'Where the licence is. What has one is not billed by the product code.',
  ),
} satisfies Shape<CustomerAttributes>)

const tenant = v.strictObject({
  tenant: described(
    attributeSource,
    'Where what you call the customer is: its agreement is looked up in the ledger, by the name it was registered with.',
  ),
} satisfies Shape<Tenant>)

const productText = v.pipe(v.string(), v.regex(PRODUCT))

export const USAGE_SHAPE = {
  productCode: described(v.optional(productText), 'The product code, for products that are metered by it.'),
  product: described(
    v.optional(productText),
    'For customers with a licence, who go by it: your own label for the product. Alone, or beside productCode.',
  ),
  dimensions: described(
    v.optional(v.record(v.string(), dimension)),
    "What is sold, by the dimension's API name, and which metrics it is added up from.",
  ),
  customer: described(
    v.optional(v.union([customer, tenant])),
    "Where a data point's customer is: the key of an attribute of the point or of its resource; or { attribute }, " +
      '{ resource } or { value }.',
  ),
} satisfies Shape<UsageOptions>
