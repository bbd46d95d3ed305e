import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Attributes } from '@opentelemetry/api'
import { CustomerReader, MAX_UNATTRIBUTED } from '../../src/usage/customer.ts'
import { evidenceOf } from '../../src/usage/evidence.ts'
import type { UsageOptions } from '../../src/usage/options.ts'

const ID = '012345678901'
const ARN = 'arn:aws:license-manager::294406891311:license:l-ecbaa94eb71a4830b6d7e49268fecaa0'
const KEYS = { id: 'marketplace.customer.account_id', arn: 'marketplace.customer.license_arn' }

const read = (options: UsageOptions, attributes: unknown = {}, resource: Attributes = {}) =>
  whose(new CustomerReader(options, 1), attributes, resource)

/** The account of a point that is ours to bill. */
function whose(reader: CustomerReader, attributes: unknown = {}, resource: Attributes = {}) {
  const known = reader.read(attributes as Attributes, resource)
  assert.ok(known)
  return known.account
}

const outcome = (options: UsageOptions, attributes: unknown = {}, resource: Attributes = {}) => {
  const account = read(options, attributes, resource)
  return account.kind === 'customer' ? account.key : account.reason
}

test('with a product code: an account id or an identifier', () => {
  assert.deepEqual(read({ productCode: 'p' }, { [KEYS.id]: ID }), {
    kind: 'customer',
    key: `p,${ID}`,
    product: 'p',
    accountId: ID,
  })
  const customer = { accountId: 'a', customerIdentifier: 'c' }
  assert.deepEqual(read({ productCode: 'p', customer: { customerIdentifier: 'c' } }, { c: 'Ab1', [KEYS.id]: ID }), {
    kind: 'customer',
    key: 'p,customer=Ab1',
    product: 'p',
    customerIdentifier: 'Ab1',
  })
  assert.equal(outcome({ productCode: 'p', customer }, { a: ID }), `p,${ID}`)
  assert.equal(outcome({ productCode: 'p', customer }, { c: 'x' }), 'p,customer=x')
  assert.equal(outcome({ productCode: 'p', customer }, { a: ID, c: 'x' }), 'malformed-customer')
})

test('with licences: an account id and a licence', () => {
  assert.deepEqual(read({ product: 'p' }, { [KEYS.id]: ID, [KEYS.arn]: ARN }), {
    kind: 'customer',
    key: `${ID},${ARN}`,
    product: 'p',
    accountId: ID,
    licenseArn: ARN,
  })
  assert.equal(outcome({ product: 'p' }, {}), 'no-customer')
  assert.equal(outcome({ product: 'p' }, { [KEYS.id]: ID }), 'malformed-customer')
  assert.equal(outcome({ product: 'p' }, { [KEYS.arn]: ARN }), 'malformed-customer')
  // Keys that are left out keep their defaults.
  assert.equal(outcome({ product: 'p', customer: { accountId: 'a' } }, { a: ID, [KEYS.arn]: ARN }), `${ID},${ARN}`)
})

test('with both: who has a licence goes by it, and who has none by the product code', () => {
  const both = { product: 'label', productCode: 'code' }
  assert.deepEqual(read(both, { [KEYS.id]: ID, [KEYS.arn]: ARN }), {
    kind: 'customer',
    key: `${ID},${ARN}`,
    product: 'label',
    accountId: ID,
    licenseArn: ARN,
  })
  assert.equal(outcome(both, { [KEYS.id]: ID }), `code,${ID}`)
  assert.equal(outcome(both, { 'marketplace.customer.identifier': 'Ab1' }), 'code,customer=Ab1')
  // A licence that is not right is none of a product code's.
  for (const arn of ['', 'l-1', `${ARN},1`]) {
    assert.equal(outcome(both, { [KEYS.id]: ID, [KEYS.arn]: arn }), 'malformed-customer', arn)
  }
  assert.equal(
    outcome(both, { 'marketplace.customer.identifier': 'Ab1', [KEYS.arn]: ARN }),
    'malformed-customer',
    'an identifier with a licence',
  )
  const customer = { customerIdentifier: 'c', licenseArn: 'l' }
  assert.equal(outcome({ ...both, customer }, { c: 'x', [KEYS.id]: ID }), 'code,customer=x')
})

test('with a product code alone, who has a licence is not billed by the code', () => {
  const attributes = { [KEYS.id]: ID, [KEYS.arn]: ARN }
  assert.equal(outcome({ productCode: 'p' }, attributes), 'licence-without-product')
  assert.equal(outcome({ productCode: 'p' }, { [KEYS.id]: ID }, { [KEYS.arn]: ARN }), 'licence-without-product')
  assert.equal(
    outcome({ productCode: 'p', customer: { accountId: 'a' } }, { a: ID, ...attributes }),
    'licence-without-product',
  )
  assert.equal(
    outcome({ productCode: 'p', customer: () => ({ accountId: ID, licenseArn: ARN }) }),
    'licence-without-product',
  )
  // An application that says so of all its customers has none with a licence.
  assert.equal(outcome({ productCode: 'p' }, { [KEYS.id]: ID, [KEYS.arn]: '' }), `p,${ID}`)
})

