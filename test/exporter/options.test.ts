import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { registerHooks } from 'node:module'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { MarketplaceMetering, MarketplaceMeteringClient } from '@aws-sdk/client-marketplace-metering'
import {
  AWSMarketplaceMetricExporter,
  type AWSMarketplaceMetricExporterOptions,
  ConfigurationError,
} from '../../src/index.ts'
import {
  ACCOUNT,
  exportTo,
  HOUR,
  M,
  PRODUCT,
  recorded,
  START,
  SUCCESS,
  saidDuring,
  temporaryFolder,
  tokens,
  world,
} from './support.ts'

const client = { batchMeterUsage: async () => ({}) }
const GOOD = { productCode: PRODUCT, region: 'us-east-1', client, ledger: ':memory:' }

/** Options that are wrong, and what the message has to say: the option, what was expected and what came. */
const MALFORMED: [options: object, ...expected: RegExp[]][] = [
  [{ region: 'us east' }, /region: expected a region such as us-east-1.*got "us east"/],
  [{ region: 'US-EAST-1' }, /region: expected .*got "US-EAST-1"/],
  [{ region: 7 }, /region: expected a string, got 7/],
  [{ region: null }, /region: expected a string, got null/],
  [{ client: { ...client, region: 'eu-west-1' } }, /region: expected that of the client, "eu-west-1", got "us-east-1"/],
  [{ client: { ...client, config: { region: 'eu-west-1' } } }, /region: expected that of the client, "eu-west-1", got/],
  [{ client: {} }, /client: expected a client with batchMeterUsage\(request\), such as .*MarketplaceMetering, got {}/],
  [{ client: null }, /client: expected a client .*, got null/],
  [{ client: { batchMeterUsage: 'yes' } }, /client: expected a client .*, got {"batchMeterUsage":"yes"}/],
  [{ client: () => {} }, /client: expected a client .*, got a function/],
  [{ ledger: '' }, /ledger: expected .*, got ""/],
  [{ ledger: 7 }, /ledger: expected a ledger, or the path of one, got 7/],
  [{ ledger: { append: () => {} } }, /ledger: expected a ledger, or the path of one, got {}/],
  [{ now: 7 }, /now: expected a function that returns milliseconds since the epoch, such as Date.now, got 7/],
  [
    { now: () => Number.NaN },
    /now: expected a function that returns milliseconds since the epoch, such as Date.now, got a function/,
  ],
  [{ now: () => '2026' }, /now: expected a function that returns milliseconds/],
  [{ now: () => -1 }, /now: expected a function that returns milliseconds/],
  [{ now: () => 1e17 }, /now: expected a function that returns milliseconds/],
  [{ now: () => fail() }, /now: expected a function that returns milliseconds/],
  [
    { entitlements: { client } },
    /entitlements\.client: expected a client with getEntitlements\(request\), such as .*MarketplaceEntitlementService/,
  ],
  [
    { entitlements: { unknown: { after: 1000, outcome: 'bill' } } },
    /entitlements\.unknown\.after: expected from 3600000 to 2592000000 milliseconds, got 1000/,
    /entitlements\.unknown\.outcome: expected 'hold' or 'meter', got "bill"/,
  ],
  [
    {
      ...{ productCode: undefined, product: 'label' },
      dimensions: { x: { unit: '1', from: { metric: 'm' }, included: { entitlement: 'c', per: 'term' } } },
    },
    /entitlements\.productCode: expected AWS's code of the product, .* asked by for dimensions\.x\.included, got none/,
  ],
  [{ meterProvider: {} }, /meterProvider: expected a MeterProvider, got {}/],
  [{ dropUnnamed: 1 }, /dropUnnamed: expected true or false, got 1/],
  [{ closeDelay: -1 }, /closeDelay: expected from 0 to 3600000 milliseconds, got -1/],
  [{ closeDelay: Number.NaN }, /closeDelay: expected .*, got NaN/],
  [{ closeDelay: '5' }, /closeDelay: expected from 0 to 3600000 milliseconds, got "5"/],
  [{ deadlineMargin: 3_600_001 }, /deadlineMargin: expected from 0 to 3600000 milliseconds, got 3600001/],
  [{ zeroQuantityRecords: 'no' }, /zeroQuantityRecords: expected true or false, got "no"/],
  [{ onConflict: 'forget' }, /onConflict: expected 'hold' or 'roll-forward', got "forget"/],
  [{ onNotSubscribed: 'bill' }, /onNotSubscribed: expected 'hold' or 'roll-forward', got "bill"/],
  [{ dryRun: 0 }, /dryRun: expected true or false, got 0/],
  [{ retentionDays: 1 }, /retentionDays: expected 2 days or more, got 1/],
  [{ requestTimeout: 0 }, /requestTimeout: expected from 100 to 300000 milliseconds, got 0/],
  [{ requestTimeout: Number.POSITIVE_INFINITY }, /requestTimeout: expected .*, got Infinity/],
  [{ flushTimeout: -5 }, /flushTimeout: expected from 0 to 3600000 milliseconds, got -5/],
  [{ wakeInterval: 0 }, /wakeInterval: expected from 10 to 3600000 milliseconds, got 0/],
  [
    { productCode: undefined },
    /expected productCode, or product for products whose customers come with a licence, or both/,
  ],
  [{ product: 'a label' }, /product: expected 1 to 255 of the characters .*, got "a label"/],
  [{ productCode: 'a b' }, /productCode: expected 1 to 255 of the characters .*, got "a b"/],
  [{ closedelay: 3 }, /^Invalid options: closedelay: there is no such option \(did you mean closeDelay\?\)$/],
  [
    { closedelay: 3, retention: 40, wakeInterval: 1, dimension: {}, productCode: 'a b', intervall: 5 },
    /^- closedelay: there is no such option \(did you mean closeDelay\?\)$/m,
    /^- retention: there is no such option \(did you mean retentionDays\?\)$/m,
    /^- dimension: there is no such option \(did you mean dimensions\?\)$/m,
    /^- intervall: there is no such option \(there are .*closeDelay.*\)$/m,
    /^- wakeInterval: expected/m,
    /^- productCode: expected/m,
  ],
  [{ Region: 'us-east-1', wakeInterval: 1 }, /wakeInterval: expected/],
  [{ dimensions: {} }, /dimensions: expected at least one dimension/],
  [{ dimensions: ['tokens'] }, /dimensions: expected an object, got \["tokens"\]/],
  [{ closeDelay: '5m' }, /closeDelay: expected from 0 to 3600000 milliseconds, got "5m"/],
  [{ customer: async () => ({}) }, /customer: expected a function that answers at once .*, got an async function/],
  [
    { dimensions: { d: { unit: 'parsec', from: 'marketplace.time' } } },
    /dimensions\.d\.unit: expected a unit .*got "parsec"/,
  ],
  [{ customer: { accountId: 7 } }, /customer\.accountId: expected .*got 7/],
  [{ customer: { licenseArn: 'arn' } }, /customer\.licenseArn: expected none without product:/],
  [{ region: 'x', closeDelay: -1 }, /region: expected/, /closeDelay: expected/],
]

