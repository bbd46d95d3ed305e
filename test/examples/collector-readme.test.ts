import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
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

test('what the README and its commands name is there', () => {
  for (const [, path = ''] of README.matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g)) {
    if (!path.startsWith('http')) assert.ok(existsSync(join(dirname(FILE), path)), path)
  }
  for (const [, path = ''] of commands.join('\n').matchAll(/(?:-f |--from-file=[\w.]+=)(\S+)/g)) {
    assert.ok(existsSync(join(dirname(FILE), path)), path)
  }
})
