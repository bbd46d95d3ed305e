import type { Dimension } from './dimension.ts'

/**
 * A unit of measurement, and how many millionths of its base unit it is: `numerator` / `denominator`. Only
 * nanoseconds need a denominator.
 */
export interface Unit {
  readonly base: Dimension['baseUnit']
  readonly numerator: bigint
  readonly denominator: bigint
  /** The same ratio as a double, for the fast path; undefined where it is not an integer. */
  readonly factor: number | undefined
}

const MILLION = 1_000_000n

function unit(base: Unit['base'], numerator: bigint, denominator = 1n): Unit {
  return { base, numerator, denominator, factor: denominator === 1n ? Number(numerator) : undefined }
}

/** Everything that is counted: requests, tokens, images. */
export const COUNT = unit('1', MILLION)

const MICROSECOND = unit('s', 1n)

/** UCUM's symbols (https://ucum.org/ucum), as OpenTelemetry writes units. Both characters for micro are in use. */
const UNITS: ReadonlyMap<string, Unit> = new Map([
  ['ns', unit('s', 1n, 1000n)],
  ['us', MICROSECOND],
  ['\u00b5s', MICROSECOND],
  ['\u03bcs', MICROSECOND],
  ['ms', unit('s', 1000n)],
  ['s', unit('s', MILLION)],
  ['min', unit('s', 60n * MILLION)],
  ['h', unit('s', 3600n * MILLION)],
  ['d', unit('s', 86_400n * MILLION)],
  ['bit', unit('By', MILLION / 8n)],
  ['By', unit('By', MILLION)],
  ['kBy', unit('By', 1000n * MILLION)],
  ['MBy', unit('By', 1000n ** 2n * MILLION)],
  ['GBy', unit('By', 1000n ** 3n * MILLION)],
  ['TBy', unit('By', 1000n ** 4n * MILLION)],
  ['KiBy', unit('By', 1024n * MILLION)],
  ['MiBy', unit('By', 1024n ** 2n * MILLION)],
  ['GiBy', unit('By', 1024n ** 3n * MILLION)],
  ['TiBy', unit('By', 1024n ** 4n * MILLION)],
  ['1', COUNT],
  ['', COUNT],
])

/** What a level's integral over time is measured in: a second at 1 is a second, at 100 %. */
const LEVELS: ReadonlyMap<string, Unit> = new Map([
  ['1', unit('s', MILLION)],
  ['', unit('s', MILLION)],
  ['%', unit('s', MILLION / 100n)],
])

/** What a second at a level of 1 comes to, or undefined. */
export function parseLevelUnit(symbol: string): Unit | undefined {
  return LEVELS.get(symbol) ?? (parseUnit(symbol) === COUNT ? LEVELS.get('1') : undefined)
}

/** The units by name, for messages. */
export const KNOWN_UNITS =
  'ns, us, ms, s, min, h, d, bit, By, kBy, MBy, GBy, TBy, KiBy, MiBy, GiBy, TiBy, 1 or {anything}'

/** What a unit's symbol stands for, or undefined. An annotation in braces (`{token}`) is a count. */
export function parseUnit(symbol: string): Unit | undefined {
  return UNITS.get(symbol) ?? (/^\{[^{}]*\}$/.test(symbol) ? COUNT : undefined)
}
