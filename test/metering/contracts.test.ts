import assert from 'node:assert/strict'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { Attributes } from '@opentelemetry/api'
import { Gateway } from '../../src/gateway/gateway.ts'
import type { StatusReport } from '../../src/gateway/operations/report.ts'
import {
  AWSMarketplaceMetricExporter,
  type AWSMarketplaceMetricExporterOptions,
  type EntitlementClient,
  type EntitlementOptions,
  type ListedEntitlement,
  SqliteLedger,
} from '../../src/index.ts'
import { HOUR, MINUTE } from '../../src/ledger/hours.ts'
import { newsOf } from '../../src/metering/entitlement-news.ts'
import type { EntitlementDeclaration } from '../../src/simulator/index.ts'
import { customerAccount } from '../../src/usage/account.ts'
import {
  counted,
  customer,
  exportTo,
  LICENCE,
  OTHER_ACCOUNT,
  PRODUCT,
  SUCCESS,
  saidDuring,
  telemetry,
  temporaryFolder,
} from '../exporter/support.ts'
import { ACCOUNT, type Running, running } from '../simulator/support.ts'

/** The beginning of the first hour. */
const FIRST = Date.UTC(2026, 5, 10, 12)
const YEAR = 365 * 24 * HOUR
const TOKENS = 'marketplace.inference.tokens'
const ENTITLED = { entitlement: 'tokens-committed', per: 'term' } as const
const DIMENSION = { unit: '{token}', from: 'marketplace.tokens' } as const

type Options = Partial<AWSMarketplaceMetricExporterOptions> & { readonly entitlements?: EntitlementOptions }

interface Stage {
  readonly simulator: Running
  readonly ledger: SqliteLedger
  readonly clock: { now: number }
  /** Another process on the same ledger. */
  exporter(options?: Options): AWSMarketplaceMetricExporter
  /** In the n-th hour so much is used, and some minutes after it hours are closed. */
  hour(exporter: AWSMarketplaceMetricExporter, n: number, tokens: number, of?: Attributes): Promise<void>
  /** `recorded = included + metered + pending + held + balance`. */
  equation(account?: string): Promise<string>
  /** What AWS bills. */
  billed(): number
  lists(): number
}

/** An exporter whose AWS is behind a socket, for usage and entitlements, with the AWS SDK's own clients. */
async function stage(test: TestContext, ...entitlements: EntitlementDeclaration[]): Promise<Stage> {
  const clock = { now: FIRST }
  const simulator = await running(test, { now: () => clock.now })
  simulator.simulator.catalogue.declareProduct({ code: PRODUCT })
  simulator.simulator.catalogue.subscribe({ accountId: ACCOUNT, product: PRODUCT, at: FIRST - HOUR, entitlements })
  const path = join(temporaryFolder(test), 'ledger.sqlite')
  const ledger = new SqliteLedger({ path })
  test.after(() => ledger.close())
  const flush = async (exporter: AWSMarketplaceMetricExporter, at: number) => {
    clock.now = at
    await exporter.forceFlush()
  }
  return {
    ...{ simulator, ledger, clock },
    exporter: ({ entitlements = {}, ...options } = {}) => {
      const exporter = new AWSMarketplaceMetricExporter({
        ...(options.product === undefined && { productCode: PRODUCT }),
        region: 'us-east-1',
        client: simulator.sdk(),
        ledger: new SqliteLedger({ path }),
        now: () => clock.now,
        wakeInterval: HOUR,
        dimensions: { tokens: { ...DIMENSION, included: ENTITLED } },
        ...options,
        entitlements: { client: simulator.entitlements(), ...entitlements },
      } as AWSMarketplaceMetricExporterOptions)
      test.after(() => exporter.shutdown().catch(() => {}))
      return exporter
    },
    hour: async (exporter, n, tokens, of = customer) => {
      clock.now = FIRST + n * HOUR + 30 * MINUTE
      if (tokens > 0) assert.deepEqual(await exportTo(exporter, counted(TOKENS, [tokens, of])), SUCCESS)
      await exporter.forceFlush()
      // AWS is asked, and then the hour is closed.
      await flush(exporter, FIRST + (n + 1) * HOUR + 3 * MINUTE)
      await flush(exporter, FIRST + (n + 1) * HOUR + 6 * MINUTE)
    },
    equation: async (account = ACCOUNT) => {
      const [line] = await ledger.statement({ customer: account })
      if (line === undefined) return 'nothing'
      const { recorded, included, metered, pending, held, balance } = line
      assert.equal(recorded, included + metered + pending + held + balance)
      const [first, ...parts] = [recorded, included, metered, pending, held, balance].map(one => one / 1_000_000n)
      return `${first} = ${parts.join(' + ')}`
    },
    billed: () => simulator.simulator.totals().reduce((sum, { quantity }) => sum + quantity, 0),
    lists: () => simulator.simulator.requests().filter(({ operation }) => operation === 'GetEntitlements').length,
  }
}

