import { hash, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import * as v from 'valibot'
import { type ApiCustomer, ApiKeys } from './api-keys.ts'
import type { Buyer } from './registration-buyer.ts'

const entrySchema = v.strictObject({
  keyHash: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, 'Expected a SHA-256 hash')),
  accountId: v.pipe(v.string(), v.regex(/^\d{12}$/, 'Expected 12 digits')),
  licenseArn: v.exactOptional(v.pipe(v.string(), v.startsWith('arn:', 'Expected an ARN'))),
  issuedAt: v.pipe(v.string(), v.isoTimestamp()),
})
const fileSchema = v.strictObject({ customers: v.array(entrySchema) })

type Entry = v.InferOutput<typeof entrySchema>

/**
 * The keys of customers who registered, in a file, beside those that are listed by hand. A customer has one key, and
 * the file only its hash. One process writes the file; a service of several needs a table in its place.
 */
export class RegisteredKeys extends ApiKeys {
  readonly #path: string
  readonly #listed: ApiKeys
  #entries: readonly Entry[]
  #byHash = new Map<string, ApiCustomer>()
  #writing: Promise<unknown> = Promise.resolve()

  /** @throws TypeError when the file is there and is not one of ours */
  constructor(path: string, listed: ApiKeys) {
    super()
    this.#path = path
    this.#listed = listed
    this.#entries = read(path)
    this.#index()
  }

  override find(key: string): ApiCustomer | undefined {
    return this.#listed.find(key) ?? this.#byHash.get(digest(key))
  }

  /**
   * A new key, which is durable when it is returned and is not known to anybody else. Nothing, if the customer has one
   * already and it is not to be replaced.
   */
  issue(buyer: Buyer, { replace, now }: { replace: boolean; now: number }): Promise<string | undefined> {
    const issued = this.#writing.then(async () => {
      const others = this.#entries.filter(entry => identity(entry) !== identity(buyer))
      if (others.length < this.#entries.length && !replace) return undefined
      const key = `sk-${randomBytes(32).toString('base64url')}`
      const entries = [...others, { ...buyer, keyHash: digest(key), issuedAt: new Date(now).toISOString() }]
      await write(this.#path, entries)
      this.#entries = entries
      this.#index()
      return key
    })
    // Registrations come one after the other; one that fails does not stop the next.
    this.#writing = issued.catch(() => {})
    return issued
  }

  #index(): void {
    this.#byHash = new Map(
      this.#entries.map(({ keyHash, accountId, licenseArn }) => [
        keyHash,
        Object.freeze({ name: `AWS account ${accountId}`, accountId, ...(licenseArn !== undefined && { licenseArn }) }),
      ]),
    )
  }
}

/** An account may hold several licences, and each is a customer of its own. */
function identity({ accountId, licenseArn }: Buyer): string {
  return licenseArn ?? accountId
}

/** 256 random bits need no salt. */
function digest(key: string): string {
  return hash('sha256', key)
}

function read(path: string): Entry[] {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (cause) {
    throw new TypeError(`not valid JSON: ${path}`, { cause })
  }
  const parsed = v.safeParse(fileSchema, json)
  if (!parsed.success) {
    const [issue] = parsed.issues
    throw new TypeError(`${v.getDotPath(issue) ?? 'file'}: ${issue.message}: ${path}`)
  }
  return parsed.output.customers
}

/** Either the old file or the new one is there after a crash, whole. */
async function write(path: string, customers: readonly Entry[]): Promise<void> {
  const temporary = `${path}.new`
  // What is left of a crash, or a link that somebody has put there.
  await rm(temporary, { force: true })
  await durably(temporary, 'wx', file => file.writeFile(`${JSON.stringify({ customers }, null, 2)}\n`))
  await rename(temporary, path)
  await durably(dirname(path), 'r')
}

async function durably(
  path: string,
  flags: 'r' | 'wx',
  change?: (file: Awaited<ReturnType<typeof open>>) => Promise<void>,
): Promise<void> {
  await using file = await open(path, flags, 0o600)
  await change?.(file)
  await file.sync()
}