function fail(): number {
  throw new Error('no clock')
}

const make = (options: unknown) => new AWSMarketplaceMetricExporter(options as AWSMarketplaceMetricExporterOptions)

for (const [options, ...expected] of MALFORMED) {
  test(`refused: ${expected.map(({ source }) => source).join(' and ')}`, () => {
    assert.throws(
      () => make({ ...GOOD, ...options }),
      error => {
        assert.ok(error instanceof ConfigurationError)
        assert.equal(error.code, 'ERR_CONFIGURATION')
        for (const part of expected) assert.match(error.message, part)
        return true
      },
    )
  })
}

for (const options of [null, undefined, 7, 'us-east-1']) {
  test(`refused: options that are ${options}`, () => {
    assert.throws(() => make(options), {
      name: 'ConfigurationError',
      message: `Invalid options: expected an object, got ${typeof options === 'string' ? 'a string' : options}`,
    })
  })
}

test('the client without aggregated methods is refused by name, and its credentials are not repeated', () => {
  const bare = new MarketplaceMeteringClient({
    region: 'us-east-1',
    credentials: { accessKeyId: 'key', secretAccessKey: 'top-secret' },
  })
  assert.throws(
    () => make({ ...GOOD, client: bare }),
    error => {
      assert.ok(error instanceof ConfigurationError, String(error))
      assert.match(error.message, /client: expected a client with batchMeterUsage\(request\)/)
      assert.doesNotMatch(error.message, /top-secret/)
      return true
    },
  )
})