const committed = (IntegerValue: number, expiresAt = FIRST + YEAR): EntitlementDeclaration => ({
  ...{ dimension: 'tokens-committed', value: { IntegerValue }, expiresAt },
})

test('only what exceeds the entitlement is billed, from the middle of an hour on', async test => {
  const { hour, equation, billed, lists, ...on } = await stage(test, committed(1000))
  const exporter = on.exporter()
  await hour(exporter, 0, 600)
  assert.equal(await equation(), '600 = 600 + 0 + 0 + 0 + 0')
  await hour(exporter, 1, 600)
  assert.equal(await equation(), '1200 = 1000 + 200 + 0 + 0 + 0')
  await hour(exporter, 2, 50)
  assert.equal(await equation(), '1250 = 1000 + 250 + 0 + 0 + 0')
  assert.equal(billed(), 250)
  // Once at the start, and once after each hour.
  assert.equal(lists(), 4)
})

test('while AWS cannot be asked usage waits, is told, and is divided when it can be again', async test => {
  const { simulator, hour, equation, billed, ...on } = await stage(test, committed(1000))
  const exporter = on.exporter()
  await hour(exporter, 0, 600)
  simulator.simulator.faults.add({ kind: 'access-denied', operation: 'GetEntitlements', rate: 1 })
  const said = await saidDuring(async () => {
    for (const n of [1, 2, 3]) await hour(exporter, n, 300)
  })
  assert.equal(await equation(), '1500 = 600 + 0 + 0 + 0 + 900')
  assert.equal(billed(), 0)
  const told = said.filter(message => message.includes('GetEntitlements'))
  // Once in an hour.
  assert.equal(told.length, 3)
  assert.match(
    told[0] ?? '',
    /^error: What contracts of prod-inference include is not known.*AccessDenied.*There is 300 token of tokens in the balance\. Where that lasts until 2026-06-10T19:03Z \(in 5 h\), it is held \(entitlement-unknown\)\..*doctor/,
  )
  simulator.simulator.faults.clear()
  const again = await saidDuring(() => hour(exporter, 4, 0))
  assert.ok(again.some(message => /known again/.test(message)))
  assert.equal(await equation(), '1500 = 1000 + 500 + 0 + 0 + 0')
  assert.equal(billed(), 500)
})

test('an answer with nothing in it is no list, and usage waits', async test => {
  const { simulator, hour, equation, billed, ...on } = await stage(test, committed(1000))
  simulator.simulator.faults.add({ kind: 'empty', operation: 'GetEntitlements', rate: 1 })
  const exporter = on.exporter()
  const said = await saidDuring(() => hour(exporter, 0, 600))
  assert.equal(await equation(), '600 = 0 + 0 + 0 + 0 + 600')
  assert.ok(
    said.some(message => message.includes('The answer has no list of entitlements')),
    said.join('\n'),
  )
  simulator.simulator.faults.clear()
  await hour(exporter, 1, 0)
  assert.equal(await equation(), '600 = 600 + 0 + 0 + 0 + 0')
  assert.equal(billed(), 0)
})

