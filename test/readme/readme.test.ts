import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { createProgram } from '../../src/cli/program.ts'
import { GatewayConfigFile } from '../../src/gateway/config.ts'
import { SqliteLedger } from '../../src/index.ts'
import { startSimulator } from '../../src/simulator/index.ts'
import { BENCHMARKS } from '../bench/benchmarks.ts'
import { run as runCommand } from '../cli/support.ts'
import { withoutJava } from '../ledger/dynamodb/server.ts'
import { anchorsOf, blocksOf, DOCUMENTS, linksOf, MANUALS, ROOT, textOf } from './documents.ts'
import { billsAcrossStarts, FIRST_SAMPLE } from './first-sample.ts'

/**
 * Every code block of the README and of the manuals is type-checked and run, or read, as a reader would who copies it;
 * and every link of every document leads somewhere.
 */

const PACKAGE = JSON.parse(textOf('package.json'))
const run = promisify(execFile)
const SELF = fileURLToPath(new URL('self.ts', import.meta.url))

const blocks = MANUALS.flatMap(blocksOf)
const inLanguage = (name: string) => blocks.filter(({ language }) => language === name)
const [ts, yaml, shell] = [inLanguage('ts'), inLanguage('yaml'), inLanguage('sh')]
const commands = shell.flatMap(({ text }) => text.trim().split('\n'))

// Under the project, where the packages that the blocks import are found.
const folder = mkdtempSync(join(ROOT, 'test/readme/blocks-'))
after(() => rmSync(folder, { recursive: true }))
/** Where each block is, by what it is of: `src-usage-README-0.ts`. */
const modules = ts.map(({ document, text }, index) => {
  const path = join(folder, `${document.replace(/\.md$/, '').replaceAll('/', '-')}-${index}.ts`)
  writeFileSync(path, text)
  return path
})

test('every relative link of every document leads to a file, and every anchor to a heading', () => {
  assert.ok(DOCUMENTS.length > 20 && MANUALS.length > 12)
  const anchors = new Map(DOCUMENTS.map(document => [document, anchorsOf(document)]))
  const dead = DOCUMENTS.flatMap(document =>
    linksOf(document).flatMap(({ path, anchor }) => {
      const there = existsSync(join(ROOT, path)) && (anchor === undefined || anchors.get(path)?.has(anchor) === true)
      return there ? [] : `${document}: ${path}${anchor === undefined ? '' : `#${anchor}`}`
    }),
  )
  assert.deepEqual(dead, [])
  const [nowhere] = linksOf(
    'src/README.md',
    '[a](../nowhere.md#part) [b](https://example.com) [c](mailto:a@example.com)',
  )
  assert.deepEqual(nowhere, { path: 'nowhere.md', anchor: 'part' })
})

