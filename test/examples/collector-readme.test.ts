import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { cpSync, existsSync, globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { parse } from 'yaml'
import { Gateway } from '../../src/gateway/gateway.ts'
import { MINUTE } from '../../src/ledger/hours.ts'
import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import { MarketplaceSimulator, simulatorClient } from '../../src/simulator/index.ts'
import { UsageMapper } from '../../src/usage/mapper.ts'
import type { UsageOptions } from '../../src/usage/options.ts'
import { TemporaryFolder } from '../ledger/sqlite-under-test.ts'
import { readGateway, textOfExample } from './collector-gateway.ts'

const FILE = fileURLToPath(new URL('../../examples/collector/README.md', import.meta.url))
const README = readFileSync(FILE, 'utf8')
const TOKEN = 'a-token-of-the-tests'
const run = promisify(execFile)

const commands = [...README.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, text]) => text as string)

/** The command that the README has for this, as a reader would copy it, sent to a gateway instead. */
async function sendTo(address: string | undefined, command: string, env: NodeJS.ProcessEnv = {}): Promise<string> {
  const text = command.replaceAll(/http:\/\/127\.0\.0\.1:43\d8/g, `http://${address}`)
  const { stdout } = await run('sh', ['-c', text], { env: { PATH: process.env.PATH, ...env } })
  return stdout
}

test('the commands that send usage are right', async () => {
  using folder = new TemporaryFolder()
  const options = readGateway(textOfExample('gateway-billing.yaml'))
  const ledger = new SqliteLedger({ path: folder.file() })
  const client = simulatorClient(new MarketplaceSimulator())
  // As where the gateway has been running for a minute.
  const { productCode, dimensions, customer } = options
  const mapper = new UsageMapper({ productCode, dimensions, customer } as UsageOptions, { gauges: true })
  const [product, now, metrics] = ['your-product-code', Date.now() - MINUTE, mapper.sources]
  await ledger.register(mapper.dimensions, { product, now, metrics })
  const [usage = '', trial = ''] = commands.filter(command => command.includes('curl'))
  const { senders: _, ...open } = options
  const common = { ...open, ledger, client }
  // A Collector has no token.
  const collector = await Gateway.start({ ...common, http: { port: 0 } })
  const gateway = await Gateway.start({ ...common, http: { port: 0 }, senders: [{ name: 'collector', token: TOKEN }] })
  try {
    assert.equal(await sendTo(collector.addresses.http, `${usage}\n${usage.slice(usage.indexOf('curl'))}`), '{}{}')
    const lines = await ledger.statement()
    assert.deepEqual(
      lines.map(({ account, dimension, recorded }) => [account.key, dimension.name, recorded]),
      [['your-product-code,111122223333', 'tokens-processed', 250_000_000n]],
    )
    assert.match(await sendTo(gateway.addresses.http, trial, { METERING_TOKEN: TOKEN }), /^HTTP\/1\.1 200 /)
    assert.match(await sendTo(gateway.addresses.http, trial, { METERING_TOKEN: 'other' }), /^HTTP\/1\.1 401 /)
  } finally {
    await gateway.close()
    await collector.close()
    await ledger.close()
  }
})

test('the files that its commands name are there', () => {
  for (const [, path = ''] of commands.join('\n').matchAll(/(?:-f |--from-file=[\w.]+=)(\S+)/g)) {
    assert.ok(existsSync(join(dirname(FILE), path)), path)
  }
})

test('the command that pins images writes digests into the files', async () => {
  using folder = new TemporaryFolder()
  const digest = `sha256:${'0123456789abcdef'.repeat(4)}`
  cpSync(dirname(FILE), folder.file('collector'), { recursive: true })
  mkdirSync(folder.file('bin'))
  writeFileSync(folder.file('bin/docker'), `#!/bin/sh\necho ${digest}\n`, { mode: 0o755 })
  const [pin = ''] = commands.filter(command => command.includes('imagetools'))
  const env = { PATH: `${folder.file('bin')}:${process.env.PATH}` }
  // Twice changes nothing more.
  for (let time = 0; time < 2; time++) await run('sh', ['-c', pin], { cwd: folder.file('collector'), env })
  const images = globSync('{*,kubernetes/*}', { cwd: folder.file('collector') })
    .filter(name => /\.yaml$|^Dockerfile$/.test(name))
    .flatMap(name => readFileSync(folder.file(`collector/${name}`), 'utf8').match(/^.*(image:|NODE_IMAGE=).*$/gm) ?? [])
    .filter(line => !line.includes('marketplace-gateway') && !line.includes('inference-server'))
  assert.ok(images.length >= 5)
  for (const line of images) assert.match(line, new RegExp(`:[\\w.-]+@${digest}$`))
})

test('what the README adds to the gateway’s file is right', () => {
  const blocks = [...README.matchAll(/^ *```yaml\n([\s\S]*?)^ *```$/gm)].map(([, text]) => parse(text as string))
  const text = textOfExample('gateway-billing.yaml')
  const { listen } = blocks.find(block => block.listen?.tls)
  const [entry] = blocks.find(block => Array.isArray(block)) ?? []
  const { senders = [], http } = readGateway(text, written => {
    Object.assign(written.listen, { tls: listen.tls })
    written.listen.tokens.push(entry)
  })
  assert.deepEqual(senders.map(({ name }) => name).sort(), ['collector', 'collector-2', 'prometheus'])
  assert.ok(http?.tls?.cert)

  const { exporters } = blocks.find(block => block.exporters)
  const [exporter] = Object.keys(exporters)
  assert.ok(textOfExample('collector-billing.yaml').includes(`\n  ${exporter}:\n`))
  const [job] = blocks.find(block => block.scrape_configs).scrape_configs
  assert.equal(job.relabel_configs[0].regex, 'gateway')
})

test('every address of PostgreSQL that is shown has TLS, and checks whose it is', () => {
  const root = join(dirname(FILE), '../..')
  const files = globSync(['README.md', 'src/**/*.md', 'examples/**/*.{md,yaml}'], { cwd: root })
  const shown = files.flatMap(file => {
    // An ellipsis stands for any address.
    return [...readFileSync(join(root, file), 'utf8').matchAll(/postgresql:\/\/[^…\s`'")]+/g)].map(([text]) => text)
  })
  assert.ok(shown.length >= 3)
  for (const address of shown) assert.match(address, /[?&]sslmode=verify-full/)
})
