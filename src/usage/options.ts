import type { Attributes } from '@opentelemetry/api'
import * as v from 'valibot'
import { check, record, strictObject } from '../check.ts'
import { meant } from '../closest-word.ts'
import { MAX_QUANTITY } from './dimension.ts'
import { GPU_HOURS, INFERENCE_REQUESTS, TOKENS_PROCESSED } from './instruments.ts'
import { PRESETS, type PresetName } from './presets.ts'
import type { Rule } from './rule.ts'
import { MOST_TAGS, TAG_KEY } from './tags.ts'
import { KNOWN_UNITS, parseLevelUnit, parseUnit } from './units.ts'

/** What is measured, what is sold, and who the customer is: of a product with a product code, of one with licences, or both. */
export type UsageOptions = ProductCodeOptions | LicensedProductOptions | BothProductOptions

/** A product with Concurrent Agreements: each customer comes with a licence. */
export interface LicensedProductOptions extends SoldOptions {
  /**
   * Your own label for the product, 1 to 255 of `-a-zA-Z0-9/=:_.@`. AWS never sees it; it keeps the licences of two
   * products out of one request.
   */
  readonly product: string
  readonly productCode?: undefined
  /**
   * Where a data point's customer is found. By default the attributes `marketplace.customer.account_id` and
   * `marketplace.customer.license_arn`.
   */
  readonly customer?: LicensedCustomerAttributes | Tenant | CustomerResolver
}

/** A product that is metered by its product code. */
export interface ProductCodeOptions extends SoldOptions {
  /** The product code. 1 to 255 of `-a-zA-Z0-9/=:_.@`. */
  readonly productCode: string
  readonly product?: undefined
  /**
   * Where a data point's customer is found. By default the attribute `marketplace.customer.account_id` or, instead,
   * `marketplace.customer.identifier`.
   */
  readonly customer?: ProductCodeCustomerAttributes | Tenant | CustomerResolver
}

/**
 * A product that moves to Concurrent Agreements: a customer with a licence goes by it, one without by the product code,
 * so that nobody is billed by both.
 */
export interface BothProductOptions extends SoldOptions {
  /** The product code. 1 to 255 of `-a-zA-Z0-9/=:_.@`. */
  readonly productCode: string
  /** Your own label for the product, for customers with a licence. */
  readonly product: string
  /**
   * Where a data point's customer is found. By default the attributes `marketplace.customer.account_id`, with
   * `marketplace.customer.license_arn` where there is a licence; or `marketplace.customer.identifier` instead.
   */
  readonly customer?: BothCustomerAttributes | Tenant | CustomerResolver
}

/** What is sold of any. */
export interface SoldOptions {
  /**
   * What is sold, by the dimension's API name. By default `inference-requests`, `tokens-processed` and `gpu-hours`,
   * fed by our own instruments only.
   */
  readonly dimensions?: Readonly<Record<string, DimensionOptions>>
}

export interface DimensionOptions {
  /** What is sold, in UCUM as OpenTelemetry writes it: `{token}`, `h`, `GBy`, … */
  readonly unit: string
  /** How many units a quantity of one stands for: 1000 for tokens sold by the thousand. 1 by default. */
  readonly per?: number
  /** A record with a larger quantity is held instead of sent. 1 to 2147483647. */
  readonly maxQuantity?: number
  /** A record with a larger quantity raises an alarm, and is sent. Below `maxQuantity`, where there is one. */
  readonly alertQuantity?: number
  /** What is added up. */
  readonly from: PresetName | Rule | readonly (PresetName | Rule)[]
  /**
   * That several sources add up (two servers, say). Without it, sources that look like they count the same usage are
   * refused, or raise an alarm when they turn up.
   */
  readonly additive?: boolean
  /**
   * What contracts include of it: only what is used beyond that is metered. Left out, what the ledger was told last stays;
   * `false` takes it back.
   */
  readonly included?: EntitledOptions | QuantityOptions | false
  /**
   * What the customer's bill is split by: at most five tags, which the buyer sees as cost allocation tags
   * `aws:marketplace:isv:<tag>`, with the values that the points have. See {@link AllocationTag}. Never a secret: who
   * sees the bill sees them.
   */
  readonly allocations?: readonly AllocationTag[]
}

/** What each contract includes is what AWS says of its entitlement (`GetEntitlements`). */
export interface EntitledOptions {
  /** The API name of the listing's dimension that contracts are sold by; of one dimension only. */
  readonly entitlement: string
  /** How many units of the dimension's `unit` one entitled unit stands for. By default the dimension's `per`. */
  readonly unit?: number
  readonly quantity?: undefined
  /**
   * Whether the quantity is for a contract's whole term, or begins anew with each month (UTC): AWS says how much it is,
   * and not for which time.
   */
  readonly per: 'term' | 'month'
}