test('a resolver says of a point that it is not ours, or that it does not know', () => {
  const reader = new CustomerReader({ productCode: 'p', customer: () => null }, 1)
  assert.equal(reader.read({}, {}), null)
  assert.equal(outcome({ productCode: 'p', customer: () => undefined }), 'no-customer')
})

test('one account with two licences is two customers, each the same object every time', () => {
  const reader = new CustomerReader({ product: 'p' }, 1)
  const arns = [ARN, `${ARN}1`, `${ARN}2`]
  const accounts = () => arns.map(arn => whose(reader, { [KEYS.id]: ID, [KEYS.arn]: arn }))
  const first = accounts()
  assert.deepEqual(
    first.map(({ key }) => key),
    arns.map(arn => `${ID},${arn}`),
  )
  for (const [index, account] of accounts().entries()) assert.equal(account, first[index])
})

test('customers that share an id are told apart', () => {
  const customers = [
    { accountId: ID, licenseArn: ARN },
    { accountId: '999999999999', licenseArn: ARN },
    { accountId: ID, licenseArn: ARN, product: 'q' },
  ]
  const reader = new CustomerReader({ product: 'p', customer: ({ at }) => customers[at as number] }, 1)
  const accounts = () => customers.map((_, at) => whose(reader, { at }))
  const first = accounts()
  assert.deepEqual(
    first.map(({ key }) => key),
    [`${ID},${ARN}`, `999999999999,${ARN}`, `${ID},${ARN}`],
  )
  for (const [index, account] of accounts().entries()) assert.equal(account, first[index])
})

test('an identifier is any text that no database takes for another', () => {
  const outcomeOf = (customer: string) =>
    outcome({ productCode: 'p', customer: { customerIdentifier: 'c' } }, { c: customer })
  for (const customer of ['x', 'é', 'Café 😀', '"\\', '\n', '\ufffd', 'x'.repeat(255)]) {
    assert.equal(outcomeOf(customer), `p,customer=${customer}`)
  }
  for (const customer of ['x\0', 'Café \ud83d', '\ude00', '\ude00\ud83d', 'x'.repeat(256)]) {
    assert.equal(outcomeOf(customer), 'malformed-customer', JSON.stringify(customer))
  }
})

test('account ids are strings of 12 digits', () => {
  for (const id of [
    '12345678901',
    '1234567890123',
    ' 12345678901',
    '12345678901a',
    '１２３４５６７８９０１２',
    123456789012,
    [ID],
    true,
    '',
  ]) {
    assert.equal(outcome({ productCode: 'p' }, { [KEYS.id]: id }), 'malformed-customer', String(id))
  }
})

test('licences are ARNs of License Manager', () => {
  const licences: [string, boolean][] = [
    ['arn:aws:license-manager::123456789012:license/lic-xxx', true],
    ['arn:aws-us-gov:license-manager:us-gov-west-1:123456789012:license:l-1', true],
    ['arn:aws-cn:license-manager::123456789012:license:l-1', true],
    ['arn:aws:iam::123456789012:license:l-1', false],
    ['license:l-1', false],
    [`${ARN}\n`, false],
    [`${ARN},x`, false],
    [`${ARN}${'x'.repeat(1100)}`, false],
  ]
  for (const [arn, good] of licences) {
    const expected = good ? `${ID},${arn}` : 'malformed-customer'
    assert.equal(outcome({ product: 'p' }, { [KEYS.id]: ID, [KEYS.arn]: arn }), expected)
  }
})

test('where a source looks', () => {
  const from = (accountId: never) => ({ productCode: 'p', customer: { accountId } })
  const [point, resource] = ['111111111111', '222222222222']
  const both = [{ k: point }, { k: resource }] as const
  assert.equal(outcome(from('k' as never), ...both), `p,${point}`)
  assert.equal(outcome(from('k' as never), {}, { k: resource }), `p,${resource}`)
  assert.equal(outcome(from({ attribute: 'k' } as never), ...both), `p,${point}`)
  assert.equal(outcome(from({ attribute: 'k' } as never), {}, { k: resource }), 'no-customer')
  assert.equal(outcome(from({ resource: 'k' } as never), ...both), `p,${resource}`)
  assert.equal(outcome(from({ value: ID } as never), ...both), `p,${ID}`)
})