test('without a region it is that of the environment', () => {
  const { region, ...rest } = GOOD
  const before = { ...process.env }
  try {
    delete process.env.AWS_REGION
    delete process.env.AWS_DEFAULT_REGION
    assert.throws(() => make(rest), /region: expected a region such as us-east-1, here or in AWS_REGION, got ""/)
    process.env.AWS_DEFAULT_REGION = 'eu-central-1'
    make(rest).shutdown()
    process.env.AWS_REGION = 'nowhere'
    assert.throws(() => make(rest), /region: .*got "nowhere"/)
  } finally {
    process.env = before
  }
})

test('without the AWS SDK and without a client, it is told at once what to install', async t => {
  const hooks = registerHooks({
    resolve: (specifier, context, next) => {
      if (specifier.startsWith('@aws-sdk/')) {
        throw Object.assign(new Error(`Cannot find package '${specifier}'`), { code: 'ERR_MODULE_NOT_FOUND' })
      }
      return next(specifier, context)
    },
  })
  t.after(() => hooks.deregister())
  const { client: _, ...rest } = GOOD
  const said = await saidDuring(async () => {
    await make(rest).shutdown()
    await new Promise(setImmediate)
  })
  assert.match(said.join(), /npm install @aws-sdk\/client-marketplace-metering.*or the option client/)
  await make(GOOD).shutdown()
})

test('what is no ledger is refused when the exporter is made, with what to do', t => {
  const folder = temporaryFolder(t)
  const [text, foreign] = [join(folder, 'notes.txt'), join(folder, 'foreign.db')]
  writeFileSync(text, 'not a database '.repeat(100))
  const other = new DatabaseSync(foreign)
  other.exec('CREATE TABLE theirs (id INTEGER)')
  other.close()
  const open = (address: string) =>
    new RegExp(`^Expected the path of a file .*ledger: await openLedger\\('${address}://…'\\)\\.$`)
  const cases: [ledger: unknown, code: string, message: RegExp][] = [
    ['postgresql://user:hunter2@host/database', 'ERR_LEDGER_INVALID', open('postgresql')],
    [' postgres://user:hunter2@host/database', 'ERR_LEDGER_INVALID', open('postgresql')],
    ['dynamodb://table?region=eu-west-1', 'ERR_LEDGER_INVALID', open('dynamodb')],
    ['dynamodb:table', 'ERR_LEDGER_INVALID', open('dynamodb')],
    ['mysql://user:hunter2@host/database', 'ERR_LEDGER_INVALID', /what looks like an address.* It is not shown/],
    [Promise.resolve(), 'ERR_CONFIGURATION', /ledger: expected a ledger.*await openLedger\(…\)\), got a Promise$/],
    [
      join(folder, 'missing', 'l.db'),
      'ERR_LEDGER_IO',
      /there is no folder .*missing; make it, or name a file in another$/,
    ],
    [join(text, 'l.db'), 'ERR_LEDGER_IO', /cannot be made, the system says ENOTDIR; check that the folder exists/],
    [
      folder,
      'ERR_LEDGER_IO',
      /expected the path of a file, got a folder; name a file in it, such as .*\/ledger\.sqlite$/,
    ],
    ['/dev/null', 'ERR_LEDGER_IO', /expected the path of a file, got a device or a pipe$/],
    [text, 'ERR_LEDGER_FOREIGN', /is not a SQLite database; .*: name a ledger, or a file that is not there yet/],
    [foreign, 'ERR_LEDGER_FOREIGN', /of another application.*: name a ledger, or a file that is not there yet\.$/],
  ]
  for (const [ledger, code, message] of cases) {
    assert.throws(
      () => make({ ...GOOD, ledger }),
      (error: Error & { code?: string }) => {
        assert.equal(error.code, code)
        assert.match(error.message, message)
        assert.doesNotMatch(error.message, /hunter2/)
        return true
      },
    )
  }
})

