import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { createProgram } from '../../src/cli/program.ts'
import { HOUR } from '../../src/ledger/hours.ts'
import { startSimulator } from '../../src/simulator/index.ts'
import { PRESENT, World } from './json-world.ts'
import { folder, LATEST, MAIN, run } from './support.ts'

const ROOT = new URL('../../', import.meta.url)
const DOCUMENT = readFileSync(new URL('src/cli/json.md', ROOT), 'utf8')
const [, TYPES = ''] = /^```ts\n([\s\S]*?)^```$/m.exec(DOCUMENT) ?? []

const AWS = {
  ...{ AWS_ACCESS_KEY_ID: 'simulated', AWS_SECRET_ACCESS_KEY: 'simulated', AWS_EC2_METADATA_DISABLED: 'true' },
  ...{ AWS_CONFIG_FILE: '/dev/null', AWS_SHARED_CREDENTIALS_FILE: '/dev/null', AWS_PROFILE: '' },
}
const CLEAN = { AWS_REGION: '', AWS_DEFAULT_REGION: '', OTEL_LOG_LEVEL: '', MARKETPLACE_LEDGER: '' }

/** A row of the document's table: what a command prints, and where it ends with 1 and 2. */
interface Row {
  /** Types, as they are called; `UsageRecord[]` where it prints an array of them. */
  readonly types: readonly string[]
  readonly one: string
  readonly two: string
}

const ROWS = new Map(
  [...DOCUMENT.matchAll(/^\| `([a-z-]+)` \| (.*?) \| (.*?) ?\| (.*?) ?\|$/gm)].map(
    ([, command = '', prints = '', one = '', two = '']): [string, Row] => {
      const names = [...prints.matchAll(/`([A-Z]\w+)`/g)].map(([, name]) => name as string)
      return [command, { types: names.map(name => (prints.startsWith('an array') ? `${name}[]` : name)), one, two }]
    },
  ),
)

const commands = createProgram().commands

const aws = await startSimulator({ quota: null })
after(() => aws.close())
aws.simulator.catalogue.declareProduct({ code: 'prod' })
const world = await World.make({ after: after as TestContext['after'] }, aws.url)

function helpOf(command: (typeof commands)[number]): string {
  let help = ''
  command.configureOutput({
    writeOut: more => {
      help += more
    },
  })
  command.outputHelp()
  return help
}

/** What the help of a command says to type, in words as a shell takes them. */
function exampleOf(command: (typeof commands)[number]): string[] {
  const [, line = ''] = /\nExample:\n {2}marketplace-meter ((?:.*\\\n)*.*)\n$/.exec(helpOf(command)) ?? []
  return [...line.replaceAll(/\\\n */g, '').matchAll(/"([^"]*)"|(\S+)/g)].map(
    ([, quoted, plain]) => quoted ?? (plain as string),
  )
}

/** Whether a command is told the time, so that what it does depends on nothing else. */
const takesNow = (command: (typeof commands)[number]) => command.options.some(({ long }) => long === '--now')

/** Adjustments are of a month that is over, and what is pruned is old. */
const presentOf = (name: string) => (name === 'adjust' || name === 'prune' ? '2026-12-05T10:00Z' : PRESENT)

test('the document has every command, and the types that the commands are written with', () => {
  assert.deepEqual(
    [...ROWS.keys()],
    commands.map(command => command.name()),
  )
  const source = readFileSync(new URL('src/cli/json.ts', ROOT), 'utf8')
  assert.equal(source.slice(source.indexOf('\n\n') + 2), TYPES, 'src/cli/json.md shows src/cli/json.ts')
})

/** What is printed, with what it has to be, for the type check. */
const printed: { readonly type: string; readonly value: unknown; readonly by: string }[] = []

function take(by: string, type: string, stdout: string): void {
  printed.push({ by, type, value: JSON.parse(stdout) })
}

const EXAMPLES: Readonly<Record<string, 0 | 1 | 2>> = { status: 1, reconcile: 1, spool: 1, doctor: 2 }
const GO_ON = ['serve', 'events', 'simulate']

