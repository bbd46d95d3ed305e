import { globSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The repository's documents, by their paths in it: what they say, and where their links lead. */

export const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** All of them. */
export const DOCUMENTS: readonly string[] = globSync('{*.md,{src,test,examples}/**/*.md}', {
  cwd: ROOT,
  exclude: path => path.includes('node_modules'),
}).sort()

/** What a stranger reads first, and the manuals beside the code: their code blocks are tried by one test. */
export const MANUALS: readonly string[] = DOCUMENTS.filter(path => /^((src|test)\/(.*\/)?)?README\.md$/.test(path))

export const textOf = (path: string): string => readFileSync(join(ROOT, path), 'utf8')

export interface Block {
  readonly document: string
  readonly language: string
  readonly text: string
}

export function blocksOf(document: string): Block[] {
  const found = textOf(document).matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)
  return [...found].map(([, language = '', text = '']) => ({ document, language, text }))
}

const withoutBlocks = (text: string): string => text.replace(/^ *```.*?^ *```$/gms, '')

/** Where a document's links lead that are no addresses: a path from the root, and an anchor if there is one. */
export function linksOf(document: string, text = textOf(document)): { path: string; anchor: string | undefined }[] {
  const links = withoutBlocks(text).matchAll(/\]\((?![a-z]+:)([^)#\s]*)(?:#([^)\s]+))?\)/g)
  return [...links].map(([, path = '', anchor]) => ({
    path: path === '' ? document : normalize(join(dirname(document), path)),
    anchor,
  }))
}

/** The anchors of a document's headings, as GitHub, GitLab and npm make them. */
export function anchorsOf(document: string): Set<string> {
  const anchors = new Set<string>()
  for (const [, heading = ''] of withoutBlocks(textOf(document)).matchAll(/^#+ (.*)$/gm)) {
    const shown = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    const anchor = shown
      .toLowerCase()
      .replace(/[^\p{L}\p{N}_\- ]/gu, '')
      .replaceAll(' ', '-')
    let free = anchor
    for (let times = 1; anchors.has(free); times++) free = `${anchor}-${times}`
    anchors.add(free)
  }
  return anchors
}
