import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ConfigurationError } from '../../src/errors.ts'
import { UsageMapper } from '../../src/usage/mapper.ts'
import { parseUsageOptions, type UsageOptions } from '../../src/usage/options.ts'
import { PRESETS } from '../../src/usage/presets.ts'
import { KNOWN_UNITS } from '../../src/usage/units.ts'

/** The message without its beginning, which is the same for all. */
function complaint(options: unknown): string {
  try {
    new UsageMapper(options as UsageOptions)
  } catch (error) {
    assert.ok(error instanceof ConfigurationError)
    assert.equal(error.code, 'ERR_CONFIGURATION')
    assert.match(error.message, /^Invalid options:/)
    return error.message.replace(/^Invalid options:\s/, '')
  }
  return 'none'
}

const withDimension = (x: unknown, rest: object = {}) => complaint({ productCode: 'p', dimensions: { x }, ...rest })
const withFrom = (from: unknown, unit = '1') => withDimension({ unit, from })
const PRESET_NAMES = Object.keys(PRESETS).join(', ')

test('options that are right', () => {
  assert.equal(complaint({ productCode: 'abc-123/=:_.@' }), 'none')
  assert.equal(complaint({ product: 'my product'.replace(' ', '-') }), 'none')
  assert.equal(complaint({ product: 'p', customer: () => undefined }), 'none')
  assert.equal(complaint({ product: 'p', customer: { accountId: 'a', licenseArn: { resource: 'b' } } }), 'none')
  assert.equal(complaint({ productCode: 'p', customer: { customerIdentifier: { value: 'abc' } } }), 'none')
  assert.equal(complaint({ productCode: 'p', customer: undefined, dimensions: undefined }), 'none')
  assert.equal(withDimension({ unit: 'h', per: 1 / 3, maxQuantity: 2 ** 31 - 1, from: 'vllm.time' }), 'none')
  assert.equal(withFrom(['vllm.input-tokens', 'vllm.output-tokens']), 'none')
  assert.equal(
    withFrom([
      { metric: 'm', attributes: { kind: null } },
      { metric: 'm', attributes: { kind: ['a', 'b'] } },
      { metric: 'm', attributes: { kind: 'c', other: 1 }, value: 'count' },
    ]),
    'none',
  )
})

test('the product', () => {
  assert.equal(
    complaint({}),
    'expected productCode, or product for products whose customers come with a licence, or both, got {}',
  )
  assert.equal(complaint({ productCode: 'p', product: 'q' }), 'none')
  assert.equal(complaint(undefined), 'expected an object, got undefined')
  assert.equal(complaint('p'), 'expected an object, got a string')
  assert.equal(
    complaint({ productCode: 'a b' }),
    'productCode: expected 1 to 255 of the characters -a-zA-Z0-9/=:_.@, got "a b"',
  )
  assert.equal(complaint({ product: '' }), 'product: expected 1 to 255 of the characters -a-zA-Z0-9/=:_.@, got ""')
  assert.equal(complaint({ productCode: 7 }), 'productCode: expected a string, got 7')
})

test('options that do not exist', () => {
  const no = 'there is no such option'
  assert.equal(complaint({ productCode: 'p', dimension: {} }), `dimension: ${no} (did you mean dimensions?)`)
  assert.equal(
    withDimension({ unit: '1', from: 'vllm.tokens', limit: 1 }),
    `dimensions.x.limit: ${no} (there are unit, per, maxQuantity, alertQuantity, from, additive, included, allocations)`,
  )
  assert.equal(withFrom({ metric: 'm', values: 'count' }), `dimensions.x.from.values: ${no} (did you mean value?)`)
  assert.equal(
    complaint({ product: 'p', customer: { account: 'a' } }),
    `customer.account: ${no} (did you mean accountId?)`,
  )
  assert.equal(
    complaint({ product: 'p', customer: { accountId: { atribute: 'a' } } }),
    `customer.accountId.atribute: ${no} (did you mean attribute?)`,
  )
  assert.equal(complaint(['p']), `0: ${no} (it is a list, and no object)`)
})

