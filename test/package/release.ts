import { execFileSync } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { type Component, contentProblems } from './contents.ts'
import { changelogProblems, factProblems, tagProblems } from './release-facts.ts'

/**
 * Looks whether this commit can be released, and makes what is published of it: the tarball, packed twice from two clean
 * clones, and beside it its bill of materials.
 */

const ROOT = join(import.meta.dirname, '../..')
/** In bytes. */
const LARGEST_TARBALL = 900_000

const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
const { name, version } = manifest
const textOf = (path: string) => readFileSync(join(ROOT, path), 'utf8')
/** Without what npm told this process of the package around it. */
const env = {
  ...Object.fromEntries(Object.entries(process.env).filter(([key]) => !key.startsWith('npm_'))),
  PATH: [dirname(process.execPath), process.env.PATH].join(delimiter),
}
const run = (cwd: string, command: string, ...args: string[]) =>
  execFileSync(command, args, { cwd, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })

function stopAt(problems: readonly string[]): void {
  if (problems.length === 0) return
  console.error(['This cannot be released:', ...problems.map(problem => `- ${problem}`)].join('\n'))
  process.exit(1)
}

const changed = run(ROOT, 'git', 'status', '--porcelain').trim()
stopAt([
  ...factProblems(manifest),
  ...changelogProblems(textOf('CHANGELOG.md'), version),
  ...tagProblems(process.env.GITHUB_REF_TYPE === 'tag' ? process.env.GITHUB_REF_NAME : undefined, version),
  ...(changed === '' ? [] : [`the tree is not clean:\n${changed}`]),
])

const work = mkdtempSync(join(tmpdir(), 'release-'))
process.once('exit', () => rmSync(work, { recursive: true, force: true }))

/** Packs a clean clone. */
function pack(folder: string): string {
  console.log(`Packing in ${folder}`)
  run(work, 'git', 'clone', '--quiet', ROOT, folder)
  const clone = join(work, folder)
  run(clone, 'npm', 'ci', '--prefer-offline', '--no-audit', '--no-fund', '--silent')
  // What runs on the way prints, too.
  run(clone, 'npm', 'pack', '--silent')
  const [file, ...others] = readdirSync(clone).filter(file => file.endsWith('.tgz'))
  if (file === undefined || others.length > 0) throw new Error('expected one tarball')
  return join(clone, file)
}

const [tarball, again] = [pack('one'), pack('another/and-deeper')]
const bytes = readFileSync(tarball)
run(work, 'tar', '-xzf', tarball)
const unpacked = join(work, 'package')
const paths = readdirSync(unpacked, { recursive: true, withFileTypes: true })
  .filter(entry => entry.isFile())
  .map(entry => join(entry.parentPath, entry.name).slice(unpacked.length + 1))
stopAt([
  ...(bytes.equals(readFileSync(again)) ? [] : ['two clean builds are not the same, byte for byte']),
  ...(bytes.length > LARGEST_TARBALL
    ? [`it has ${bytes.length} bytes packed, expected at most ${LARGEST_TARBALL}`]
    : []),
  ...contentProblems(unpacked, paths),
])
const one = join(work, 'one')
console.log(run(one, 'npx', 'publint', '--strict', tarball).trim())
console.log(run(one, 'npx', 'attw', tarball, '--profile', 'esm-only').trim())

/** What is installed with it, as the lock file has it, and what is bundled in it. */
function billOfMaterials(): object {
  const omit = ['dev', 'optional', 'peer'].map(kind => `--omit=${kind}`)
  const options = ['--sbom-format=cyclonedx', '--sbom-type=library', '--package-lock-only', '--workspaces=false']
  const { metadata, components, ...bill } = JSON.parse(run(one, 'npm', 'sbom', ...options, ...omit))
  const bundled = JSON.parse(readFileSync(join(unpacked, 'dist/bundled.cdx.json'), 'utf8'))
  const runtime = components.filter(({ name }: Component) => name in manifest.dependencies)
  const properties = [{ name: 'bundled', value: 'true' }]
  return {
    ...bill,
    // It is called by the folder else.
    metadata: { ...metadata, component: { ...metadata.component, name } },
    components: [...runtime, ...bundled.components.map((component: Component) => ({ ...component, properties }))],
    dependencies: undefined,
  }
}

const file = `${name}-${version}`
writeFileSync(join(ROOT, `${file}.cdx.json`), `${JSON.stringify(billOfMaterials(), undefined, 2)}\n`)
cpSync(tarball, join(ROOT, `${file}.tgz`))
console.log(`${file}.tgz can be published: ${bytes.length} bytes, ${paths.length} files. Beside it ${file}.cdx.json.`)
