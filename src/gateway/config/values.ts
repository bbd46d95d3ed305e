import * as v from 'valibot'
import { DAY, HOUR, MINUTE, SECOND } from '../../ledger/hours.ts'

/** Values of the configuration file that YAML has no type for. Each is a text that says its unit itself. */

const DURATION_UNITS: Readonly<Record<string, number>> = { ms: 1, s: SECOND, m: MINUTE, h: HOUR, d: DAY }
const DURATION = /^(\d{1,9})(ms|s|m|h|d)$/

const SIZE_UNITS: Readonly<Record<string, number>> = {
  B: 1,
  ...{ kB: 1000, MB: 1000 ** 2, GB: 1000 ** 3 },
  ...{ KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 },
}
const SIZE = /^(\d{1,9})(B|kB|MB|GB|KiB|MiB|GiB)$/

const ADDRESS = /^(?:\[([\da-fA-F:.]+)\]|([^\s:/[\]]+)):(\d{1,5})$/

/** Milliseconds, or undefined. */
export function parseDuration(text: unknown): number | undefined {
  const [, count, unit] = DURATION.exec(String(text)) ?? []
  return unit === undefined ? undefined : Number(count) * (DURATION_UNITS[unit] as number)
}

function parseSize(text: string): number | undefined {
  const [, count, unit] = SIZE.exec(text) ?? []
  return unit === undefined ? undefined : Number(count) * (SIZE_UNITS[unit] as number)
}

/** Where to listen. */
export interface Address {
  readonly host: string
  /** 0 for any that is free. */
  readonly port: number
}

function parseAddress(text: string): Address | undefined {
  const [, ipv6, host, port] = ADDRESS.exec(text) ?? []
  const address = { host: (ipv6 ?? host) as string, port: Number(port) }
  return port !== undefined && address.port <= 65_535 ? address : undefined
}

/** A text that `parse` turns into a value; `pattern` is for editors. */
function parsed<Value>(expected: string, pattern: RegExp, parse: (text: string) => Value | undefined) {
  return v.pipe(
    v.string(expected),
    v.check(text => parse(text) !== undefined, expected),
    v.metadata({ pattern: pattern.source }),
    v.transform(text => parse(text) as Value),
  )
}

/** A duration, both bounds included, in milliseconds. */
export function duration(least: string, most: string) {
  const [from = 0, to = 0] = [parseDuration(least), parseDuration(most)]
  return parsed(`a duration from ${least} to ${most} with its unit, such as 30s or 5m`, DURATION, text => {
    const time = parseDuration(text)
    return time !== undefined && time >= from && time <= to ? time : undefined
  })
}

/** A size, both bounds included, in bytes. */
export function size(least: string, most: string) {
  const [from = 0, to = 0] = [parseSize(least), parseSize(most)]
  return parsed(`a size from ${least} to ${most} with its unit, such as 512KiB or 16MiB`, SIZE, text => {
    const bytes = parseSize(text)
    return bytes !== undefined && bytes >= from && bytes <= to ? bytes : undefined
  })
}

/** An address to listen at; null where it is `off`. */
export const address = parsed<Address | null>(
  "an address such as 127.0.0.1:4318 or '[::]:4317', or off",
  new RegExp(`${ADDRESS.source}|^off$`),
  text => (text === 'off' ? null : parseAddress(text)),
)

/** An address as URLs have it. */
export function hostAndPort({ host, port }: Address): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}

export const endpoint = v.pipe(
  v.string('an http or https URL'),
  v.check(isEndpoint, 'an http or https URL without user, query and fragment'),
)

function isEndpoint(text: string): boolean {
  const url = URL.parse(text)
  return url !== null && /^https?:$/.test(url.protocol) && url.username + url.password + url.search + url.hash === ''
}

/** What an HTTP header can have, and nobody guesses. */
export const TOKEN = /^[\x21-\x7e]{16,}$/
export const TOKEN_EXPECTED = 'a token of 16 or more visible ASCII characters'

/** A name of a sender. */
export const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/
export const NAME_EXPECTED = 'a name of up to 63 letters, digits, dots, dashes and underscores'
