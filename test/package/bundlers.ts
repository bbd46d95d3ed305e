import assert from 'node:assert/strict'
import { once } from 'node:events'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { promisify } from 'node:util'
import { billsAcrossStarts, FIRST_SAMPLE } from '../readme/first-sample.ts'
import { atOurs, Project, sampleNeeds } from './project.ts'

/**
 * Bundles the README's first sample, with what the README tells it to install and nothing else, and runs what came out:
 * beside the project's `node_modules`, and by itself in another folder.
 */

const BUNDLERS = ['webpack@5.113.0', 'rollup@4.68.8', 'next@16.4.6', 'react@19.2.8', 'react-dom@19.2.8']
const PLUGINS = ['@rollup/plugin-commonjs@29.0.3', '@rollup/plugin-json@6.1.0', '@rollup/plugin-node-resolve@16.0.3']

/** Opens ledgers whose clients are not installed, and tells what is said. Not with a top-level await, which CommonJS does not have. */
const MISSING = `
import { openLedger } from 'opentelemetry-exporter-aws-marketplace'
const ledgers = ['postgresql://user@127.0.0.1:1/database', 'dynamodb://table?region=us-east-1'].map(address => openLedger(address))
Promise.allSettled(ledgers).then(opened => console.log(opened.map(({ reason }) => reason.message).join(' ')))
`
const PRINTED =
  'Expected pg to be installed (npm install pg, and start again; for a bundle before it is made): a ledger on PostgreSQL needs it. ' +
  'Expected @aws-sdk/client-dynamodb to be installed (npm install @aws-sdk/client-dynamodb, and start again; for a bundle ' +
  'before it is made): a ledger on DynamoDB needs it.\n'

/** One that is run without the AWS SDK: that is told when the exporter is made. */
const WITHOUT_SDK = `
import { diag } from '@opentelemetry/api'
import { AWSMarketplaceMetricExporter } from 'opentelemetry-exporter-aws-marketplace'
const none = () => {}
diag.setLogger({ error: console.log, warn: none, info: none, debug: none, verbose: none })
new AWSMarketplaceMetricExporter({ productCode: 'product', region: 'us-east-1', ledger: 'ledger.sqlite' })
`

/** For `require` in what came from CommonJS, as esbuild has it be given; or less of it, by `--main-fields`. */
const BANNER = "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);"

const WEBPACK = `
import webpack from 'webpack'
const output = { path: import.meta.dirname + '/out/webpack', filename: '[name].cjs' }
const entry = { app: './app.js', missing: './missing.js' }
webpack({ mode: 'production', target: 'node', entry, output }, (error, stats) => {
  if (error !== null || stats.hasErrors()) throw error ?? new Error(stats.toString())
})
`

const ROLLUP = `
import commonjs from '@rollup/plugin-commonjs'
import json from '@rollup/plugin-json'
import resolve from '@rollup/plugin-node-resolve'
import { rollup } from 'rollup'
const bundle = await rollup({ input: ['app.js', 'missing.js'], plugins: [resolve({ preferBuiltins: true }), commonjs(), json()], logLevel: 'silent' })
await bundle.write({ format: 'es', dir: 'out/rollup-es', entryFileNames: '[name].mjs', chunkFileNames: '[name].mjs' })
await bundle.write({ format: 'cjs', dir: 'out/rollup-cjs', entryFileNames: '[name].cjs', chunkFileNames: '[name].cjs' })
`

/** The server is Next.js's own: a route that meters 250 tokens against a simulator beside it, and answers what was billed. */
const ROUTE = `
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics'
import { AWSMarketplaceMetricExporter, InferenceMeter, SqliteLedger } from 'opentelemetry-exporter-aws-marketplace'
import { startSimulator } from 'opentelemetry-exporter-aws-marketplace/simulator'

export const dynamic = 'force-dynamic'
export async function GET() {
  let now = Date.UTC(2026, 10, 21, 10, 30)
  const aws = await startSimulator({ now: () => now })
  process.env.AWS_ENDPOINT_URL_MARKETPLACE_METERING = aws.url
  const ledger = new SqliteLedger({ path: 'ledger.sqlite' })
  const exporter = new AWSMarketplaceMetricExporter({ productCode: 'product', region: 'us-east-1', ledger, now: () => now })
  const provider = new MeterProvider({ readers: [new PeriodicExportingMetricReader({ exporter })] })
  new InferenceMeter(provider).recordTokensProcessed({ accountId: '123456789012' }, 250)
  await provider.forceFlush()
  now += 3_600_000
  await provider.shutdown()
  const billed = aws.simulator.totals().map(total => total.quantity)
  await ledger.close()
  await aws.close()
  return Response.json(billed)
}
`