test('each command does what its help ends with, and says the same to a program', async () => {
  for (const command of commands) {
    const name = command.name()
    if (GO_ON.includes(name)) continue
    const example = exampleOf(command)
    const now = takesNow(command) ? ['--now', presentOf(name)] : []
    const ended: (number | null)[] = []
    for (const form of [[], ['--json']]) {
      const cwd = world.copy()
      const env = { ...AWS, ...CLEAN, MARKETPLACE_LEDGER: join(cwd, 'ledger.sqlite') }
      const { stdout, stderr, status } = await run([...example, ...now, ...form], env, cwd)
      ended.push(status)
      assert.ok(stdout.length > 1, `${name}: ${stderr}`)
      assert.doesNotMatch(stdout, /^(No |Nothing|There is no|\[\]$)/, `${name} does something`)
      if (form.length > 0) take(example.join(' '), ROWS.get(name)?.types[0] as string, stdout)
    }
    assert.deepEqual(ended, [EXAMPLES[name] ?? 0, EXAMPLES[name] ?? 0], name)
  }
})

/** All of its sockets that would go to AWS over TLS go to a simulator: as if this machine's network did it. */
const instead = (url: string) =>
  `--import=data:text/javascript,${encodeURIComponent(`
  import http from 'node:http'
  import https from 'node:https'
  import { syncBuiltinESMExports } from 'node:module'
  const { hostname, port } = new URL(${JSON.stringify(url)})
  https.request = ({ agent, ...options }, ...rest) => http.request({ ...options, protocol: 'http:', host: hostname, hostname, port }, ...rest)
  syncBuiltinESMExports()
`)}`

test('commands that go on say in one line that they are ready, and log lines for programs', async t => {
  const ready = async (name: string) => {
    const command = commands.find(one => one.name() === name) as (typeof commands)[number]
    const cwd = world.copy()
    const child = spawn(process.execPath, [MAIN, ...exampleOf(command), '--json'], {
      ...{ cwd, stdio: ['ignore', 'pipe', 'pipe'] },
      env: {
        ...{ ...process.env, ...AWS, ...CLEAN, MARKETPLACE_LEDGER: join(cwd, 'ledger.sqlite') },
        ...(name === 'events' && { NODE_OPTIONS: instead(aws.url) }),
      },
    })
    t.after(() => child.kill('SIGKILL'))
    const said = { out: '', err: '' }
    const first = new Promise<void>(resolve => {
      child.stdout?.on('data', chunk => {
        said.out += chunk
        resolve()
      })
    })
    child.stderr?.on('data', chunk => {
      said.err += chunk
    })
    const closed = once(child, 'close')
    await Promise.race([first, closed])
    assert.notEqual(said.out, '', `${name} ended: ${said.err}`)
    if (name === 'serve') {
      const { http } = JSON.parse(said.out)
      assert.equal(await (await fetch(`${http}/healthz`)).text(), 'ok\n')
    }
    child.kill('SIGTERM')
    assert.deepEqual(await closed, [0, null], name)
    take(name, ROWS.get(name)?.types[0] as string, said.out)
    const lines = said.err.split('\n').filter(line => line !== '')
    assert.equal(lines.length > 0, name !== 'simulate')
    for (const line of lines) take(`${name}'s log`, 'LogLine', line)
  }
  await Promise.all(GO_ON.map(ready))
})

/** AWS's Daily Usage feed of a product that this ledger meters, and somebody else. */
async function usageReport(): Promise<string> {
  let now = LATEST
  await using aws = await startSimulator({ now: () => now, quota: null })
  const meter = (Dimension: string, Quantity: number, ProductCode = 'prod') => {
    const record = { Timestamp: new Date(now - HOUR), CustomerAWSAccountId: '111122223333', Dimension, Quantity }
    aws.simulator.meterForeign({ ProductCode, UsageRecords: [record] })
  }
  meter('tokens-processed', 5)
  meter('seats', 3)
  meter('tokens-processed', 9, 'elsewhere')
  now += 48 * HOUR
  meter('tokens-processed', 1)
  now += 48 * HOUR
  return await (await fetch(`${aws.url}/_simulator/usage-report/usage.csv`)).text()
}

