import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import protojson from 'protobufjs/ext/protojson.js'
import { UndecodableError } from '../../../src/gateway/otlp/errors.ts'
import { decodeJson } from '../../../src/gateway/otlp/json.ts'
import { KnownAttributes } from '../../../src/gateway/otlp/known-attributes.ts'
import { decodeProtobuf } from '../../../src/gateway/otlp/protobuf.ts'
import { FUZZ_RUNS, FUZZING, requests } from './generate.ts'
import { expected } from './oracle.ts'
import { encode, ReadRequest } from './proto.ts'

const ALL = () => true
const known = new KnownAttributes()
/** Where this decoder is stricter than protobuf's JSON: digits that are lost, names and fractions for integers. */
const STRICTER = /a number above 2\^53|expected a string of digits|expected an integer|expected resourceMetrics/

test(`${FUZZ_RUNS} requests are decoded from JSON as from protobuf`, () => {
  fc.assert(
    fc.property(requests, fc.boolean(), fc.integer({ min: 0, max: 2 }), (request, asNumbers, space) => {
      const text = JSON.stringify(request, asNumbers ? writeNumbers : writeDoubles, space)
      const theirs = decodeProtobuf(encode(request), ALL)
      assert.deepStrictEqual(decodeJson(text, ALL), theirs)
      for (let turn = 0; turn < 2; turn++) assert.deepStrictEqual(decodeJson(text, ALL, known), theirs)
    }),
    FUZZING,
  )
})

test(`${FUZZ_RUNS} requests with a value of another kind are decoded or refused as the library does it`, () => {
  let refused = 0
  fc.assert(
    fc.property(requests, fc.nat(), strangers, (request, place, stranger) => {
      const text = JSON.stringify(replaceOne(JSON.parse(JSON.stringify(request, writeDoubles)), place, stranger))
      if (!agree(text)) refused += 1
    }),
    FUZZING,
  )
  const share = refused / FUZZ_RUNS
  assert.ok(share > 0.1 && share < 0.9, `some have to be refused and some not, ${share} were`)
})

test(`${FUZZ_RUNS} damaged texts are decoded or refused as the library does it`, () => {
  const damages = fc.record({
    kind: fc.constantFrom('cut', 'set', 'remove', 'repeat'),
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    character: fc.constantFrom(...'{}[]":,\\0123456789.eE-+ntfx \u0000é'),
  })
  fc.assert(
    fc.property(requests, fc.array(damages, { minLength: 1, maxLength: 3 }), (request, list) => {
      agree(
        list
          .reduce(
            (text, { kind, at, character }) => {
              const place = Math.floor(at * text.length)
              const [before, after] = [text.slice(0, place), text.slice(place)]
              if (kind === 'cut') return before
              if (kind === 'set') return before + character + after.slice(1)
              return kind === 'remove' ? before + after.slice(1) : before + after.slice(0, 40) + after
            },
            JSON.stringify(request, writeDoubles),
          )
          .toWellFormed(),
      )
    }),
    FUZZING,
  )
})

/** Whether a text is decoded. It has to be where the library does it, and the same has to come of it. */
function agree(text: string): boolean {
  let ours: ReturnType<typeof decodeJson> | undefined
  let refusal = ''
  try {
    ours = decodeJson(text, ALL)
  } catch (error) {
    assert.ok(error instanceof UndecodableError, error as Error)
    refusal = error.message
  }
  let theirs: ReturnType<typeof protojson.fromJson> | undefined
  try {
    theirs = protojson.fromJson(ReadRequest, JSON.parse(text, keepDigits), { ignoreUnknownFields: true })
  } catch (error) {
    assert.equal(ours, undefined, `the library refuses it: ${error}`)
  }
  if (ours !== undefined) {
    assert.ok(theirs)
    assert.deepStrictEqual(ours, expected(ReadRequest, theirs))
  } else if (theirs !== undefined) {
    assert.match(refusal, STRICTER)
  }
  return ours !== undefined
}

const strangers = fc.constantFrom<unknown[]>(
  null,
  true,
  0,
  -1,
  1.5,
  2 ** 53,
  1e300,
  '',
  'x',
  '7',
  '-7',
  '1.5',
  'NaN',
  '-Infinity',
  '18446744073709551616',
  'QUJD',
  [],
  [null],
  [{}],
  {},
  { key: 'x' },
  { intValue: 3 },
  { stringValue: 'x', boolValue: true },
)

/** Fields whose integers may be numbers of any size. */
const LARGE = /^(startTimeUnixNano|timeUnixNano|intValue)$/

/** The library knows such numbers only as strings. */
function keepDigits(key: string, value: unknown, { source = '' }: { source?: string } = {}): unknown {
  return LARGE.test(key) && Number.isInteger(value) && /^-?\d+$/.test(source) ? source : value
}

// Not among TypeScript's types yet.
const { rawJSON: rawJson } = JSON as unknown as { rawJSON(text: string): unknown }

/** JSON has no NaN and no Infinity, and what writes it here no -0. */
function writeDoubles(_key: string, value: unknown): unknown {
  if (Object.is(value, -0)) return rawJson('-0')
  return typeof value === 'number' && !Number.isFinite(value) ? String(value) : value
}

/** Writes 64-bit integers as numbers where that is good: all times, and what is below 2^53. */
function writeNumbers(key: string, value: unknown): unknown {
  if (typeof value !== 'string' || !/^-?\d+$/.test(value)) return writeDoubles(key, value)
  if (LARGE.test(key)) return rawJson(value)
  return /^(asInt|count)$/.test(key) && Number.isSafeInteger(Number(value)) ? Number(value) : value
}

/** Puts a stranger in the place of one of the values, counted through all of them. */
function replaceOne(json: unknown, place: number, stranger: unknown): unknown {
  const places: [object: Record<string, unknown>, key: string][] = []
  const visit = (value: unknown) => {
    if (typeof value !== 'object' || value === null) return
    for (const [key, inner] of Object.entries(value)) {
      places.push([value as Record<string, unknown>, key])
      visit(inner)
    }
  }
  visit(json)
  const found = places[place % places.length]
  if (found === undefined) return stranger
  const [object, key] = found
  Object.defineProperty(object, key, { value: stranger, enumerable: true })
  return json
}