test('all options that do not exist are told at once, however they are written', () => {
  const options = {
    ...{ 'product-code': 'p', PRODUCT: 'q', toString: 1 },
    dimensions: { x: { unit: '1', from: { metric: 'm', attribute: {}, Unit: '1', gap: 5 }, max: 1, maxQuantityy: 1 } },
  }
  assert.throws(() => parseUsageOptions(options as unknown as UsageOptions), {
    problems: [
      'dimensions.x.from.attribute: there is no such option (did you mean attributes?)',
      'dimensions.x.from.Unit: there is no such option (did you mean unit?)',
      'dimensions.x.from.gap: there is no such option (there are metric, attributes, value, unit, baseline)',
      'dimensions.x.max: there is no such option (there are unit, per, maxQuantity, alertQuantity, from, additive, included, allocations)',
      'dimensions.x.maxQuantityy: there is no such option (did you mean maxQuantity?)',
      'product-code: there is no such option (did you mean productCode?)',
      'PRODUCT: there is no such option (did you mean product?)',
      'toString: there is no such option (there are productCode, product, dimensions, customer)',
    ],
  })
})

test('dimensions', () => {
  assert.equal(complaint({ productCode: 'p', dimensions: {} }), 'dimensions: expected at least one dimension, got {}')
  assert.equal(
    complaint({ productCode: 'p', dimensions: { '': { unit: '1', from: 'vllm.tokens' } } }),
    'dimensions.: expected a dimension\'s name of 1 to 255 characters, got ""',
  )
  assert.match(
    complaint({ productCode: 'p', dimensions: { ['x'.repeat(256)]: { unit: '1', from: 'vllm.tokens' } } }),
    /: expected a dimension's name of 1 to 255 characters, got "x{78}…$/,
  )
  assert.equal(
    withDimension({ unit: 'hours', from: 'vllm.time' }),
    `dimensions.x.unit: expected a unit (${KNOWN_UNITS}), got "hours"`,
  )
  const from = 'vllm.tokens'
  assert.equal(withDimension({ unit: '1', per: 0, from }), 'dimensions.x.per: expected a number above 0, got 0')
  assert.equal(withDimension({ unit: '1', per: '5', from }), 'dimensions.x.per: expected a number, got "5"')
  assert.equal(withDimension({ unit: '1', per: Number.NaN, from }), 'dimensions.x.per: expected a number, got NaN')
  const size = 'dimensions.x.per: expected a size of whole millionths of 1, at most 2^120, got'
  assert.equal(withDimension({ unit: '{token}', per: 1e-7, from }), `${size} 1e-7 × {token}`)
  assert.equal(withDimension({ unit: '{token}', per: 1.0000001, from }), `${size} 1.0000001 × {token}`)
  assert.equal(withDimension({ unit: '{token}', per: 1e300, from }), `${size} 1e+300 × {token}`)
  for (const maxQuantity of [0, 1.5, 2 ** 31]) {
    assert.equal(
      withDimension({ unit: '1', maxQuantity, from }),
      `dimensions.x.maxQuantity: expected an integer from 1 to 2147483647, got ${maxQuantity}`,
    )
  }
  assert.equal(withDimension({ unit: '1', alertQuantity: 4, maxQuantity: 5, from }), 'none')
  assert.match(
    withDimension({ unit: '1', alertQuantity: 5, maxQuantity: 5, from }),
    /^dimensions\.x\.alertQuantity: expected less than maxQuantity, above which nothing is sent, got /,
  )
  assert.equal(withDimension({ unit: '1', additive: 1, from }), 'dimensions.x.additive: expected true or false, got 1')
})

