import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { type Loader, transform } from 'esbuild'
import { blocksOf } from '../readme/documents.ts'
import { DOCUMENT, recipes, sections, variables } from '../recipes/document.ts'
import { TRIALS } from '../recipes/trials.ts'

/** What can be said of examples/README.md without any framework; `npm run recipes` runs it. */

test('each recipe is tried, and nothing else is', () => {
  assert.deepEqual(recipes.map(({ name }) => name).sort(), Object.keys(TRIALS).sort())
})

test('each recipe has what it imports of its own, and has a package installed that it imports', () => {
  for (const { name, files, packages } of recipes) {
    for (const [path, text] of files) {
      if (!/\.[mt]s$/.test(path)) continue
      for (const [, specifier = ''] of text.matchAll(/(?:\bfrom |\bimport\(|^import )'([^']+)'/gm)) {
        if (specifier.startsWith('node:')) continue
        if (specifier.startsWith('.')) {
          const file = join(path, '..', specifier).replace(/\.js$/, '')
          assert.ok(files.has(file) || files.has(`${file}.ts`), `${name}: ${path} imports ${specifier}`)
          continue
        }
        const [, imported = ''] = /^((?:@[^/]+\/)?[^/]+)/.exec(specifier) ?? []
        const installed = packages.some(each => each === imported || each.startsWith(`${imported}@`))
        assert.ok(installed || imported === '@jest/globals', `${name}: ${path} imports ${specifier}`)
      }
    }
  }
})

test('every block can be read', async () => {
  const tsconfigRaw = { compilerOptions: { experimentalDecorators: true } }
  for (const { language, text } of blocksOf('examples/README.md')) {
    if (language === 'sh') {
      const { status, stderr } = spawnSync('sh', ['-n'], { input: text, encoding: 'utf8' })
      assert.deepEqual([status, stderr], [0, ''], text)
    } else if (language === 'json') JSON.parse(text.replace(/^\/\/.*\n/, ''))
    else if (language !== 'text') await transform(text, { loader: language as Loader, tsconfigRaw })
  }
})

test('every row of the table of variables is one that is tried', () => {
  const rows = (sections.get('otel_-variables') as string).match(/^\| `/gm)
  assert.equal(variables.length, rows?.length)
  assert.ok(variables.length > 10)
})

test('the contents name every section', () => {
  const anchors = [...DOCUMENT.matchAll(/\]\(#([^)]+)\)/g)].map(([, anchor]) => anchor)
  assert.deepEqual(
    [...sections.keys()].filter(name => !anchors.includes(name)),
    [],
  )
})