test('what is not known in six hours is held, and released when it is', async test => {
  const { simulator, hour, equation, ledger, billed, ...on } = await stage(test, committed(1000))
  const exporter = on.exporter()
  await hour(exporter, 0, 600)
  simulator.simulator.faults.add({ kind: 'internal-error', operation: 'GetEntitlements', rate: 1 })
  const said = await saidDuring(async () => {
    await hour(exporter, 1, 600)
    for (const n of [2, 3, 4, 5, 6]) await hour(exporter, n, 0)
  })
  assert.equal(await equation(), '1200 = 600 + 0 + 0 + 600 + 0')
  assert.ok(
    said.some(message =>
      /is held: 600 of tokens\. .*may include some of it, and AWS did not say how much.*"marketplace-meter held"/.test(
        message,
      ),
    ),
    said.join('\n'),
  )
  simulator.simulator.faults.clear()
  await hour(exporter, 7, 0)
  const [held] = await ledger.records({ state: 'held' })
  assert.equal(held?.reason, 'entitlement-unknown')
  await ledger.decide(held.id, 'release', { who: 'a person', why: 'AWS answers', now: on.clock.now })
  await hour(exporter, 8, 0)
  assert.equal(await equation(), '1200 = 1000 + 200 + 0 + 0 + 0')
  assert.equal(billed(), 200)
})

test('an amendment and a renewal count as AWS says them', async test => {
  const end = FIRST + 4 * HOUR
  const { simulator, hour, equation, ...on } = await stage(test, committed(100, end))
  const exporter = on.exporter()
  const amend = (...entitlements: EntitlementDeclaration[]) =>
    simulator.simulator.catalogue.amend({ accountId: ACCOUNT, product: PRODUCT, at: on.clock.now, entitlements })
  await hour(exporter, 0, 150)
  assert.equal(await equation(), '150 = 100 + 50 + 0 + 0 + 0')
  amend(committed(200, end))
  await hour(exporter, 1, 150)
  assert.equal(await equation(), '300 = 200 + 100 + 0 + 0 + 0')
  await hour(exporter, 2, 10)
  assert.equal(await equation(), '310 = 200 + 110 + 0 + 0 + 0')
  // Renewed before its end, the next term begins with it.
  amend(committed(200, end + YEAR))
  await hour(exporter, 3, 10)
  assert.equal(await equation(), '320 = 200 + 120 + 0 + 0 + 0')
  await hour(exporter, 4, 150)
  assert.equal(await equation(), '470 = 350 + 120 + 0 + 0 + 0')
})

test('two processes on one ledger ask AWS once an hour, and draw once', async test => {
  const { hour, equation, billed, lists, ...on } = await stage(test, committed(1000))
  const [one, other] = [on.exporter(), on.exporter()]
  const both = async (n: number, tokens: number) => {
    on.clock.now = FIRST + n * HOUR + 30 * MINUTE
    await Promise.all([one, other].map(exporter => exportTo(exporter, counted(TOKENS, [tokens, customer]))))
    for (const minutes of [0, 33, 34, 36]) {
      on.clock.now = FIRST + n * HOUR + (30 + minutes) * MINUTE
      await Promise.all([one, other].map(exporter => exporter.forceFlush()))
    }
  }
  await both(0, 300)
  await both(1, 300)
  assert.equal(await equation(), '1200 = 1000 + 200 + 0 + 0 + 0')
  assert.equal(billed(), 200)
  assert.equal(lists(), 3)
})

