import { textOf } from '../readme/documents.ts'

/** A recipe of examples/README.md: what is copied out of it, word for word. */
export interface Recipe {
  /** The anchor of its heading. */
  readonly name: string
  /** What its `npm install` names. */
  readonly packages: readonly string[]
  /** What is run before the application is started. */
  readonly steps: readonly string[]
  readonly start: string
  /** By their path: its own, that of another recipe which it says is its own, and those that all share. */
  readonly files: ReadonlyMap<string, string>
}

export const DOCUMENT = textOf('examples/README.md')
const SHARED = 'before-the-first'

export const sections: ReadonlyMap<string, string> = new Map(
  DOCUMENT.split(/^## /m)
    .slice(1)
    .map(text => [anchor(text.slice(0, text.indexOf('\n'))), text]),
)

const blocksOf = (text: string): { language: string; text: string }[] =>
  [...text.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].map(([, language = '', text = '']) => ({ language, text }))

/** The sections that have something installed. */
export const recipes: readonly Recipe[] = [...sections].flatMap(([name, text]) => {
  const lines = linesOf(text)
  const packages = lines.filter(isInstall).flatMap(line => line.split(' ').slice(2))
  const commands = lines.filter(line => !isInstall(line))
  const start = commands.at(-1)
  return packages.length === 0 || start === undefined
    ? []
    : [{ name, packages, steps: commands.slice(0, -1), start, files: filesOf(text) }]
})

/** What the table says of each environment variable. */
export const variables = [
  ...(sections.get('otel_-variables') as string).matchAll(/^\| `(OTEL_\w+)=(.+?)` \|.*\| (all|nothing) \|$/gm),
].map(
  ([, name, value, billed]) => ({ name, value, billed }) as { name: string; value: string; billed: 'all' | 'nothing' },
)

/** As GitHub makes it of a heading. */
function anchor(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\w -]/g, '')
    .replaceAll(' ', '-')
}

export function linesOf(text: string): string[] {
  return blocksOf(text).flatMap(({ language, text }) => (language === 'sh' ? text.trim().split('\n') : []))
}

function isInstall(line: string): boolean {
  return line.startsWith('npm install ')
}

/** A block is of the file that its first line names. */
function namedBlocks(text: string): [path: string, text: string][] {
  return blocksOf(text).flatMap(({ text }): [string, string][] => {
    const [, path] = /^\/\/ (\S+\.\w+)\n/.exec(text) ?? []
    return path === undefined ? [] : [[path, text]]
  })
}

function filesOf(text: string): Map<string, string> {
  const own = namedBlocks(text)
  const isTypeScript = own.some(([path]) => /\.tsx?$/.test(path))
  const shared = namedBlocks(sections.get(SHARED) as string).map(([path, text]): [string, string] => [
    isTypeScript ? path.replace(/\.mjs$/, '.ts') : path,
    text,
  ])
  const referred = [...text.matchAll(/`(\S+)` is that of \[.+?\]\(#(.+?)\)/g)].flatMap(([, path, section = '']) =>
    namedBlocks(sections.get(section) ?? '').filter(([other]) => other === path),
  )
  return new Map([...shared, ...referred, ...own])
}
