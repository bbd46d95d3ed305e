import { execFileSync } from 'node:child_process'
import { globSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { build, type Metafile } from 'esbuild'

/**
 * Builds the package into `dist`, or into the folder that is named: a module for each export and command, with what is
 * used of development dependencies in it; what the exports declare; and what came from others, with its licences.
 */

const ROOT = import.meta.dirname
const OUT = resolve(process.argv[2] ?? join(ROOT, 'dist'))

interface Manifest {
  readonly name: string
  readonly version: string
  readonly license: string
  readonly exports: Readonly<Record<string, string | { readonly types: string; readonly default: string }>>
  readonly bin: Readonly<Record<string, string>>
  readonly dependencies: Readonly<Record<string, string>>
  readonly peerDependencies: Readonly<Record<string, string>>
  readonly peerDependenciesMeta: Readonly<Record<string, { readonly optional?: boolean }>>
}

const manifest: Manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
const modules = Object.values(manifest.exports).filter(entry => typeof entry !== 'string')
const installed = Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies })
/** What every reader has. */
const required = installed.filter(name => manifest.peerDependenciesMeta[name]?.optional !== true)
/** An entry whose reader has an optional package, too. */
const WITH_OPTIONAL: Readonly<Record<string, string>> = {
  './dist/ledger/dynamodb/index.d.ts': '@aws-sdk/client-dynamodb',
}
const inDist = (path: string) => relative('dist', path)

rmSync(OUT, { recursive: true, force: true })
const tsc = join(ROOT, 'node_modules/typescript/bin/tsc')
execFileSync(process.execPath, [tsc, '-p', 'tsconfig.build.json', '--outDir', OUT], { cwd: ROOT, stdio: 'inherit' })
keepPublic(modules.map(({ types }) => types))
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
const bundled = packagesIn(metafile)
writeFileSync(join(OUT, 'THIRD-PARTY-LICENSES.txt'), licences(bundled))
writeFileSync(join(OUT, 'bundled.cdx.json'), `${JSON.stringify(billOfMaterials(bundled), undefined, 2)}\n`)

/** Deletes the declarations that these do not lead to. They may only name what their reader has installed. */
function keepPublic(entries: readonly string[]): void {
  const kept = new Set(entries.flatMap(entry => [...declarationsOf(entry)]))
  for (const name of globSync('**/*.d.ts', { cwd: OUT })) if (!kept.has(join(OUT, name))) rmSync(join(OUT, name))
}

/** An entry's declarations, and those that they lead to. */
function declarationsOf(entry: string): ReadonlySet<string> {
  const files = new Set([join(OUT, inDist(entry))])
  const known = [...required, ...(entry in WITH_OPTIONAL ? [WITH_OPTIONAL[entry]] : [])]
  // What is added to a set while it is walked is walked, too.
  for (const file of files) {
    for (const [, name = ''] of readFileSync(file, 'utf8').matchAll(/(?:\bfrom |\bimport\()['"]([^'"]+)['"]/g)) {
      if (name.startsWith('.')) files.add(join(dirname(file), name.replace(/\.[jt]s$/, '.d.ts')))
      else if (!name.startsWith('node:') && !known.some(known => name === known || name.startsWith(`${known}/`))) {
        throw new Error(
          `${relative(ROOT, file)} names ${name}, which who imports ${entry} may not have installed with this package`,
        )
      }
    }
  }
  return files
}

interface Package {
  readonly name: string
  readonly version: string
  /** By SPDX's name. */
  readonly licence: string
  /** The licence, and what else it asks to be kept with it. */
  readonly text: string
}

/** The packages of which the modules have something in them, each once. */
function packagesIn({ outputs }: Metafile): Package[] {
  const sources = Object.values(outputs).flatMap(({ inputs }) => Object.keys(inputs))
  const folders = sources.flatMap(path => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0] ?? [])
  const packages = [...new Set(folders)].sort().map(folder => {
    const { name, version, license } = JSON.parse(readFileSync(join(ROOT, folder, 'package.json'), 'utf8'))
    const files = readdirSync(join(ROOT, folder)).filter(file => /^(licen[cs]e|notice)/i.test(file))
    if (!files.some(file => /^licen/i.test(file))) throw new Error(`${folder} has no file with its licence`)
    const text = files.map(file => readFileSync(join(ROOT, folder, file), 'utf8').trim()).join('\n\n')
    return { name, version, licence: license, text }
  })
  return [...new Map(packages.map(each => [`${each.name} ${each.version}`, each])).values()]
}

/** The licences of the packages that are in the modules, which all ask to be kept with what is made of them. */
function licences(packages: readonly Package[]): string {
  // Many have the same, word for word.
  const texts = [...Map.groupBy(packages, ({ text }) => text)].map(([text, those]) => {
    return `${those.map(({ name, version }) => `${name} ${version}`).join('\n')}\n\n${text}\n`
  })
  return `This package contains parts of these:\n\n${texts.join(`\n${'-'.repeat(80)}\n\n`)}`
}

/** What nobody who installs this package sees in a lock file, as CycloneDX has it: https://cyclonedx.org/docs/1.5/json/ */
function billOfMaterials(packages: readonly Package[]): object {
  const component = (name: string, version: string, licence: string) => {
    const purl = `pkg:npm/${name.replace('@', '%40')}@${version}`
    return { type: 'library', 'bom-ref': purl, name, version, purl, licenses: [{ license: { id: licence } }] }
  }
  const { name, version, license } = manifest
  return {
    ...{ bomFormat: 'CycloneDX', specVersion: '1.5', version: 1 },
    metadata: { component: component(name, version, license) },
    components: packages.map(({ name, version, licence }) => component(name, version, licence)),
  }
}