/** It is the same for all customers, but for those of whom something else is noted in the ledger. */
export interface QuantityOptions {
  /** In what a quantity of one stands for. 1 or more, an integer. */
  readonly quantity: number
  readonly entitlement?: undefined
  readonly unit?: undefined
  /** Whether it is for a contract's whole term, or begins anew with each month (UTC). */
  readonly per: 'term' | 'month'
}

/**
 * A tag that usage is allocated by: a text is the key both of the tag and of the attribute with its value, on the data
 * point or, where that has none of the key, on the resource. A tag's key has 1 to 100 of letters, digits, space and
 * `+ - = . _ : / @`, and does not begin with `aws:`. A value is a text of 1 to 256 of the same, a number, true or false;
 * usage whose values are something else is billed, without tags.
 * https://docs.aws.amazon.com/marketplace/latest/APIReference/API_marketplace-metering_Tag.html
 */
export type AllocationTag = string | { readonly tag: string; readonly attribute: string }

/** Where a customer's identity is found. */
export type CustomerAttributes = ProductCodeCustomerAttributes | LicensedCustomerAttributes | BothCustomerAttributes

/** The account and its licence, for a product with licences. */
export interface LicensedCustomerAttributes {
  /** The AWS account id: 12 digits, as a string (a number would lose its leading zeros). */
  readonly accountId?: AttributeSource
  readonly licenseArn?: AttributeSource
  readonly customerIdentifier?: undefined
}

/** The account, with a licence where it has one, or the older identifier. */
export interface BothCustomerAttributes {
  /** The AWS account id: 12 digits, as a string (a number would lose its leading zeros). */
  readonly accountId?: AttributeSource
  readonly customerIdentifier?: AttributeSource
  readonly licenseArn?: AttributeSource
}

/** The account or the older identifier, for a product with a product code. */
export interface ProductCodeCustomerAttributes {
  /** The AWS account id: 12 digits, as a string (a number would lose its leading zeros). */
  readonly accountId?: AttributeSource
  readonly customerIdentifier?: AttributeSource
  readonly licenseArn?: undefined
}

/**
 * Where it is found what you call a customer: its agreement is looked up in the ledger, by the name that it was
 * registered or imported with. Of several agreements the one that is in force counts, the youngest of them.
 */
export interface Tenant {
  readonly tenant: AttributeSource
}

/**
 * A string is the key of an attribute of the data point or, where the point has none of that key, of the resource.
 * `{ attribute }` looks at the point only, `{ resource }` at the resource only, `{ value }` is the same for all.
 */
export type AttributeSource =
  | string
  | { readonly attribute: string }
  | { readonly resource: string }
  | { readonly value: string }

/**
 * Says whose usage a point is. It is called for each point and has to answer at once.
 *
 * @returns undefined where it does not know: then, and where it throws, the usage is kept without a customer. Null where
 * it knows that the usage is not this exporter's to bill (of another product, or of nobody): it is counted and ignored.
 */
export type CustomerResolver = (attributes: Attributes, resource: Attributes) => CustomerIdentity | undefined | null

/** A customer: `accountId` and `licenseArn` of a product with licences, or one of `accountId` and `customerIdentifier` of a product code. */
export interface CustomerIdentity {
  readonly accountId?: string | undefined
  readonly customerIdentifier?: string | undefined
  readonly licenseArn?: string | undefined
  /** Where it is another product than the options'. */
  readonly product?: string | undefined
}

export const DEFAULT_DIMENSIONS: Readonly<Record<string, DimensionOptions>> = {
  [INFERENCE_REQUESTS]: { unit: '{request}', from: 'marketplace.requests' },
  [TOKENS_PROCESSED]: { unit: '{token}', from: 'marketplace.tokens' },
  [GPU_HOURS]: { unit: 'h', from: 'marketplace.time' },
}

/** https://docs.aws.amazon.com/marketplace/latest/APIReference/API_marketplace-metering_BatchMeterUsage.html */
export const PRODUCT = /^[-a-zA-Z0-9/=:_.@]{1,255}$/
export const ACCOUNT_ID = /^[0-9]{12}$/
/** Without a NUL or half a character, which in a database may be another's. */
export const CUSTOMER_IDENTIFIER = /^[^\0\p{Cs}]{1,255}$/u
/** License Manager's own pattern, without the comma: account keys are divided by it. */
export const LICENSE_ARN = /^arn:aws[-a-z]*:license-manager:[\w/.-]{0,63}:[\w/.-]{0,63}:[A-Za-z0-9][\w:/+=@.-]{0,1023}$/

const DIMENSION_NAME = /^[\s\S]{1,255}$/