test('licences are told apart by their ids, and a list has many pages', async test => {
  const { simulator, hour, equation, lists, ...on } = await stage(test)
  const { catalogue } = simulator.simulator
  const written = 'arn:aws:license-manager:us-east-1:294406891311:license:l-00000000000000000000000000000001'
  for (let n = 0; n < 30; n++) {
    const [accountId, licenseArn] =
      n === 29 ? [OTHER_ACCOUNT, written] : [String(100_000_000_000 + n), `${LICENCE.slice(0, -2)}${n + 10}`]
    catalogue.subscribe({ accountId, licenseArn, product: PRODUCT, at: FIRST - HOUR, entitlements: [committed(100)] })
  }
  const exporter = on.exporter({ product: 'label', entitlements: { productCode: PRODUCT } })
  const holder = { 'marketplace.customer.account_id': OTHER_ACCOUNT, 'marketplace.customer.license_arn': LICENCE }
  await hour(exporter, 0, 130, holder)
  // As the ledger has it: the licence that AWS lists is written in another way.
  assert.match(await equation(OTHER_ACCOUNT), /^130 = 100 \+/)
  assert.equal(lists(), 4)
})

test('one name may be the product code and the label of what has licences', async test => {
  const { simulator, hour, equation, ...on } = await stage(test, committed(100))
  simulator.simulator.catalogue.subscribe({
    ...{ accountId: OTHER_ACCOUNT, licenseArn: LICENCE, product: PRODUCT, at: FIRST - HOUR },
    entitlements: [committed(200)],
  })
  const exporter = on.exporter({ productCode: PRODUCT, product: PRODUCT } as Options)
  const holder = { 'marketplace.customer.account_id': OTHER_ACCOUNT, 'marketplace.customer.license_arn': LICENCE }
  await hour(exporter, 0, 130)
  await hour(exporter, 1, 230, holder)
  assert.match(await equation(), /^130 = 100 \+/)
  assert.match(await equation(OTHER_ACCOUNT), /^230 = 200 \+/)
})

test('a value that is no quantity is told, and its usage waits', async test => {
  const { hour, equation, billed, ...on } = await stage(test, {
    ...{ dimension: 'tokens-committed', value: { BooleanValue: true }, expiresAt: FIRST + YEAR },
  })
  const exporter = on.exporter()
  const said = await saidDuring(() => hour(exporter, 0, 600))
  assert.equal(await equation(), '600 = 0 + 0 + 0 + 0 + 600')
  assert.equal(billed(), 0)
  assert.ok(
    said.some(message => /tokens-committed is not understood: .*got BooleanValue true/.test(message)),
    said.join('\n'),
  )
})

test('a name that AWS does not list is told, and usage waits where another may be meant', async test => {
  const { hour, equation, ...on } = await stage(test, committed(1000))
  const named = (entitlement: string) =>
    on.exporter({ dimensions: { tokens: { ...DIMENSION, included: { entitlement, per: 'term' } } } })
  const misspelt = named('tokens-commited')
  const told = await saidDuring(() => hour(misspelt, 0, 600))
  const near =
    /There is no entitlement tokens-commited, but tokens-committed: mend included of tokens where that is meant/
  assert.ok(
    told.some(message => near.test(message)),
    told.join('\n'),
  )
  assert.equal(await equation(), '600 = 0 + 0 + 0 + 0 + 600')
  await misspelt.shutdown()
  const said = await saidDuring(() => hour(named('seats'), 1, 0))
  assert.deepEqual(
    said.filter(message => message.includes('lists no')),
    [
      'warn: AWS lists no entitlement seats: contracts include nothing of tokens, and all of it is metered. Right where no ' +
        'contract is sold yet; otherwise mend dimensions.….included.entitlement.',
    ],
  )
  assert.equal(await equation(), '600 = 0 + 600 + 0 + 0 + 0')
})

