import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { test } from 'node:test'
import { parse } from 'yaml'
import { MIGRATIONS as POSTGRESQL } from '../../src/ledger/postgresql/schema.ts'
import { MIGRATIONS as SQLITE } from '../../src/ledger/sqlite/schema.ts'
import { contentProblems, deadLinks } from './contents.ts'
import { changelogProblems, factProblems, tagProblems } from './release-facts.ts'

const ROOT = join(import.meta.dirname, '../..')
const textOf = (path: string) => readFileSync(join(ROOT, path), 'utf8')

test('the package builds, with declarations that name nothing its reader has not installed', context => {
  const folder = mkdtempSync(join(tmpdir(), 'build-'))
  context.after(() => rmSync(folder, { recursive: true }))
  execFileSync(process.execPath, [join(ROOT, 'build.ts'), folder], { stdio: 'pipe', encoding: 'utf8' })
  const { exports } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
  const files = Object.values<string | { types: string; default: string }>(exports).flatMap(entry =>
    typeof entry === 'string' ? [] : [entry.types, entry.default],
  )
  assert.deepEqual(
    files.filter(file => !existsSync(join(folder, relative('dist', file)))),
    [],
  )
})

test('what only the owner knows is asked for before a release, and nothing is made up', () => {
  const whole = {
    author: 'Somebody <somebody@example.com>',
    repository: { type: 'git', url: 'git+https://example.com/a/b.git' },
    homepage: 'https://example.com',
    bugs: { url: 'https://example.com/issues' },
  }
  assert.deepEqual(factProblems(whole), [])
  for (const [name, wrong] of [
    ...Object.keys(whole).map(name => [name, undefined] as const),
    ...([['author', ' '] as const, ['homepage', 'https://…'] as const, ['repository', 'a/b'] as const] as const),
  ]) {
    const problems = factProblems({ ...whole, [name]: wrong })
    assert.deepEqual([problems.length, problems[0]?.includes(`"${name}"`)], [1, true], name)
  }
  assert.equal(factProblems({ ...whole, private: true }).length, 1)
})

test('a release has its version and date at the top of the changelog, and its own tag', () => {
  const of = (...headings: string[]) => headings.map(heading => `## ${heading}\n\ntext\n`).join('\n')
  assert.deepEqual(changelogProblems(of('0.2.0 (2026-11-30)', '0.1.0'), '0.2.0'), [])
  for (const wrong of [
    of('Unreleased', '0.2.0 (2026-11-30)'),
    of('0.2.0'),
    of('0.2.0 (soon)'),
    of('0.2.0 (2026-13-30)'),
    of('0.1.0 (2026-11-30)'),
    '',
  ]) {
    assert.notDeepEqual(changelogProblems(wrong, '0.2.0'), [], wrong)
  }
  assert.deepEqual(
    [undefined, 'v0.2.0', 'v0.1.0'].map(tag => tagProblems(tag, '0.2.0').length),
    [0, 0, 1],
  )
})

