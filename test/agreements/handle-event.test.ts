import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { handleAgreementEvent, registerCustomer } from '../../src/agreements/index.ts'
import { ConfigurationError } from '../../src/errors.ts'
import { LedgerError } from '../../src/ledger/errors.ts'
import { HOUR, MINUTE, SECOND } from '../../src/ledger/hours.ts'
import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import { AgreementEventError } from '../../src/marketplace/agreement-events.ts'
import { MarketplaceSimulator, simulatorClient } from '../../src/simulator/index.ts'
import { customerAccount } from '../../src/usage/account.ts'

const START = Date.UTC(2026, 10, 5)
const CODE = 'samplecode01'
const ACCOUNT = '111122223333'
const ARN = 'arn:aws:license-manager::294406891311:license:l-00112233445566778899aabbccddeeff'

/** An event as EventBridge sends it. */
function event(detailType: string, time: number, detail: object = {}): object {
  return {
    ...{ version: '0', id: `${detailType} ${time}`, 'detail-type': detailType, source: 'aws.agreement-marketplace' },
    ...{ account: '999900001111', time: new Date(time).toISOString(), region: 'us-east-1', resources: [] },
    detail: {
      ...{ catalog: 'AWSMarketplace', agreement: { id: 'agmt-1' }, product: { id: 'prod-1', code: CODE } },
      ...{ license: { arn: ARN }, acceptor: { accountId: ACCOUNT } },
      ...detail,
    },
  }
}

async function begin() {
  const ledger = new SqliteLedger({ path: ':memory:' })
  await ledger.register([{ name: 'tokens', unit: '{token}', baseUnit: '1', size: 1_000_000n }])
  let time = START
  const options = { ledger, productCode: CODE, product: 'chat', region: 'eu-central-1', now: () => time }
  return {
    ledger,
    options,
    at: (now: number) => {
      time = now
    },
    handle: (one: unknown) => handleAgreementEvent(one, options),
  }
}

