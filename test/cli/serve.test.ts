import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { Agent, request } from 'node:https'
import { type AddressInfo, connect, createServer as createTcpServer } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { describe, type TestContext, test } from 'node:test'
import { OTLPMetricExporter } from '@opentelemetry/exporter-metrics-otlp-grpc'
import { AggregationTemporality, MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics'
import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import { formatAmount } from '../../src/usage/amount.ts'
import { Serving } from './serve-support.ts'
import { run } from './support.ts'

const CONFIG = `productCode: prod
region: us-east-1
ledger: ledger.sqlite
dimensions:
  tokens: { unit: '{token}', from: { metric: my.tokens, unit: '1' } }
customer: { accountId: account }
listen: { http: 127.0.0.1:0, grpc: 127.0.0.1:0 }
metering: { endpoint: 'http://127.0.0.1:1' }
`
const HTTP_ONLY = CONFIG.replace('grpc: 127.0.0.1:0', 'grpc: off')

/** Used now: what was used before the gateway began to meter is none of its usage. */
const tokens = () =>
  JSON.stringify({
    resourceMetrics: [
      {
        resource: { attributes: [{ key: 'account', value: { stringValue: '111122223333' } }] },
        scopeMetrics: [
          {
            scope: { name: 'app' },
            metrics: [
              {
                name: 'my.tokens',
                sum: {
                  aggregationTemporality: 1,
                  isMonotonic: true,
                  dataPoints: [{ startTimeUnixNano: '1', timeUnixNano: `${Date.now()}000000`, asInt: '250' }],
                },
              },
            ],
          },
        ],
      },
    ],
  })

const send = (address: string, headers: Record<string, string> = {}, body = tokens()) =>
  fetch(`http://${address}/v1/metrics`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body,
  })

/** What a ledger has recorded: dimension and amount. */
async function recorded({ folder }: Serving): Promise<string[][]> {
  const ledger = new SqliteLedger({ path: join(folder, 'ledger.sqlite'), readOnly: true })
  const lines = await ledger.statement()
  await ledger.close()
  return lines.map(line => [line.account.key, line.dimension.name, formatAmount(line.recorded)])
}

/** Keeps a port busy, and says nothing to whom it hears. */
async function listening(t: TestContext) {
  const server = createTcpServer(socket => socket.on('error', () => {}))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  return { port: (server.address() as AddressInfo).port, heard: once(server, 'connection') }
}

