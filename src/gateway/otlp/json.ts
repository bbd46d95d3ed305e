import { asAttributes, doubleAttribute, NO_ATTRIBUTES, setFirst, type Value, type Values } from './attributes.ts'
import { UndecodableError } from './errors.ts'
import { MAX_ENTRIES, MAX_NESTING, nestedTooDeeply, tooManyEntries } from './limits.ts'
import type { OtlpMetric, OtlpPoint, OtlpRequest, OtlpResourceMetrics, OtlpScopeMetrics } from './metrics.ts'

/**
 * Decodes an `ExportMetricsServiceRequest` in OTLP/JSON. Keys are in lowerCamelCase; others are unknown fields, which
 * are ignored, as the specification has it. A metric that is not `wanted` is skipped once its name was read.
 *
 * A 64-bit integer is a string or a number. A point's value or count that is a number above 2^53 is refused: what
 * writes it as a number may have lost digits already, and they would be missing from the bill. Times and attributes
 * are taken with all the digits that came.
 *
 * https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
 *
 * @throws {UndecodableError} that names the field, for what is no JSON, has another shape, is nested too deeply or has
 * too many points
 */
export function decodeJson(text: string, wanted: (metricName: string) => boolean): OtlpRequest {
  checkNesting(text)
  const decoder = new Decoder(wanted, false)
  const resourceMetrics = decoder.request(parse(text))
  if (!decoder.digitsLost) return { resourceMetrics }
  return { resourceMetrics: new Decoder(wanted, true).request(parse(text, keepDigits)) }
}

type Fields = { readonly [name: string]: unknown }
type Integers = { readonly least: bigint; readonly most: bigint }

const INT64: Integers = { least: -(2n ** 63n), most: 2n ** 63n - 1n }
const UINT32: Integers = { least: 0n, most: 2n ** 32n - 1n }
const UINT64: Integers = { least: 0n, most: 2n ** 64n - 1n }
/** No longer than any of 64 bits: of millions of digits a bigint takes seconds. */
const INTEGER = /^-?\d{1,20}$/
const NUMBER = /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/
const NOT_FINITE: readonly unknown[] = ['NaN', 'Infinity', '-Infinity']
/** Of either alphabet, padded or not. */
const BASE64 = /^[\w+/-]*={0,2}$/

/** The kinds of data that a metric may have, by their fields. */
const DATA: { readonly [field: string]: OtlpMetric['type'] } = {
  sum: 'sum',
  gauge: 'gauge',
  histogram: 'histogram',
  exponentialHistogram: 'exponential-histogram',
  summary: 'summary',
}
const DATA_FIELDS = Object.keys(DATA)
const NO_DATA = { temporality: 'unspecified', monotonic: false, points: [] } as const
const VALUE_FIELDS = ['stringValue', 'boolValue', 'intValue', 'doubleValue', 'arrayValue', 'kvlistValue', 'bytesValue']
const NUMBER_FIELDS = ['asInt', 'asDouble']
const TEMPORALITIES: readonly OtlpMetric['temporality'][] = ['unspecified', 'delta', 'cumulative']
const NO_RECORDED_VALUE = 1n

const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPEN_LIST = 0x5b
const CLOSE_LIST = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d

/** Each value that is nested takes four levels of JSON. */
const MAX_JSON_NESTING = 4 * MAX_NESTING + 32

/** Goes through one request, and remembers where it is. What is null counts as left out, as in protobuf's JSON. */
class Decoder {
  /** Whether an integer had more digits than a number holds: the text has to be parsed with them. */
  digitsLost = false
  readonly #wanted: (metricName: string) => boolean
  readonly #digitsKept: boolean
  readonly #path: (string | number)[] = []
  #entries = 0

  constructor(wanted: (metricName: string) => boolean, digitsKept: boolean) {
    this.#wanted = wanted
    this.#digitsKept = digitsKept
  }

