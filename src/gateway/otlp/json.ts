import { asAttributes, doubleAttribute, NO_ATTRIBUTES, setFirst, type Value, type Values } from './attributes.ts'
import { UndecodableError } from './errors.ts'
import type { KnownAttributes } from './known-attributes.ts'
import {
  attributesTooLarge,
  MAX_ATTRIBUTES_SIZE,
  MAX_ENTRIES,
  MAX_NAME_SIZE,
  MAX_NESTING,
  nameTooLong,
  nestedTooDeeply,
  tooManyEntries,
} from './limits.ts'
import type { OtlpMetric, OtlpPoint, OtlpRequest, OtlpResourceMetrics, OtlpScopeMetrics } from './metrics.ts'

/**
 * Decodes an `ExportMetricsServiceRequest` in OTLP/JSON. Keys are in lowerCamelCase. OTLP has no others, and no names of
 * enumerations, but there are senders of both: a field's original name (`time_unix_nano`) and an enumeration's names are
 * read as protobuf's JSON has them. Other fields are unknown and ignored, but for a request that has no others. A metric
 * that is not `wanted` is skipped once its name was read.
 *
 * A 64-bit integer is a string or a number, either with an exponent or not. A point's value or count that is a number above 2^53 is refused: what
 * writes it as a number may have lost digits already, and they would be missing from the bill. Times and attributes
 * are taken with all the digits that came.
 *
 * https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
 * https://protobuf.dev/programming-guides/json/
 *
 * @param known attributes of requests before this one, which are not read again
 * @throws {UndecodableError} that names the field, for what is no JSON, has another shape, is nested too deeply, has too
 * many points or larger attributes or names than there may be
 */