test('the changelog says what to do first, and how each ledger comes to the schema of today', () => {
  const [, unreleased = ''] =
    /^## (?:Unreleased|\S+ \(.*\))\n([\s\S]*?)(?=^## |(?![\s\S]))/m.exec(textOf('CHANGELOG.md')) ?? []
  const [first = ''] = [...unreleased.matchAll(/^### (.+)$/gm)].map(([, heading]) => heading as string)
  if (unreleased.includes('| schema |')) {
    assert.equal(first, 'What you have to do')
    const [, dynamodb] = /^const FORMAT = (\d+)$/m.exec(textOf('src/ledger/dynamodb/head.ts')) ?? []
    assert.deepEqual(
      [...unreleased.matchAll(/^ {2}\| (\w+) \| \d+ → (\d+) \|/gm)].map(([, ledger, to]) => `${ledger} ${to}`),
      [`SQLite ${SQLITE.length}`, `PostgreSQL ${POSTGRESQL.length}`, `DynamoDB ${dynamodb}`],
    )
  }
})

test('relative links of what is packed lead to what is packed', () => {
  const pack = ['pack', '--json', '--dry-run', '--ignore-scripts']
  const [{ files }] = JSON.parse(execFileSync('npm', pack, { cwd: ROOT, encoding: 'utf8', stdio: 'pipe' }))
  const paths: string[] = files.map(({ path }: { path: string }) => path)
  assert.ok(paths.filter(path => path.endsWith('.md')).length > 15)
  assert.deepEqual(deadLinks(ROOT, paths), [])
})

test('the workflow runs what there is, and only a tag publishes', () => {
  const { scripts, engines } = JSON.parse(textOf('package.json'))
  const { on, permissions, jobs } = parse(textOf('.github/workflows/ci.yml'))
  assert.deepEqual([on.push.tags, permissions, Object.keys(jobs)], [['v*'], { contents: 'read' }, ['check', 'release']])
  assert.deepEqual(
    [jobs.check.permissions, jobs.release.permissions],
    [undefined, { contents: 'read', 'id-token': 'write' }],
  )
  assert.deepEqual([jobs.release.if, jobs.release.needs], ["startsWith(github.ref, 'refs/tags/v')", 'check'])
  const steps = [...jobs.check.steps, ...jobs.release.steps]
  const commands: string[] = steps.flatMap(({ run }) => run ?? [])
  assert.deepEqual(commands, [
    '.ci/run',
    'npm ci',
    'npm run release-check',
    'npm publish --provenance --access public --ignore-scripts ./*.tgz',
  ])
  assert.ok((statSync(join(ROOT, '.ci/run')).mode & 0o111) !== 0)
  for (const [, script = ''] of `${commands.join('\n')}\n${textOf('.ci/run')}`.matchAll(/npm run ([\w:-]+)/g))
    assert.ok(script in scripts, script)
  for (const { uses, with: options } of steps) {
    if (uses !== undefined) assert.match(uses, /^actions\/[\w-]+@v\d+$/)
    const node = options?.['node-version']
    if (node !== undefined) assert.ok(engines.node.includes(`^${node}.`), node)
  }
})

test('what must not be packed is found', context => {
  const folder = mkdtempSync(join(tmpdir(), 'contents-'))
  context.after(() => rmSync(folder, { recursive: true }))
  const component = { name: 'one', version: '1.0.0', licenses: [{ license: { id: 'MIT' } }] }
  const files: Record<string, string> = {
    'package.json': '{"exports": {".": {"default": "./dist/index.js"}}, "bin": {}}',
    LICENSE: 'Apache',
    'dist/index.js': 'export {}',
    'dist/THIRD-PARTY-LICENSES.txt': 'This package contains parts of these:\n\none 1.0.0\n\nMIT\n',
    'dist/bundled.cdx.json': JSON.stringify({ components: [component] }),
  }
  const problems = (changed: Record<string, string | undefined>) => {
    const all = Object.entries({ ...files, ...changed }).filter(([, text]) => text !== undefined)
    for (const [path, text = ''] of all) {
      mkdirSync(join(folder, dirname(path)), { recursive: true })
      writeFileSync(join(folder, path), text)
    }
    return contentProblems(
      folder,
      all.map(([path]) => path),
    )
  }
  assert.deepEqual(problems({}), [])
  const wrong: [Record<string, string | undefined>, RegExp][] = [
    [{ 'dist/index.js': undefined }, /^dist\/index\.js is not in it$/],
    [{ 'test/a.test.ts': 'test()' }, /^test\/a\.test\.ts is in it$/],
    [
      { 'README.md': '[a](nowhere.md#part) [b](https://example.com) [c](#here) [d](dist) [e](LICENSE)' },
      /^README\.md links to nowhere\.md, which is not in it$/,
    ],
    [{ 'dist/index.js': `const key = '${'AKIA'}${'A1'.repeat(8)}'` }, /an access key of AWS/],
    [{ 'dist/index.js': `'postgresql://meter:${'Xk29'.repeat(3)}@db/metering'` }, /a password in an address/],
    [{ 'dist/index.js': `// ${ROOT}/src/index.ts` }, /a folder of this machine/],
    [{ 'dist/index.js': 'x'.repeat(4_000_000) }, /it has 4\d{6} bytes/],
    [{ 'dist/THIRD-PARTY-LICENSES.txt': 'MIT' }, /the licence of one 1\.0\.0 is not in it/],
    [
      {
        'dist/bundled.cdx.json': JSON.stringify({
          components: [{ ...component, licenses: [{ license: { id: 'GPL-3.0' } }] }],
        }),
      },
      /one has the licence GPL-3\.0/,
    ],
  ]
  for (const [changed, problem] of wrong) {
    const found = problems(changed)
    assert.equal(found.length, 1, found.join('\n'))
    assert.match(found[0] ?? '', problem)
  }
})
