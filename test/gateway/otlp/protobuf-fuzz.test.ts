import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { UndecodableError } from '../../../src/gateway/otlp/errors.ts'
import { KnownAttributes } from '../../../src/gateway/otlp/known-attributes.ts'
import type { OtlpRequest } from '../../../src/gateway/otlp/metrics.ts'
import { decodeProtobuf } from '../../../src/gateway/otlp/protobuf.ts'
import { FUZZ_RUNS, FUZZING, requests } from './generate.ts'
import { expected } from './oracle.ts'
import { encode, ReadRequest, Request } from './proto.ts'

const ALL = () => true
const known = new KnownAttributes()

test(`${FUZZ_RUNS} requests are decoded as the library decodes them`, () => {
  fc.assert(
    fc.property(requests, request => {
      const bytes = encode(request)
      const theirs = expected(Request, Request.decode(bytes))
      assert.deepStrictEqual(decodeProtobuf(bytes, ALL), theirs)
      assert.deepStrictEqual(decodeProtobuf(bytes, ALL, known), theirs)
    }),
    FUZZING,
  )
})

test(`${FUZZ_RUNS} damaged requests are decoded or refused as the library does it`, () => {
  let refused = 0
  fc.assert(
    fc.property(requests, damages, (request, list) => {
      const bytes = list.reduce(damage, encode(request))
      const theirs = attempt(() => ReadRequest.decode(bytes), Error)
      const ours = attempt(() => decodeProtobuf(bytes, ALL), UndecodableError)
      if (theirs === undefined) {
        refused += 1
        assert.equal(ours, undefined, 'the library refuses it')
      } else {
        assert.deepStrictEqual(ours, expected(ReadRequest, theirs))
        assert.deepStrictEqual(decodeProtobuf(bytes, ALL, known), ours)
      }
    }),
    FUZZING,
  )
  const share = refused / FUZZ_RUNS
  assert.ok(share > 0.2 && share < 0.95, `damage has to refuse some and leave some, it refused ${share}`)
})

test(`what is wanted of ${FUZZ_RUNS} requests is decoded alone`, () => {
  const some = (name: string) => name.length % 2 === 0
  fc.assert(
    fc.property(requests, request => {
      const bytes = encode(request)
      assert.deepStrictEqual(decodeProtobuf(bytes, some), only(some, decodeProtobuf(bytes, ALL)))
    }),
    FUZZING,
  )
})

interface Damage {
  readonly kind: 'cut' | 'set' | 'insert' | 'remove' | 'repeat' | 'grow'
  /** Where, from 0 to 1 of the message. */
  readonly at: number
  readonly byte: number
}

const damages: fc.Arbitrary<Damage[]> = fc.array(
  fc.record({
    kind: fc.constantFrom('cut', 'set', 'insert', 'remove', 'repeat', 'grow'),
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    byte: fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 0x0a, 0x12, 0x7f, 0x80, 0xff)),
  }),
  { minLength: 1, maxLength: 4 },
)

function damage(bytes: Buffer, { kind, at, byte }: Damage): Buffer {
  const place = Math.floor(at * bytes.length)
  const [before, after] = [bytes.subarray(0, place), bytes.subarray(place)]
  switch (kind) {
    case 'cut':
      return before
    case 'set':
      return Buffer.concat([before, Buffer.of(byte), after.subarray(1)])
    case 'insert':
      return Buffer.concat([before, Buffer.of(byte), after])
    case 'remove':
      return Buffer.concat([before, after.subarray(1)])
    case 'repeat':
      return Buffer.concat([before, after.subarray(0, byte), after])
    case 'grow':
      return Buffer.concat([before, Buffer.of((bytes[place] ?? 0) + 1), after.subarray(1)])
  }
}

function attempt<Result>(run: () => Result, expectedError: new (...args: never[]) => Error): Result | undefined {
  try {
    return run()
  } catch (error) {
    assert.ok(error instanceof expectedError, error as Error)
    return undefined
  }
}

function only(wanted: (name: string) => boolean, { resourceMetrics }: OtlpRequest): OtlpRequest {
  const scopes = (each: OtlpRequest['resourceMetrics'][number]) =>
    each.scopes
      .map(scope => ({ ...scope, metrics: scope.metrics.filter(({ name }) => wanted(name)) }))
      .filter(({ metrics }) => metrics.length > 0)
  return {
    resourceMetrics: resourceMetrics
      .map(each => ({ ...each, scopes: scopes(each) }))
      .filter(each => each.scopes.length > 0),
  }
}
