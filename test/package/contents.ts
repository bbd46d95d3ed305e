import { readFileSync, statSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { linksOf } from '../readme/documents.ts'

/** What may be in the package. */
const ALLOWED = [
  /^(package\.json|LICENSE|[A-Z]+\.md)$/,
  // Manuals, and the texts among the examples.
  /^(src|test|examples)\/[\w./-]+\.md$/,
  /^examples\/[\w./-]+(\.(yaml|sql|json)|\/Dockerfile)$/,
  /^dist\/(THIRD-PARTY-LICENSES\.txt|bundled\.cdx\.json)$/,
  /^dist\/[\w./-]+\.(js|d\.ts)$/,
]
/** In bytes, of all files: who adds as much again is asked whether it is meant. */
const LARGEST = 3_500_000
const LICENCES = ['Apache-2.0', 'BSD-2-Clause', 'BSD-3-Clause', 'ISC', 'MIT']

const SECRETS: Readonly<Record<string, RegExp>> = {
  'an access key of AWS': /\b(AKIA|ASIA)[0-9A-Z]{16}\b/,
  'a private key': /-----BEGIN [A-Z ]*PRIVATE KEY/,
  'a token of npm': /\bnpm_[A-Za-z0-9]{36}\b/,
  'a token of GitHub': /\b(gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{40,})\b/,
  'a password in an address': /\b[a-z]+:\/\/[\w.-]+:(?!\$|<|…|password|secret|pw\b)[^\s@/'"`]{6,}@[\w.-]+/,
}

/**
 * What is wrong with the files of a package.
 *
 * @param folder where they are
 * @param paths in it
 */
export function contentProblems(folder: string, paths: readonly string[]): string[] {
  const textOf = (path: string) => readFileSync(join(folder, path), 'utf8')
  const problems = paths.flatMap(path => (ALLOWED.some(allowed => allowed.test(path)) ? [] : `${path} is in it`))
  const { exports, bin } = JSON.parse(textOf('package.json'))
  const wanted = [...strings(exports), ...strings(bin)].map(path => path.replace(/^\.\//, ''))
  for (const path of [...wanted, 'LICENSE', 'dist/THIRD-PARTY-LICENSES.txt', 'dist/bundled.cdx.json'])
    if (!paths.includes(path)) problems.push(`${path} is not in it`)
  problems.push(...deadLinks(folder, paths))
  const size = paths.reduce((sum, path) => sum + statSync(join(folder, path)).size, 0)
  if (size > LARGEST) problems.push(`it has ${size} bytes, expected at most ${LARGEST}`)
  for (const path of paths) {
    const text = textOf(path)
    for (const [what, pattern] of Object.entries(SECRETS)) if (pattern.test(text)) problems.push(`${path} has ${what}`)
    if (text.includes(`${homedir()}/`) || text.includes(join(import.meta.dirname, '../..')))
      problems.push(`${path} names a folder of this machine`)
  }
  if (problems.length === 0) problems.push(...licenceProblems(textOf))
  return problems
}

function licenceProblems(textOf: (path: string) => string): string[] {
  const texts = textOf('dist/THIRD-PARTY-LICENSES.txt')
  const { components } = JSON.parse(textOf('dist/bundled.cdx.json'))
  return components.flatMap(({ name, version, licenses: [{ license }] }: Component) => [
    ...(LICENCES.includes(license.id) ? [] : [`${name} has the licence ${license.id}`]),
    ...(texts.includes(`\n${name} ${version}\n`) ? [] : [`the licence of ${name} ${version} is not in it`]),
  ])
}

export interface Component {
  readonly name: string
  readonly version: string
  readonly licenses: readonly [{ readonly license: { readonly id: string } }]
}

function strings(value: unknown): string[] {
  if (typeof value === 'string') return [value]
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(strings) : []
}

/**
 * Relative links of packed documents that lead to no packed file or folder. What is packed lies as it does in the
 * repository: so such a link leads somewhere in `node_modules`, and on npm's page, which resolves it by `repository`.
 */
export function deadLinks(folder: string, paths: readonly string[]): string[] {
  const there = (path: string) =>
    paths.some(packed => packed === path || packed.startsWith(`${path.replace(/\/$/, '')}/`))
  return paths
    .filter(path => path.endsWith('.md'))
    .flatMap(document =>
      linksOf(document, readFileSync(join(folder, document), 'utf8')).map(({ path }) => [document, path]),
    )
    .filter(([, path = '']) => !there(path))
    .map(([document, path]) => `${document} links to ${path}, which is not in it`)
}