test('what else they print is as documented', async () => {
  const shown = async (type: string, line: string, expected = 0, cwd = world.copy()) => {
    const env = { ...AWS, ...CLEAN, AWS_REGION: 'us-east-1', MARKETPLACE_LEDGER: join(cwd, 'ledger.sqlite') }
    const args = line.split(' ').map(word => word.replaceAll('_', ' '))
    const { stdout, stderr, status } = await run([...args, '--json'], env, cwd)
    const name = args[0] as string
    assert.equal(status, expected, `${line}: ${stderr}`)
    const { types = [], one = '', two = '' } = ROWS.get(name) ?? {}
    assert.ok(type === 'Failure' || types.includes(type), `${name} prints ${types.join(', ')}`)
    assert.ok(
      expected === 0 || type === 'Failure' || (expected === 1 ? one : two) !== '',
      `${name} ends with ${expected}`,
    )
    if (type === 'Failure') assert.equal(stdout, '')
    const text = type === 'Failure' ? (stderr.trimEnd().split('\n').at(-1) as string) : stdout
    take(line, type, text)
    return { cwd, said: JSON.parse(text) }
  }
  const at = `--now ${PRESENT}`
  const late = '--now 2026-11-23T10:20Z'
  const why = `--why because ${at}`
  const { cwd } = await shown('Status', `status ${late}`)
  await shown('Status', `status --check ${late}`, 2)
  await shown('Statement', `statement --by day --rate-card listing.json ${at}`)
  await shown('Statement', `statement --customer 111122223333 ${at}`)
  await shown('UsageRecord[]', 'records --limit 2')
  await shown('UsageRecord[]', 'held')
  await shown('AuditEntry[]', 'audit')
  await shown('Entitlements', `entitlements ${at}`)
  await shown('Verification', `verify --hash ${'1'.repeat(64)}`, 1)
  await shown(
    'Reconciliation',
    `reconcile events.json --caller arn:aws:iam::999900001111:role/meter --settle ${late}`,
    1,
  )
  writeFileSync(join(cwd, 'usage.csv'), await usageReport())
  await shown('UsageComparison', 'reconcile --usage-report usage.csv', 1, cwd)
  await shown('Decisions', `release --all --dry-run ${why}`)
  await shown('Decisions', `settle 1 --not-billed ${why}`)
  await shown('Decisions', `decide decisions.csv ${why}`)
  await shown('Decisions', `decide decisions.csv ${why}`, 0, cwd)
  await shown('Decisions', `write-off --held 7 ${why}`)
  await shown('WriteOffs', `write-off --unattributed --dry-run ${why}`)
  const attributed = await shown('Attributions', `attribute u-fc273356 --account-id 999988887777 ${why}`)
  await shown('Undone', `undo ${attributed.said.group} --dry-run ${why}`, 0, attributed.cwd)
  await shown('Undone', `undo ${attributed.said.group} ${why}`, 0, attributed.cwd)
  await shown('Undone', `undo ${attributed.said.group} ${why}`, 0, attributed.cwd)
  await shown('Attributions', `attribute 444455556666 --account-id 999988887777 --dry-run ${why}`)
  const adjust = 'adjust 2 --rate-card listing.json --invoice I1 --agreement agmt-1 --why too_much --now 2026-12-05'
  const adjusted = await shown('Adjustments', adjust)
  await shown('Adjustments', adjust, 0, adjusted.cwd)
  await shown('ImportedAgreements', `import-agreements agreements.csv --dry-run ${at}`)
  writeFileSync(
    join(cwd, 'agreements.csv'),
    'product,account_id,tenant,agreement_since\nprod,444455556666,acme,2026-10-01\n',
  )
  await shown('ImportedAgreements', `import-agreements agreements.csv ${at}`, 1, cwd)
  await shown('Endpoints', `endpoint ${at}`)
  await shown('Spool', 'spool spool.sqlite --retry')
  await shown('Check', 'check gateway.yaml')
  await shown('Diagnosis', 'doctor --config gateway.yaml', 2)
  const schema = await run(['check', '--schema', '--json'])
  assert.equal(JSON.parse(schema.stdout).type, 'object')

  const codes = async (line: string, place?: string) => (await shown('Failure', line, 2, place)).said
  const missing = await codes('status --ledger nowhere')
  assert.deepEqual([missing.code, missing.problems], ['ERR_LEDGER_NOT_FOUND', []])
  assert.match(missing.message, /^There is no ledger at nowhere\. /)
  writeFileSync(join(cwd, 'gateway.yaml'), 'productCode: prod\nregion: mars\nledger: x\n')
  for (const name of ['check', 'serve --config']) {
    const { code, problems } = await codes(`${name} gateway.yaml`, cwd)
    assert.deepEqual([code, problems[0].line, problems[0].column], ['ERR_GATEWAY_CONFIG', 2, 9])
  }
  for (const line of [
    'status --frobnicate',
    'status --now noon',
    'held --format csv',
    'release',
    'settle 1',
    'undo',
    'audit --limit 0',
    'simulate --port x',
  ]) {
    const { code, message } = await codes(line)
    assert.equal(code, 'ERR_COMMAND_LINE', line)
    assert.doesNotMatch(message, /^error:|\n/)
  }
  assert.equal((await codes(`release 99 ${why}`)).code, 'ERR_LEDGER_NOT_FOUND')
  const secret = await codes('status --ledger postgresql://meter:hunter2@/x?nonsense=1')
  assert.ok(!JSON.stringify(secret).includes('hunter2'))
  // As before there was --json.
  const { stdout, stderr } = await run(['status', '--format', 'json', '--ledger', 'nowhere'])
  assert.deepEqual([stdout, JSON.parse(stderr).code], ['', 'ERR_LEDGER_NOT_FOUND'])
})

