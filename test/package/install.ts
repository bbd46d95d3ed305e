import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/**
 * Installs the packed package into an empty project, as a user would, and uses it there from TypeScript and from
 * JavaScript: every entry, the exporter against the simulator, and the command.
 */

const root = fileURLToPath(new URL('../..', import.meta.url))
const manifest = (folder: string) => JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
const ours = manifest(root)
const entries = Object.keys(ours.exports)
  .filter(path => path !== './package.json')
  .map(path => ours.name + path.slice(1))

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

/** The status page's script is in it, as one that browsers take and that the page's policy allows. */
const PAGE = `
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { Script } from 'node:vm'
import { SqliteLedger } from 'opentelemetry-exporter-aws-marketplace'
import { Gateway } from 'opentelemetry-exporter-aws-marketplace/gateway'

const ledger = new SqliteLedger({ path: 'page.sqlite' })
const http = { host: '127.0.0.1', port: 0 }
const gateway = await Gateway.start({ productCode: 'product', region: 'us-east-1', ledger, http })
const response = await fetch('http://' + gateway.addresses.http + '/')
const [, script] = /<script>(.*)<.script>/s.exec(await response.text())
new Script(script)
const hash = createHash('sha256').update(script).digest('base64')
assert.ok(response.headers.get('content-security-policy').includes("script-src 'sha256-" + hash + "'"))
await gateway.close()
await ledger.close()
`

/** What a bundler renames keeps working, but not the names that errors are told apart by. */
const ERRORS = `
for (const entry of ${JSON.stringify(entries)}) {
  for (const [name, value] of Object.entries(await import(entry))) {
    if (value.prototype instanceof Error && value.name !== name) throw new Error(entry + ': ' + name + ' calls itself ' + value.name)
  }
}
`

/** Has the declarations of all entries checked, in a project that has nothing but what the package says it needs. */
const TYPES = entries.map((entry, index) => `export type * as entry${index} from '${entry}'`).join('\n')

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
  const others = [...Object.keys(ours.peerDependencies), 'typescript', '@types/node']
  const wanted = others.map(name => `${name}@${manifest(join(root, 'node_modules', name)).version}`)
  run('npm', 'install', '--prefer-offline', '--no-audit', '--no-fund', `./${filename}`, ...wanted)

  writeFileSync(join(project, 'app.js'), APP)
  assert.equal(run('node', 'app.js'), '[250]\n', 'from JavaScript')
  writeFileSync(join(project, 'errors.js'), ERRORS)
  run('node', 'errors.js')
  writeFileSync(join(project, 'page.js'), PAGE)
  run('node', 'page.js')

  writeFileSync(join(project, 'app.ts'), APP)
  writeFileSync(join(project, 'types.ts'), TYPES)
  const compilerOptions = { module: 'nodenext', target: 'es2024', strict: true, types: ['node'], noEmit: true }
  writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['*.ts'] }))
  run('npx', 'tsc')
  rmSync(join(project, 'ledger.sqlite'))
  assert.equal(run('node', 'app.ts'), '[250]\n', 'from TypeScript')

  assert.equal(run('npx', 'marketplace-meter', '--version'), `${ours.version}\n`)
  assert.match(run('npx', 'marketplace-meter', 'statement', '--ledger', 'ledger.sqlite'), /tokens-processed/)
  console.log('The packed package installs into an empty project and works from JavaScript, TypeScript and the shell.')
} finally {
  rmSync(project, { recursive: true, force: true })
}
