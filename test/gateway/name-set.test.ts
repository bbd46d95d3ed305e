import assert from 'node:assert/strict'
import { test } from 'node:test'
import { digest } from '../../src/gateway/counter-names.ts'
import { NameSet } from '../../src/gateway/name-set.ts'

test('names that were added are there, each once, and no others', () => {
  const names = new NameSet()
  const added = Array.from({ length: 5000 }, (_, n) => digest(`added ${n}`))
  for (const name of [...added, ...added, '0'.repeat(32), 'f'.repeat(32)]) names.add(name)
  assert.equal(names.size, 5002)
  assert.ok(added.every(name => names.has(name)))
  assert.ok(names.has('0'.repeat(32)) && names.has('f'.repeat(32)))
  assert.ok(!added.some((_, n) => names.has(digest(`others ${n}`))))
})
