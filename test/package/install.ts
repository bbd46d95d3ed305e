import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { billsAcrossStarts, FIRST_SAMPLE } from '../readme/first-sample.ts'
import { atOurs, entries, ours, Project, sampleNeeds } from './project.ts'

/**
 * Installs the packed package into an empty project, as a user would, and uses it there from TypeScript and from
 * JavaScript: every entry, the README's first sample against the simulator, and the command.
 */

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

/** Tells what a Node is told that the ledger does not run on. */
const REFUSING = `
import { SqliteLedger } from 'opentelemetry-exporter-aws-marketplace'
try {
  new SqliteLedger({ path: 'ledger.sqlite' })
} catch ({ message }) {
  console.log(message)
}
`

/** Has the declarations of all entries checked, in a project that has nothing but what the package says it needs. */
const TYPES = entries.map((entry, index) => `export type * as entry${index} from '${entry}'`).join('\n')

/** The first and the newest of each line that the package says it runs on; beside them, the one that runs this. */
const NODES = ['22.22.3', '22.23.3', '24.15.0', '26.0.0', '26.10.0']
/** What the ledger says to those that it does not run on: without SQLite, and with one that is too old. */
const REFUSED = { '20.20.2': 'none', '22.22.2': 'SQLite 3.51.2', '24.14.1': 'SQLite 3.51.2' }

using project = new Project()
const nodes = [...NODES, ...Object.keys(REFUSED)].map(
  version => `node-${version}@npm:node-${process.platform}-${process.arch}@${version}`,
)
const needed = new Set([...sampleNeeds, ...Object.keys(ours.peerDependencies), 'typescript', '@types/node'])
project.install(...[...needed].map(atOurs), ...nodes)
const nodeOf = (version: string) => join(project.folder, `node_modules/node-${version}/bin/node`)

project.write('app.js', FIRST_SAMPLE)
project.write('errors.js', ERRORS)
project.write('page.js', PAGE)
project.write('app.ts', FIRST_SAMPLE)
const command = `node_modules/${ours.name}/${ours.bin['marketplace-meter']}`
for (const node of [process.execPath, ...NODES.map(nodeOf)]) {
  rmSync(join(project.folder, 'marketplace-ledger.sqlite'), { force: true })
  const start = (app: string) => ({ command: node, args: [app], cwd: project.folder, env: project.env })
  await billsAcrossStarts([start('app.js'), start('app.ts'), start('app.js')])
  project.run(node, 'errors.js')
  project.run(node, 'page.js')
  assert.match(project.run(node, command, 'statement'), /tokens-processed/)
}

project.write('refused.js', REFUSING)
for (const [version, sqlite] of Object.entries(REFUSED)) {
  const node = nodeOf(version)
  // All of it is imported without a word.
  project.run(node, 'errors.js')
  const sentence =
    'Expected Node.js with SQLite 3.51.3 or later for a ledger in a file (22.22.3, 24.15 or 26 and what follows each), ' +
    `got Node.js ${version} with ${sqlite}: update Node.js.`
  assert.equal(project.run(node, 'refused.js'), `${sentence}\n`)
  const { status, stderr } = spawnSync(node, [command, 'status', '--ledger', 'page.sqlite'], {
    cwd: project.folder,
    encoding: 'utf8',
  })
  assert.deepEqual([status, stderr], [2, `error: ${sentence} (ERR_CONFIGURATION)\n`])
  assert.ok(!existsSync(join(project.folder, 'ledger.sqlite')), 'no file is left')
}

project.write('types.ts', TYPES)
const compilerOptions = { module: 'nodenext', target: 'es2024', strict: true, types: ['node'], noEmit: true }
project.write('tsconfig.json', JSON.stringify({ compilerOptions, include: ['*.ts'] }))
project.run('npx', 'tsc')

assert.equal(project.run('npx', 'marketplace-meter', '--version'), `${ours.version}\n`)
console.log(
  `The packed package installs into an empty project and works from JavaScript, TypeScript and the shell, on Node.js ${NODES.join(', ')} and ${process.versions.node}.`,
)