const text = v.pipe(v.string(), v.nonEmpty('a string that is not empty'))
const product = v.pipe(v.string(), v.regex(PRODUCT, '1 to 255 of the characters -a-zA-Z0-9/=:_.@'))
const unit = v.pipe(
  v.string(),
  v.check(symbol => parseUnit(symbol) !== undefined, `a unit (${KNOWN_UNITS})`),
)
const scalar = v.lazy(input => (typeof input === 'string' ? v.string() : typeof input === 'number' ? finite : bool))
const finite = v.pipe(v.number(), v.finite('a finite number'))
const bool = v.boolean('a string, a number, true or false')

const attributeMatch = v.lazy(input =>
  input === null ? v.null() : Array.isArray(input) ? v.pipe(v.array(scalar), v.nonEmpty('at least one value')) : scalar,
)

const ASYNC = (async () => {}).constructor as FunctionConstructor

/** A ledger remembers since when each is metered, and keeps no longer one. */
const LONGEST_METRIC = 500

const metric = v.pipe(
  v.string(),
  v.regex(/^[^*]+$/, "a metric's name, no pattern"),
  v.maxBytes(LONGEST_METRIC, `a metric's name of at most ${LONGEST_METRIC} bytes`),
)

const which = {
  metric: v.lazy(input => (Array.isArray(input) ? v.pipe(v.array(metric), v.nonEmpty('at least one name')) : metric)),
  attributes: v.optional(record(v.string(), attributeMatch)),
}
const value = v.picklist(['sum', 'count', 'integral'], "'sum', 'count' or 'integral'")

const counterRule = v.pipe(
  strictObject({ ...which, value: v.optional(value), unit: v.optional(unit), baseline: v.optional(v.boolean()) }),
  v.check(({ value, unit }) => value !== 'count' || unit === undefined, "no unit with value: 'count', which has none"),
)

const gaugeRule = strictObject({
  ...which,
  value,
  unit: v.optional(
    v.pipe(
      v.string(),
      v.check(symbol => parseLevelUnit(symbol) !== undefined, '1 or %, which a level is in'),
    ),
  ),
  maxGap: v.optional(
    v.pipe(
      v.number(),
      v.check(gap => gap > 0 && gap <= 86_400_000, 'milliseconds above 0, up to a day'),
    ),
  ),
})

const rule = v.lazy(input => ((input as Rule).value === 'integral' ? gaugeRule : counterRule))

const PRESET_NAMES = Object.keys(PRESETS)
const preset = v.picklist(PRESET_NAMES, ({ input }) => {
  const near = meant(String(input), PRESET_NAMES)
  return `a rule or the name of a preset (${near ? `did you mean ${near}?` : PRESET_NAMES.join(', ')})`
})
const source = v.lazy(input => (typeof input === 'object' && input !== null ? rule : preset))

const quantity = v.pipe(
  v.number(),
  v.check(max => Number.isInteger(max) && max >= 1 && max <= MAX_QUANTITY, `an integer from 1 to ${MAX_QUANTITY}`),
)

const size = v.pipe(v.number(), v.finite('a finite number'), v.gtValue(0, 'a number above 0'))

const included = v.pipe(
  strictObject(
    {
      entitlement: v.optional(
        v.pipe(v.string(), v.regex(DIMENSION_NAME, "an entitlement's name of 1 to 255 characters")),
      ),
      quantity: v.optional(
        v.pipe(
          v.number(),
          v.check(units => Number.isSafeInteger(units) && units >= 1, 'an integer of 1 or more'),
        ),
      ),
      per: v.picklist(['term', 'month'], "'term' or 'month': for how long the quantity is"),
      unit: v.optional(size),
    },
    '{ entitlement, per }, { quantity, per }, or false',
  ),
  v.check(
    ({ entitlement, quantity }) => (entitlement === undefined) !== (quantity === undefined),
    'exactly one of entitlement and quantity',
  ),
  v.forward(
    v.partialCheck(
      [['quantity'], ['unit']],
      ({ quantity, unit }) => quantity === undefined || unit === undefined,
      'none with quantity, which is in what the dimension is sold in',
    ),
    ['unit'],
  ),
)

const tagKey = v.pipe(
  v.string(),
  v.regex(TAG_KEY, "a tag's key of 1 to 100 letters, digits, spaces and + - = . _ : / @"),
  v.check(key => !/^aws:/i.test(key), "a tag's key that does not begin with aws:, as AWS's own do"),
)
const allocationTag = v.lazy(input =>
  typeof input === 'string'
    ? tagKey
    : strictObject({ tag: tagKey, attribute: text }, "an attribute's key, or { tag, attribute }"),
)
const allocations = v.pipe(
  v.array(allocationTag, 'a list of tags'),
  v.minLength(1, 'one to five tags'),
  v.maxLength(MOST_TAGS, 'one to five tags'),
  v.check(list => new Set((list as AllocationTag[]).map(tagKeyOf)).size === list.length, "each tag's key once"),
)