test('what contracts include', () => {
  const included = (one: unknown) => withDimension({ unit: '{token}', per: 1000, from: 'vllm.tokens', included: one })
  for (const right of [
    false,
    { entitlement: 'committed', per: 'term' },
    { entitlement: 'committed', per: 'month', unit: 1_000_000 },
    { quantity: 5, per: 'month' },
  ]) {
    assert.equal(included(right), 'none')
  }
  const path = 'dimensions.x.included'
  assert.equal(included(true), `${path}: expected { entitlement, per }, { quantity, per }, or false, got true`)
  assert.equal(
    included({ per: 'term' }),
    `${path}: expected exactly one of entitlement and quantity, got {"per":"term"}`,
  )
  assert.match(included({ quantity: 5, entitlement: 'c', per: 'term' }), /: expected exactly one of entitlement and/)
  assert.equal(included({ quantity: 5 }), `${path}.per: it is required`)
  assert.equal(included({ quantity: 0.5, per: 'term' }), `${path}.quantity: expected an integer of 1 or more, got 0.5`)
  assert.equal(included({ quantity: 0, per: 'term' }), `${path}.quantity: expected an integer of 1 or more, got 0`)
  assert.match(
    included({ quantity: 5, per: 'term', unit: 1000 }),
    /included\.unit: expected none with quantity, which is in what the dimension is sold in/,
  )
  assert.match(
    included({ entitlement: 'c', per: 'term', unit: 1e-9 }),
    /included\.unit: expected a size of whole millionths/,
  )
  const both = { unit: '{token}', from: 'vllm.tokens', included: { entitlement: 'c', per: 'term' } }
  assert.equal(
    complaint({ productCode: 'p', dimensions: { x: both, y: both } }),
    'dimensions.y.included.entitlement: expected one of its own, since each dimension would include all of it, got "c", ' +
      'which dimensions.x has',
  )
})

