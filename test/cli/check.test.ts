import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { buffer, text } from 'node:stream/consumers'
import { describe, type TestContext, test } from 'node:test'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { OTLPMetricExporter } from '@opentelemetry/exporter-metrics-otlp-proto'
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics'
import { findingsOf } from '../../src/cli/check/findings.ts'
import { findingsJson } from '../../src/cli/check/findings-report.ts'
import { readPayload } from '../../src/cli/check/payload.ts'
import { jsonSchema } from '../../src/gateway/config/json-schema.ts'
import { decodeJson } from '../../src/gateway/otlp/json.ts'
import { read } from '../../src/gateway/reading.ts'
import { HOUR, SECOND } from '../../src/ledger/hours.ts'
import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import { formatAmount } from '../../src/usage/amount.ts'
import { UsageMapper } from '../../src/usage/mapper.ts'
import type { UsageOptions } from '../../src/usage/options.ts'
import { folder, MAIN, run } from './support.ts'

const CONFIG = `productCode: prod
region: us-east-1
ledger: postgresql://meter@db/usage
dimensions:
  tokens-1k: { unit: '{token}', per: 1000, maxQuantity: 1000000, alertQuantity: 200000, from: { metric: my.tokens, unit: '1' }, allocations: [{ tag: team, attribute: app.team }, model] }
  gpu-hours:
    unit: h
    from:
      - { metric: gpu.allocated, value: integral, unit: '{gpu}', maxGap: 90s }
      - { metric: gpu.time, attributes: { tier: [gold, premium], error.type: null } }
customer: { accountId: account }
listen:
  http: 0.0.0.0:4318
  grpc: off
  tokens: [ '\${env:GATEWAY_TOKEN}' ]
`
const USAGE: UsageOptions = {
  productCode: 'prod',
  dimensions: {
    'tokens-1k': { unit: '{token}', per: 1000, from: { metric: 'my.tokens', unit: '1' } },
    'gpu-hours': {
      unit: 'h',
      from: [
        { metric: 'gpu.allocated', value: 'integral', unit: '{gpu}', maxGap: 90 * SECOND },
        { metric: 'gpu.time', attributes: { tier: ['gold', 'premium'], 'error.type': null } },
      ],
    },
  },
  customer: { accountId: 'account' },
}

const START = Date.parse('2026-11-21T09:00:00Z')
const nano = (seconds: number) => `${START + seconds * SECOND}000000`

type Attributes = Record<string, string>
const attributes = (values: Attributes) =>
  Object.entries(values).map(([key, stringValue]) => ({ key, value: { stringValue } }))
/** A point so many seconds after the start. */
const point = (seconds: number, value: number, more: Attributes = {}, start = 0) => ({
  attributes: attributes(more),
  startTimeUnixNano: nano(start),
  timeUnixNano: nano(seconds),
  asDouble: value,
})
type Point = ReturnType<typeof point>

const sum = (name: string, unit: string, temporality: 1 | 2, ...dataPoints: Point[]) => {
  return { name, unit, sum: { aggregationTemporality: temporality, isMonotonic: true, dataPoints } }
}
const gauge = (name: string, ...dataPoints: Point[]) => ({ name, unit: '{gpu}', gauge: { dataPoints } })

const payload = (...metrics: object[]) => ({
  resourceMetrics: [
    {
      resource: { attributes: attributes({ account: '111122223333' }) },
      scopeMetrics: [{ scope: { name: 'app' }, metrics }],
    },
  ],
})

const EVERYTHING = payload(
  sum('my.tokens', '', 2, point(60, 5000), point(120, 7500), point(120, 7500)),
  sum(
    'gpu.time',
    's',
    1,
    point(60, 7200, { tier: 'gold' }),
    point(60, 100, { tier: 'free' }),
    point(60, 1800, { tier: 'premium', account: '12' }),
    point(60, -1, { tier: 'premium' }),
  ),
  gauge('gpu.allocated', point(60, 2), point(120, 2), point(3600, 2)),
  gauge('process.memory', point(60, 1), point(120, 2)),
)

/** A folder with the configuration, where commands are run. */
function scene(t: TestContext, config = CONFIG) {
  const directory = folder(t)
  const path = join(directory, 'gateway.yaml')
  writeFileSync(path, config)
  return {
    path,
    write: (name: string, content: string | Uint8Array) => {
      writeFileSync(join(directory, name), content)
      return join(directory, name)
    },
    check: (...args: string[]) => run(['check', path, ...args]),
  }
}

