import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { contentProblems } from './contents.ts'

/** Looks at what would be packed of the build that is there: what is in it, and whether a build elsewhere is the same. */

const ROOT = join(import.meta.dirname, '../..')
const pack = ['pack', '--json', '--dry-run', '--ignore-scripts']
const [{ files }] = JSON.parse(execFileSync('npm', pack, { cwd: ROOT, encoding: 'utf8' }))
const paths: string[] = files.map(({ path }: { path: string }) => path)
assert.deepEqual(contentProblems(ROOT, paths), [])

const elsewhere = mkdtempSync(join(tmpdir(), 'build-'))
try {
  execFileSync(process.execPath, [join(ROOT, 'build.ts'), elsewhere], { stdio: 'inherit' })
  const built = (folder: string) =>
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter(entry => entry.isFile())
      .map(entry => join(entry.parentPath, entry.name).slice(folder.length + 1))
      .sort()
  assert.deepEqual(built(elsewhere), built(join(ROOT, 'dist')))
  for (const path of built(elsewhere)) {
    assert.ok(readFileSync(join(elsewhere, path)).equals(readFileSync(join(ROOT, 'dist', path))), `${path} differs`)
  }
} finally {
  rmSync(elsewhere, { recursive: true })
}
console.log(`What is packed is what it has to be, ${paths.length} files, and a build elsewhere is the same.`)