describe('serve', { concurrency: 2 }, () => {
  test('takes OTLP over both transports until SIGTERM, and what it took is in the ledger', async t => {
    const serving = new Serving(t, CONFIG)
    const { http, grpc } = await serving.ready()
    assert.equal((await send(http)).status, 200)
    const exporter = new OTLPMetricExporter({
      url: `http://${grpc}`,
      temporalityPreference: AggregationTemporality.DELTA,
    })
    const provider = new MeterProvider({ readers: [new PeriodicExportingMetricReader({ exporter })] })
    provider.getMeter('app').createCounter('my.tokens').add(40, { account: '111122223333' })
    await provider.shutdown()
    assert.equal(await (await fetch(`http://${http}/healthz`)).text(), 'ok\n')
    assert.equal((await fetch(`http://${http}/readyz`)).status, 200)
    assert.match(await (await fetch(`http://${http}/`)).text(), /<html/)
    assert.equal(await serving.stop(), 0)
    assert.deepEqual(await recorded(serving), [['prod,111122223333', 'tokens', '290']])

    // Elsewhere than on a terminal, lines for programs.
    const lines = serving.lines.map(line => JSON.parse(line))
    for (const { time, level, message, ...rest } of lines) {
      assert.deepEqual([new Date(time).toISOString(), typeof message, rest], [time, 'string', {}])
      assert.ok(['info', 'warn', 'error'].includes(level))
    }
    assert.deepEqual(
      lines.filter(({ level }) => level !== 'error').map(({ level, message }) => [level, message]),
      [
        [
          'info',
          `Takes OTLP over HTTP at ${http}. Send to it with OTEL_EXPORTER_OTLP_ENDPOINT=http://${http} OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf`,
        ],
        [
          'info',
          `http://${http}/ is the status page. For probes and Prometheus: http://${http}/healthz, http://${http}/readyz and http://${http}/metrics`,
        ],
        [
          'info',
          `Takes OTLP over gRPC at ${grpc}. Send to it with OTEL_EXPORTER_OTLP_ENDPOINT=http://${grpc} OTEL_EXPORTER_OTLP_PROTOCOL=grpc`,
        ],
        ['info', `Meters prod in us-east-1. Usage is kept in ${serving.folder}/ledger.sqlite`],
        ['warn', 'Usage records go to http://127.0.0.1:1 instead of AWS: metering.endpoint says so.'],
        ['info', 'SIGTERM: answering what was accepted. A second signal ends it at once.'],
        ['info', 'Stopped.'],
      ],
    )
  })

  test('asks for tokens, and shows neither them nor account ids', async t => {
    const config =
      `${HTTP_ONLY.replace('127.0.0.1:0', '0.0.0.0:0')}telemetry: { logLevel: debug, logFormat: text }\n`.replace(
        'grpc: off',
        `grpc: off, tokens: ['\${env:TOKEN}', '\${env:OTHER}']`,
      )
    const serving = new Serving(t, config, {
      TOKEN: 'hunter2-hunter2-hunter2',
      OTHER: 'hunter3-hunter3-hunter3',
      OTEL_LOG_LEVEL: 'error',
    })
    const address = (await serving.ready()).http.replace('0.0.0.0', '127.0.0.1')
    assert.equal((await send(address)).status, 401)
    assert.equal((await send(address, { authorization: 'Bearer hunter4' })).status, 401)
    assert.equal((await send(address, { authorization: 'Bearer hunter3-hunter3-hunter3' })).status, 200)
    serving.kill('SIGINT')
    assert.equal(await serving.exit(), 0)
    assert.match(
      serving.text,
      /^(?:\d{4}-\d\d-\d\dT[\d:.]+Z debug .*\n)+\d{4}-\d\d-\d\dT[\d:.]+Z info {2}Takes OTLP over HTTP at 0\.0\.0\.0:\d+\. /,
    )
    assert.match(serving.text, /OTEL_EXPORTER_OTLP_HEADERS=Authorization=Bearer%20<token>\n/)
    assert.match(serving.text, /info {2}SIGINT: answering/)
    assert.doesNotMatch(serving.text, /hunter|111122223333/)
    assert.deepEqual(await recorded(serving), [['prod,111122223333', 'tokens', '250']])
  })

  test('reads tokens again at SIGHUP and when their file changes, and goes on where they are wrong', async t => {
    const config = HTTP_ONLY.replace('grpc: off', `grpc: off, tokens: [{ name: eu, token: '\${file:token}' }]`)
    const serving = new Serving(t, config, {}, undefined, { token: 'first-token-of-eu' })
    const { http } = await serving.ready()
    await serving.logged(/The token of eu may bill any customer: listen\.tokens can say which/)
    const answer = async (token: string) => (await send(http, { authorization: `Bearer ${token}` })).status
    assert.equal(await answer('first-token-of-eu'), 200)
    writeFileSync(join(serving.folder, 'token'), 'short')
    serving.kill('SIGHUP')
    await serving.logged(
      /tokens and certificates stay as they were\. .*7:\d+: listen\.tokens\.0\.token: expected a token of/,
    )
    assert.equal(await answer('first-token-of-eu'), 200)
    writeFileSync(join(serving.folder, 'token'), 'second-token-of-eu')
    await serving.logged(/A file of tokens or certificates has changed: from now on the tokens of eu are good/)
    assert.deepEqual([await answer('first-token-of-eu'), await answer('second-token-of-eu')], [401, 200])
    writeFileSync(join(serving.folder, 'gateway.yaml'), `${config}statusPage: false\n`)
    serving.kill('SIGHUP')
    await serving.logged(/gateway\.yaml says more that is new: only tokens and certificates change without a restart/)
    assert.equal(await serving.stop(), 0)
    assert.doesNotMatch(serving.text, /token-of-eu/)
  })

  test('warns of an address that everybody may send to', async t => {
    const serving = new Serving(
      t,
      HTTP_ONLY.replace('127.0.0.1:0', '0.0.0.0:0')
        .replace('endpoint', 'dryRun: true, endpoint')
        .replace('us-east-1', 'us-gov-west-1'),
    )
    const { http } = await serving.ready()
    await serving.logged(/Dry run: nothing is sent, and nobody is billed/)
    await serving.logged(
      /"error","message":"AWS takes no usage records in us-gov-west-1: GovCloud has no BatchMeterUsage/,
    )
    assert.match(
      serving.text,
      new RegExp(`"warn","message":"Whoever reaches ${http} can have usage billed: set listen`),
    )
    assert.equal(await serving.stop(), 0)
  })

  test('goes on where nobody reads its log', async t => {
    // As the variables say that a simulator prints.
    const simulated = { AWS_ENDPOINT_URL_MARKETPLACE_METERING: 'http://127.0.0.1:1' }
    const serving = new Serving(t, HTTP_ONLY.replace(/^metering.*\n/m, ''), simulated)
    const { http } = await serving.ready()
    await serving.logged(/go to http:..127\.0\.0\.1:1 instead of AWS: AWS_ENDPOINT_URL_MARKETPLACE_METERING says so/)
    serving.stopReading()
    // What it has to say of this one goes nowhere.
    assert.equal((await send(http, {}, tokens().replace('111122223333', '12'))).status, 200)
    assert.equal((await send(http)).status, 200)
    assert.equal(await serving.stop(), 0)
  })

  test('speaks TLS', async t => {
    const pem = (name: string) => readFileSync(new URL(`../gateway/config/${name}`, import.meta.url), 'utf8')
    const tls = 'grpc: off, tls: { cert: tls.crt, key: tls.key, ca: tls.crt }'
    const serving = new Serving(t, HTTP_ONLY.replace('grpc: off', tls))
    for (const name of ['tls.crt', 'tls.key']) writeFileSync(join(serving.folder, name), pem(name))
    const { http } = await serving.ready()
    const get = (identity: object) =>
      new Promise<string>((resolve, reject) => {
        const agent = new Agent({ ca: pem('tls.crt'), ...identity })
        const call = request(`https://${http}/healthz`, { agent }, response => resolve(text(response)))
        call.on('error', reject).end()
      })
    assert.equal(await get({ cert: pem('tls.crt'), key: pem('tls.key') }), 'ok\n')
    await assert.rejects(get({}))
    assert.match(serving.text, /OTEL_EXPORTER_OTLP_ENDPOINT=https:\/\//)
    assert.equal(await serving.stop(), 0)
  })

  test('sends metrics of its own', async t => {
    const paths: string[] = []
    const collector = createServer((incoming, response) => {
      paths.push(`${incoming.method} ${incoming.url} ${incoming.headers.authorization}`)
      incoming.resume()
      response.end()
    })
    collector.listen(0, '127.0.0.1')
    await once(collector, 'listening')
    t.after(() => collector.close())
    const endpoint = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`
    const env = { OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Bearer%20own' }
    const serving = new Serving(t, `${HTTP_ONLY}telemetry: { endpoint: '${endpoint}/' }\n`, env)
    // Its customer is none, which it has a metric for.
    const stray = tokens().replace('111122223333', '12')
    await send((await serving.ready()).http, {}, stray)
    assert.equal(await serving.stop(), 0)
    const named = new Serving(t, HTTP_ONLY, { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint })
    await send((await named.ready()).http, {}, stray)
    assert.equal(await named.stop(), 0)
    assert.deepEqual(paths, ['POST /v1/metrics Bearer own', 'POST /v1/metrics undefined'])
  })
})

describe('serve stops', { concurrency: 2 }, () => {
  /** A request that never comes to its end. */
  async function slowRequest(t: TestContext, address: string): Promise<void> {
    const [host, port] = address.split(':') as [string, string]
    const socket = connect(Number(port), host)
    t.after(() => socket.destroy())
    socket.on('error', () => {})
    socket.write(
      `POST /v1/metrics HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 999\r\n\r\n{`,
    )
    socket.write('')
    await once(socket, 'connect')
  }

  test('at once with a second signal', async t => {
    const serving = new Serving(t, HTTP_ONLY)
    const { http } = await serving.ready()
    await slowRequest(t, http)
    // It has seen that request when it has answered a later one.
    await fetch(`http://${http}/healthz`)
    serving.kill('SIGTERM')
    await serving.logged(/SIGTERM: answering/)
    serving.kill('SIGTERM')
    assert.equal(await serving.exit(), 143)
    assert.doesNotMatch(serving.text, /Stopped/)
  })

  test('at once where it waits for its ledger', async t => {
    const { port, heard } = await listening(t)
    const serving = new Serving(t, CONFIG.replace('ledger.sqlite', `postgresql://127.0.0.1:${port}/usage`))
    await heard
    assert.equal(await serving.stop(), 143)
  })

  test('when its time is over', async t => {
    const script = `
      const { serve } = await import(${JSON.stringify(new URL('../../src/cli/serve/run.ts', import.meta.url).href)})
      await serve(process.argv.at(-1), process.env, 100)`
    const serving = new Serving(t, HTTP_ONLY, {}, ['--input-type=module', '--eval', script, '--'])
    const { http } = await serving.ready()
    await slowRequest(t, http)
    await fetch(`http://${http}/healthz`)
    serving.kill('SIGTERM')
    assert.equal(await serving.exit(), 1)
    assert.match(
      serving.text,
      /"error","message":"Not stopped within 0\.1 seconds\. What was accepted is in the ledger\."/,
    )
  })
})

describe('serve does not start, and says what to do', { concurrency: 2 }, () => {
  test('where its configuration is wrong', async t => {
    const serving = new Serving(t, CONFIG.replace('us-east-1', 'us').replace('prod\n', 'a b\n'))
    assert.equal(await serving.exit(), 2)
    const path = join(serving.folder, 'gateway.yaml')
    assert.deepEqual(serving.lines, [
      `${path}:1:14: productCode: expected 1 to 255 of the characters -a-zA-Z0-9/=:_.@, got "a b"`,
      `${path}:2:9: region: expected a region such as us-east-1, here or in AWS_REGION, got "us"`,
    ])
  })

  test('where a secret is missing', async t => {
    const serving = new Serving(t, HTTP_ONLY.replace('grpc: off', `grpc: off, tokens: ['\${env:TOKEN}']`))
    assert.equal(await serving.exit(), 2)
    assert.match(serving.text, /gateway\.yaml:7:50: listen\.tokens\.0: TOKEN is not set in the environment$/)
  })

  test('where there is no file', async () => {
    const [missing, unknown] = await Promise.all([
      run(['serve', '--config', '/nowhere/gateway.yaml']),
      run(['serve', '--confg', 'x']),
    ])
    assert.equal(missing.status, 2)
    assert.equal(
      missing.stderr,
      'No configuration: there is no file at /nowhere/gateway.yaml. Name its file with --config.\n',
    )
    assert.equal(unknown.status, 2)
  })

  test('where a port is taken', async t => {
    const { port } = await listening(t)
    const failing = [
      CONFIG.replace('grpc: 127.0.0.1:0', `grpc: 127.0.0.1:${port}`),
      CONFIG.replace('http: 127.0.0.1:0', `http: 127.0.0.1:${port}`),
      CONFIG.replace('http: 127.0.0.1:0', 'http: 192.0.2.1:4318'),
    ].map(config => new Serving(t, config))
    assert.deepEqual(await Promise.all(failing.map(serving => serving.exit())), [2, 2, 2])
    const [grpc, http, nobody] = failing.map(serving => serving.lines.at(-1) ?? '')
    const taken = new RegExp(
      `^error: Cannot listen on 127\\.0\\.0\\.1, port ${port}: .*\\. Another process has the port, an older gateway or ` +
        'a Collector perhaps: end it, or change "listen"\\. \\(ERR_GATEWAY_LISTEN\\)$',
    )
    assert.match(grpc ?? '', taken)
    assert.match(http ?? '', taken)
    assert.match(nobody ?? '', /This machine has no such address: mend "listen"/)
  })

  test('where the ledger cannot be opened', async t => {
    const folder = new Serving(t, CONFIG.replace('ledger.sqlite', 'nowhere/ledger.sqlite'))
    const foreign = new Serving(t, CONFIG.replace('ledger.sqlite', 'gateway.yaml'))
    const unknown = new Serving(t, CONFIG.replace(/ledger:.*\n/, ''), {
      MARKETPLACE_LEDGER: 'mysql://meter:hunter2@db/x',
    })
    assert.deepEqual(await Promise.all([folder.exit(), foreign.exit(), unknown.exit()]), [2, 2, 2])
    assert.match(
      folder.text,
      /^error: cannot open the ledger .*nowhere\/ledger\.sqlite: there is no folder .*nowhere; make it, or name a file in another\. It is named by "ledger" in .*gateway\.yaml, or by MARKETPLACE_LEDGER\. \(ERR_LEDGER_IO\)$/,
    )
    assert.match(foreign.text, /^error: .*gateway\.yaml.* \(ERR_LEDGER_FOREIGN\)$/)
    assert.doesNotMatch(unknown.text, /hunter2/)
    assert.match(
      unknown.text,
      /gateway\.yaml:1:1: ledger: expected a ledger's path, postgresql:.* in MARKETPLACE_LEDGER, got something else, which is not shown: /,
    )
  })
})
