import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { GatewayConfigError } from '../../src/gateway/config/errors.ts'
import { GatewayConfigFile } from '../../src/gateway/config.ts'
import { HOUR, MINUTE, SECOND } from '../../src/ledger/hours.ts'
import { PRESETS } from '../../src/usage/presets.ts'
import { KNOWN_UNITS } from '../../src/usage/units.ts'
import { MINIMAL } from './config/minimal.ts'

const contents = (name: string) => readFileSync(new URL(`./config/${name}`, import.meta.url), 'utf8')

/** Writes a file into a folder of its own, and reads it as the gateway does. */
function read(t: TestContext, text: string, env: NodeJS.ProcessEnv = {}): GatewayConfigFile {
  const folder = mkdtempSync(join(tmpdir(), 'config-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'gateway.yaml')
  writeFileSync(path, text)
  return GatewayConfigFile.read(path, env)
}

/** What is wrong with a file, each as `line:column: message`. */
function problems(work: () => unknown): string[] {
  try {
    work()
  } catch (error) {
    assert.ok(error instanceof GatewayConfigError, String(error))
    assert.equal(error.code, 'ERR_GATEWAY_CONFIG')
    return error.message.split('\n').map(line => line.replace(/^.*\/gateway\.yaml:/, ''))
  }
  assert.fail('expected a GatewayConfigError')
}

describe('a file that is right', () => {
  test('needs five lines', t => {
    const { path, config } = read(t, MINIMAL)
    assert.deepEqual(config, {
      usage: { productCode: 'prod', dimensions: { tokens: { unit: '{token}', per: 1000, from: 'vllm.tokens' } } },
      region: 'us-east-1',
      ledger: join(dirname(path), 'ledger.sqlite'),
      listen: { http: { host: '127.0.0.1', port: 4318 }, grpc: { host: '127.0.0.1', port: 4317 } },
      metering: {},
      telemetry: {},
      statusPage: true,
    })
  })

  test('may say everything', t => {
    const { config } = read(t, contents('../../../examples/collector/gateway-reference.yaml'))
    const { dimensions, ...usage } = config.usage
    assert.deepEqual(usage, { productCode: '3j1ex4mpl3pr0duct', customer: { accountId: 'tenant.aws_account_id' } })
    assert.deepEqual(dimensions, {
      'tokens-1k': {
        ...{ unit: '{token}', per: 1000, maxQuantity: 1_000_000, alertQuantity: 200_000, from: 'vllm.tokens' },
        included: { entitlement: 'tokens-committed', unit: 1_000_000, per: 'term' },
        allocations: ['model_name', { tag: 'team', attribute: 'app.team' }],
      },
      'premium-requests': {
        unit: '{request}',
        from: {
          metric: 'http.server.request.duration',
          value: 'count',
          attributes: {
            'http.route': ['/v1/chat/completions', '/v1/completions'],
            ...{ tier: 'premium', 'error.type': null },
          },
        },
      },
      'gpu-hours': {
        unit: 'h',
        additive: true,
        from: [
          'dcgm.time',
          { metric: 'my.gpus.allocated', value: 'integral', unit: '{gpu}', maxGap: 2 * MINUTE },
          { metric: 'my.gpus.busy', unit: 'ms', baseline: true },
        ],
      },
    })
    assert.deepEqual(
      { ...config, usage: {} },
      {
        usage: {},
        region: 'us-east-1',
        ledger: '/var/lib/marketplace-meter/ledger.sqlite',
        listen: {
          http: { host: '0.0.0.0', port: 4318 },
          grpc: { host: '::', port: 4317 },
          maxBodySize: 16 * 1024 * 1024,
          tokens: [
            `\${env:GATEWAY_TOKEN}`,
            { name: 'collector', token: `\${file:/run/secrets/metering/collector}` },
            {
              ...{ name: 'acme-cluster', token: `\${file:/run/secrets/metering/acme-cluster}` },
              ...{ customers: ['111122223333'], dimensions: ['tokens-1k'] },
              limits: { customersPerDay: 1, seriesPerDay: 5000 },
            },
            { name: 'prometheus', token: `\${file:/run/secrets/metering/prometheus}`, customers: [] },
          ],
          ...{ maxConnections: 4000, maxConnectionsPerAddress: 1000, requestTimeout: 30 * SECOND },
          tls: { cert: '/etc/gateway/tls.crt', key: '/etc/gateway/tls.key', ca: '/etc/gateway/senders-ca.crt' },
        },
        events: {
          queue: 'sqs://sqs.us-east-1.amazonaws.com/123456789012/marketplace-events',
          productCode: '3j1ex4mpl3pr0duct',
        },
        entitlements: { productCode: '3j1ex4mpl3pr0duct', unknown: { after: 6 * HOUR, outcome: 'hold' } },
        reconcile: {
          ...{ every: 24 * HOUR, settle: true },
          callers: ['arn:aws:iam::123456789012:role/marketplace-gateway'],
        },
        statusPage: true,
        metering: {
          ...{
            closeDelay: 5 * MINUTE,
            deadlineMargin: 5 * MINUTE,
            zeroQuantityRecords: false,
            onConflict: 'hold',
            onNotSubscribed: 'hold',
          },
          ...{ dryRun: false, requestTimeout: 10 * SECOND, retention: 400 * 24 * HOUR },
          endpoint: 'http://127.0.0.1:8480',
        },
        telemetry: { endpoint: 'http://collector:4318', logLevel: 'info', logFormat: 'json' },
      },
    )
  })

  test('leaves region and ledger to the environment', t => {
    const env = { AWS_REGION: 'eu-west-1', MARKETPLACE_LEDGER: 'here.sqlite' }
    const { config } = read(t, 'product: inference\n', env)
    // Relative to the working directory, as for other commands.
    assert.deepEqual([config.region, config.ledger], ['eu-west-1', 'here.sqlite'])
    for (const [ledger, shown] of [
      ['host=db password=hunter2', 'something else, which is not shown: there may be a password in it'],
      ['postgresql://meter:hunter/2@db/x', 'postgresql://…'],
    ] as const) {
      const found = problems(() => read(t, 'product: inference\n', { ...env, MARKETPLACE_LEDGER: ledger }))
      assert.match(found.join('\n'), /^1:1: ledger: expected .* in MARKETPLACE_LEDGER, got /)
      assert.ok(found[0]?.endsWith(shown), found[0])
    }
    const full = read(t, MINIMAL, env)
    assert.deepEqual([full.config.region, full.config.ledger], ['us-east-1', join(dirname(full.path), 'ledger.sqlite')])
    const older = read(t, MINIMAL.replace(/region.*\n/, ''), { AWS_REGION: '', AWS_DEFAULT_REGION: 'eu-west-2' })
    assert.equal(older.config.region, 'eu-west-2')
  })

  test('names a shared ledger', t => {
    for (const address of ['postgresql://meter@db:5432/usage', 'dynamodb://usage?region=us-east-1', 'dynamodb:usage']) {
      assert.equal(read(t, MINIMAL.replace('ledger.sqlite', address)).config.ledger, address)
    }
  })

  test('has addresses, durations and sizes in every form', t => {
    const listen = (text: string) => read(t, `${MINIMAL}listen: { ${text} }\n`).config.listen
    assert.deepEqual(listen('http: localhost:0, grpc: off'), { http: { host: 'localhost', port: 0 }, grpc: null })
    assert.deepEqual(listen("http: '[fd00::1]:80'").http, { host: 'fd00::1', port: 80 })
    const sizes = { '1KiB': 1024, '2048B': 2048, '3kB': 3000, '1MB': 1_000_000, '128MiB': 2 ** 27 }
    for (const [text, bytes] of Object.entries(sizes)) assert.equal(listen(`maxBodySize: ${text}`).maxBodySize, bytes)
    const { metering } = read(t, `${MINIMAL}metering: { closeDelay: 0s, requestTimeout: 100ms, retention: 48h }`).config
    assert.deepEqual(metering, { closeDelay: 0, requestTimeout: 100, retention: 48 * HOUR })
  })
})

const PRESET = `expected a rule or the name of a preset (${Object.keys(PRESETS).join(', ')})`
const UNIT = `expected a unit (${KNOWN_UNITS})`
const ADDRESS = "expected an address such as 127.0.0.1:4318 or '[::]:4317', or off"
const REFERENCES = `\${env:NAME} or \${file:path}`
const CUSTOMER = 'expected an AWS account id of 12 digits in quotes, a licence or a customer identifier'
const TOKEN = `expected ${REFERENCES}, since secrets do not belong into this file, got a Secret`
const LEDGER = `expected a path, postgresql://… or dynamodb://table; or ${REFERENCES} where there is a password in it`
const SIZE = 'expected a size from 1KiB to 128MiB with its unit, such as 512KiB or 16MiB'
const PRODUCT = 'expected productCode, or product for products whose customers come with a licence, or both'
const QUOTES = ' (a text with brackets or ": " in it needs quotes)'
const TOP = `(there are region, ledger, listen, statusPage, metering, events, entitlements, reconcile, telemetry, productCode, product, dimensions, customer)`
const METERING =
  '(there are closeDelay, deadlineMargin, zeroQuantityRecords, onConflict, onNotSubscribed, dryRun, retention, requestTimeout, endpoint)'
const duration = (least: string, most: string) =>
  `expected a duration from ${least} to ${most} with its unit, such as 30s or 5m`

/** What is wrong with lines that come after a minimal file, whose last ones are dimensions. They begin with line 6. */
const MISTAKES: readonly [lines: string, ...problems: string[]][] = [
  // YAML.
  ['region: us-west-2', '6:1: expected each key once, this one is there already'],
  ['statusPage: !yes true', '6:13: expected YAML: Unresolved tag'],
  ['customer: { accountId: &id a, licenseArn: *id }', '6:43: expected no alias: write the value out'],
  ['---\nproductCode: x', '6:1: expected one document, another begins here'],
  ['listen:\n\thttp: off', '7:1: expected YAML: Tabs are not allowed as indentation'],
  ['statusPage: "on', `7:1: expected YAML: Missing closing "quote${QUOTES}`],
  ['listen:\n  http: [::]:4318', `7:13: expected YAML: Unexpected scalar at node end${QUOTES}`],
  ['listen:\n    http: off\n  grpc: off', '8:1: expected YAML: All mapping items must start at the same column'],
  ['? [a]\n: 1', '6:3: expected YAML: With stringKeys, all keys must be strings'],
  ['statusPage: }hunter2', `6:13: expected YAML: Unexpected flow-map-end token in YAML stream${QUOTES}`],

  // What contracts include.
  [
    "  x: { unit: '{token}', from: vllm.tokens, included: { per: term } }",
    '6:54: dimensions.x.included: expected exactly one of entitlement and quantity, got {"per":"term"}',
  ],
  [
    'entitlements: { unknown: { after: 5m, outcome: bill } }',
    `6:35: entitlements.unknown.after: ${duration('1h', '30d')}, got "5m"`,
    `6:48: entitlements.unknown.outcome: expected 'hold' or 'meter', got "bill"`,
  ],

  // Options that there are not.
  ['metrics: 5', `6:1: metrics: there is no such option ${TOP}`],
  ['listenn: {}', '6:1: listenn: there is no such option (did you mean listen?)'],
  ['listen:', '6:8: listen: expected an object, got null'],
  ['statusPage: on', '6:13: statusPage: expected true or false, got "on"'],
  ['metering: { wakeInterval: 1m }', `6:13: metering.wakeInterval: there is no such option ${METERING}`],

  // Dimensions.
  ['  x: 5', '6:6: dimensions.x: expected an object, got 5'],
  ['  x: { from: dcgm.time }', '6:3: dimensions.x.unit: it is required'],
  [
    '  x: { unit: h, form: dcgm.time }',
    '6:3: dimensions.x.from: it is required',
    '6:17: dimensions.x.form: there is no such option (did you mean from?)',
  ],
  [
    '  a.b: { unit: tokens, from: nothing.known }',
    `6:16: dimensions.a.b.unit: ${UNIT}, got "tokens"`,
    `6:30: dimensions.a.b.from: ${PRESET}, got "nothing.known"`,
  ],
  ['  x: { unit: h, per: 0, from: dcgm.time }', '6:22: dimensions.x.per: expected a number above 0, got 0'],
  ['  x: { unit: h, per: 1_000, from: dcgm.time }', '6:22: dimensions.x.per: expected a number, got "1_000"'],
  [
    '  x: { unit: h, maxQuantity: 1.5, from: dcgm.time }',
    '6:30: dimensions.x.maxQuantity: expected an integer from 1 to 2147483647, got 1.5',
  ],
  ['  x: { unit: h, from: [] }', '6:23: dimensions.x.from: expected at least one rule or preset, got []'],
  [
    '  x: { unit: h, from: vllm.tokens }',
    '6:23: dimensions.x.from: expected something in a unit that converts to "h", got "vllm.tokens"',
  ],
  [
    "  x: { unit: '{token}', from: [vllm.tokens, litellm.tokens] }",
    '6:31: dimensions.x.from: expected one source, or additive: true where several really add up, got ' +
      "'vllm.tokens' and 'litellm.tokens', which count the same thing",
  ],
  [
    `  x:
    unit: h
    from:
      - { metric: a, value: integral, unit: '1', maxGap: 300 }
      - { metric: b, value: integral, unit: '1', maxGap: 2d }`,
    `9:58: dimensions.x.from.0.maxGap: ${duration('1ms', '1d')}, got 300`,
    `10:58: dimensions.x.from.1.maxGap: ${duration('1ms', '1d')}, got "2d"`,
  ],
  [
    `  x:
    unit: h
    from:
      metric: a*
      value: max
      unit: parsec
      attributes: { tier: [], b: { c: 1 } }
      match: all`,
    '9:15: dimensions.x.from.metric: expected a metric\'s name, no pattern, got "a*"',
    "10:14: dimensions.x.from.value: expected 'sum', 'count' or 'integral', got \"max\"",
    `11:13: dimensions.x.from.unit: ${UNIT}, got "parsec"`,
    '12:27: dimensions.x.from.attributes.tier: expected at least one value, got []',
    '12:34: dimensions.x.from.attributes.b: expected a string, a number, true or false, got {"c":1}',
    '13:7: dimensions.x.from.match: there is no such option (there are metric, attributes, value, unit, baseline)',
  ],

  // Customers.
  [
    'customer: { accountId: { attribute: a, resource: b }, customerIdentifer: x }',
    '6:24: customer.accountId: expected exactly one of attribute, resource and value, got {"attribute":"a","resource":"b"}',
    '6:55: customer.customerIdentifer: there is no such option (did you mean customerIdentifier?)',
  ],
  [
    'customer: { accountId: { value: 012345678901 } }',
    '6:33: customer.accountId.value: expected a string, got 12345678901',
  ],

  // Listening.
  [
    'listen: { http: 4318, grpc: localhost }',
    `6:17: listen.http: ${ADDRESS}, got 4318`,
    `6:29: listen.grpc: ${ADDRESS}, got "localhost"`,
  ],
  [
    "listen: { http: 'localhost:65536', grpc: '::1:4317' }",
    `6:17: listen.http: ${ADDRESS}, got "localhost:65536"`,
    `6:42: listen.grpc: ${ADDRESS}, got "::1:4317"`,
  ],
  [
    'listen: { http: off, grpc: off }',
    '6:9: listen: expected an address for http or for grpc, got {"http":null,"grpc":null}',
  ],
  ['listen: { maxConnections: 0 }', '6:27: listen.maxConnections: expected a number from 1 to 1,000,000, got 0'],
  [
    'listen: { maxConnectionsPerAddress: 1.5 }',
    '6:37: listen.maxConnectionsPerAddress: expected a number from 1 to 1,000,000, got 1.5',
  ],
  [
    'listen: { requestTimeout: 0s }',
    '6:27: listen.requestTimeout: expected a duration from 1s to 10m with its unit, such as 30s or 5m, got "0s"',
  ],
  ['listen: { maxBodySize: 16 }', `6:24: listen.maxBodySize: ${SIZE}, got 16`],
  ['listen: { maxBodySize: 1GiB }', `6:24: listen.maxBodySize: ${SIZE}, got "1GiB"`],
  ['listen: { tls: true }', '6:16: listen.tls: expected an object, got true'],
  [
    'listen: { tls: { cert: a.crt, keyy: b } }',
    '6:11: listen.tls.key: it is required',
    '6:31: listen.tls.keyy: there is no such option (did you mean key?)',
  ],
  [
    "listen: { tls: { cert: '', key: 5 } }",
    '6:24: listen.tls.cert: expected the path of a file, got ""',
    '6:33: listen.tls.key: expected the path of a file, got 5',
  ],

  // Secrets, which are not shown.
  ['listen: { tokens: hunter2 }', '6:19: listen.tokens: expected a list, got a Secret'],
  ['listen: { tokens: [] }', '6:19: listen.tokens: expected at least one token, got []'],
  [
    `listen:
  tokens:
    - hunter2
    - \${HUNTER2}
    - \${env:}
    - 22222
    - { hunter2: hunter2 }`,
    ...[8, 9, 10, 11, 12].map((line, index) => `${line}:7: listen.tokens.${index}: ${TOKEN}`),
  ],
  [
    `listen:
  tokens:
    - { name: a, token: hunter2 }
    - { name: a b, token: '\${env:A}', customer: '\${env:B}' }
    - { name: c, token: '\${env:A}', customers: [111122223333, '11112222333'], limits: { customersPerDay: 0 } }
    - { name: c, token: '\${env:A}', dimensions: [tokenz] }`,
    `8:25: listen.tokens.0.token: ${TOKEN}`,
    '9:15: listen.tokens.1.name: expected a name of up to 63 letters, digits, dots, dashes and underscores, got "a b"',
    '9:39: listen.tokens.1.customer: there is no such option (did you mean customers?)',
    `10:49: listen.tokens.2.customers.0: ${CUSTOMER}, got 111122223333`,
    `10:63: listen.tokens.2.customers.1: ${CUSTOMER}, got "11112222333"`,
    '10:106: listen.tokens.2.limits.customersPerDay: expected a whole number from 1, got 0',
  ],
  [
    `listen: { tokens: [{ name: c, token: '\${env:A}' }, { name: c, token: '\${env:B}' }] }`,
    `6:19: listen.tokens: expected names that are not used twice, got ${JSON.stringify(['A', 'B'].map(name => ({ name: 'c', token: `\${env:${name}}` })))}`,
  ],
  [
    `listen: { tokens: [{ name: c, token: '\${env:A}', dimensions: [tokenz] }] }`,
    '6:63: listen.tokens.0.dimensions.0: expected one of tokens, got "tokenz"',
  ],
  ['tokens: [hunter2]', `6:1: tokens: there is no such option ${TOP}`],
  [`listen: { tokens: ["\${env:TOKEN:-hunter2}"] }`, `6:20: listen.tokens.0: ${TOKEN}`],
  [
    'listen: { tls: { cert: a, key: "-----BEGIN PRIVATE KEY----- hunter2" } }',
    '6:32: listen.tls.key: expected the path of a file, got a Secret',
  ],
  [
    'telemetry: { endpoint: "https://hunter2@h" }',
    '6:24: telemetry.endpoint: expected an http or https URL, got a Secret',
  ],
  [
    'telemetry: { endpoint: "https://h/?api_key=hunter2" }',
    '6:24: telemetry.endpoint: expected an http or https URL, got a Secret',
  ],
  ['metering: { endpoint: "meter:hunter2@h" }', '6:23: metering.endpoint: expected an http or https URL, got a Secret'],
  ['listen: [tokens: [hunter2]]', '6:10: listen.0: there is no such option (it is a list, and no object)'],
  [
    'metering: { endpoint: { tokens: [hunter2] } }',
    '6:23: metering.endpoint: expected an http or https URL, got {"tokens":[{}]}',
  ],
  ['listen: { token: hunter2 }', '6:11: listen.token: there is no such option (did you mean tokens?)'],
  [
    'metering: { endpoint: "http://meter:hunter2@aws" }',
    '6:23: metering.endpoint: expected an http or https URL, got a Secret',
  ],

  // Metering and telemetry.
  [
    'metering: { closeDelay: 5, deadlineMargin: 2h, requestTimeout: 50ms, retention: 1d }',
    `6:25: metering.closeDelay: ${duration('0s', '1h')}, got 5`,
    `6:44: metering.deadlineMargin: ${duration('0s', '1h')}, got "2h"`,
    `6:64: metering.requestTimeout: ${duration('100ms', '5m')}, got "50ms"`,
    `6:81: metering.retention: ${duration('2d', '36500d')}, got "1d"`,
  ],
  [
    'metering: { onConflict: drop, onNotSubscribed: bill, dryRun: yes, zeroQuantityRecords: 0 }',
    "6:25: metering.onConflict: expected 'hold' or 'roll-forward', got \"drop\"",
    "6:48: metering.onNotSubscribed: expected 'hold' or 'roll-forward', got \"bill\"",
    '6:62: metering.dryRun: expected true or false, got "yes"',
    '6:88: metering.zeroQuantityRecords: expected true or false, got 0',
  ],
  [
    'metering: { endpoint: aws.example.com }',
    '6:23: metering.endpoint: expected an http or https URL without user, query and fragment, got "aws.example.com"',
  ],
  [
    'telemetry: { endpoint: 4318, logLevel: verbose, logFormat: yaml }',
    '6:24: telemetry.endpoint: expected an http or https URL, got 4318',
    "6:40: telemetry.logLevel: expected 'error', 'warn', 'info' or 'debug', got \"verbose\"",
    "6:60: telemetry.logFormat: expected 'json' or 'text', got \"yaml\"",
  ],

  // Several, from top to bottom.
  [
    '  x: { unit: h, from: nothing.known }\nregoin: eu-west-1\nlisten: { http: 1 }',
    `6:23: dimensions.x.from: ${PRESET}, got "nothing.known"`,
    '7:1: regoin: there is no such option (did you mean region?)',
    `8:17: listen.http: ${ADDRESS}, got 1`,
  ],
]

/** What is wrong with a whole file. */
const WRONG_FILES: readonly [text: string, ...problems: string[]][] = [
  ['', '1:1: expected options such as productCode: …, got none'],
  ['# nothing but a comment', '1:1: expected options such as productCode: …, got none'],
  ['[hunter2]', '1:1: expected options such as productCode: …, got none'],
  [
    'productCode: a',
    '1:1: region: expected a region such as us-east-1, here or in AWS_REGION, got neither',
    `1:1: ledger: ${LEDGER}, here or in MARKETPLACE_LEDGER, got neither`,
  ],
  ['region: us-east-1\nledger: x', `1:1: ${PRODUCT}, got {}`],
  [
    'productCode: a b\nregion: us_east\nledger: ""',
    '1:14: productCode: expected 1 to 255 of the characters -a-zA-Z0-9/=:_.@, got "a b"',
    '2:9: region: expected a region such as us-east-1, here or in AWS_REGION, got "us_east"',
    `3:9: ledger: ${LEDGER}, got ""`,
  ],
  [
    'productCode: 5\nregion: 5\nledger: 5',
    '1:14: productCode: expected a string, got 5',
    '2:9: region: expected a string, got 5',
    `3:9: ledger: ${LEDGER}, got 5`,
  ],
  ['productCode: a\nregion: us-east-1\nledger: mysql://db/x', `3:9: ledger: ${LEDGER}, got "mysql://db/x"`],
  ['productCode: a\nregion: us-east-1\nledger: dynamodb://t/x', `3:9: ledger: ${LEDGER}, got "dynamodb://t/x"`],
  [
    'productCode: a\nregion: us-east-1\nledger: postgresql://meter:hunter2@db/x',
    `3:9: ledger: ${LEDGER}, got a Secret`,
  ],
  ...[
    'meter:hunter2@db/x',
    'meter:a/hunter2@db/x',
    'host=db password=hunter2',
    `"\${env:LEDGER:-hunter2}"`,
    'postgresql://hunter2/@db/x',
    'mysql://hunter2@db/x',
    'postgresql://db/x?sslpassword=hunter2',
  ].map((ledger): [string, string] => [
    `productCode: a\nregion: us-east-1\nledger: ${ledger}`,
    `3:9: ledger: ${LEDGER}, got a Secret`,
  ]),
  [
    'productCode: a\nregion: us-east-1\nledger: postgresql://db/x?connect_timeout=5',
    '3:9: ledger: expected postgresql://… without the parameter "connect_timeout", of which pg takes no notice (leave it out: it has a time limit of its own), got "postgresql://db/x?connect_timeout=5"',
  ],
  [
    'productCode: a\nregion: us-east-1\nledger: postgresql://db/x?password=hunter2',
    `3:9: ledger: ${LEDGER}, got a Secret`,
  ],
  [
    'productCode: a\nregion: us-east-1\nledger: x\ndimensions: {}',
    '4:13: dimensions: expected at least one dimension, got {}',
  ],
]

describe('a file that is wrong says where, what was expected and what came', () => {
  for (const [lines, ...expected] of MISTAKES) {
    test(JSON.stringify(lines), t => {
      const found = problems(() => read(t, `${MINIMAL}${lines}\n`))
      assert.deepEqual(found, expected)
      assert.doesNotMatch(found.join('\n'), /hunter2/)
    })
  }

  for (const [text, ...expected] of WRONG_FILES) {
    test(JSON.stringify(text), t => {
      const found = problems(() => read(t, text))
      assert.deepEqual(found, expected)
      assert.doesNotMatch(found.join('\n'), /hunter2/)
    })
  }

  test('also where it cannot be read', t => {
    const { path } = read(t, MINIMAL)
    const folder = dirname(path)
    const message = (file: string) => problems(() => GatewayConfigFile.read(file, {}))
    assert.deepEqual(message(join(folder, 'x.yaml')), [
      `No configuration: there is no file at ${folder}/x.yaml. Name its file with --config.`,
    ])
    assert.deepEqual(message(folder), [`No configuration: ${folder} is a folder. Name its file with --config.`])
    chmodSync(path, 0)
    // Root may read everything.
    if (process.getuid?.() !== 0) assert.match(message(path)[0] ?? '', /may not be read by the user of this process/)
  })
})

describe('what a file refers to', () => {
  const TEXT = `${MINIMAL.replace('ledger.sqlite', `\${env:LEDGER}`)}listen:
  tokens:
    - \${env:TOKEN}
    - \${file:secrets/token}
  tls:
    cert: secrets/tls.crt
    key: secrets/tls.key
    ca: secrets/tls.crt
`
  /** The file, with secrets beside it but for those that are left out. */
  function withSecrets(t: TestContext, secrets: Readonly<Record<string, string>>): GatewayConfigFile {
    const file = read(t, TEXT)
    const folder = join(dirname(file.path), 'secrets')
    mkdirSync(folder)
    for (const [name, text] of Object.entries(secrets)) writeFileSync(join(folder, name), text)
    return file
  }
  const SECRETS = { token: 'hunter3-hunter3-hunter3\n', 'tls.crt': contents('tls.crt'), 'tls.key': contents('tls.key') }
  const ENV = { TOKEN: 'hunter2-hunter2-hunter2', LEDGER: 'postgresql://meter:hunter4@db/x' }

  test('is read from the environment and from files beside it', t => {
    const file = withSecrets(t, SECRETS)
    assert.equal(file.config.ledger, `\${env:LEDGER}`)
    assert.deepEqual(file.readReferences(ENV), {
      ledger: 'postgresql://meter:hunter4@db/x',
      senders: [
        { name: 'token-1', token: 'hunter2-hunter2-hunter2' },
        { name: 'token-2', token: 'hunter3-hunter3-hunter3' },
      ],
      tls: { cert: SECRETS['tls.crt'], key: SECRETS['tls.key'], ca: SECRETS['tls.crt'] },
    })
    const { ledger } = file.readReferences({ ...ENV, LEDGER: 'ledger.sqlite' })
    assert.equal(ledger, join(dirname(file.path), 'ledger.sqlite'))
  })

  test('may be missing, all of which is said at once', t => {
    const file = withSecrets(t, {})
    const folder = join(dirname(file.path), 'secrets')
    assert.deepEqual(
      problems(() => file.readReferences({ TOKEN: '' })),
      [
        '3:9: ledger: LEDGER is not set in the environment',
        '8:7: listen.tokens.0: TOKEN is not set in the environment',
        `9:7: listen.tokens.1: there is no file at ${folder}/token`,
        `11:11: listen.tls.cert: there is no file at ${folder}/tls.crt`,
        `12:10: listen.tls.key: there is no file at ${folder}/tls.key`,
        `13:9: listen.tls.ca: there is no file at ${folder}/tls.crt`,
      ],
    )
  })

  test('may be wrong, and is not shown', t => {
    const wrong = (secrets: Record<string, string>, env = ENV) => {
      const file = withSecrets(t, { ...SECRETS, ...secrets })
      const found = problems(() => file.readReferences(env)).map(text => text.replaceAll(dirname(file.path), ''))
      assert.doesNotMatch(found.join('\n'), /hunter|PRIVATE/)
      return found
    }
    assert.deepEqual(wrong({ token: '\n' }), ['9:7: listen.tokens.1: /secrets/token is empty'])
    assert.deepEqual(wrong({ token: 'hunter2-hunter2\nhunter3-hunter3\n' }, { ...ENV, TOKEN: 'hunter2' }), [
      `8:7: listen.tokens.0: expected a token of 16 or more visible ASCII characters in \${env:TOKEN}, got another`,
      `9:7: listen.tokens.1: expected a token of 16 or more visible ASCII characters in \${file:secrets/token}, got another`,
    ])
    const certificate = '11:5: listen.tls: expected a certificate and its key in PEM; OpenSSL says: '
    const both = { ...ENV, TOKEN: 'hunter3-hunter3-hunter3' }
    assert.deepEqual(wrong({}, both), [
      '9:7: listen.tokens.1: expected a token of its own, got the one of listen.tokens.0',
    ])
    assert.deepEqual(wrong({ 'tls.key': contents('other.key') }), [`${certificate}key values mismatch`])
    assert.deepEqual(wrong({ 'tls.key': 'hunter2' }), [`${certificate}unsupported`])
  })

  test('may be of senders with names and rights', t => {
    const file = read(
      t,
      `${MINIMAL}listen:
  tokens:
    - \${env:TOKEN}
    - name: eu-cluster
      token: \${env:TOKEN_EU}
      customers: ['111122223333', 'arn:aws:license-manager::1:license:l-1', cUsToMeR]
      dimensions: [tokens]
      limits: { customersPerDay: 5, seriesPerDay: 100 }
    - { name: prometheus, token: '\${env:TOKEN_P}', customers: [] }
`,
    )
    const env = { TOKEN: 'a'.repeat(16), TOKEN_EU: 'b'.repeat(16), TOKEN_P: 'c'.repeat(16) }
    assert.deepEqual(file.readReferences(env).senders, [
      { name: 'token-1', token: env.TOKEN },
      {
        ...{ name: 'eu-cluster', token: env.TOKEN_EU },
        customers: new Set(['111122223333', 'arn:aws:license-manager::1:license:l-1', 'cUsToMeR']),
        dimensions: new Set(['tokens']),
        limits: { customers: 5, series: 100 },
      },
      { name: 'prometheus', token: env.TOKEN_P, customers: new Set() },
    ])
  })
})
