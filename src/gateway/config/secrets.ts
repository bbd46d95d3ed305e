import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { closest } from '../../closest-word.ts'
import { expectedOfLedger } from '../../ledger/open.ts'

/** Where a secret is: `${env:NAME}`, or `${file:path}`. */
export const REFERENCE = /^\$\{(env(?=:[\w.-]+\}$)|file):([^}]+)\}$/
export const REFERENCES = `\${env:NAME} or \${file:path}`

/** Stands in for a text that must not be shown: messages call it `a Secret`. */
export class Secret {}

/** What was read, without what must not be shown: tokens in plain text, and passwords in addresses. */
export function withoutSecrets(value: unknown): unknown {
  return isObject(value) ? mapObject(value, (item, key) => hide(item, !USAGE.has(key), key === 'tokens')) : value
}

/** Where `tokens` are something else: what is sold. */
const USAGE: ReadonlySet<string> = new Set(['dimensions', 'customer'])

/** @param tokens whether what is named so is bearer tokens */
function hide(value: unknown, tokens: boolean, isToken: boolean): unknown {
  if (Array.isArray(value)) return value.map(item => hide(item, tokens, isToken))
  if (isToken) return isObject(value) ? hideEntry(value) : REFERENCE.test(String(value)) ? value : new Secret()
  if (isObject(value)) return mapObject(value, (item, key) => hide(item, tokens, tokens && key === 'tokens'))
  return typeof value === 'string' && isSecret(value, tokens) ? new Secret() : value
}

/** What a token with a name and rights may have. */
const ENTRY: readonly string[] = ['name', 'token', 'customers', 'dimensions', 'limits']

/** Of what is no such thing nothing is shown, since its keys may be the tokens. */
function hideEntry(value: object): unknown {
  if (Object.keys(value).some(key => !ENTRY.includes(key) && closest(key, ENTRY) === undefined)) return new Secret()
  return mapObject(value, (item, key) => {
    if (ENTRY.includes(key) && key !== 'token') return item
    return REFERENCE.test(String(item)) ? item : new Secret()
  })
}

/** @param setting whether it is a setting, and not what usage is like */
function isSecret(text: string, setting: boolean): boolean {
  if (REFERENCE.test(text)) return false
  if (SECRETS.some(pattern => pattern.test(text))) return true
  return setting && expectedOfLedger(text) !== undefined && NO_ADDRESSES.some(pattern => pattern.test(text))
}

const SECRETS: readonly RegExp[] = [/:\/\/[^/\s:]*:[^/\s@]*@/, /[?&](ssl)?password=/i, /-----BEGIN /]

/** What may be secret in what is no ledger's address. */
const NO_ADDRESSES: readonly RegExp[] = [
  // A user, a password, and settings, which may be keys.
  /^[^/?#:]*:[^@]*@/,
  /^[a-z][a-z\d+.-]*:\/\/[^@#]*[@#]/i,
  /^(?!postgres(ql)?:)[a-z][a-z\d+.-]*:\/\/[^?]*\?/i,
  // `host=… password=…`, `api_key=…`
  /(passw(or)?d|pwd|secret|token|key|credentials?|signature)\s*=/i,
  // What is meant to be a reference and is none, such as one with a default.
  /^\$/,
]

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
  const value = Object.hasOwn(env, name) ? env[name] : undefined
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