describe('check', () => {
  test('says what a configuration comes to', async t => {
    const { path, check } = scene(t)
    const { status, stdout, stderr } = await check()
    assert.equal(
      stdout,
      `${path} is right.

Product     prod in us-east-1
Dimensions  tokens-1k: 1,000 token, told above 200,000, held above 1,000,000
              sum of my.tokens
              bill split by model, team (attribute app.team)
            gpu-hours: h
              integral of gpu.allocated
              sum of gpu.time where tier "gold" or "premium", error.type absent
Customer    accountId: attribute account of the point, else of its resource
Listens     HTTP at 0.0.0.0:4318
            without TLS, with a token
            token-1 may bill any customer
Ledger      postgresql://db/usage
`,
    )
    // Elsewhere it may be there.
    assert.equal(
      stderr,
      `Here it could not start yet:\n${path}:15:13: listen.tokens.0: GATEWAY_TOKEN is not set in the environment\n`,
    )
    assert.equal(status, 0)
  })

  test('says the same to programs', async t => {
    const { path, check } = scene(t, CONFIG.replace('grpc: off', "grpc: '[::1]:4317'"))
    const { status, stdout, stderr } = await check('--format', 'json')
    assert.deepEqual([status, stderr], [0, ''])
    const { dimensions, missing, ...rest } = JSON.parse(stdout)
    assert.deepEqual(rest, {
      ...{ file: path, productCode: 'prod', region: 'us-east-1', dryRun: false, ledger: 'postgresql://db/usage' },
      customer: { accountId: 'account' },
      listen: { http: '0.0.0.0:4318', grpc: '[::1]:4317', tls: false, clientCertificates: false, tokens: 1 },
    })
    assert.deepEqual(dimensions[0], {
      ...{
        name: 'tokens-1k',
        unit: '{token}',
        baseUnit: '1',
        size: '1000',
        maxQuantity: 1_000_000,
        alertQuantity: 200_000,
        included: null,
      },
      from: [{ label: 'dimensions.tokens-1k.from', metrics: ['my.tokens'], value: 'sum' }],
      allocations: [
        { tag: 'model', attribute: 'model' },
        { tag: 'team', attribute: 'app.team' },
      ],
    })
    assert.equal(missing.length, 1)
  })

  test('names every mistake on a line of its own', async t => {
    const { path, check } = scene(t, CONFIG.replace('us-east-1', 'us').replace('off', 'localhost'))
    const { status, stdout, stderr } = await check()
    assert.deepEqual([status, stdout], [2, ''])
    assert.deepEqual(stderr.split('\n'), [
      `${path}:2:9: region: expected a region such as us-east-1, here or in AWS_REGION, got "us"`,
      `${path}:14:9: listen.grpc: expected an address such as 127.0.0.1:4318 or '[::]:4317', or off, got "localhost"`,
      '',
    ])
    const missing = await run(['check', join(path, '..', 'other.yaml')])
    assert.deepEqual([missing.status, missing.stdout], [2, ''])
    assert.match(missing.stderr, /^No configuration: there is no file at .*other\.yaml\./)
  })

  test('prints the schema for editors', async () => {
    const { status, stdout } = await run(['check', '--schema'])
    assert.equal(status, 0)
    assert.deepEqual(JSON.parse(stdout), JSON.parse(JSON.stringify(jsonSchema())))
  })
})