describe('AWS events of agreements', () => {
  test('a licence becomes known, is changed and ends as of the event, told late, twice and out of order', async () => {
    const { ledger, handle, at } = await begin()
    const [updated, ended] = [START + 10 * SECOND, START + 2 * HOUR + 30 * MINUTE]
    at(START + MINUTE)
    const first = await handle(JSON.stringify(event('License Updated - Manufacturer', updated)))
    assert.equal(first.outcome, 'noted')
    const customer = customerAccount({ product: 'chat', accountId: ACCOUNT, licenseArn: ARN })
    assert.deepEqual(first.account, customer)
    assert.deepEqual(await ledger.agreements(), [
      { account: customer, state: 'active', since: updated, productCode: CODE, agreementId: 'agmt-1' },
    ])
    const usage = { account: customer, dimension: 'tokens', hour: START + 2 * HOUR, amount: 7_000_000n }
    await ledger.append({ writer: '0'.repeat(32), sequence: 1, entries: [usage] })
    at(ended + MINUTE)
    // AWS's examples leave out the beginning of the ARN.
    const short = { license: { arn: ARN.replace('arn:aws:license-manager::', 'aws:license-manager:us-east-1:') } }
    const end = await handle(event('License Deprovisioned - Manufacturer', ended, short))
    assert.equal(end.result?.records, 1)
    const [record] = await ledger.records()
    assert.deepEqual([record?.quantity, record?.timestamp, record?.region], [7, ended - SECOND, 'eu-central-1'])
    assert.equal((await handle(event('License Deprovisioned - Manufacturer', ended, short))).result?.changed, false)
    assert.equal((await handle(event('License Updated - Manufacturer', updated + SECOND))).result?.changed, true)
    const [agreement, ...others] = await ledger.agreements()
    assert.deepEqual([agreement?.state, agreement?.since, agreement?.until, others], ['ended', updated, ended, []])
    const said = await ledger.audit({ customer: ARN })
    assert.deepEqual(
      said.map(({ who, why }) => `${who}: ${why}`),
      [
        `AWS event License Updated - Manufacturer ${updated + SECOND}: License Updated`,
        `AWS event License Deprovisioned - Manufacturer ${ended}: License Deprovisioned`,
        `AWS event License Updated - Manufacturer ${updated}: License Updated`,
      ],
    )
  })

  test('the tenant of a licence that is over goes on with the one that follows, and with no other', async () => {
    const licence = (n: number) => ARN.replace(/.$/, String(n))
    const of = (n: number) => ({ license: { arn: licence(n) }, agreement: { id: `agmt-${n}` } })
    const updated = (n: number, time: number) => event('License Updated - Manufacturer', time, of(n))
    const ended = (n: number, time: number) => event('License Deprovisioned - Manufacturer', time, of(n))
    const account = (n: number) => customerAccount({ product: 'chat', accountId: ACCOUNT, licenseArn: licence(n) })
    const tenants = async (ledger: SqliteLedger) =>
      Object.fromEntries((await ledger.agreements()).map(one => [one.account.licenseArn?.slice(-1), one.tenant]))
    const story = async (registered: readonly number[], events: readonly object[]) => {
      const { ledger, handle, options, at } = await begin()
      at(START + 10 * HOUR)
      for (const n of registered) {
        const simulator = new MarketplaceSimulator({ now: () => START })
        const token = simulator.catalogue.createToken({ product: CODE, accountId: ACCOUNT, licenseArn: licence(n) })
        const registration = { ...options, client: simulatorClient(simulator), now: () => START }
        await registerCustomer(token, { ...registration, tenant: `tenant ${n}` })
      }
      for (const one of events) await handle(one)
      return ledger
    }
    const renewal = [updated(1, START), ended(1, START + 2 * HOUR), updated(2, START + 2 * HOUR + MINUTE)]
    for (const events of [renewal, renewal.toReversed(), [...renewal, ...renewal]]) {
      const ledger = await story([1], events)
      assert.deepEqual(await tenants(ledger), { 1: 'tenant 1', 2: 'tenant 1' })
      const [second] = await ledger.agreements({ customer: account(2).key })
      assert.deepEqual([second?.state, second?.since], ['active', START + 2 * HOUR + MINUTE])
      const why = (await ledger.audit({ customer: licence(2) })).map(entry => entry.why)
      assert.ok(why.includes('its tenant had another licence, which is over'))
    }
    // While the first is in force nothing says that the second is to follow it.
    assert.deepEqual(await tenants(await story([1], [updated(1, START), updated(2, START + HOUR)])), {
      ...{ 1: 'tenant 1', 2: undefined },
    })
    const both = await story([1, 2], [...renewal])
    assert.deepEqual(await tenants(both), { 1: 'tenant 1', 2: 'tenant 2' })
    // Which of the two that are in force follows is not known.
    const two = await story([1], [updated(2, START + HOUR), updated(3, START + HOUR), ended(1, START + 2 * HOUR)])
    assert.deepEqual(await tenants(two), { 1: 'tenant 1', 2: undefined, 3: undefined })
    const late = await story([1], [ended(1, START + HOUR), updated(2, START + 26 * HOUR)])
    assert.deepEqual(await tenants(late), { 1: 'tenant 1', 2: undefined })
  })

  test('what is of another product, for a person to know, or unknown changes nothing', async () => {
    const { ledger, handle } = await begin()
    const outcome = async (...args: Parameters<typeof event>) => (await handle(event(...args))).outcome
    const other = { product: { code: 'other' } }
    assert.equal(await outcome('License Updated - Manufacturer', START, other), 'other-product')
    assert.equal(await outcome('License Updated - Manufacturer', START, { product: {} }), 'other-product')
    assert.equal(await outcome('Purchase Agreement Created - Proposer', START), 'told')
    assert.equal(await outcome('Purchase Agreement Ended - Proposer', START), 'told')
    assert.equal(await outcome('Purchase Agreement Advisory Issued - Manufacturer', START), 'told')
    assert.equal(await outcome('Spend Threshold Reached - Manufacturer', START), 'told')
    assert.equal(await outcome('Purchase Agreement Ending - Proposer', START), 'unknown')
    assert.deepEqual(await ledger.agreements(), [])
    await assert.rejects(handle('{'), AgreementEventError)
    await assert.rejects(handle(event('License Updated - Manufacturer', START, { license: {} })), AgreementEventError)
  })

  test('products with a code are told of by SNS', async () => {
    const { ledger, handle } = await begin()
    const message = { action: 'subscribe-success', 'customer-identifier': 'alice', 'product-code': CODE }
    const sns = (action: string, time: number) => ({
      ...{ Type: 'Notification', MessageId: `${action} ${time}`, Timestamp: new Date(time).toISOString() },
      Message: JSON.stringify({ ...message, action }),
    })
    await handle(sns('subscribe-success', START))
    await handle(sns('unsubscribe-success', START + HOUR + MINUTE))
    await handle(sns('unsubscribe-pending', START + MINUTE))
    const account = customerAccount({ product: CODE, customerIdentifier: 'alice' })
    assert.deepEqual(await ledger.agreements(), [
      { account, state: 'ended', since: START, until: START + MINUTE, productCode: CODE },
    ])
  })

  test('one that is known by its AWS account is told of by its older identifier', async () => {
    const { ledger, options, handle } = await begin()
    const answer = { ProductCode: CODE, CustomerAWSAccountId: ACCOUNT, CustomerIdentifier: 'alice', LicenseArn: '' }
    await registerCustomer('token', { ...options, client: { resolveCustomer: async () => answer } })
    await handle({ action: 'unsubscribe-pending', 'customer-identifier': 'alice', 'product-code': CODE })
    const [agreement, ...others] = await ledger.agreements()
    assert.deepEqual([agreement?.account.key, agreement?.state, others], [`${CODE},${ACCOUNT}`, 'ended', []])
  })

  test('wrong options and a ledger that fails are told', async () => {
    const { ledger, options } = await begin()
    const wrong = { ...options, productCode: '', ledger: Promise.resolve(ledger), queue: 'sqs://' }
    await assert.rejects(handleAgreementEvent(event('License Updated', START), wrong as never), (error: unknown) => {
      assert.ok(error instanceof ConfigurationError)
      assert.deepEqual(
        error.problems.map(problem => problem.split(':')[0]),
        ['ledger', 'productCode', 'queue'],
      )
      return true
    })
    await ledger.close()
    await assert.rejects(handleAgreementEvent(event('License Updated', START), options), LedgerError)
  })
})