test('the README is short, and it and each manual begin with their contents', () => {
  assert.ok(textOf('README.md').split('\n').length <= 250)
  for (const document of MANUALS.filter(path => !path.startsWith('test/bench/'))) {
    const text = textOf(document)
    const headings = [...text.matchAll(/^## /gm)]
    const [before = ''] = text.split(/^## /m)
    if (headings.length > 3) assert.match(before, /^- \[.*\]\(#/m, document)
  }
})

test('every block is of a language that is tested here', () => {
  assert.deepEqual([...new Set(blocks.map(({ language }) => language))].sort(), ['json', 'sh', 'text', 'ts', 'yaml'])
})

test('the YAML blocks are configurations of the gateway', () => {
  for (const { text } of yaml) {
    const path = join(folder, 'gateway.yaml')
    writeFileSync(path, text)
    assert.equal(GatewayConfigFile.read(path, {}).config.usage.productCode, 'your-product-code')
  }
})

test('the TypeScript blocks pass the type check', async () => {
  const tsconfig = {
    extends: '../../../tsconfig.json',
    compilerOptions: {
      paths: {
        [PACKAGE.name]: ['../../../src/index.ts'],
        [`${PACKAGE.name}/agreements`]: ['../../../src/agreements/index.ts'],
        [`${PACKAGE.name}/http`]: ['../../../src/marketplace/index.ts'],
        [`${PACKAGE.name}/postgresql`]: ['../../../src/ledger/postgresql/index.ts'],
        [`${PACKAGE.name}/dynamodb`]: ['../../../src/ledger/dynamodb/index.ts'],
        [`${PACKAGE.name}/reconcile`]: ['../../../src/reconcile/index.ts'],
        [`${PACKAGE.name}/simulator`]: ['../../../src/simulator/index.ts'],
      },
    },
    include: ['*.ts'],
  }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(tsconfig))
  await run(join(ROOT, 'node_modules/.bin/tsc'), ['-p', folder]).catch(error => assert.fail(error.stdout))
})

test('the first sample bills as it stands, in JavaScript and in TypeScript', async () => {
  assert.equal(ts[0]?.text, FIRST_SAMPLE)
  const cwd = mkdtempSync(join(folder, 'run-'))
  writeFileSync(join(cwd, 'app.mjs'), FIRST_SAMPLE)
  writeFileSync(join(cwd, 'app.ts'), FIRST_SAMPLE)
  // Each is started after the other on the same ledger, and sends what the one before has measured.
  const start = (app: string) => ({ command: process.execPath, args: ['--import', SELF, app], cwd })
  await billsAcrossStarts([start('app.mjs'), start('app.ts'), start('app.mjs')])
})

test('the TypeScript blocks run', async t => {
  const aws = await startSimulator()
  t.after(() => aws.close())
  const collector = createServer((request, response) => request.resume().on('end', () => response.end()))
  collector.listen(0, '127.0.0.1')
  await once(collector, 'listening')
  t.after(() => collector.close())
  const env = {
    ...process.env,
    AWS_ENDPOINT_URL_MARKETPLACE_METERING: aws.url,
    AWS_ACCESS_KEY_ID: 'any',
    AWS_SECRET_ACCESS_KEY: 'any',
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${(collector.address() as AddressInfo).port}`,
  }
  const [, ...others] = modules
  for (const path of others) mkdirSync(path.replace(/\.ts$/, ''))
  const args = ['--import', SELF, fileURLToPath(new URL('blocks.ts', import.meta.url)), ...others]
  const { stderr } = await run(process.execPath, args, { cwd: folder, env })
  assert.equal(stderr, '')
})

test('the commands for set-up name scripts and packages that are there', () => {
  const scripts = commands.filter(command => command.startsWith('npm ci'))
  assert.deepEqual(scripts, ['npm ci && npm start', 'npm ci && npm test'])
  const together = commands.find(command => command.startsWith('npm install ')) ?? ''
  const alone = MANUALS.flatMap(document => [...textOf(document).matchAll(/`npm install (\S+?)`/g)])
  const named = new Set([...together.split(' ').slice(2), ...alone.map(([, name]) => name as string)])
  const packages = [PACKAGE.name, ...Object.keys(PACKAGE.peerDependencies)]
  assert.deepEqual([...named].sort(), packages.sort())
})

test("the operator's commands do what they say", async t => {
  const { url, close } = await startSimulator()
  t.after(close)
  const cwd = mkdtempSync(join(folder, 'run-'))
  await seedLedger(join(cwd, 'ledger.sqlite'))
  writeFileSync(join(cwd, 'gateway.yaml'), yaml[0]?.text as string)
  writeFileSync(join(cwd, 'captured.json'), '{"resourceMetrics":[]}')
  writeFileSync(join(cwd, 'describe-entity.json'), '["tokens-processed"]')
  cpSync(join(ROOT, 'examples/aws/listing.json'), join(cwd, 'listing.json'))
  const before = process.cwd()
  t.after(() => process.chdir(before))
  process.chdir(cwd)
  const asked = [...new Set(commands.filter(command => /^npx marketplace-meter (?!simulate|serve)/.test(command)))]
  const printed = `npx() { shift; printf '%s\\0' "$@" ''; }\n${asked.join('\n')}`
  const argued = (await run('bash', ['-c', printed])).stdout.split('\0\0').slice(0, -1)
  assert.equal(argued.length, asked.length)
  const simulated = { AWS_ENDPOINT_URL_MARKETPLACE_METERING: url, AWS_ACCESS_KEY_ID: 'x', AWS_SECRET_ACCESS_KEY: 'x' }
  for (const args of argued.map(text => text.split('\0'))) {
    const { stdout, status } = await runCommand(args, simulated)
    if (args[0] === 'doctor') {
      assert.match(stdout, /^ok +permission +AWS takes requests in us-east-1 for product code CODE: /m)
      assert.match(stdout, /^warning +endpoint +Usage records go to http:/m)
    } else {
      assert.equal(status, 0, args.join(' '))
      assert.notEqual(stdout, '', args.join(' '))
    }
  }
  const ledger = new SqliteLedger({ path: join(cwd, 'ledger.sqlite') })
  const states = (await ledger.records()).filter(({ id }) => id === '17' || id === '18').map(({ state }) => state)
  await ledger.close()
  assert.deepEqual(states, ['returned', 'metered'])
})

test('the simulator starts with the command that is given, and answers those after it', async t => {
  const [{ text } = { text: '' }] = shell.filter(({ text }) => text.includes('meter simulate'))
  const [command = '', ...rest] = text.split('\n')
  const args = [join(ROOT, 'src/cli/main.ts'), ...command.split(' ').slice(2), '--port', '0']
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => child.kill('SIGKILL'))
  const [output] = await Promise.race([once(child.stdout, 'data'), once(child, 'exit')])
  const [, port = ''] = /http:\/\/127\.0\.0\.1:(\d+)/.exec(String(output)) ?? []
  const asked = `curl() { command curl --silent --show-error "$@"; }\n${rest.join('\n').replaceAll('8480', port)}`
  // The first answers nothing where it is done.
  assert.match(
    (await run('bash', ['-c', asked])).stdout,
    /^\{"error":[^\n]*There is no[^\n]*\/subscriptions, [^\n]*\}\s*$/,
  )
  child.kill('SIGTERM')
  assert.deepEqual(await once(child, 'exit'), [0, null])
})

test('the commands that the manuals name are there, with their options', () => {
  const known = new Map(createProgram().commands.map(command => [command.name(), command]))
  const named = MANUALS.flatMap(document => [
    ...textOf(document).matchAll(/marketplace-meter ([a-z][^`|]*?)(?=[`|]|$)/gm),
  ])
  assert.ok(named.length > 40, String(named.length))
  const manual = textOf('src/cli/README.md')
  const short = [...manual.matchAll(/`([a-z-]+ [^`]*--[^`]*)`/g)].filter(([, text = '']) =>
    known.has(text.split(' ')[0] ?? ''),
  )
  assert.ok(short.length > 15, String(short.length))
  for (const [, text = ''] of [...named, ...short]) {
    const [name = '', ...words] = text.split(/[\s,.;:]+/)
    const command = known.get(name)
    assert.ok(command, text)
    const options = new Set(['--help', ...command.options.map(({ long }) => long)])
    for (const word of words) if (/^--[a-z]/.test(word)) assert.ok(options.has(word.split('=')[0] ?? ''), text)
  }
  for (const name of known.keys()) assert.ok(new RegExp(`\`(?:marketplace-meter )?${name}\\b`).test(manual), name)
})

test('the policy allows the action that is called, and nothing else', () => {
  const policy = JSON.parse(blocksOf('src/cli/README.md').find(({ language }) => language === 'json')?.text ?? '')
  assert.deepEqual(
    policy.Statement.map((statement: { Action: string }) => statement.Action),
    ['aws-marketplace:BatchMeterUsage'],
  )
})

test('every option is in the table of options', () => {
  const source = textOf('src/metering/options.ts')
  const [, body] = /interface MeteringOptions[^{]*\{([\s\S]*?)^\}/m.exec(source) ?? []
  const options = [...(body ?? '').matchAll(/^ {2}(\w+)\?:/gm)].map(([, name]) => name as string)
  assert.ok(options.length > 10)
  const manual = textOf('src/README.md')
  for (const option of [...options, 'productCode', 'product', 'dimensions', 'customer']) {
    assert.match(manual, new RegExp(`^\\|[^|]*\`${option}\``, 'm'), option)
  }
})

/** A ledger whose record 17 is held in doubt and whose record 18 is of a customer that is not subscribed. */
async function seedLedger(path: string): Promise<void> {
  const hour = Date.UTC(2026, 10, 20, 10)
  const now = hour + 3_600_000
  const ledger = new SqliteLedger({ path })
  await ledger.register([{ name: 'tokens', unit: '{token}', baseUnit: '1', size: 1_000_000n }])
  const entries = Array.from({ length: 18 }, (_, index) => {
    const accountId = String(100_000_000_000 + index)
    const account = { kind: 'customer', key: `p,${accountId}`, product: 'p', accountId } as const
    return { account, dimension: 'tokens', hour, amount: 5_000_000n }
  })
  await ledger.append({ writer: '0'.repeat(32), sequence: 1, entries })
  await ledger.closeHours({ now, region: 'us-east-1', closeDelay: 0, deadlineMargin: 0 })
  const [lane] = (await ledger.due(now)).lanes
  assert.ok(lane)
  const records = await ledger.claim(lane, { now, limit: 18, claimedUntil: now })
  await ledger.settle(
    records.map(record => {
      if (record.id === '17') return { record, outcome: { type: 'retry', at: now, notTaken: false }, answer: 'reset' }
      if (record.id === '18') return { record, outcome: { type: 'not-subscribed' }, answer: 'CustomerNotSubscribed' }
      return { record, outcome: { type: 'metered' }, answer: 'Success' }
    }),
    now,
  )
  await ledger.expire(now + 24 * 3_600_000)
  await ledger.close()
}

test('the table of benchmarks has the rows that there are, and the README some of them, with the same figures', () => {
  const named = (file: string) =>
    [...textOf(file).matchAll(/^│ (?!what )(.*?) +│(.*)│ *$/gm)].map(([, name = '', figures = '']) => ({
      name,
      figures: figures.split('│').map(figure => figure.trim()),
    }))
  const all = named('test/bench/README.md')
  const isThere = ({ name }: { name: string }) => withoutJava === false || !name.startsWith('DynamoDB: ')
  assert.deepEqual(
    all.filter(isThere).map(({ name }) => name),
    BENCHMARKS.flatMap(({ rows }) => rows),
  )
  const shown = [...textOf('README.md').matchAll(/^\| (.*?) \| (.*?) \|(.*?)\|(.*?)\|$/gm)]
  const figures = shown.flatMap(([, name, ours, theirs, ratio]) => {
    const row = all.find(one => one.name === name)
    if (row === undefined) return []
    const [mine, yours = '', both] = row.figures
    return [[yours.length > 1 ? [mine, yours, both] : [mine, '', ''], [ours, theirs?.trim(), ratio?.trim()]] as const]
  })
  assert.equal(figures.length, 10)
  for (const [expected, said] of figures) assert.deepEqual(said, expected)
})
