import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RecentMap } from '../../src/usage/recent-map.ts'

test('what was used lately is kept, and what was not is forgotten', () => {
  const map = new RecentMap<number, string>(3)
  for (const key of [1, 2, 3]) map.set(key, `${key}`)
  map.set(4, '4')
  assert.equal(map.get(1), '1')
  map.set(5, '5')
  assert.deepEqual(
    [1, 2, 3, 4, 5].map(key => map.get(key)),
    ['1', '2', undefined, '4', '5'],
  )
})

test('the last value of a key holds, however often it is set', () => {
  const map = new RecentMap<number, string>(2)
  for (let round = 0; round < 10; round += 1) {
    for (const key of [1, 2]) map.set(key, `${key}.${round}`)
    assert.deepEqual([map.get(1), map.get(2)], [`1.${round}`, `2.${round}`])
  }
  map.set(3, '3')
  map.set(1, 'again')
  assert.equal(map.get(1), 'again')
  map.clear()
  assert.deepEqual(
    [1, 2, 3].map(key => map.get(key)),
    [undefined, undefined, undefined],
  )
})

test('what is larger takes more of the room, by what it was set to last', () => {
  const map = new RecentMap<string, string>(6, value => value.length)
  map.set('a', 'xxxxxx')
  map.set('a', 'x')
  map.set('b', 'xxxx')
  map.set('c', 'x')
  assert.deepEqual(
    ['a', 'b', 'c'].map(key => map.get(key)),
    ['x', 'xxxx', 'x'],
  )
  map.delete('b')
  assert.equal(map.get('b'), undefined)
  for (const key of ['d', 'e']) map.set(key, 'xxxxxx')
  assert.equal(map.get('c'), 'x')
  for (const key of ['f', 'g']) map.set(key, 'xxxxxx')
  assert.equal(map.get('a'), undefined)
})
