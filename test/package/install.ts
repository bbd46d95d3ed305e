import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/**
 * Installs the packed package into an empty project, as a user would, and uses it there from TypeScript and from
 * JavaScript: the exporter against the simulator, and the command.
 */

const root = fileURLToPath(new URL('../..', import.meta.url))
const version = (name: string): string =>
  JSON.parse(readFileSync(join(root, 'node_modules', name, 'package.json'), 'utf8')).version

const APP = `
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics'
import { AWSMarketplaceMetricExporter, inferenceInstruments, SqliteLedger } from 'opentelemetry-exporter-aws-marketplace'
import { startSimulator } from 'opentelemetry-exporter-aws-marketplace/simulator'

let now = Date.UTC(2026, 10, 21, 10, 30)
const aws = await startSimulator({ now: () => now })
process.env.AWS_ENDPOINT_URL_MARKETPLACE_METERING = aws.url
const ledger = new SqliteLedger({ path: 'ledger.sqlite' })
const exporter = new AWSMarketplaceMetricExporter({ productCode: 'product', region: 'us-east-1', ledger, now: () => now })
const provider = new MeterProvider({ readers: [new PeriodicExportingMetricReader({ exporter })] })
inferenceInstruments(provider.getMeter('app')).tokens.add(250, { 'marketplace.customer.account_id': '123456789012' })
await provider.forceFlush()
now += 3_600_000
await provider.shutdown()
const billed = aws.simulator.totals().map(total => total.quantity)
await ledger.close()
await aws.close()
console.log(JSON.stringify(billed))
`

const project = mkdtempSync(join(tmpdir(), 'marketplace-package-'))
// The project's own Node first, and nothing that npm told this process of the package around it.
const env = {
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('npm_'))),
  PATH: [dirname(process.execPath), process.env.PATH].join(delimiter),
  AWS_ACCESS_KEY_ID: 'any',
  AWS_SECRET_ACCESS_KEY: 'any',
}
const run = (command: string, ...args: string[]) =>
  execFileSync(command, args, { cwd: project, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })

try {
  const [{ filename }] = JSON.parse(
    execFileSync('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', project], {
      cwd: root,
      env,
      encoding: 'utf8',
    }),
  )
  writeFileSync(join(project, 'package.json'), JSON.stringify({ private: true, type: 'module' }))
  const others = ['@aws-sdk/client-marketplace-metering', '@opentelemetry/api', '@opentelemetry/sdk-metrics']
  const tools = ['typescript', '@types/node']
  const wanted = [...others, ...tools].map(name => `${name}@${version(name)}`)
  run('npm', 'install', '--prefer-offline', '--no-audit', '--no-fund', `./${filename}`, ...wanted)

  writeFileSync(join(project, 'app.js'), APP)
  assert.equal(run('node', 'app.js'), '[250]\n', 'from JavaScript')

  writeFileSync(join(project, 'app.ts'), APP)
  const compilerOptions = { module: 'nodenext', target: 'es2024', strict: true, types: ['node'], noEmit: true }
  writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['app.ts'] }))
  run('npx', 'tsc')
  rmSync(join(project, 'ledger.sqlite'))
  assert.equal(run('node', 'app.ts'), '[250]\n', 'from TypeScript')

  assert.match(run('npx', 'marketplace-meter', 'statement', '--ledger', 'ledger.sqlite'), /tokens-processed/)
  console.log('The packed package installs into an empty project and works from JavaScript, TypeScript and the shell.')
} finally {
  rmSync(project, { recursive: true, force: true })
}
