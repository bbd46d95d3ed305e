import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join, sep } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { Benchmark } from './row.ts'
import { kilobytes, median, medianRatio, milliseconds } from './statistics.ts'

const NAMES = ['time to import', 'size installed'] as const
const ROUNDS = 15
const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const MODULES = join(ROOT, 'node_modules')
const PEER = '@opentelemetry/exporter-metrics-otlp-proto'
/** What an application that measures anything has already, with all that these depend on. */
const THERE_ALREADY = ['@opentelemetry/api', '@opentelemetry/sdk-metrics']

/** What it costs an application to have the exporter at all, as built for npm. */
export const footprint: Benchmark = {
  rows: NAMES,
  async run() {
    // Inside node_modules, so that what is built finds its dependencies.
    mkdirSync(join(MODULES, '.cache'), { recursive: true })
    const built = mkdtempSync(join(MODULES, '.cache', 'bench-'))
    try {
      execFileSync(process.execPath, [join(ROOT, 'build.ts'), join(built, 'dist')])
      const pack = ['pack', '--json', '--dry-run', '--ignore-scripts']
      const [{ files }] = JSON.parse(execFileSync('npm', pack, { cwd: ROOT, encoding: 'utf8' }))
      for (const { path } of files as { path: string }[]) {
        if (!path.startsWith('dist/')) cpSync(join(ROOT, path), join(built, path))
      }
      const ours: number[] = []
      const theirs: number[] = []
      for (let round = 0; round < ROUNDS; round++) {
        ours.push(timeToImport(pathToFileURL(join(built, 'dist/index.js')).href))
        theirs.push(timeToImport(PEER))
      }
      // By name, since another patch version of the same package beside them is an accident of this installation.
      const known = new Set(THERE_ALREADY.flatMap(name => [...closure(join(MODULES, name))].map(nameOf)))
      const installed = (folders: ReadonlySet<string>) =>
        [...folders].filter(folder => !known.has(nameOf(folder))).reduce((sum, folder) => sum + sizeOf(folder), 0)
      const mine = installed(closure(built))
      const yours = installed(closure(join(MODULES, PEER)))
      const common = { against: 'the OTLP exporter', limit: 1, aim: 0.5, better: 'lower' } as const
      return [
        {
          ...{ ...common, name: NAMES[0] },
          ours: milliseconds(median(ours)),
          theirs: milliseconds(median(theirs)),
          ratio: medianRatio(ours, theirs),
          note: 'in fresh processes; the AWS SDK is only imported when something is sent',
        },
        {
          // Told, not owed: the gateway, the simulator, the commands, two more engines and all manuals are in it.
          ...{ ...common, name: NAMES[1], limit: undefined, aim: 1 },
          ours: kilobytes(mine),
          theirs: kilobytes(yours),
          ratio: mine / yours,
          note:
            `with dependencies, but for ${THERE_ALREADY.join(', ')} and what these need: an application that measures ` +
            'has them already',
        },
      ]
    } finally {
      rmSync(built, { recursive: true })
    }
  },
}

function timeToImport(module: string): number {
  const script = `const begun = performance.now(); await import(${JSON.stringify(module)}); console.log(performance.now() - begun)`
  const options = { cwd: ROOT, encoding: 'utf8' } as const
  return Number(execFileSync(process.execPath, ['--input-type=module', '--eval', script], options))
}

interface Manifest {
  readonly dependencies?: Record<string, string>
}

const manifest = (folder: string): Manifest => JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))

/** A package's folder and those of all it depends on, found as Node finds them. */
function closure(folder: string, found = new Set<string>()): Set<string> {
  if (found.has(folder)) return found
  found.add(folder)
  for (const name of Object.keys(manifest(folder).dependencies ?? {})) closure(resolve(name, folder), found)
  return found
}

function resolve(name: string, from: string): string {
  for (const base of [join(from, 'node_modules'), ...parents(from), MODULES]) {
    const folder = join(base, name)
    if (statSync(join(folder, 'package.json'), { throwIfNoEntry: false })) return folder
  }
  throw new Error(`${name}, which ${from} depends on, is not installed`)
}

const nameOf = (folder: string) => folder.split(`node_modules${sep}`).at(-1)

/** The node_modules that a package is nested in, the nearest first. */
function parents(folder: string): string[] {
  const parts = folder.split('node_modules')
  return parts
    .slice(1)
    .map((_, index) => `${parts.slice(0, parts.length - 1 - index).join('node_modules')}node_modules`)
}

/** The bytes of its files, those of packages nested in it left out: they count where they are depended on. */
function sizeOf(folder: string): number {
  return readdirSync(folder, { withFileTypes: true }).reduce((sum, entry) => {
    const path = join(folder, entry.name)
    if (!entry.isDirectory()) return sum + statSync(path).size
    return entry.name === 'node_modules' ? sum : sum + sizeOf(path)
  }, 0)
}