const dimension = v.pipe(
  strictObject({
    unit,
    per: v.optional(size),
    maxQuantity: v.optional(quantity),
    alertQuantity: v.optional(quantity),
    from: v.lazy(input =>
      Array.isArray(input) ? v.pipe(v.array(source), v.nonEmpty('at least one rule or preset')) : source,
    ),
    additive: v.optional(v.boolean()),
    included: v.optional(v.lazy(input => (input === false ? v.literal(false) : included))),
    allocations: v.optional(allocations),
  }),
  v.forward(
    v.partialCheck(
      [['maxQuantity'], ['alertQuantity']],
      ({ maxQuantity, alertQuantity }) =>
        maxQuantity === undefined || alertQuantity === undefined || alertQuantity < maxQuantity,
      'less than maxQuantity, above which nothing is sent',
    ),
    ['alertQuantity'],
  ),
)

const attributeSource = v.lazy(input => (typeof input === 'string' ? text : explicitSource))
const explicitSource = v.pipe(
  strictObject(
    { attribute: v.optional(text), resource: v.optional(text), value: v.optional(text) },
    "an attribute's key, { attribute }, { resource } or { value }",
  ),
  v.check(
    input => Object.values(input).filter(value => value !== undefined).length === 1,
    'exactly one of attribute, resource and value',
  ),
)

/** `value` may be given as a constant where it has the pattern. */
const constant = (pattern: RegExp, expected: string) =>
  v.pipe(
    attributeSource,
    v.check(
      input => !(typeof input === 'object' && 'value' in input) || pattern.test(String(input.value)),
      `{ value } to be ${expected}`,
    ),
  )

const customer = strictObject({
  accountId: v.optional(constant(ACCOUNT_ID, '12 digits')),
  customerIdentifier: v.optional(constant(CUSTOMER_IDENTIFIER, '1 to 255 characters')),
  licenseArn: v.optional(constant(LICENSE_ARN, 'like arn:aws:license-manager::123456789012:license:l-…')),
})

const tenant = strictObject({ tenant: attributeSource })

const resolver = v.custom<CustomerResolver>(
  input => !(input instanceof ASYNC),
  'a function that answers at once (look the customer up before, or keep what was looked up)',
)

const isTenant = (input: unknown): boolean => typeof input === 'object' && input !== null && 'tenant' in input

const entries = {
  productCode: v.optional(product),
  product: v.optional(product),
  dimensions: v.optional(
    v.pipe(
      record(v.pipe(v.string(), v.regex(DIMENSION_NAME, "a dimension's name of 1 to 255 characters")), dimension),
      v.check(dimensions => Object.keys(dimensions).length > 0, 'at least one dimension'),
    ),
  ),
  customer: v.optional(v.lazy(input => (typeof input === 'function' ? resolver : isTenant(input) ? tenant : customer))),
}

export const USAGE_OPTIONS = Object.keys(entries) as readonly (keyof UsageOptions)[]

const schema = v.pipe(
  strictObject(entries),
  v.check(
    options => options.productCode !== undefined || options.product !== undefined,
    'productCode, or product for products whose customers come with a licence, or both',
  ),
  v.forward(
    v.partialCheck(
      [['productCode'], ['product'], ['customer']],
      ({ product, customer }) =>
        product !== undefined || !(customer && 'licenseArn' in customer && customer.licenseArn),
      'none without product: AWS bills a customer by licence or by product code, and twice by both',
    ),
    ['customer', 'licenseArn'],
  ),
  v.forward(
    v.partialCheck(
      [['productCode'], ['product'], ['customer']],
      ({ productCode, customer }) =>
        productCode !== undefined || !(customer && 'customerIdentifier' in customer && customer.customerIdentifier),
      'none without productCode; licences go with accountId',
    ),
    ['customer', 'customerIdentifier'],
  ),
)

const tagKeyOf = (one: AllocationTag): string => (typeof one === 'string' ? one : one.tag)

/** What is sold, as a person knows it. */
export function productName({ productCode, product }: Pick<UsageOptions, 'product' | 'productCode'>): string {
  return productCode === undefined || product === undefined
    ? ((productCode ?? product) as string)
    : `${productCode}, and as ${product} for customers with a licence,`
}

/** Checks options; a `ConfigurationError` names every one that is wrong. */
export function parseUsageOptions(options: UsageOptions): UsageOptions {
  return check(schema, options) as UsageOptions
}