describe('check --payload', () => {
  test('says of each point what would be billed and why', async t => {
    const { write, check } = scene(t)
    const { status, stdout } = await check('--payload', write('p.json', JSON.stringify(EVERYTHING, null, 2)))
    assert.equal(status, 0)
    const [points = '', unnamed, reasons, alarms, bill = ''] = stdout.split('\n\n')
    assert.deepEqual(
      points.split('\n').map(line => line.replace(/ {2,}/g, '  ').trimEnd()),
      [
        'TIME  METRIC  ATTRIBUTES  VALUE  DIMENSION  CUSTOMER  USAGE  RULE  WHY',
        '2026-11-21T09:01Z  my.tokens  {}  5000  tokens-1k  111122223333  0  first-contact  baseline',
        '2026-11-21T09:01Z  gpu.time  {"tier":"gold"}  7200  gpu-hours  111122223333  2  delta  counted',
        '2026-11-21T09:01Z  gpu.time  {"tier":"free"}  100  -  -  0  -  no-rule',
        '2026-11-21T09:01Z  gpu.time  {"account":"12","tier":"premium"}  1800  gpu-hours  u-3d45540c  0.5  delta  malformed-customer',
        '2026-11-21T09:01Z  gpu.time  {"tier":"premium"}  -1  -  -  0  -  negative',
        '2026-11-21T09:01Z  gpu.allocated  {}  2  gpu-hours  111122223333  0  level  first-level',
        '2026-11-21T09:02Z  my.tokens  {}  7500  tokens-1k  111122223333  2.5  goes-on  counted',
        '2026-11-21T09:02Z  my.tokens  {}  7500  tokens-1k  111122223333  0  goes-on  nothing-new',
        '2026-11-21T09:02Z  gpu.allocated  {}  2  gpu-hours  111122223333  ~0.033  level  counted',
        '2026-11-21T10Z  gpu.allocated  {}  2  gpu-hours  111122223333  0  waits  waits',
      ],
    )
    assert.equal(unnamed, 'No rule names these:\n  process.memory (2)')
    assert.deepEqual(
      reasons?.split('\n').map(line => line.slice(0, line.indexOf(':'))),
      [
        ...['first-contact', 'baseline', 'delta', 'no-rule', 'malformed-customer', 'negative'],
        ...['level', 'first-level', 'goes-on', 'nothing-new', 'waits'],
      ],
    )
    assert.match(alarms ?? '', /^Look at this:\n {2}Two sources feed gpu-hours of the same customer: /)
    assert.deepEqual(
      bill.split('\n').map(line => line.replace(/ {2,}/g, '  ').trimEnd()),
      [
        'What would be billed, by a ledger that has metered since 2026-11-21T09:01Z; another beginning is for --since:',
        '  CUSTOMER  DIMENSION  UNIT  USAGE  BILLED',
        '  111122223333  gpu-hours  h  ~2.033  2',
        '  u-3d45540c  gpu-hours  h  0.5  0',
        '  111122223333  tokens-1k  1,000 token  2.5  2',
        '  Whole units are; the rest stays in the balance. For what is unattributed nobody is billed.',
        '',
      ],
    )
  })

  test('says that contracts include some of it, and what is no tag', async t => {
    const included = 'included: { entitlement: committed, unit: 1000000, per: term }'
    const { write, check } = scene(t, CONFIG.replace('per: 1000,', `per: 1000, ${included},`))
    assert.match(
      (await check()).stdout,
      /\n +contracts include AWS's committed \(of 1,000 × 1,000 token each\) a term, which is not metered\n/,
    )
    const tagged = (model: string) => point(60, 2000, { model }, 1)
    const file = write('p.json', JSON.stringify(payload(sum('my.tokens', '', 1, tagged('größe'), tagged('naïve')))))
    const { stdout } = await check('--payload', file)
    assert.match(stdout, /\n\nLook at this:\n {2}my\.tokens has points whose model is no tag's value: [^\n]*\n\n/)
    assert.match(stdout, /\n {2}Less what contracts include of tokens-1k: only the ledger knows\.\n$/)
  })

  test('counts from the beginning where metering began before', async t => {
    const { write, check } = scene(t)
    const file = write('p.json', JSON.stringify(EVERYTHING))
    const { stdout } = await check('--payload', file, '--since', '2026-11-21T09', '--format', 'json')
    const { since, bill, points } = JSON.parse(stdout).payload
    assert.equal(since, '2026-11-21T09:00:00.000Z')
    assert.deepEqual(
      bill.map((line: { dimension: string; amount: string; quantity: string }) => [
        line.dimension,
        line.amount,
        line.quantity,
      ]),
      [
        ['tokens-1k', '7500', '7'],
        ['gpu-hours', '7320', '2'],
        ['gpu-hours', '1800', '0'],
      ],
    )
    assert.deepEqual(points[0], {
      time: '2026-11-21T09:01:00.000Z',
      ...{ metric: 'my.tokens', attributes: {}, value: '5000', dimension: 'tokens-1k', amount: '5000' },
      account: { kind: 'customer', key: 'prod,111122223333', product: 'prod', accountId: '111122223333' },
      ...{ rule: 'own-start', reason: null, message: null },
    })
    const bad = await check('--payload', file, '--since', 'yesterday')
    assert.equal(bad.status, 2)
  })

  test('reads lines as the Collector writes them, packed or not, and standard input', async t => {
    const { path, write } = scene(t)
    const lines = [5000, 7500, 9000].map((tokens, index) =>
      JSON.stringify(payload(sum('my.tokens', '', 2, point(60 * (index + 1), tokens)))),
    )
    const content = `${lines.join('\n\n')}\n`
    const files = [write('a', content), write('b', gzipSync(content)), write('c', zstdCompressSync(content))]
    for (const file of files) assert.equal((await readPayload(file)).length, 3)
    const child = spawn(process.execPath, [MAIN, 'check', path, '--payload', '-'], {
      stdio: ['pipe', 'pipe', 'ignore'],
    })
    child.stdin.end(gzipSync(content))
    assert.match(await text(child.stdout), /\n {2}111122223333 {2}tokens-1k {2}1,000 token {6}4 {7}4\n/)
  })

  test('reads what the official exporter sends', async t => {
    const { write, check } = scene(t)
    const bodies: Buffer[] = []
    const receiver = createServer(async (request, response) => {
      bodies.push(await buffer(request))
      response.end()
    })
    await new Promise<void>(resolve => receiver.listen(0, '127.0.0.1', resolve))
    t.after(() => receiver.close())
    const { port } = receiver.address() as AddressInfo
    const exporter = new OTLPMetricExporter({ url: `http://127.0.0.1:${port}/v1/metrics` })
    const provider = new MeterProvider({ readers: [new PeriodicExportingMetricReader({ exporter })] })
    provider.getMeter('app').createCounter('my.tokens').add(2500, { account: '111122223333' })
    await provider.shutdown()
    const [body] = bodies
    assert.ok(body)
    const file = write('payload.pb', body)
    const { stdout } = await check('--payload', file, '--since', '1h')
    assert.match(stdout, /my\.tokens .* 2500 .* 111122223333 .* 2\.5 .*counted/)
    assert.match(stdout, /111122223333 .* 2\.5 {7}2\n/)
  })

  test('says what is wrong with one', async t => {
    const { write, check } = scene(t)
    const cases: [file: string, expected: RegExp][] = [
      [write('empty', ''), /^Expected an ExportMetricsServiceRequest, and .*empty is empty\.$/],
      [write('text', 'hello'), /text: byte \d+: expected an ExportMetricsServiceRequest in protobuf/],
      [write('lines', '{"resourceMetrics":[]}\n\n{"resourceMetrics":5}'), /lines, line 3: resourceMetrics: /],
      [write('cut.gz', gzipSync('{}').subarray(0, 12)), /^Cannot unpack .*cut\.gz: unexpected end of file\.$/],
      ['nowhere', /^Cannot read nowhere: ENOENT/],
    ]
    for (const [file, message] of cases) await assert.rejects(readPayload(file), { code: 'ERR_PAYLOAD', message })
    const [wrong, nothing] = await Promise.all([
      check('--payload', 'nowhere'),
      check('--payload', write('nothing.json', '{}')),
    ])
    assert.deepEqual([wrong.status, wrong.stdout], [2, ''])
    assert.match(wrong.stderr, /^error: Cannot read nowhere: ENOENT.*\(ERR_PAYLOAD\)\n$/)
    assert.deepEqual([nothing.status, nothing.stdout], [0, 'No rule names any of its metrics.\n'])
  })

  test('says what is wrong with counters that several processes share, and of what is held why', () => {
    const values = [1000, 1005, 1010, 10, 1015, 1020]
    const points = values.map((value, index) => ({ ...point(60 * (index + 1), value), startTimeUnixNano: '0' }))
    const request = decodeJson(JSON.stringify(payload(sum('my.tokens', '', 2, ...points))), () => true)
    const findings = findingsOf(new UsageMapper(USAGE, { gauges: true }), [request]).points
    assert.deepEqual(
      findings.map(({ rule, reason }) => [rule, reason]),
      [
        ['first-contact', 'baseline'],
        ['by-values', undefined],
        ['by-values', undefined],
        ['waits', 'waits'],
        ['several-writers', 'shared-identity'],
        ['several-writers', 'several-writers'],
      ],
    )
    for (const { message } of findings.slice(4)) assert.match(message ?? '', /give each a service\.instance\.id/)
  })

  test('agrees with what a gateway brings into its ledger', async t => {
    const mapper = () => new UsageMapper(USAGE, { gauges: true })
    const request = decodeJson(JSON.stringify(EVERYTHING), () => true)
    for (const since of [START, START + 60 * SECOND, START + 90 * SECOND]) {
      const metered = mapper()
      const ledger = new SqliteLedger({ path: join(folder(t), 'ledger.sqlite') })
      await ledger.register(metered.dimensions, { product: 'prod', now: since, metrics: metered.sources })
      const { observations } = read(metered, request, START + 2 * HOUR)
      await ledger.append({ writer: 'a'.repeat(32), sequence: 1, entries: [], observations })
      const recorded = (await ledger.statement()).map(line => [
        line.account.key,
        line.dimension.name,
        formatAmount(line.recorded),
      ])
      await ledger.close()
      const dimensions = new Map(metered.dimensions.map(dimension => [dimension.name, dimension]))
      const { bill } = findingsJson(findingsOf(mapper(), [request], since), dimensions) as {
        bill: { account: { key: string }; dimension: string; amount: string }[]
      }
      const said = bill.map(({ account, dimension, amount }) => [account.key, dimension, amount])
      assert.deepEqual(said.sort(), recorded.filter(([, , amount]) => amount !== '0').sort())
    }
  })
})
