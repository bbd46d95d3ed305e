import { hash } from 'node:crypto'
import * as v from 'valibot'
import type { MeteredCustomer } from '../../src/inference-meter.ts'

const customer = v.strictObject({
  name: v.pipe(v.string(), v.nonEmpty()),
  accountId: v.pipe(v.string(), v.regex(/^\d{12}$/, 'Expected 12 digits')),
  licenseArn: v.exactOptional(v.pipe(v.string(), v.startsWith('arn:', 'Expected an ARN'))),
})

/** A customer as Marketplace knows it, and as we call it. */
export type ApiCustomer = MeteredCustomer & { readonly name: string }

/** Which customer an API key belongs to. */
export interface CustomerKeys {
  find(key: string): ApiCustomer | undefined | Promise<ApiCustomer | undefined>
}

/**
 * Keys that are listed by hand. They are kept and looked up by their hash: neither the time a lookup takes nor a dump of
 * the memory tells a key.
 */
export class ApiKeys implements CustomerKeys {
  readonly #customers = new Map<string, ApiCustomer>()

  /** From `{ key: { name, accountId, licenseArn? } }`, as it stands in a file. */
  static from(keys: unknown): ApiKeys {
    const apiKeys = new ApiKeys()
    if (typeof keys !== 'object' || keys === null || Array.isArray(keys)) {
      throw new TypeError('Expected API keys as an object of { key: { name, accountId, licenseArn? } }')
    }
    // An entry is named by its place, since a key has no business in a message.
    for (const [index, [key, value]] of Object.entries(keys).entries()) {
      try {
        apiKeys.add(key, value)
      } catch (error) {
        throw new TypeError(`API key ${index + 1}: ${(error as Error).message}`)
      }
    }
    if (apiKeys.#customers.size === 0) throw new TypeError('Expected at least one API key')
    return apiKeys
  }

  add(key: string, value: ApiCustomer): void {
    if (!/^[\x21-\x7e]{16,}$/.test(key)) throw new TypeError('Expected a key of 16 or more ASCII characters, no spaces')
    const parsed = v.safeParse(customer, value)
    if (!parsed.success) {
      const [issue] = parsed.issues
      throw new TypeError(`${v.getDotPath(issue) ?? 'customer'}: ${issue.message}`)
    }
    this.#customers.set(digest(key), Object.freeze(parsed.output))
  }

  find(key: string): ApiCustomer | undefined {
    return this.#customers.get(digest(key))
  }
}

/** What a key is called on the customer's bill: the beginning of its SHA-256, which tells nothing of a random key. */
export const nameOfKey = (key: string): string => `key-${digest(key).slice(0, 8)}`

function digest(key: string): string {
  return hash('sha256', key)
}