  request(json: unknown): OtlpResourceMetrics[] {
    const resourceMetrics: OtlpResourceMetrics[] = []
    if (!isObject(json)) throw new UndecodableError('body', `expected an object, got ${kindOf(json)}`)
    this.#each(json, 'resourceMetrics', fields => {
      const resource = this.#within(fields, 'resource', inner => this.#attributes(inner)) ?? NO_ATTRIBUTES
      const scopes = this.#scopes(fields)
      if (scopes.length === 0) return
      this.#count()
      resourceMetrics.push({ resource, scopes })
    })
    return resourceMetrics
  }

  #scopes(resourceMetrics: Fields): OtlpScopeMetrics[] {
    const scopes: OtlpScopeMetrics[] = []
    this.#each(resourceMetrics, 'scopeMetrics', fields => {
      const scope = this.#within(fields, 'scope', inner => ({
        name: this.#string(inner, 'name'),
        version: this.#string(inner, 'version'),
        attributes: this.#attributes(inner),
      }))
      const metrics = this.#metrics(fields)
      if (metrics.length === 0) return
      this.#count()
      scopes.push({ ...(scope ?? { name: '', version: '', attributes: NO_ATTRIBUTES }), metrics })
    })
    return scopes
  }

  #metrics(scopeMetrics: Fields): OtlpMetric[] {
    const metrics: OtlpMetric[] = []
    this.#each(scopeMetrics, 'metrics', fields => {
      const name = this.#string(fields, 'name')
      if (!this.#wanted(name)) return
      this.#count()
      metrics.push(this.#metric(name, fields))
    })
    return metrics
  }

  #metric(name: string, fields: Fields): OtlpMetric {
    const unit = this.#string(fields, 'unit')
    const field = this.#oneOf(fields, DATA_FIELDS)
    if (field === undefined) return { name, unit, type: 'none', ...NO_DATA }
    const type = DATA[field] as OtlpMetric['type']
    return { name, unit, type, ...(this.#within(fields, field, inner => this.#data(type, inner)) ?? NO_DATA) }
  }

  #data(type: OtlpMetric['type'], fields: Fields): Pick<OtlpMetric, 'temporality' | 'monotonic' | 'points'> {
    const points: OtlpPoint[] = []
    this.#each(fields, 'dataPoints', point => {
      this.#count()
      points.push(this.#point(type, point))
    })
    if (type === 'gauge' || type === 'summary') return { temporality: 'unspecified', monotonic: false, points }
    const temporality = TEMPORALITIES[this.#enum(fields, 'aggregationTemporality')] ?? 'unspecified'
    const monotonic = type === 'sum' ? this.#boolean(fields, 'isMonotonic') : true
    return { temporality, monotonic, points }
  }

  #point(type: OtlpMetric['type'], fields: Fields): OtlpPoint {
    const number = type === 'sum' || type === 'gauge'
    return {
      attributes: this.#attributes(fields),
      startTime: this.#integer(fields, 'startTimeUnixNano', UINT64, true) ?? 0n,
      time: this.#integer(fields, 'timeUnixNano', UINT64, true) ?? 0n,
      sum: number ? this.#number(fields) : (this.#double(fields, 'sum') ?? (type === 'summary' ? 0 : undefined)),
      count: number ? undefined : (this.#integer(fields, 'count', UINT64, false) ?? 0n),
      noRecordedValue: ((this.#integer(fields, 'flags', UINT32, false) ?? 0n) & NO_RECORDED_VALUE) !== 0n,
    }
  }

  #number(fields: Fields): number | bigint | undefined {
    const field = this.#oneOf(fields, NUMBER_FIELDS)
    return field === 'asInt' ? this.#integer(fields, field, INT64, false) : this.#double(fields, 'asDouble')
  }

  #attributes(fields: Fields): OtlpPoint['attributes'] {
    return isAbsent(fields.attributes) ? NO_ATTRIBUTES : asAttributes(this.#keyValues(fields, 'attributes', 0))
  }

  #keyValues(fields: Fields, field: string, nesting: number): Values {
    const values: Values = {}
    this.#each(fields, field, each => {
      const value = this.#within(each, 'value', inner => this.#anyValue(inner, nesting))
      setFirst(values, this.#string(each, 'key'), value ?? null)
    })
    return values
  }

  #anyValue(fields: Fields, nesting: number): Value {
    const field = this.#oneOf(fields, VALUE_FIELDS)
    switch (field) {
      case 'stringValue':
        return this.#string(fields, field)
      case 'boolValue':
        return this.#boolean(fields, field)
      case 'intValue': {
        const integer = this.#integer(fields, field, INT64, true) ?? 0n
        const number = Number(integer)
        return Number.isSafeInteger(number) ? number : String(integer)
      }
      case 'doubleValue':
        return doubleAttribute(this.#double(fields, field) ?? 0)
      case 'arrayValue':
        return this.#within(fields, field, inner => this.#list(inner, nesting + 1)) ?? null
      case 'kvlistValue':
        return this.#within(fields, field, inner => this.#object(inner, nesting + 1)) ?? null
      case 'bytesValue':
        return this.#bytes(fields, field)
      default:
        return null
    }
  }

  #list(fields: Fields, nesting: number): Value[] {
    this.#checkNesting(nesting)
    const values: Value[] = []
    this.#each(fields, 'values', each => {
      values.push(this.#anyValue(each, nesting))
    })
    return values
  }

  #object(fields: Fields, nesting: number): Values {
    this.#checkNesting(nesting)
    return this.#keyValues(fields, 'values', nesting)
  }

  /** Goes through a list of objects. */
  #each(fields: Fields, field: string, read: (element: Fields) => void): void {
    const list = fields[field]
    if (isAbsent(list)) return
    if (!Array.isArray(list)) throw this.#unexpected(field, 'a list', kindOf(list))
    const path = this.#path
    path.push(field, 0)
    for (let index = 0; index < list.length; index++) {
      path[path.length - 1] = index
      const element: unknown = list[index]
      if (!isObject(element)) throw this.#unexpected('', 'an object', kindOf(element))
      read(element)
    }
    path.length -= 2
  }

  /** Reads an object, if it is there. */
  #within<Result>(fields: Fields, field: string, read: (inner: Fields) => Result): Result | undefined {
    const inner = fields[field]
    if (isAbsent(inner)) return undefined
    if (!isObject(inner)) throw this.#unexpected(field, 'an object', kindOf(inner))
    this.#path.push(field)
    const result = read(inner)
    this.#path.length -= 1
    return result
  }

  /** Which field of a union is there. */
  #oneOf(fields: Fields, names: readonly string[]): string | undefined {
    let found: string | undefined
    for (const name of names) {
      if (isAbsent(fields[name])) continue
      if (found !== undefined) throw this.#unexpected('', `one of ${names.join(', ')}`, `both ${found} and ${name}`)
      found = name
    }
    return found
  }

  #string(fields: Fields, field: string): string {
    const value = fields[field]
    if (typeof value === 'string') return value
    if (isAbsent(value)) return ''
    throw this.#unexpected(field, 'a string', kindOf(value))
  }

  #boolean(fields: Fields, field: string): boolean {
    const value = fields[field]
    if (typeof value === 'boolean') return value
    if (isAbsent(value)) return false
    throw this.#unexpected(field, 'true or false', kindOf(value))
  }

  /** An enumeration's number, of 32 bits: in OTLP/JSON there are no names for them. */
  #enum(fields: Fields, field: string): number {
    const value = fields[field]
    if (typeof value === 'number' && (value | 0) === value) return value
    if (isAbsent(value)) return 0
    throw this.#unexpected(field, 'an integer', kindOf(value))
  }

  #double(fields: Fields, field: string): number | undefined {
    const value = fields[field]
    if (typeof value === 'number') return value
    if (typeof value === 'bigint') return Number(value)
    if (isAbsent(value)) return undefined
    if (typeof value === 'string' && (NUMBER.test(value) || NOT_FINITE.includes(value))) return Number(value)
    throw this.#unexpected(field, 'a number, or "NaN", "Infinity" or "-Infinity"', kindOf(value))
  }

  /** A 64-bit integer. One that is a number above 2^53 is taken only where it may be `large`. */
  #integer(fields: Fields, field: string, { least, most }: Integers, large: boolean): bigint | undefined {
    const value = fields[field]
    if (isAbsent(value)) return undefined
    let integer: bigint | undefined
    if (typeof value === 'string' && INTEGER.test(value)) integer = BigInt(value)
    else if (Number.isSafeInteger(value)) integer = BigInt(value as number)
    else if (typeof value === 'bigint') integer = value
    else if (Number.isInteger(value) && large && !this.#digitsKept) {
      this.digitsLost = true
      return 0n
    }
    if (integer !== undefined && integer >= least && integer <= most) return integer
    const got = typeof value === 'bigint' || Number.isInteger(value) ? 'a number above 2^53' : kindOf(value)
    throw this.#unexpected(field, `a string of digits from ${least} to ${most}`, got)
  }

  #bytes(fields: Fields, field: string): string {
    const value = fields[field]
    if (typeof value === 'string' && BASE64.test(value) && value.replace(/=+$/, '').length % 4 !== 1) {
      return Buffer.from(value, 'base64').toString('base64')
    }
    throw this.#unexpected(field, 'a string in base64', kindOf(value))
  }

  #count(): void {
    this.#entries += 1
    if (this.#entries > MAX_ENTRIES) throw tooManyEntries(this.#where(''))
  }

  #checkNesting(nesting: number): void {
    if (nesting > MAX_NESTING) throw nestedTooDeeply(this.#where(''))
  }

  #unexpected(field: string, expected: string, got: string): UndecodableError {
    return new UndecodableError(this.#where(field), `expected ${expected}, got ${got}`)
  }

  #where(field: string): string {
    const names = this.#path.map(part => (typeof part === 'number' ? `[${part}]` : `.${part}`)).join('')
    return `${names}.${field}`.replace(/^\.|\.$/g, '')
  }
}