test('a process with other options, or none, is told so and takes nothing back', async test => {
  const { hour, equation, ledger, ...on } = await stage(test, committed(1000))
  const exporter = on.exporter()
  await hour(exporter, 0, 600)
  const older = on.exporter({ dimensions: { tokens: DIMENSION } })
  const said = await saidDuring(() => hour(older, 1, 100))
  assert.ok(
    said.some(message => /tokens of prod-inference: contracts include some of it/.test(message)),
    said.join('\n'),
  )
  // It knows no entitlements itself: the other asks.
  await hour(exporter, 2, 0)
  assert.equal(await equation(), '700 = 700 + 0 + 0 + 0 + 0')
  const over = on.exporter({ dimensions: { tokens: { ...DIMENSION, included: false } } })
  await hour(over, 3, 100)
  assert.deepEqual(await ledger.included(), [])
  const differs = await saidDuring(() => hour(exporter, 4, 0))
  assert.ok(
    differs.some(message => /the ledger has other terms/.test(message)),
    differs.join('\n'),
  )
  assert.equal(await equation(), '800 = 700 + 100 + 0 + 0 + 0')
})

test('a process that counts entitled units otherwise amends nothing, and is told so', async test => {
  const { hour, equation, ...on } = await stage(test, committed(1000))
  const older = on.exporter()
  await hour(older, 0, 600)
  const newer = on.exporter({ dimensions: { tokens: { ...DIMENSION, included: { ...ENTITLED, unit: 10 } } } })
  await hour(newer, 1, 1400)
  assert.equal(await equation(), '2000 = 2000 + 0 + 0 + 0 + 0')
  const said = await saidDuring(() => hour(older, 2, 100))
  assert.ok(
    said.some(message => /the ledger has other terms/.test(message)),
    said.join('\n'),
  )
  await hour(newer, 3, 0)
  assert.equal(await equation(), '2100 = 2100 + 0 + 0 + 0 + 0')
})

test('what is left is told once for each term, and is in the metrics', async test => {
  const { hour, ...on } = await stage(test, committed(1000))
  const { meterProvider, read } = telemetry(test)
  const exporter = on.exporter({ meterProvider })
  const low = await saidDuring(async () => {
    await hour(exporter, 0, 850)
    await hour(exporter, 1, 10)
  })
  assert.deepEqual(
    low.filter(message => message.includes('four fifths')),
    [
      'warn: 1 customer has used four fifths of what the contract includes of tokens. "marketplace-meter entitlements" says who, and up to when.',
    ],
  )
  assert.equal((await read())['marketplace.entitlements.customers dimension=tokens state=low'], 1)
  const all = await saidDuring(() => hour(exporter, 2, 200))
  assert.ok(
    all.some(message => message.startsWith('warn: 1 customer has used up what the contract includes of tokens')),
  )
  const metrics = await read()
  assert.equal(metrics['marketplace.entitlements.customers dimension=tokens state=used-up'], 1)
  assert.equal(metrics['marketplace.entitlements.age dimension=tokens product=prod-inference'], 180)
})

