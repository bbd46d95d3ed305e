import * as v from 'valibot'
import { strictObject } from '../check.ts'
import type { Identity } from './declarations.ts'
import { END_STATUSES } from './events.ts'
import { accountId, customerIdentifier, dimension, instant, licenseArn, productCode, region } from './validation.ts'

export const productSchema = strictObject({
  code: productCode,
  dimensions: v.optional(v.array(dimension)),
})

const identity = {
  accountId: v.optional(accountId),
  customerIdentifier: v.optional(customerIdentifier),
}

const someIdentity = <Named extends Identity>() =>
  v.check<Named, string>(
    value => value.accountId !== undefined || value.customerIdentifier !== undefined,
    'Expected accountId or customerIdentifier, or both',
  )

const integer = v.pipe(v.number(), v.integer(), v.minValue(-2_147_483_648), v.maxValue(2_147_483_647))
const valueSchema = v.union(
  [
    strictObject({ IntegerValue: integer }),
    strictObject({ DoubleValue: v.pipe(v.number(), v.finite()) }),
    strictObject({ BooleanValue: v.boolean() }),
    strictObject({ StringValue: v.string() }),
  ],
  'Expected one of IntegerValue (of 32 bits), DoubleValue, BooleanValue, StringValue',
)
const entitlements = v.optional(
  v.array(strictObject({ dimension, value: valueSchema, expiresAt: instant })),
  (): [] => [],
)

const subscriptionSchema = strictObject({
  product: productCode,
  entitlements,
  licenseArn: v.optional(licenseArn),
  from: v.optional(instant),
  to: v.optional(instant),
})

export const customerSchema = v.pipe(
  strictObject({ ...identity, subscriptions: v.optional(v.array(subscriptionSchema)) }),
  someIdentity(),
)

export const tokenSchema = v.pipe(
  strictObject({
    token: v.optional(v.pipe(v.string(), v.minLength(1))),
    product: productCode,
    ...identity,
    licenseArn: v.optional(licenseArn),
    createdAt: v.optional(instant),
  }),
  someIdentity(),
)

const change = {
  ...identity,
  product: v.optional(productCode),
  licenseArn: v.optional(licenseArn),
  at: v.optional(instant),
}
export const changeSchema = v.pipe(strictObject(change), someIdentity())
export const startSchema = v.pipe(
  strictObject({ ...change, pending: v.optional(v.boolean()), entitlements }),
  someIdentity(),
)
export const amendmentSchema = v.pipe(strictObject({ ...change, entitlements }), someIdentity())
export const endSchema = v.pipe(
  strictObject({ ...change, status: v.optional(v.picklist(END_STATUSES)) }),
  someIdentity(),
)
export const renewalSchema = v.pipe(
  strictObject({ ...change, licenseArn, renewedAs: v.optional(licenseArn), entitlements }),
  someIdentity(),
)
export const suspensionSchema = v.pipe(strictObject({ ...identity, at: v.optional(instant) }), someIdentity())

export const catalogueSchema = strictObject({
  products: v.optional(v.array(productSchema)),
  customers: v.optional(v.array(customerSchema)),
  tokens: v.optional(v.array(tokenSchema)),
  disabledRegions: v.optional(v.array(region)),
})
