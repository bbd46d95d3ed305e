import assert from 'node:assert/strict'
import { once } from 'node:events'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { promisify } from 'node:util'
import { APP, atOurs, IMPORTS, METERING, Project } from './project.ts'

/**
 * Bundles an application that keeps its ledger in a file, with what the README tells it to install and nothing else, and
 * runs what came out: beside the project's `node_modules`, and by itself in another folder.
 */

const BUNDLERS = ['webpack@5.113.0', 'rollup@4.68.8', 'next@16.4.6', 'react@19.2.8', 'react-dom@19.2.8']
const PLUGINS = ['@rollup/plugin-commonjs@29.0.3', '@rollup/plugin-json@6.1.0', '@rollup/plugin-node-resolve@16.0.3']

/** It also opens ledgers whose clients are not installed, and tells what is said. */
const BUNDLED = `
import { openLedger } from 'opentelemetry-exporter-aws-marketplace'
${APP.replace('JSON.stringify(billed))', 'JSON.stringify(billed), await missing())').replace('(billed =>', '(async billed =>')}
async function missing() {
  const ledgers = ['postgresql://user@127.0.0.1:1/database', 'dynamodb://table?region=us-east-1'].map(address => openLedger(address))
  return (await Promise.allSettled(ledgers)).map(({ reason }) => reason.message).join(' ')
}
`
const PRINTED =
  '[250] Expected pg to be installed (npm install pg; for a bundle before it is made): a ledger on PostgreSQL needs it. ' +
  'Expected @aws-sdk/client-dynamodb to be installed (npm install @aws-sdk/client-dynamodb; for a bundle before it is ' +
  'made): a ledger on DynamoDB needs it.\n'

/** One that is run without the AWS SDK: that is told when the exporter is made. */
const WITHOUT_SDK = `
import { diag } from '@opentelemetry/api'
import { AWSMarketplaceMetricExporter } from 'opentelemetry-exporter-aws-marketplace'
const none = () => {}
diag.setLogger({ error: console.log, warn: none, info: none, debug: none, verbose: none })
new AWSMarketplaceMetricExporter({ productCode: 'product', region: 'us-east-1', ledger: 'ledger.sqlite' })
`

/** For `require` in what came from CommonJS, as esbuild has it be given. */
const BANNER = "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);"

const WEBPACK = `
import webpack from 'webpack'
const output = { path: import.meta.dirname + '/out/webpack', filename: 'app.cjs' }
webpack({ mode: 'production', target: 'node', entry: './app.js', output }, (error, stats) => {
  if (error !== null || stats.hasErrors()) throw error ?? new Error(stats.toString())
})
`

const ROLLUP = `
import commonjs from '@rollup/plugin-commonjs'
import json from '@rollup/plugin-json'
import resolve from '@rollup/plugin-node-resolve'
import { rollup } from 'rollup'
const bundle = await rollup({ input: 'app.js', plugins: [resolve({ preferBuiltins: true }), commonjs(), json()], logLevel: 'silent' })
await bundle.write({ format: 'es', dir: 'out/rollup-es', entryFileNames: '[name].mjs', chunkFileNames: '[name].mjs' })
await bundle.write({ format: 'cjs', dir: 'out/rollup-cjs', entryFileNames: '[name].cjs', chunkFileNames: '[name].cjs' })
`

const ROUTE = `${IMPORTS}
export const dynamic = 'force-dynamic'
async function main() {${METERING}}
export const GET = async () => Response.json(await main())
`

using project = new Project()
const wanted = ['@aws-sdk/client-marketplace-metering', '@opentelemetry/api', '@opentelemetry/sdk-metrics', 'esbuild']
project.install(...wanted.map(atOurs), ...BUNDLERS, ...PLUGINS)
project.write('app.js', BUNDLED)
project.write('without-sdk.js', WITHOUT_SDK)
assert.equal(project.run('node', 'app.js'), PRINTED, 'not bundled')

const esbuild = ['esbuild', '--bundle', '--platform=node', '--log-level=error']
const esm = ['--format=esm', `--banner:js=${BANNER}`]
project.run('npx', ...esbuild, 'app.js', '--format=cjs', '--outfile=out/esbuild-cjs/app.cjs')
project.run('npx', ...esbuild, 'app.js', ...esm, '--outfile=out/esbuild-esm/app.mjs')
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
  const apps = {
    'out/esbuild-cjs': 'app.cjs',
    'out/esbuild-esm': 'app.mjs',
    'out/webpack': 'app.cjs',
    'out/rollup-es': 'app.mjs',
    'out/rollup-cjs': 'app.cjs',
  }
  for (const [folder, file] of Object.entries(apps)) {
    cpSync(join(project.folder, folder), join(away, folder), { recursive: true })
    assert.equal(project.runIn(folder, 'node', file), PRINTED, `${folder}, beside node_modules`)
    assert.equal(project.runIn(join(away, folder), 'node', file), PRINTED, `${folder}, by itself`)
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
