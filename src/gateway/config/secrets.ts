import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'

/** Where a secret is: `${env:NAME}`, or `${file:path}`. */
export const REFERENCE = /^\$\{(env|file):([^}]+)\}$/
export const REFERENCES = `\${env:NAME} or \${file:path}`

/** Stands in for a text that must not be shown: messages call it `a Secret`. */
class Secret {}

/** What was read, without what must not be shown: tokens in plain text, and passwords in addresses. */
export function withoutSecrets(value: unknown): unknown {
  return isObject(value) ? mapObject(value, (item, key) => hide(item, !USAGE.has(key), key === 'tokens')) : value
}

/** Where `tokens` are something else: what is sold. */
const USAGE: ReadonlySet<string> = new Set(['dimensions', 'customer'])

/** @param tokens whether what is named so is bearer tokens */
function hide(value: unknown, tokens: boolean, isToken: boolean): unknown {
  if (Array.isArray(value)) return value.map(item => hide(item, tokens, isToken))
  if (isToken) return REFERENCE.test(String(value)) ? value : new Secret()
  if (isObject(value)) return mapObject(value, (item, key) => hide(item, tokens, tokens && key === 'tokens'))
  return PASSWORD.test(String(value)) ? new Secret() : value
}

const PASSWORD = /:\/\/[^/\s:]*:[^/\s]*@|[?&]password=/i

function mapObject(value: object, change: (item: unknown, key: string) => unknown): object {
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, change(item, key)]))
}

export function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/**
 * What a reference stands for. Files are read relative to `folder`, and end where their last line does.
 *
 * @throws Error that says what is missing, and shows nothing of the secret
 */
export function readReference(reference: string, folder: string, env: NodeJS.ProcessEnv): string {
  const [, kind, name = ''] = REFERENCE.exec(reference) ?? []
  if (kind === 'file') {
    const text = readText(resolve(folder, name)).replace(/\r?\n$/, '')
    if (text === '') throw new Error(`${resolve(folder, name)} is empty`)
    return text
  }
  const value = env[name]
  if (!value) throw new Error(`${name} is not set in the environment`)
  return value
}

/** @throws Error that says why a file cannot be read */
export function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new Error(fileProblem(path, error as NodeJS.ErrnoException), { cause: error })
  }
}

function fileProblem(path: string, { code, message }: NodeJS.ErrnoException): string {
  switch (code) {
    case 'ENOENT':
    case 'ENOTDIR':
      return `there is no file at ${path}`
    case 'EACCES':
    case 'EPERM':
      return `${path} may not be read by the user of this process (uid ${process.getuid?.()})`
    case 'EISDIR':
      return `${path} is a folder`
    default:
      return `${path} cannot be read: ${message}`
  }
}
