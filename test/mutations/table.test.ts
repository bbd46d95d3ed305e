import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { occurrences, ROOT } from './project.ts'
import { MUTATIONS } from './table.ts'

test('every mutation can still be made, and its tests are there', () => {
  for (const { name, edits, caughtBy } of MUTATIONS) {
    for (const edit of edits) {
      assert.equal(occurrences(edit), 1, `${name}: how often its text is in src/${edit.file}`)
      assert.notEqual(edit.text, edit.instead, name)
    }
    assert.ok(edits.length > 0 && caughtBy.length > 0, name)
    for (const tests of caughtBy) {
      const [file = '', title = ''] = tests.split('#')
      assert.ok(textOf(file).includes(title), `${name}: ${tests}`)
    }
  }
  assert.equal(new Set(MUTATIONS.map(({ name }) => name)).size, MUTATIONS.length)
})

/** Of a test file and of what is beside it, where its titles may be. */
const textOf = (file: string): string =>
  globSync([file, `${dirname(file)}/*/*.ts`], { cwd: ROOT })
    .map(path => readFileSync(join(ROOT, path), 'utf8'))
    .join()