test('allocations', () => {
  const from = 'vllm.tokens'
  const wrong = (allocations: unknown) =>
    withDimension({ unit: '1', from, allocations }).replace('dimensions.x.allocations', '')
  const team = { tag: 'team', attribute: 'app.team' }
  assert.equal(wrong(['gen_ai.request.model', team, 'a', 'b c', 'x'.repeat(100)]), 'none')
  assert.equal(wrong('model'), ': expected a list of tags, got "model"')
  assert.equal(wrong([]), ': expected one to five tags, got []')
  assert.match(wrong(['a', 'b', 'c', 'd', 'e', 'f']), /^: expected one to five tags, got /)
  assert.match(wrong(['team', team]), /^: expected each tag's key once, got /)
  const key = "expected a tag's key of 1 to 100 letters, digits, spaces and + - = . _ : / @, got"
  assert.equal(wrong(['']), `.0: ${key} ""`)
  assert.equal(wrong(['größe']), `.0: ${key} "größe"`)
  assert.match(wrong(['x'.repeat(101)]), /^\.0: expected a tag's key of 1 to 100 /)
  assert.equal(wrong([{ ...team, tag: 'a&b' }]), `.0.tag: ${key} "a&b"`)
  assert.equal(
    wrong(['AWS:team']),
    `.0: expected a tag's key that does not begin with aws:, as AWS's own do, got "AWS:team"`,
  )
  assert.equal(wrong([{ tag: 'team' }]), '.0.attribute: it is required')
  assert.equal(wrong([7]), ".0: expected an attribute's key, or { tag, attribute }, got 7")
})

test('rules', () => {
  assert.equal(
    withFrom('vlm.tokens'),
    'dimensions.x.from: expected a rule or the name of a preset (did you mean vllm.tokens?), got "vlm.tokens"',
  )
  assert.equal(
    withFrom('nothing.known'),
    `dimensions.x.from: expected a rule or the name of a preset (${PRESET_NAMES}), got "nothing.known"`,
  )
  assert.equal(withFrom([]), 'dimensions.x.from: expected at least one rule or preset, got []')
  assert.equal(withFrom({}), 'dimensions.x.from.metric: it is required')
  assert.equal(withFrom({ metric: [] }), 'dimensions.x.from.metric: expected at least one name, got []')
  assert.equal(
    withFrom({ metric: 'gen_ai.*' }),
    'dimensions.x.from.metric: expected a metric\'s name, no pattern, got "gen_ai.*"',
  )
  assert.match(withFrom({ metric: 'é'.repeat(251) }), /metric: expected a metric's name of at most 500 bytes, got "é/)
  assert.equal(withFrom({ metric: 'm'.repeat(500) }), 'none')
  assert.equal(
    withFrom([{ metric: 'm', attributes: { a: [] } }]),
    'dimensions.x.from.0.attributes.a: expected at least one value, got []',
  )
  assert.equal(
    withFrom([{ metric: 'm', attributes: { a: {} } }]),
    'dimensions.x.from.0.attributes.a: expected a string, a number, true or false, got {}',
  )
  assert.equal(
    withFrom({ metric: 'm', value: 'max' }),
    "dimensions.x.from.value: expected 'sum', 'count' or 'integral', got \"max\"",
  )
  assert.equal(
    withFrom({ metric: 'm', unit: 'tokens' }),
    `dimensions.x.from.unit: expected a unit (${KNOWN_UNITS}), got "tokens"`,
  )
  assert.equal(
    withFrom({ metric: 'm', value: 'count', unit: 's' }),
    'dimensions.x.from: expected no unit with value: \'count\', which has none, got {"metric":"m","value":"count","unit":"s"}',
  )
  assert.equal(
    withFrom({ metric: 'm', value: 'integral', unit: 's' }, 's'),
    'dimensions.x.from.unit: expected 1 or %, which a level is in, got "s"',
  )
  assert.equal(
    withFrom({ metric: 'm', maxGap: 5 }),
    'dimensions.x.from.maxGap: there is no such option (there are metric, attributes, value, unit, baseline)',
  )
})

test('units that do not convert', () => {
  const expected = (unit: string, got: string) =>
    `dimensions.x.from: expected something in a unit that converts to "${unit}", got "${got}"`
  assert.equal(withFrom('vllm.tokens', 'h'), expected('h', 'vllm.tokens'))
  assert.equal(withFrom('genai.time', '1'), expected('1', 'genai.time'))
  assert.equal(withFrom('genai.requests', 's'), expected('s', 'genai.requests'))
  assert.equal(withFrom({ metric: 'm', unit: 'By' }, 'h'), expected('h', 'By'))
  assert.equal(withFrom({ metric: 'm', value: 'count' }, 'h'), expected('h', "value: 'count'"))
})

test('rules that overlap', () => {
  const expected = (one: string, other: string, metrics: string) =>
    `dimensions.x.from: expected rules of which at most one holds for a point, got ${one} and ${other}, which both take ${metrics}`
  const [first, second] = ['dimensions.x.from.0', 'dimensions.x.from.1']
  assert.equal(
    withFrom([
      { metric: ['a', 'b'], attributes: { kind: 'x' } },
      { metric: 'b', attributes: { kind: ['x', 'y'] } },
    ]),
    expected(first, second, 'b'),
  )
  assert.equal(
    withFrom([
      { metric: 'b', attributes: { kind: 'x' } },
      { metric: 'b', attributes: { other: 'y' } },
    ]),
    expected(first, second, 'b'),
  )
  assert.equal(
    withFrom([
      { metric: 'b', attributes: { kind: null } },
      { metric: 'b', attributes: { kind: null, other: 'y' } },
    ]),
    expected(first, second, 'b'),
  )
  assert.equal(
    withFrom(['tgi.tokens', 'tgi.output-tokens']),
    expected("'tgi.tokens'", "'tgi.output-tokens'", 'tgi_request_generated_tokens'),
  )
  // To say that they add up does not help: a point counts once.
  assert.equal(
    withDimension({ unit: '1', from: [{ metric: 'm' }, { metric: 'm' }], additive: true }),
    expected(first, second, 'm'),
  )
})

test('presets that count the same thing', () => {
  const from = ['vllm.tokens', 'genai.input-tokens']
  assert.equal(
    withFrom(from),
    "dimensions.x.from: expected one source, or additive: true where several really add up, got 'vllm.tokens' and 'genai.input-tokens', which count the same thing",
  )
  assert.match(withFrom(['genai.tokens', 'genai-legacy.tokens']), /which count the same thing$/)
  assert.match(withFrom(['genai.requests', 'genai-server.requests']), /which count the same thing$/)
  assert.equal(withDimension({ unit: '1', from, additive: true }), 'none')
  assert.equal(withFrom(['vllm.input-tokens', 'genai.output-tokens']), 'none')
})

test('customers', () => {
  assert.equal(
    complaint({ productCode: 'p', customer: { licenseArn: 'a' } }),
    'customer.licenseArn: expected none without product: AWS bills a customer by licence or by product code, and twice by both, got {"productCode":"p","customer":{"licenseArn":"a"}}',
  )
  assert.equal(
    complaint({ product: 'p', customer: { customerIdentifier: 'a' } }),
    'customer.customerIdentifier: expected none without productCode; licences go with accountId, got {"product":"p","customer":{"customerIdentifier":"a"}}',
  )
  assert.equal(
    complaint({ product: 'p', customer: { accountId: { value: '12' } } }),
    'customer.accountId: expected { value } to be 12 digits, got {"value":"12"}',
  )
  assert.equal(
    complaint({ product: 'p', customer: { licenseArn: { value: 'arn:aws:iam::1:x' } } }),
    'customer.licenseArn: expected { value } to be like arn:aws:license-manager::123456789012:license:l-…, got {"value":"arn:aws:iam::1:x"}',
  )
  assert.equal(
    complaint({ product: 'p', customer: { accountId: {} } }),
    'customer.accountId: expected exactly one of attribute, resource and value, got {}',
  )
  assert.equal(
    complaint({ product: 'p', customer: { accountId: { attribute: 'a', resource: 'b' } } }),
    'customer.accountId: expected exactly one of attribute, resource and value, got {"attribute":"a","resource":"b"}',
  )
  assert.equal(
    complaint({ product: 'p', customer: { accountId: 5 } }),
    "customer.accountId: expected an attribute's key, { attribute }, { resource } or { value }, got 5",
  )
  assert.equal(
    complaint({ product: 'p', customer: { accountId: '' } }),
    'customer.accountId: expected a string that is not empty, got ""',
  )
  assert.equal(complaint({ product: 'p', customer: 5 }), 'customer: expected an object, got 5')
})

test('everything that is wrong is told at once', () => {
  assert.equal(
    complaint({ productCode: 7, dimensions: { a: { unit: 'q', per: -1 } } }),
    [
      '- productCode: expected a string, got 7',
      `- dimensions.a.unit: expected a unit (${KNOWN_UNITS}), got "q"`,
      '- dimensions.a.per: expected a number above 0, got -1',
      '- dimensions.a.from: it is required',
    ].join('\n'),
  )
  assert.equal(
    complaint({
      productCode: 'p',
      dimensions: { a: { unit: 'h', from: 'vllm.tokens' }, b: { unit: '1', from: 'vllm.time' } },
    }).split('\n').length,
    2,
  )
})

test('dimensions have their size in millionths of the base unit', () => {
  const mapper = new UsageMapper({
    productCode: 'p',
    dimensions: {
      'tokens-1k': { unit: '{token}', per: 1000, maxQuantity: 5, alertQuantity: 2, from: 'vllm.tokens' },
      hours: { unit: 'h', from: 'vllm.time' },
      cents: { unit: 's', per: 0.1, from: 'vllm.time' },
    },
  })
  assert.deepEqual(mapper.dimensions, [
    { name: 'tokens-1k', unit: '{token}', baseUnit: '1', size: 1_000_000_000n, maxQuantity: 5, alertQuantity: 2 },
    { name: 'hours', unit: 'h', baseUnit: 's', size: 3_600_000_000n },
    { name: 'cents', unit: 's', baseUnit: 's', size: 100_000n },
  ])
  assert.deepEqual(
    new UsageMapper({ productCode: 'p' }).dimensions.map(({ name, unit }) => [name, unit]),
    [
      ['inference-requests', '{request}'],
      ['tokens-processed', '{token}'],
      ['gpu-hours', 'h'],
    ],
  )
})
