import { execFileSync } from 'node:child_process'
import { globSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { build, type Metafile } from 'esbuild'

/**
 * Builds the package into `dist`, or into the folder that is named: a module for each export and command, with what is
 * used of development dependencies in it; what the exports declare; and the licences of what came from others.
 */

const ROOT = import.meta.dirname
const OUT = resolve(process.argv[2] ?? join(ROOT, 'dist'))

interface Manifest {
  readonly exports: Readonly<Record<string, string | { readonly types: string; readonly default: string }>>
  readonly bin: Readonly<Record<string, string>>
  readonly dependencies: Readonly<Record<string, string>>
  readonly peerDependencies: Readonly<Record<string, string>>
}

const manifest: Manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
const modules = Object.values(manifest.exports).filter(entry => typeof entry !== 'string')
const installed = Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies })
const inDist = (path: string) => relative('dist', path)

rmSync(OUT, { recursive: true, force: true })
const tsc = join(ROOT, 'node_modules/typescript/bin/tsc')
execFileSync(process.execPath, [tsc, '-p', 'tsconfig.build.json', '--outDir', OUT], { cwd: ROOT, stdio: 'inherit' })
keepPublic(modules.map(({ types }) => join(OUT, inDist(types))))
const { metafile } = await build({
  absWorkingDir: ROOT,
  entryPoints: [...modules.map(entry => entry.default), ...Object.values(manifest.bin)].map(path =>
    join('src', inDist(path).replace(/\.js$/, '.ts')),
  ),
  outbase: 'src',
  outdir: OUT,
  external: [...installed, 'node:*'],
  bundle: true,
  splitting: true,
  format: 'esm',
  target: 'node22.22',
  // Not `node`: what packages have for Node is often CommonJS that requires Node's modules, which a module here cannot.
  platform: 'neutral',
  mainFields: ['module', 'main'],
  charset: 'utf8',
  metafile: true,
})
writeFileSync(join(OUT, 'THIRD-PARTY-LICENSES.txt'), licences(metafile))

/** Deletes the declarations that these do not lead to. They may only name what their reader has installed. */
function keepPublic(entries: readonly string[]): void {
  const kept = new Set(entries)
  // What is added to a set while it is walked is walked, too.
  for (const file of kept) {
    for (const [, name = ''] of readFileSync(file, 'utf8').matchAll(/(?:\bfrom |\bimport\()['"]([^'"]+)['"]/g)) {
      if (name.startsWith('.')) kept.add(join(dirname(file), name.replace(/\.[jt]s$/, '.d.ts')))
      else if (!name.startsWith('node:') && !installed.some(known => name === known || name.startsWith(`${known}/`))) {
        throw new Error(`${relative(ROOT, file)} names ${name}, which is not installed with this package`)
      }
    }
  }
  for (const name of globSync('**/*.d.ts', { cwd: OUT })) if (!kept.has(join(OUT, name))) rmSync(join(OUT, name))
}

/** The licences of the packages that are in the modules, which all ask to be kept with what is made of them. */
function licences({ outputs }: Metafile): string {
  const sources = Object.values(outputs).flatMap(({ inputs }) => Object.keys(inputs))
  const folders = sources.flatMap(path => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0] ?? [])
  const packages = [...new Set(folders)].sort().map(folder => {
    const { name, version } = JSON.parse(readFileSync(join(ROOT, folder, 'package.json'), 'utf8'))
    const file = readdirSync(join(ROOT, folder)).find(file => /^licen[cs]e/i.test(file))
    if (file === undefined) throw new Error(`${folder} has no file with its licence`)
    return { name: `${name} ${version}`, licence: readFileSync(join(ROOT, folder, file), 'utf8').trim() }
  })
  // Many have the same, word for word.
  const texts = [...Map.groupBy(packages, ({ licence }) => licence)].map(([licence, those]) => {
    return `${those.map(({ name }) => name).join('\n')}\n\n${licence}\n`
  })
  return `This package contains parts of these:\n\n${texts.join(`\n${'-'.repeat(80)}\n\n`)}`
}