test('what was printed is of the types in the document, member by member', async t => {
  const types = TYPES.replace(
    'type Time = string',
    `type Time = \`\${number}-\${number}-\${number}T\${number}:\${number}:\${string}Z\``,
  ).replace('type Decimal = string', `type Decimal = \`\${number}\``)
  assert.equal(types.match(/= `/g)?.length, 2)
  const path = folder(t)
  const { compilerOptions } = JSON.parse(readFileSync(new URL('tsconfig.json', ROOT), 'utf8'))
  writeFileSync(join(path, 'package.json'), '{ "type": "module" }')
  writeFileSync(
    join(path, 'tsconfig.json'),
    JSON.stringify({ compilerOptions: { ...compilerOptions, types: [] }, include: ['*.ts'] }),
  )
  const samples = printed.map(({ type, value, by }, index) => {
    return `// ${by}\nexport const sample${index}: ${type} = ${JSON.stringify(value, null, 1)}\n`
  })
  const wrong =
    'export const wrong: Pruned = { "before": "2026-11-21T09:40:00.000Z", "deleted": 1, "undocumented": 1 }\n'
  writeFileSync(join(path, 'samples.ts'), `${types}\n${samples.join('')}${wrong}`)
  const tsc = fileURLToPath(new URL('node_modules/.bin/tsc', ROOT))
  const { stdout } = await promisify(execFile)(tsc, ['-p', path]).catch(error => error as { stdout: string })
  assert.match(stdout, /^[./\w-]*samples\.ts[^\n]*"undocumented"' does not exist in type 'Pruned'\.\n$/)
  const tested = new Set(printed.map(({ type }) => type))
  assert.deepEqual(
    [...ROWS].flatMap(([command, { types }]) =>
      types.filter(type => !tested.has(type)).map(type => `${command}: ${type}`),
    ),
    [],
  )
})