function isAbsent(value: unknown): value is undefined | null {
  return value === undefined || value === null
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** What a value is, without telling what it says. */
function kindOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'a list'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

function parse(text: string, reviver?: typeof keepDigits): unknown {
  try {
    return JSON.parse(text, reviver)
  } catch (cause) {
    // The message quotes the text, so only where it is goes on.
    const where = /position \d+/.exec((cause as Error).message)?.[0] ?? 'body'
    throw new UndecodableError(where, 'expected an ExportMetricsServiceRequest in JSON, got what is no JSON', { cause })
  }
}

/** A reviver that reads integers above 2^53 as they are written. */
function keepDigits(_key: string, value: unknown, { source = '' }: { source?: string } = {}): unknown {
  return Number.isInteger(value) && !Number.isSafeInteger(value) && INTEGER.test(source) ? BigInt(source) : value
}

/** Before it is parsed: a text of opening brackets would take sixty times its size. */
function checkNesting(text: string): void {
  let nesting = 0
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case QUOTE:
        at = endOfString(text, at)
        break
      case OPEN_LIST:
      case OPEN_OBJECT:
        nesting += 1
        if (nesting > MAX_JSON_NESTING) throw nestedTooDeeply(`position ${at}`)
        break
      case CLOSE_LIST:
      case CLOSE_OBJECT:
        nesting -= 1
    }
  }
}

/** Where the string ends that begins at `start`. */
function endOfString(text: string, start: number): number {
  let end = text.indexOf('"', start + 1)
  while (end !== -1 && isEscaped(text, end)) end = text.indexOf('"', end + 1)
  return end === -1 ? text.length : end
}

function isEscaped(text: string, at: number): boolean {
  let escapes = 0
  while (text.charCodeAt(at - 1 - escapes) === BACKSLASH) escapes += 1
  return escapes % 2 === 1
}
