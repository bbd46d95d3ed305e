import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { testsOf } from './areas.ts'
import { mutantsOf } from './mutants.ts'
import { ROOT } from './project.ts'

test('each mutant changes what is there, and no two are the same', () => {
  const files = ['src/ledger/rules/retention.ts', 'src/ledger/sqlite/maintenance.ts', 'src/usage/units.ts']
  const mutants = mutantsOf(ROOT, files)
  for (const { file, line, start, text, instead } of mutants) {
    const source = readFileSync(join(ROOT, file), 'utf8')
    assert.equal(source.slice(start, start + text.length), text)
    assert.ok(source.split('\n')[line - 1]?.includes(text.split('\n')[0] ?? ''), `${file}:${line}`)
    assert.notEqual(text, instead)
  }
  assert.deepEqual(new Set(mutants.map(({ file }) => file)), new Set(files))
  const distinct = new Set(
    mutants.map(({ file, start, text, instead }) => JSON.stringify([file, start, text, instead])),
  )
  assert.equal(distinct.size, mutants.length)
  // One of each kind: an operator, a constant, a condition, an argument, a statement, a waiting, and SQL.
  const made = new Set(mutants.map(({ text, instead }) => `${text} → ${instead}`))
  for (const change of [
    '* → /',
    '1000n → 1001n',
    'doubted !== undefined → false',
    'doubtCounters(database, by.now) → doubtCounters(database)',
    'savePiece(database, piece) → ;',
    'await write(partial) → (write(partial))',
    ' AND  →  OR ',
  ]) {
    assert.ok(made.has(change), change)
  }
})

test('every part of the source has its quick tests', () => {
  for (const file of globSync('src/**/*.ts', { cwd: ROOT })) assert.ok(testsOf(file, ROOT).length > 0, file)
})
