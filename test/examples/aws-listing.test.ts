import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { DEFAULT_DIMENSIONS } from '../../src/usage/options.ts'

const read = (name: string) => JSON.parse(readFileSync(new URL(`../../examples/aws/${name}`, import.meta.url), 'utf8'))
const listing = read('listing.json')
const validate = new Ajv2020({ allErrors: true, strict: true }).compile(read('listing.schema.json'))

test('the listing fits its schema', () => {
  assert.ok(validate(listing), JSON.stringify(validate.errors, null, 2))
})

test('its dimensions are those that the server meters, in their units, each with a price', () => {
  const { dimensions, rateCard } = listing.pricing as {
    dimensions: { apiName: string; unit: string }[]
    rateCard: { dimension: string }[]
  }
  assert.deepEqual(
    Object.fromEntries(dimensions.map(({ apiName, unit }) => [apiName, unit])),
    Object.fromEntries(Object.entries(DEFAULT_DIMENSIONS).map(([name, { unit }]) => [name, unit])),
  )
  assert.deepEqual(
    rateCard.map(({ dimension }) => dimension),
    dimensions.map(({ apiName }) => apiName),
  )
})

test('the schema finds what AWS would send back', () => {
  // biome-ignore lint/suspicious/noExplicitAny: the listing is changed in wrong ways
  const changes: [string, (broken: any) => void][] = [
    ['a title that is too long', broken => (broken.product.title = 'x'.repeat(73))],
    ['four highlights', broken => broken.product.highlights.push('One more')],
    ['a dimension with a space', broken => (broken.pricing.dimensions[0].apiName = 'inference requests')],
    ['a price that is a float', broken => (broken.pricing.rateCard[0].price = 0.001)],
    ['a price with nine decimals', broken => (broken.pricing.rateCard[0].price = '0.000000001')],
    ['a registration page without TLS', broken => (broken.fulfillment.registrationUrl = 'http://example.com/register')],
    ['no support', broken => delete broken.support],
    ['a misspelt member', broken => (broken.product.shortDescripton = '')],
  ]
  for (const [what, change] of changes) {
    const broken = structuredClone(listing)
    change(broken)
    assert.equal(validate(broken), false, what)
  }
})