test('a resolver', () => {
  const resolve = (customer: unknown, mode: object = { product: 'p' }) =>
    outcome({ ...mode, customer } as UsageOptions, { tenant: 't' }, { region: 'r' })
  assert.equal(
    resolve((attributes: Attributes, resource: Attributes) => {
      assert.deepEqual([attributes, resource], [{ tenant: 't' }, { region: 'r' }])
      return { accountId: ID, licenseArn: ARN }
    }),
    `${ID},${ARN}`,
  )
  assert.equal(
    resolve(() => ({ accountId: ID, licenseArn: ARN, product: 'q' })),
    `${ID},${ARN}`,
  )
  assert.equal(
    resolve(() => ({ accountId: ID, licenseArn: ARN, product: 'q,r' })),
    'malformed-customer',
  )
  assert.equal(
    resolve(() => undefined),
    'no-customer',
  )
  assert.equal(
    resolve(() => ({ accountId: ID, licenseArn: null, customerIdentifier: null, product: null }), { productCode: 'p' }),
    `p,${ID}`,
  )
  assert.equal(
    resolve(() => ({})),
    'no-customer',
  )
  // A licence under another name is not billed by the product code.
  for (const licence of [{ licenceArn: ARN }, { LicenseArn: ARN, licenseArn: undefined }]) {
    assert.equal(
      resolve(() => ({ accountId: ID, plan: 'gold', ...licence }), { productCode: 'p', product: 'q' }),
      'malformed-customer',
    )
  }
  assert.equal(
    resolve(() => ({ accountId: ID, plan: 'gold' }), { productCode: 'p' }),
    `p,${ID}`,
  )
  assert.equal(
    resolve(() => ({ accountId: ID, customerIdentifier: 'x', licenseArn: ARN })),
    'malformed-customer',
  )
  assert.equal(
    resolve(() => ({ accountId: ID, licenseArn: ARN }), { productCode: 'p' }),
    'licence-without-product',
  )
  assert.equal(
    resolve(() => {
      throw new Error('no database')
    }),
    'resolver-failed',
  )
  assert.equal(
    resolve(async () => ({ accountId: ID, licenseArn: ARN })),
    'resolver-failed',
  )
})

test('a resolver that rejects later leaves no unhandled rejection', async () => {
  const unhandled: unknown[] = []
  const listener = (reason: unknown) => unhandled.push(reason)
  process.on('unhandledRejection', listener)
  assert.equal(
    outcome({ product: 'p', customer: (async () => Promise.reject(new Error('late'))) as never }),
    'resolver-failed',
  )
  await new Promise(resolve => setImmediate(resolve))
  process.off('unhandledRejection', listener)
  assert.deepEqual(unhandled, [])
})

test('what has no customer is told apart by its evidence, up to a bound', () => {
  const reader = new CustomerReader({ productCode: 'p' }, 1)
  const at = (index: number) => whose(reader, { tenant: `t${index}`, a: 1 })
  assert.deepEqual(at(0), {
    kind: 'unattributed',
    key: 'p,unattributed=no-customer,{"a":1,"tenant":"t0"}',
    product: 'p',
    reason: 'no-customer',
    evidence: '{"a":1,"tenant":"t0"}',
  })
  const accounts = new Set(Array.from({ length: MAX_UNATTRIBUTED + 500 }, (_, index) => at(index)))
  assert.equal(accounts.size, MAX_UNATTRIBUTED + 1)
  assert.deepEqual(at(MAX_UNATTRIBUTED + 7), {
    kind: 'unattributed',
    key: 'p,unattributed=no-customer',
    product: 'p',
    reason: 'no-customer',
    evidence: '',
  })
  // Those that are known stay known.
  assert.ok(accounts.has(at(0)))
})

test('evidence is JSON of at most 256 characters, whatever the attributes', () => {
  assert.equal(evidenceOf({ b: 'x', a: [1, 2], c: true }), '{"a":[1,2],"b":"x","c":true}')
  assert.equal(evidenceOf({}), '{}')
  const long = evidenceOf({ a: 'x'.repeat(1000), z: 'tail' })
  assert.equal(long, `{"a":"${'x'.repeat(63)}…","z":"tail"}`)
  const many = Object.fromEntries(Array.from({ length: 500 }, (_, index) => [`key${index}`, 'value']))
  const parsed = JSON.parse(evidenceOf(many))
  assert.ok(evidenceOf(many).length <= 256)
  assert.equal(parsed['…'] + Object.keys(parsed).length - 1, 500)
  const huge = evidenceOf({ ['k'.repeat(300)]: 1, b: 2 })
  assert.deepEqual(JSON.parse(huge), { b: 2, '…': 1 })
  const circular: Record<string, unknown> = {}
  circular.self = circular
  assert.equal(
    evidenceOf({ circular, big: 1n, none: undefined } as never),
    '{"big":"(bigint)","circular":"(object)","none":null}',
  )
})