describe('registration', () => {
  test('who is metered by an AWS account is told of by SNS, which names the older identifier', async () => {
    const { ledger, options, handle, at } = await begin()
    const simulator = new MarketplaceSimulator({ now: () => START })
    const names = { accountId: ACCOUNT, customerIdentifier: 'alice' }
    const sns = (action: string, time: number, identifier = 'alice') => ({
      ...{ Type: 'Notification', MessageId: action, Timestamp: new Date(time).toISOString() },
      Message: JSON.stringify({ action, 'customer-identifier': identifier, 'product-code': CODE }),
    })
    // AWS may tell of a buyer before registration.
    await handle(sns('subscribe-success', START))
    await handle(sns('subscribe-success', START, 'bob'))
    const token = simulator.catalogue.createToken({ product: CODE, ...names })
    const client = simulatorClient(simulator)
    at(START + SECOND)
    const { account } = await registerCustomer(token, { ...options, client })
    assert.deepEqual(account, customerAccount({ product: CODE, accountId: ACCOUNT }))
    const usage = { account, dimension: 'tokens', hour: START, amount: 7_000_000n }
    await ledger.append({ writer: '0'.repeat(32), sequence: 1, entries: [usage] })
    at(START + 31 * MINUTE)
    const ended = await handle(sns('unsubscribe-pending', START + 30 * MINUTE))
    assert.deepEqual([ended.account, ended.result?.records], [account, 1])
    const [known] = await ledger.agreements({ customer: account.key })
    assert.deepEqual([known?.state, known?.customerIdentifier], ['ended', 'alice'])
    // Where usage goes by the identifier, so does the agreement.
    const bob = customerAccount({ product: CODE, customerIdentifier: 'bob' })
    await ledger.append({ writer: '0'.repeat(32), sequence: 2, entries: [{ ...usage, account: bob }] })
    await registerCustomer(
      simulator.catalogue.createToken({ product: CODE, accountId: '444455556666', customerIdentifier: 'bob' }),
      { ...options, client },
    )
    assert.deepEqual((await handle(sns('unsubscribe-pending', START + 30 * MINUTE, 'bob'))).account, bob)
  })

  test('a token becomes a customer that the ledger knows, by its tenant', async () => {
    const { ledger, options, at } = await begin()
    const simulator = new MarketplaceSimulator({ now: () => START })
    simulator.catalogue.declareProduct({ code: CODE, dimensions: ['tokens'] })
    const token = simulator.catalogue.createToken({ product: CODE, accountId: ACCOUNT, licenseArn: ARN })
    const client = simulatorClient(simulator)
    at(START + 5)
    const agreement = await registerCustomer(token, { ...options, client, tenant: 'acme' })
    const account = customerAccount({ product: 'chat', accountId: ACCOUNT, licenseArn: ARN })
    assert.deepEqual(agreement, { account, state: 'registered', since: START + 5, tenant: 'acme', productCode: CODE })
    assert.deepEqual(await ledger.agreements({ tenant: 'acme' }), [agreement])
    await handleAgreementEvent(event('License Updated - Manufacturer', START + 21 * SECOND), options)
    assert.equal((await ledger.agreements({ tenant: 'acme' }))[0]?.state, 'active')
    // Registering again, as a page that is loaded again does, leaves all as it was.
    at(START + HOUR)
    const again = await registerCustomer(token, { ...options, client, tenant: 'other', keepTenant: true })
    assert.deepEqual([again.tenant, again.state, again.since], ['acme', 'active', START + 5])
    const replaced = await registerCustomer(token, { ...options, client, tenant: 'new' })
    assert.deepEqual([replaced.tenant, replaced.state], ['new', 'active'])
    assert.deepEqual(await ledger.agreements({ tenant: 'acme' }), [])
    // What is over was over before it is registered again, and an end that is told late is not undone by it.
    await handleAgreementEvent(event('License Deprovisioned - Manufacturer', START + HOUR - MINUTE), options)
    assert.equal((await ledger.agreements({ tenant: 'new' }))[0]?.state, 'ended')
    await assert.rejects(registerCustomer(token, { ...options, client, productCode: 'other' }), {
      code: 'ERR_OTHER_PRODUCT',
    })
    const empty = { resolveCustomer: async () => ({ ProductCode: CODE, CustomerAWSAccountId: '' }) }
    await assert.rejects(registerCustomer(token, { ...options, client: empty }), { code: 'ERR_REGISTRATION_ANSWER' })
  })
})
