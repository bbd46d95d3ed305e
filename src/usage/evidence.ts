import { createHash } from 'node:crypto'
import type { Attributes } from '@opentelemetry/api'

const MAX_LENGTH = 256
const MAX_VALUE_LENGTH = 64

/**
 * A data point's attributes as JSON, keys sorted, of at most 256 characters, for a person who has to tell whose usage
 * it is. Long strings are cut; what does not fit is counted under `…`.
 */
export function evidenceOf(attributes: Attributes): string {
  const keys = Object.keys(attributes).sort()
  const all = objectOf(keys.map(key => member(key, attributes[key])))
  if (all.length <= MAX_LENGTH) return all
  const members: string[] = []
  let left = keys.length
  // Room for the braces and the last member, `"…":` and a number.
  let room = MAX_LENGTH - 12
  for (const key of keys) {
    const text = member(key, attributes[key])
    if (text.length + 1 > room) continue
    members.push(text)
    room -= text.length + 1
    left -= 1
  }
  return objectOf([...members, member('…', left)])
}

/**
 * A name as evidence shows it whole, so that no two names are one there: what would be cut, or takes more room than it
 * has letters, ends in the first 16 hexadecimal digits of its SHA-256 instead.
 */
export function distinct(name: string): string {
  if (name.length <= MAX_VALUE_LENGTH && JSON.stringify(name).length <= 2 * MAX_VALUE_LENGTH) return name
  const digest = createHash('sha256').update(JSON.stringify(name)).digest('hex').slice(0, 16)
  return `${name.slice(0, 40).replace(/[\p{C}"\\]/gu, '?')}…${digest}`
}

const objectOf = (members: string[]) => `{${members.join(',')}}`

function member(key: string, value: unknown): string {
  const text = typeof value === 'string' && value.length > MAX_VALUE_LENGTH ? `${value.slice(0, 63)}…` : value
  return `${JSON.stringify(key)}:${json(text)}`
}

/** The SDK takes attributes as they are: a BigInt or a circular object has no JSON, and usage must not fail for it. */
function json(value: unknown): string {
  try {
    return JSON.stringify(value) ?? 'null'
  } catch {
    return JSON.stringify(`(${typeof value})`)
  }
}