test('a dimension whose size changes between runs rebills nothing that was frozen', async t => {
  const sizes = (per: number): Partial<AWSMarketplaceMetricExporterOptions> => ({
    dimensions: { tokens: { unit: '{token}', per, from: 'marketplace.tokens' } },
  })
  const { exporter, clock, ledger, client, billed, line } = world(t, sizes(10))
  await exportTo(exporter, tokens(105))
  clock.now += HOUR
  await exporter.shutdown()
  assert.deepEqual(billed(), { [`${ACCOUNT} tokens`]: 10 })
  const next = world(t, { ...sizes(100), now: () => clock.now, client, wrap: () => ledger })
  await exportTo(next.exporter, tokens(196))
  clock.now += HOUR
  await next.exporter.shutdown()
  // 5 were left of the first hour, so 201 are two hundreds and one.
  assert.deepEqual(billed(), { [`${ACCOUNT} tokens`]: 12 })
  const expected = { recorded: 301n * M, metered: 300n * M, pending: 0n, held: 0n, balance: 1n * M }
  assert.deepEqual(await line(ACCOUNT, 'tokens'), expected)
})

test('a clock of fractions of milliseconds is one of whole ones', async t => {
  const { exporter, clock, billed } = world(t)
  clock.now += 0.375
  await exportTo(exporter, tokens(5))
  clock.now += HOUR
  await exporter.shutdown()
  assert.deepEqual(billed(), { [`${ACCOUNT} tokens-processed`]: 5 })
})

test('a clock that fails while it runs stands still: nothing is lost, and it is said', async t => {
  let fails: (() => number) | undefined
  const clock = { now: START }
  const { exporter, ledger } = world(t, { now: () => fails?.() ?? clock.now })
  const messages = await saidDuring(async () => {
    for (const failure of [() => Number.NaN, () => fail(), () => -5]) {
      fails = failure
      assert.deepEqual(await exportTo(exporter, tokens(5)), SUCCESS)
    }
    await exporter.forceFlush()
  })
  assert.equal(messages.filter(message => /^error: .*now/.test(message)).length, 1)
  fails = undefined
  assert.deepEqual(await exportTo(exporter, tokens(5)), SUCCESS)
  assert.deepEqual(await recorded(ledger), { [`${ACCOUNT} tokens-processed`]: 20n * M })
})

test('a client that looks up another region sends nothing, and nothing is frozen for it', async t => {
  const made = new MarketplaceMetering({ region: 'eu-west-1' })
  t.mock.method(made, 'batchMeterUsage', () => assert.fail('it was sent'))
  const { exporter, ledger, clock } = world(t, { client: made })
  await exportTo(exporter, tokens(3))
  clock.now += 2 * HOUR
  const messages = await saidDuring(() => exporter.forceFlush())
  assert.match(
    messages.join('\n'),
    /^error: Usage stays in the ledger, and nothing is sent: Invalid options: region: expected that of the client, "eu-west-1", got "us-east-1"/m,
  )
  await assert.rejects(exporter.finalize({ accountId: ACCOUNT }, { endedAt: clock.now }), { code: 'ERR_CONFIGURATION' })
  assert.deepEqual(await ledger.records(), [])
  assert.equal((await recorded(ledger))[`${ACCOUNT} tokens-processed`], 3n * M)
})
