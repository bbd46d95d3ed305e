import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { Ajv } from 'ajv'
import { parse } from 'yaml'
import { jsonSchema } from '../../src/gateway/config/json-schema.ts'
import { GatewayConfigFile } from '../../src/gateway/config.ts'
import { MINIMAL } from './config/minimal.ts'

const ROOT = new URL('../../', import.meta.url).pathname
const schema = jsonSchema()
const validate = new Ajv({ allErrors: true, strictTypes: true }).compile(schema)

const FILES = [...globSync('examples/**/gateway*.yaml', { cwd: ROOT })]

for (const file of FILES) {
  test(`${file} is right, and its schema agrees`, () => {
    GatewayConfigFile.read(`${ROOT}${file}`, { AWS_REGION: 'us-east-1', MARKETPLACE_LEDGER: 'ledger.sqlite' })
    assert.ok(validate(parse(readFileSync(`${ROOT}${file}`, 'utf8'))), JSON.stringify(validate.errors, null, 2))
  })
}

test('gateway-reference.yaml names every option', () => {
  const written = parse(readFileSync(`${ROOT}examples/collector/gateway-reference.yaml`, 'utf8'))
  // Who has an option of two that exclude each other, or may be said in another way, does not need the other.
  const others = ['product', 'customer.licenseArn', 'customer.customerIdentifier', 'customer.tenant']
  const { dimensions: _, ...options } = (schema as Node).properties as Record<string, Node>
  const unnamed = Object.entries(options).flatMap(([name, node]) => missing(node, written[name], name))
  assert.deepEqual(
    unnamed.filter(path => !others.includes(path)),
    [],
  )
})

interface Node {
  readonly properties?: Record<string, Node>
  readonly items?: Node
  readonly anyOf?: readonly Node[]
}

/** The options that a part of a file does not say; of a list, those that none of its items says. */
function missing({ properties = {}, items, anyOf = [] }: Node, value: unknown, path: string): string[] {
  if (value === undefined) return [path]
  if (items !== undefined) {
    const entries = (value as unknown[]).filter(one => typeof one === 'object')
    const merged = Object.assign({}, ...entries)
    return [items, ...(items.anyOf ?? [])].flatMap(item => missing(item, merged, path))
  }
  const own = Object.entries(properties).flatMap(([name, node]) => {
    return missing(node, (value as Record<string, unknown>)[name], `${path}.${name}`)
  })
  return [...own, ...(typeof value === 'object' ? anyOf.flatMap(one => missing(one, value, path)) : [])]
}

test('the schema takes what is right', () => {
  const right = [
    MINIMAL,
    'product: p',
    `${MINIMAL}  a: { unit: h, from: [dcgm.time, { metric: [a, b], attributes: { c: null, d: [1, x, true] } }] }`,
    `${MINIMAL}customer: { accountId: { resource: a }, customerIdentifier: b }`,
    `${MINIMAL}listen: { http: off, grpc: '[::1]:4317', tokens: ['\${file:a}'] }`,
  ]
  right.push(`${MINIMAL}product: b`)
  for (const text of right) assert.ok(validate(parse(text)), `${text}\n${JSON.stringify(validate.errors, null, 2)}`)
})

test('the schema finds what an editor can underline', () => {
  const wrong: [text: string, where: string][] = [
    ['region: us-east-1', ''],
    [`${MINIMAL}metrics: 5`, ''],
    [MINIMAL.replace('us-east-1', 'us'), '/region'],
    [`${MINIMAL}  a: { unit: h, form: dcgm.time }`, '/dimensions/a'],
    [`${MINIMAL}  a: { unit: h, from: dcgm.tim }`, '/dimensions/a/from'],
    [`${MINIMAL}  a: { unit: h, per: 0, from: dcgm.time }`, '/dimensions/a/per'],
    [`${MINIMAL}  a: { unit: h, from: { metric: a, maxGap: 300 } }`, '/dimensions/a/from'],
    [`${MINIMAL}listen: { http: 4318 }`, '/listen/http'],
    [`${MINIMAL}listen: { http: 'localhost' }`, '/listen/http'],
    [`${MINIMAL}listen: { tokens: [secret] }`, '/listen/tokens/0'],
    [`${MINIMAL}listen: { maxBodySize: 16 MiB }`, '/listen/maxBodySize'],
    [`${MINIMAL}metering: { closeDelay: 5 }`, '/metering/closeDelay'],
    [`${MINIMAL}telemetry: { logLevel: trace }`, '/telemetry/logLevel'],
  ]
  for (const [text, where] of wrong) {
    assert.equal(validate(parse(text)), false, text)
    const places = validate.errors?.map(({ instancePath }) => instancePath)
    assert.ok(places?.includes(where), `${text}\n${JSON.stringify(validate.errors, null, 2)}`)
  }
})

test('every option has a sentence for editors', () => {
  const silent: string[] = []
  const look = (node: unknown, path: string): void => {
    if (typeof node !== 'object' || node === null) return
    const { properties } = node as { properties?: Record<string, { description?: string }> }
    for (const [name, option] of Object.entries(properties ?? {})) {
      if (option.description === undefined) silent.push(`${path}.${name}`)
    }
    for (const [name, inner] of Object.entries(node)) look(inner, `${path}.${name}`)
  }
  look(schema, '')
  assert.deepEqual(
    silent.filter(path => !/anyOf/.test(path)),
    [],
  )
})