using project = new Project()
project.install(...[...sampleNeeds, 'esbuild'].map(atOurs), ...BUNDLERS, ...PLUGINS)
project.write('app.js', FIRST_SAMPLE)
project.write('missing.js', MISSING)
project.write('without-sdk.js', WITHOUT_SDK)
assert.equal(project.run('node', 'missing.js'), PRINTED, 'not bundled')

const esbuild = ['esbuild', '--bundle', '--platform=node', '--log-level=error']
const esm = ['--format=esm', `--banner:js=${BANNER}`]
for (const app of ['app', 'missing']) {
  project.run('npx', ...esbuild, `${app}.js`, '--format=cjs', `--outfile=out/esbuild-cjs/${app}.cjs`)
  project.run('npx', ...esbuild, `${app}.js`, ...esm, `--outfile=out/esbuild-esm/${app}.mjs`)
  const fields = ['--format=esm', '--main-fields=module,main']
  project.run('npx', ...esbuild, `${app}.js`, ...fields, `--outfile=out/esbuild-fields/${app}.mjs`)
}
const sdk = '--external:@aws-sdk/client-marketplace-metering'
project.run('npx', ...esbuild, 'without-sdk.js', ...esm, sdk, '--outfile=out/without-sdk/app.mjs')
project.write('webpack.js', WEBPACK)
project.run('node', 'webpack.js')
project.write('rollup.js', ROLLUP)
project.run('node', 'rollup.js')

project.write('next.config.js', "export default { output: 'standalone' }")
project.write('app/layout.js', 'export default ({ children }) => <html lang="en"><body>{children}</body></html>')
project.write('app/meter/route.js', ROUTE)
project.run('npx', 'next', 'build')

const away = mkdtempSync(join(tmpdir(), 'marketplace-bundles-'))
try {
  const bundles = {
    'out/esbuild-cjs': 'cjs',
    'out/esbuild-esm': 'mjs',
    'out/esbuild-fields': 'mjs',
    'out/webpack': 'cjs',
    'out/rollup-es': 'mjs',
    'out/rollup-cjs': 'cjs',
  }
  for (const [bundle, kind] of Object.entries(bundles)) {
    cpSync(join(project.folder, bundle), join(away, bundle), { recursive: true })
    for (const cwd of [join(project.folder, bundle), join(away, bundle)]) {
      const start = { command: 'node', args: [`app.${kind}`], cwd, env: project.env }
      await billsAcrossStarts([start, start])
      assert.equal(project.runIn(cwd, 'node', `missing.${kind}`), PRINTED, cwd)
    }
  }
  cpSync(join(project.folder, 'out/without-sdk'), join(away, 'without-sdk'), { recursive: true })
  assert.match(
    project.runIn(join(away, 'without-sdk'), 'node', 'app.mjs'),
    /^Expected @aws-sdk\/client-marketplace-metering to be installed \(npm install .*\), or the option client\.$/m,
  )
  cpSync(join(project.folder, '.next/standalone'), join(away, 'next'), { recursive: true })
  assert.equal(await answerOfNext('.next/standalone'), '[250]', 'Next.js, beside node_modules')
  assert.equal(await answerOfNext(join(away, 'next')), '[250]', 'Next.js, by itself')
} finally {
  rmSync(away, { recursive: true, force: true })
}
console.log('Bundles of esbuild, webpack, rollup and Next.js work with and without node_modules.')

/** What the route answers, of a standalone server in a folder. */
async function answerOfNext(folder: string): Promise<string> {
  const port = await freePort()
  const server = project.start(folder, { PORT: String(port), HOSTNAME: '127.0.0.1' }, 'node', 'server.js')
  try {
    for (;;) {
      const response = await fetch(`http://127.0.0.1:${port}/meter`).catch(() => undefined)
      if (response !== undefined) return await response.text()
      assert.equal(server.exitCode, null, 'the server of Next.js has ended')
      await setTimeout(100)
    }
  } finally {
    server.kill()
    await once(server, 'exit')
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await promisify(server.close.bind(server))()
  return port
}