test('a gateway meters what exceeds an entitlement, and its page and metrics show it', async test => {
  const { simulator, ledger, clock, equation, billed } = await stage(test, committed(1000))
  const gateway = await Gateway.start({
    ...{ productCode: PRODUCT, region: 'us-east-1', ledger, now: () => clock.now, http: { port: 0 }, wakeInterval: 20 },
    client: simulator.sdk(),
    entitlements: { client: simulator.entitlements() },
    dimensions: {
      tokens: { unit: '{token}', from: { metric: 'my.tokens', unit: '1' }, included: { ...ENTITLED, unit: 2 } },
    },
  })
  test.after(() => gateway.close())
  const url = `http://${gateway.addresses.http}`
  const attributes = [{ key: 'marketplace.customer.account_id', value: { stringValue: ACCOUNT } }]
  const send = async (asDouble: number) => {
    const [timeUnixNano, startTimeUnixNano] = [clock.now, clock.now - MINUTE].map(time => `${time}000000`)
    const dataPoints = [{ attributes, startTimeUnixNano, timeUnixNano, asDouble }]
    const metrics = [
      { name: 'my.tokens', unit: '1', sum: { aggregationTemporality: 1, isMonotonic: true, dataPoints } },
    ]
    const body = JSON.stringify({
      resourceMetrics: [{ resource: {}, scopeMetrics: [{ scope: { name: 'app' }, metrics }] }],
    })
    const answer = await fetch(`${url}/v1/metrics`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    })
    assert.equal(answer.status, 200)
  }
  clock.now = FIRST + 30 * MINUTE
  await send(1500)
  const until = async (expected: string) => {
    while ((await equation()) !== expected) await new Promise(setImmediate)
  }
  const over = async (n: number) => {
    clock.now = FIRST + n * HOUR + 3 * MINUTE
    while (((await ledger.included())[0]?.knownUntil ?? 0) < clock.now) await new Promise(setImmediate)
    clock.now += 3 * MINUTE
  }
  await over(1)
  await until('1500 = 1500 + 0 + 0 + 0 + 0')
  await send(700)
  await over(2)
  await until('2200 = 2000 + 200 + 0 + 0 + 0')
  assert.equal(billed(), 200)
  const [tokens] = ((await (await fetch(`${url}/status.json`)).json()) as StatusReport).totals.dimensions
  assert.deepEqual([tokens?.included.quantity, tokens?.metered.quantity, tokens?.difference], ['2,000', '200', '0'])
  const metrics = await (await fetch(`${url}/metrics`)).text()
  assert.match(metrics, /^marketplace_entitlements_customers\{.*dimension="tokens",state="used-up".*\} 1/m)
  assert.match(metrics, /^marketplace_entitlements_age_seconds\{.*dimension="tokens".*\} 180/m)
})

test('one customer keeps no others waiting: of two entitlements the present one counts, and who has no licence none', () => {
  const expires = (year: number) => new Date(Date.UTC(year, 0, 1))
  const line = (CustomerAWSAccountId: string, IntegerValue: number, year: number, more = {}) => ({
    ...{ Dimension: 'tokens-committed', CustomerAWSAccountId, Value: { IntegerValue }, ExpirationDate: expires(year) },
    ...more,
  })
  const rules = new Map([['tokens', { per: 'term', entitlement: 'tokens-committed', size: 1n } as const]])
  const wanted = [{ dimension: 'tokens', entitlement: 'tokens-committed' }]
  const coded = { name: PRODUCT, licensed: false, coded: true, beside: false, licences: new Map() }
  const amounts = (listed: Parameters<typeof newsOf>[0], product: Parameters<typeof newsOf>[3]) => {
    const { dimensions, entitlements, problems } = newsOf(listed, wanted, rules, product, FIRST)
    assert.deepEqual([dimensions, problems], [['tokens'], []])
    return entitlements.map(({ amount }) => amount)
  }
  assert.deepEqual(amounts([line(ACCOUNT, 5, 2028), line(ACCOUNT, 7, 2027), line(OTHER_ACCOUNT, 9, 2027)], coded), [
    7n,
    9n,
  ])
  assert.deepEqual(amounts([line(ACCOUNT, 5, 2027), line(ACCOUNT, 7, 2027), line(ACCOUNT, 6, 2027)], coded), [7n])
  // One before, whose date is over, keeps no other from being in force.
  assert.deepEqual(amounts([line(ACCOUNT, 5, 2026), line(ACCOUNT, 7, 2027), line(ACCOUNT, 6, 2025)], coded), [7n])
  const licensed = { name: 'label', licensed: true, coded: false, beside: false, licences: new Map() }
  const listed = [line(ACCOUNT, 5, 2027), line(OTHER_ACCOUNT, 9, 2027, { LicenseArn: LICENCE })]
  assert.deepEqual(amounts(listed, licensed), [9n])
  // Of one that has a licence here it cannot be told.
  const account = customerAccount({ product: 'label', accountId: ACCOUNT, licenseArn: LICENCE })
  const { problems } = newsOf(listed, wanted, rules, { ...licensed, licences: new Map([['l-1', [account]]]) }, FIRST)
  assert.match(problems.join(), /it has no LicenseArn/)
})

