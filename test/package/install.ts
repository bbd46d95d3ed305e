import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { APP, atOurs, entries, ours, Project } from './project.ts'

/**
 * Installs the packed package into an empty project, as a user would, and uses it there from TypeScript and from
 * JavaScript: every entry, the exporter against the simulator, and the command.
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

/** Has the declarations of all entries checked, in a project that has nothing but what the package says it needs. */
const TYPES = entries.map((entry, index) => `export type * as entry${index} from '${entry}'`).join('\n')

using project = new Project()
project.install(...[...Object.keys(ours.peerDependencies), 'typescript', '@types/node'].map(atOurs))

project.write('app.js', APP)
assert.equal(project.run('node', 'app.js'), '[250]\n', 'from JavaScript')
project.write('errors.js', ERRORS)
project.run('node', 'errors.js')
project.write('page.js', PAGE)
project.run('node', 'page.js')

project.write('app.ts', APP)
project.write('types.ts', TYPES)
const compilerOptions = { module: 'nodenext', target: 'es2024', strict: true, types: ['node'], noEmit: true }
project.write('tsconfig.json', JSON.stringify({ compilerOptions, include: ['*.ts'] }))
project.run('npx', 'tsc')
rmSync(join(project.folder, 'ledger.sqlite'))
assert.equal(project.run('node', 'app.ts'), '[250]\n', 'from TypeScript')

assert.equal(project.run('npx', 'marketplace-meter', '--version'), `${ours.version}\n`)
assert.match(project.run('npx', 'marketplace-meter', 'statement', '--ledger', 'ledger.sqlite'), /tokens-processed/)
console.log('The packed package installs into an empty project and works from JavaScript, TypeScript and the shell.')