export function decodeJson(
  text: string,
  wanted: (metricName: string) => boolean,
  known?: KnownAttributes,
): OtlpRequest {
  checkNesting(text)
  const decoder = new Decoder(wanted, false, known)
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
/** The same with a fraction or an exponent: what it is of, in digits, and by how much the point is moved. */
const DECIMAL = /^(-?)(\d{1,20})(?:\.(\d{1,20}))?(?:[eE]([+-]?\d{1,2}))?$/
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

/** A field's original name, where it has another one. */
function originalOf(field: string): string {
  return field.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`)
}

/** Fields of which a message has one, by each of their names. */
function union(fields: readonly string[]): ReadonlyMap<string, string> {
  return new Map(fields.flatMap(field => [field, originalOf(field)].map(name => [name, field] as const)))
}

const ORIGINAL_NAMES: ReadonlyMap<string, string> = new Map(
  [
    ...['resourceMetrics', 'scopeMetrics', 'dataPoints', 'aggregationTemporality', 'isMonotonic'],
    ...['startTimeUnixNano', 'timeUnixNano'],
  ].map(field => [field, originalOf(field)]),
)

/** What is sent to the wrong place, and may be named: a key can be anything. */
const OTHER_SIGNALS = ['resourceSpans', 'resourceLogs', 'resourceProfiles'].flatMap(key => [key, originalOf(key)])

const DATA_FIELDS = union(Object.keys(DATA))
const NO_DATA = { temporality: 'unspecified', monotonic: false, points: [] } as const
const VALUE_FIELDS = union([
  ...['stringValue', 'boolValue', 'intValue', 'doubleValue', 'arrayValue', 'kvlistValue', 'bytesValue'],
])
const NUMBER_FIELDS = union(['asInt', 'asDouble'])
const TEMPORALITIES: readonly OtlpMetric['temporality'][] = ['unspecified', 'delta', 'cumulative']
const TEMPORALITY_NAMES = TEMPORALITIES.map(name => `AGGREGATION_TEMPORALITY_${name.toUpperCase()}`)
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
  readonly #known: KnownAttributes | undefined
  /** The times of the point before, which most points have, too. */
  readonly #last = { startTimeUnixNano: { text: '', time: 0n }, timeUnixNano: { text: '', time: 0n } }
  readonly #path: (string | number)[] = []
  #entries = 0
  /** Characters of the attributes that are being read: a resource's, a scope's or a point's. */
  #size = 0

  /** @param known where no digits are kept: what has lost some is not known by what is left */
  constructor(wanted: (metricName: string) => boolean, digitsKept: boolean, known?: KnownAttributes) {
    this.#wanted = wanted
    this.#digitsKept = digitsKept
    this.#known = known
  }

  request(json: unknown): OtlpResourceMetrics[] {
    const resourceMetrics: OtlpResourceMetrics[] = []
    if (!isObject(json)) throw new UndecodableError('body', `expected an object, got ${kindOf(json)}`)
    checkKeys(json)
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
        name: this.#name(inner, 'name'),
        version: this.#name(inner, 'version'),
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
      this.#checkName('name', name)
      this.#count()
      metrics.push(this.#metric(name, fields))
    })
    return metrics
  }

  #metric(name: string, fields: Fields): OtlpMetric {
    const unit = this.#name(fields, 'unit')
    const key = this.#oneOf(fields, DATA_FIELDS)
    if (key === undefined) return { name, unit, type: 'none', ...NO_DATA }
    const type = DATA[DATA_FIELDS.get(key) as string] as OtlpMetric['type']
    return { name, unit, type, ...(this.#within(fields, key, inner => this.#data(type, inner)) ?? NO_DATA) }
  }

  #data(type: OtlpMetric['type'], fields: Fields): Pick<OtlpMetric, 'temporality' | 'monotonic' | 'points'> {
    const points: OtlpPoint[] = []
    this.#each(fields, 'dataPoints', point => {
      this.#count()
      points.push(this.#point(type, point))
    })
    if (type === 'gauge' || type === 'summary') return { temporality: 'unspecified', monotonic: false, points }
    const number = this.#enum(fields, 'aggregationTemporality', TEMPORALITY_NAMES)
    const temporality = TEMPORALITIES[number] ?? 'unspecified'
    const monotonic = type === 'sum' ? this.#boolean(fields, 'isMonotonic') : true
    return { temporality, monotonic, points }
  }

  #point(type: OtlpMetric['type'], fields: Fields): OtlpPoint {
    const number = type === 'sum' || type === 'gauge'
    return {
      attributes: this.#known === undefined ? this.#attributes(fields) : this.#knownAttributes(fields, this.#known),
      startTime: this.#time(fields, 'startTimeUnixNano'),
      time: this.#time(fields, 'timeUnixNano'),
      sum: number ? this.#number(fields) : (this.#double(fields, 'sum') ?? (type === 'summary' ? 0 : undefined)),
      count: number ? undefined : (this.#integer(fields, 'count', UINT64, false) ?? 0n),
      noRecordedValue: ((this.#integer(fields, 'flags', UINT32, false) ?? 0n) & NO_RECORDED_VALUE) !== 0n,
    }
  }

  #time(fields: Fields, field: 'startTimeUnixNano' | 'timeUnixNano'): bigint {
    const text = fields[field]
    const last = this.#last[field]
    if (text === last.text && text !== '') return last.time
    const time = this.#integer(fields, field, UINT64, true) ?? 0n
    if (typeof text === 'string') this.#last[field] = { text, time }
    return time
  }

  #number(fields: Fields): number | bigint | undefined {
    const key = this.#oneOf(fields, NUMBER_FIELDS)
    if (key === undefined) return undefined
    return NUMBER_FIELDS.get(key) === 'asInt' ? this.#integer(fields, key, INT64, false) : this.#double(fields, key)
  }

  #attributes(fields: Fields): OtlpPoint['attributes'] {
    if (isAbsent(fields.attributes)) return NO_ATTRIBUTES
    this.#size = 0
    return asAttributes(this.#keyValues(fields, 'attributes', 0))
  }

  /** A point's attributes: most have come before. */
  #knownAttributes(fields: Fields, known: KnownAttributes): OtlpPoint['attributes'] {
    const written = JSON.stringify(fields.attributes)
    // A number that is too large for a double is written as null, too.
    if (written === undefined || written.includes('null')) return this.#attributes(fields)
    const before = known.get(written)
    if (before !== undefined) return before
    const attributes = Object.freeze(this.#attributes(fields))
    if (!this.digitsLost) known.set(written, attributes)
    return attributes
  }

  #keyValues(fields: Fields, field: string, nesting: number): Values {
    const values: Values = {}
    this.#each(fields, field, each => {
      const value = this.#within(each, 'value', inner => this.#anyValue(inner, nesting))
      const key = this.#string(each, 'key')
      this.#size += key.length + 1
      setFirst(values, key, value ?? null)
      if (nesting > 0 || this.#size <= MAX_ATTRIBUTES_SIZE) return
      this.#path.length -= 1
      throw attributesTooLarge(this.#where(''), sizeOf(fields[field]))
    })
    return values
  }

  #anyValue(fields: Fields, nesting: number): Value {
    const key = this.#oneOf(fields, VALUE_FIELDS)
    this.#size += 1
    if (key === undefined) return null
    switch (VALUE_FIELDS.get(key)) {
      case 'stringValue': {
        const text = this.#string(fields, key)
        this.#size += text.length
        return text
      }
      case 'boolValue':
        return this.#boolean(fields, key)
      case 'intValue': {
        const integer = this.#integer(fields, key, INT64, true) ?? 0n
        const number = Number(integer)
        return Number.isSafeInteger(number) ? number : String(integer)
      }
      case 'doubleValue':
        return doubleAttribute(this.#double(fields, key) ?? 0)
      case 'arrayValue':
        return this.#within(fields, key, inner => this.#list(inner, nesting + 1)) ?? null
      case 'kvlistValue':
        return this.#within(fields, key, inner => this.#object(inner, nesting + 1)) ?? null
      default: {
        const bytes = this.#bytes(fields, key)
        this.#size += bytes.length
        return bytes
      }
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
    const list = fieldOf(fields, field)
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
    const inner = fieldOf(fields, field)
    if (isAbsent(inner)) return undefined
    if (!isObject(inner)) throw this.#unexpected(field, 'an object', kindOf(inner))
    this.#path.push(field)
    const result = read(inner)
    this.#path.length -= 1
    return result
  }

  /** By which of its names the field of a union is there. */
  #oneOf(fields: Fields, names: ReadonlyMap<string, string>): string | undefined {
    let found: string | undefined
    for (const key in fields) {
      const field = names.get(key)
      if (field === undefined || isAbsent(fields[key])) continue
      if (found === undefined) {
        found = key
        continue
      }
      const before = names.get(found) as string
      if (field === before) continue
      throw this.#unexpected('', `one of ${[...new Set(names.values())].join(', ')}`, `both ${before} and ${field}`)
    }
    return found
  }

  /** The name or version of a scope, or a metric's unit. */
  #name(fields: Fields, field: string): string {
    const text = this.#string(fields, field)
    this.#checkName(field, text)
    return text
  }

  #checkName(field: string, { length }: string): void {
    if (length > MAX_NAME_SIZE) throw nameTooLong(this.#where(field), length)
  }

  #string(fields: Fields, field: string): string {
    const value = fields[field]
    if (typeof value === 'string') return value
    if (isAbsent(value)) return ''
    throw this.#unexpected(field, 'a string', kindOf(value))
  }

  #boolean(fields: Fields, field: string): boolean {
    const value = fieldOf(fields, field)
    if (typeof value === 'boolean') return value
    if (isAbsent(value)) return false
    throw this.#unexpected(field, 'true or false', kindOf(value))
  }

  /** An enumeration's number, of 32 bits, or its name. */
  #enum(fields: Fields, field: string, names: readonly string[]): number {
    const value = fieldOf(fields, field)
    if (typeof value === 'number' && (value | 0) === value) return value
    if (isAbsent(value)) return 0
    const number = names.indexOf(value as string)
    if (number < 0) throw this.#unexpected(field, `an integer or one of ${names.join(', ')}`, kindOf(value))
    return number
  }

  #double(fields: Fields, field: string): number | undefined {
    const value = fieldOf(fields, field)
    if (typeof value === 'number') return value
    if (typeof value === 'bigint') return Number(value)
    if (isAbsent(value)) return undefined
    if (typeof value === 'string' && (NUMBER.test(value) || NOT_FINITE.includes(value))) return Number(value)
    throw this.#unexpected(field, 'a number, or "NaN", "Infinity" or "-Infinity"', kindOf(value))
  }

  /** A 64-bit integer. One that is a number above 2^53 is taken only where it may be `large`. */
  #integer(fields: Fields, field: string, { least, most }: Integers, large: boolean): bigint | undefined {
    const value = fieldOf(fields, field)
    if (isAbsent(value)) return undefined
    let integer: bigint | undefined
    if (typeof value === 'string') integer = integerOf(value)
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
    if (typeof value === 'string' && BASE64.test(value) && value.replace(/(?<!=)=+$/, '').length % 4 !== 1) {
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

/** A request of nothing but unknown fields is none of metrics: nothing of it would ever be billed. */
function checkKeys(json: Fields): void {
  const keys = Object.keys(json)
  if (keys.length === 0 || keys.includes('resourceMetrics') || keys.includes('resource_metrics')) return
  const got = keys.find(key => OTHER_SIGNALS.includes(key)) ?? 'only other fields'
  throw new UndecodableError('body', `expected resourceMetrics, got ${got}`)
}

/** What is under a field's name, or else under its original one. */
function fieldOf(fields: Fields, field: string): unknown {
  const value = fields[field]
  if (!isAbsent(value)) return value
  const original = ORIGINAL_NAMES.get(field)
  return original === undefined ? value : fields[original]
}

/** The integer that a text is, whatever its exponent, with all of its digits. */
function integerOf(text: string): bigint | undefined {
  if (INTEGER.test(text)) return BigInt(text)
  const [, sign, whole, fraction = '', exponent = '0'] = DECIMAL.exec(text) ?? []
  if (whole === undefined) return undefined
  const digits = `${whole}${fraction}`.replace(/^0+/, '') || '0'
  const zeros = Number(exponent) - fraction.length
  const kept = digits.slice(0, zeros < 0 ? zeros : undefined)
  // No digit but 0 may be behind the point.
  if (zeros < 0 && /[1-9]/.test(digits.slice(zeros))) return undefined
  return BigInt(`${sign}${kept || '0'}${'0'.repeat(Math.max(zeros, 0))}`)
}

/** Of what was parsed, as text. */
function sizeOf(value: unknown): number {
  return JSON.stringify(value, (_, one) => (typeof one === 'bigint' ? String(one) : one)).length
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