test('a list is understood as AWS writes it, or the dimension waits', () => {
  const wanted = [{ dimension: 'tokens', entitlement: 'committed' }]
  const rules = new Map([['tokens', { per: 'term', entitlement: 'committed', size: 1_000_000_000n }]] as const)
  const code = { name: 'code', licensed: false, coded: true, beside: false, licences: new Map() }
  const label = { ...code, name: 'label', licensed: true, coded: false }
  const read = (product: typeof code, ...rows: ListedEntitlement[]) => {
    const listed = rows.map(row => ({
      Dimension: 'committed',
      CustomerAWSAccountId: ACCOUNT,
      Value: { IntegerValue: 2 },
      ...row,
    }))
    const { entitlements, problems } = newsOf(listed, wanted, rules, product, FIRST)
    return (
      problems[0] ?? entitlements.map(({ account, amount, until }) => `${account.key} ${amount} ${until}`).join('; ')
    )
  }
  const until = new Date(FIRST)
  assert.equal(read(code, { ExpirationDate: until }), `code,${ACCOUNT} 2000000000 ${FIRST}`)
  assert.equal(read(code, { Value: { DoubleValue: 2.3 } }), `code,${ACCOUNT} 2300000000 undefined`)
  assert.equal(read(code, { Value: { IntegerValue: 0 } }), `code,${ACCOUNT} 0 undefined`)
  // By whichever of its names usage comes.
  assert.match(
    read(code, { CustomerIdentifier: 'abc' }),
    /^code,111122223333 2000000000 .*; code,customer=abc 2000000000 /,
  )
  assert.equal(read(code, { Dimension: 'seats', Value: { BooleanValue: true } }), '')
  assert.equal(read(code, {}, {}), `code,${ACCOUNT} 2000000000 undefined`)
  for (const Value of [
    {},
    { IntegerValue: -1 },
    { IntegerValue: 1.5 },
    { DoubleValue: Number.NaN },
    { StringValue: '5' },
    undefined,
  ])
    assert.match(read(code, { Value }), /expected an IntegerValue or DoubleValue of 0 or more, got/)
  assert.match(read(code, { Value: { IntegerValue: 1, DoubleValue: 1 } }), /got IntegerValue 1, DoubleValue 1/)
  assert.match(read(code, { ExpirationDate: new Date(Number.NaN) }), /its ExpirationDate is no time/)
  assert.match(read(code, { CustomerAWSAccountId: undefined }), /it has no customer/)
  assert.match(read(code, { CustomerAWSAccountId: '12' }), /its customer is none/)
  assert.equal(read(label, { LicenseArn: LICENCE }), `${ACCOUNT},${LICENCE} 2000000000 undefined`)
  // It is a customer of the product code.
  assert.equal(read({ ...label, beside: true }, {}), '')
})

test('a list without an end, and an answer that never comes, are given up', async test => {
  const { hour, equation, ...on } = await stage(test, committed(1000))
  let hangs = false
  const client: EntitlementClient = {
    getEntitlements: () => (hangs ? new Promise(() => {}) : Promise.resolve({ Entitlements: [], NextToken: 'again' })),
  }
  const exporter = on.exporter({ requestTimeout: 100, entitlements: { client } })
  const endless = await saidDuring(() => hour(exporter, 0, 600))
  assert.ok(
    endless.some(message => /The list of entitlements does not end/.test(message)),
    endless.join('\n'),
  )
  hangs = true
  const silent = await saidDuring(() => hour(exporter, 1, 0))
  assert.ok(
    silent.some(message => /GetEntitlements.*no answer within 100 ms/.test(message)),
    silent.join('\n'),
  )
  assert.equal(await equation(), '600 = 0 + 0 + 0 + 0 + 600')
})
