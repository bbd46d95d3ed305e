import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { test } from 'node:test'

/** The map in CONTRIBUTING.md is true: its rooms are there, and imports go as it says. */

const ROOT = join(import.meta.dirname, '..')
const MAP = readFileSync(join(ROOT, 'CONTRIBUTING.md'), 'utf8')

const quoted = (text: string): string[] =>
  [...text.replace(/^```.*?^```/gms, '').matchAll(/`([^`]+)`/g)].map(([, name]) => name as string)

/** What each room may import, the rooms from the top down. */
const rooms = new Map(
  [...MAP.matchAll(/^\| `([^`]+)` \|([^|]*)\|/gm)].map(([, room, imports]) => [
    room as string,
    quoted(imports as string),
  ]),
)

const files = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
  .map(file => file.replaceAll('\\', '/'))
  .filter(file => file.endsWith('.ts'))

/** A folder, or a file that is in none. */
const roomOf = (file: string): string => (file.includes('/') ? dirname(file) : file)
const houseOf = (room: string): string => room.split('/')[0] as string

/** What a file imports of ours, also only types. */
function importsOf(file: string): string[] {
  const text = readFileSync(join(ROOT, 'src', file), 'utf8')
  const specifiers = text.matchAll(
    /^(?:import|export|\}).* from '(\.[^']*)'|^import '(\.[^']*)'|\bimport\('(\.[^']*)'\)/gm,
  )
  return [...specifiers].map(([, from, bare, dynamic]) =>
    posix.join(dirname(file), (from ?? bare ?? dynamic) as string),
  )
}

const imports = new Map(files.map(file => [file, importsOf(file).filter(other => other.endsWith('.ts'))]))

test('every room is in the map, and no other', () => {
  assert.deepEqual([...rooms.keys()].sort(), [...new Set(files.map(roomOf))].sort())
})

test('the map goes down: no room may import one of a house above it', () => {
  const houses = [...new Set([...rooms.keys()].map(houseOf))]
  for (const [room, names] of rooms) {
    for (const name of names) {
      assert.ok(rooms.has(name), `${room} may import ${name}, which is no room`)
      const [from, to] = [houses.indexOf(houseOf(room)), houses.indexOf(houseOf(name))]
      assert.ok(to >= from, `${room} may import ${name}, which is above it`)
    }
  }
})

test('every import is one that the map allows, and each that it allows is made', () => {
  const allowed = (from: string, to: string): boolean => {
    const [own, other] = [houseOf(from), houseOf(to)]
    return (
      from === to || (own === other ? rooms.get(from) : rooms.get(own))?.includes(own === other ? to : other) === true
    )
  }
  const made = new Set<string>()
  for (const [file, others] of imports) {
    for (const other of others) {
      const [from, to] = [roomOf(file), roomOf(other)]
      assert.ok(imports.has(other), `src/${file} imports ${other}, which is not there`)
      assert.ok(allowed(from, to), `src/${file} imports src/${other}; see the floors in CONTRIBUTING.md`)
      made.add(houseOf(from) === houseOf(to) ? `${from} ${to}` : `${houseOf(from)} ${houseOf(to)}`)
    }
  }
  const unused = [...rooms]
    .flatMap(([room, names]) => names.map(name => `${room} ${name}`))
    .filter(each => !made.has(each))
  assert.deepEqual(unused, [])
})

test('no import goes round', () => {
  const done = new Set<string>()
  const visit = (file: string, path: readonly string[]): void => {
    const round = path.indexOf(file)
    assert.equal(round, -1, [...path.slice(round), file].join(' → '))
    if (done.has(file)) return
    for (const other of imports.get(file) ?? []) visit(other, [...path, file])
    done.add(file)
  }
  for (const file of files) visit(file, [])
})

test('the files and scripts that it names are there', () => {
  const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
  const paths = quoted(MAP).flatMap(text => text.match(/^(?:node --test )?((?:src|test)\/[\w./-]+)/)?.[1] ?? [])
  assert.ok(paths.length > 20)
  for (const path of paths) assert.ok(existsSync(join(ROOT, path)), path)
  for (const [, script] of MAP.matchAll(/npm run ([\w:-]+)/g))
    assert.ok(script !== undefined && script in scripts, script)
})

/** Codes of Node's that are looked for in errors of its own. */
const OF_NODE = ['BUFFER_TOO_LARGE', 'HTTP2_', 'HTTP_REQUEST_TIMEOUT', 'INVALID_STATE', 'OUT_OF_RANGE', 'SQLITE_ERROR']

test('every error is in the list of src/README.md with its code, and the list has no other', () => {
  const list = readFileSync(join(ROOT, 'src/README.md'), 'utf8')
  const rows = [...list.matchAll(/^\| (`[A-Z].*?) \|(.*?)\| .+? \| .+? \|$/gm)].map(
    ([, codes = '', classes = '']) => [quoted(codes), quoted(classes)] as const,
  )
  const codesOf = (name: string) => rows.flatMap(([codes, classes]) => (classes.includes(name) ? codes : []))
  const sources = files.map(file => readFileSync(join(ROOT, 'src', file), 'utf8'))

  // By what extends the base, or what does.
  const declared = sources.flatMap(text => [
    ...text.matchAll(/^export (?:abstract )?class (\w+) extends (\w+) \{\n([\s\S]*?)^\}/gm),
  ])
  const bases = new Set(['MarketplaceMeteringError'])
  const errors = new Map<string, string>()
  for (let known = 0; known < bases.size; ) {
    known = bases.size
    for (const [, name = '', base = '', body = ''] of declared) {
      if (!bases.has(base)) continue
      bases.add(name)
      errors.set(name, body)
    }
  }
  assert.ok(errors.size > 25)
  assert.deepEqual([...new Set(rows.flatMap(([, classes]) => classes))].sort(), [...errors.keys()].sort())
  for (const [name, body] of errors) {
    for (const [, code = ''] of body.matchAll(/readonly code = '(\w+)'|super\('(\w+)'/g)) {
      if (code !== '') assert.ok(codesOf(name).includes(code), `${name} has ${code}`)
    }
  }

  const used = sources.flatMap(text => [...text.matchAll(/'(ERR_\w+)'/g)].map(([, code]) => code as string))
  const own = new Set(used.filter(code => !OF_NODE.includes(code.slice('ERR_'.length))))
  const listed = rows.flatMap(([codes]) => codes)
  assert.deepEqual(listed, [...new Set(listed)], 'each once')
  assert.deepEqual(listed.filter(code => code.startsWith('ERR_')).sort(), [...own].sort())
})
