import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { test } from 'node:test'

const ROOT = join(import.meta.dirname, '../..')

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
