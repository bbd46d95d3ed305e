import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { apportion, Shares } from '../../src/ledger/rules/allocations.ts'
import type { Tags } from '../../src/usage/tags.ts'
import { sum } from './books.ts'
import { UNIT } from './scene.ts'

const SIZE = 1000n
const asUnits = (amount: bigint) => Number(amount) / Number(SIZE)

/** 1 + 1/2 + … + 1/n: no tag set of n is so many units behind. */
const harmonic = (n: number) => Array.from({ length: n }, (_, index) => 1 / (index + 1)).reduce((a, b) => a + b, 0)

/** What tag sets have left, hour after hour, of which all whole units are frozen. */
class History {
  readonly left: bigint[]
  /** In units: by how much one was behind its share, and ahead of it, at the most. */
  behind = 0
  ahead = 0

  constructor(n: number) {
    this.left = Array(n).fill(0n)
  }

  hour(usage: Iterable<readonly [index: number, amount: bigint]>): void {
    for (const [index, amount] of usage) this.left[index] = (this.left[index] as bigint) + amount
    const units = sum(this.left) / SIZE
    const given = apportion(this.left, Number(units), SIZE)
    assert.ok(given.every(one => Number.isInteger(one) && one >= 0))
    assert.equal(sum(given.map(BigInt)), units)
    for (const [index, one] of given.entries()) this.left[index] = (this.left[index] as bigint) - BigInt(one) * SIZE
    for (const amount of this.left) {
      this.behind = Math.max(this.behind, asUnits(amount))
      this.ahead = Math.max(this.ahead, -asUnits(amount))
    }
    assert.ok(this.behind < harmonic(this.left.length), `${this.behind} units behind, of ${this.left.length}`)
    assert.ok(this.ahead < 1, `${this.ahead} units ahead`)
  }

  /** In each hour some units are used by those alone that got none since it began: the worst that can happen. */
  starve(units: number): void {
    let hungry = [...this.left.keys()]
    while (hungry.length > 1) {
      const each = (BigInt(units) * SIZE) / BigInt(hungry.length) + 1n
      const expected = new Map(hungry.map(index => [index, (this.left[index] as bigint) + each]))
      this.hour(hungry.map(index => [index, each]))
      const rest = hungry.filter(index => this.left[index] === expected.get(index))
      if (rest.length === hungry.length) return
      hungry = rest
    }
  }
}

const usage = (n: number) =>
  fc.array(fc.tuple(fc.nat(n - 1), fc.oneof(fc.bigInt(0n, SIZE), fc.bigInt(0n, 40n * SIZE))), { maxLength: 12 })
const history = fc.integer({ min: 1, max: 40 }).chain(n =>
  fc.record({
    n: fc.constant(n),
    hours: fc.array(fc.oneof(usage(n), fc.integer({ min: 1, max: 3 })), { maxLength: 30 }),
  }),
)

test('whoever has used what, nobody is a unit ahead of its share, nor a harmonic sum of units behind', () => {
  fc.assert(
    fc.property(history, ({ n, hours }) => {
      const all = new History(n)
      for (const hour of hours) {
        if (typeof hour === 'number') all.starve(hour)
        else all.hour(hour)
      }
    }),
    { seed: 20_261_129, numRuns: 300 },
  )
})

test('the worst history comes as near to that as a unit', () => {
  const all = new History(200)
  all.starve(1)
  assert.ok(all.behind > harmonic(200) - 1.3, `${all.behind} of ${harmonic(200)}`)
  const most = new History(2500)
  most.starve(50)
  assert.ok(most.behind > 3, `${most.behind}`)
})

test('many who had too much before, and large usage of few at once', () => {
  const all = new History(300)
  for (let round = 0; round < 3; round++) {
    all.starve(1 + round)
    const [first = 0, second = 0] = [...all.left.keys()].sort((a, b) => Number(all.left[b]) - Number(all.left[a]))
    all.hour([
      [first, 24n * SIZE],
      [second, 7n * SIZE],
    ])
  }
})

test('amounts that no number can tell apart, and fewer units than there are', () => {
  const large = 2n ** 120n
  const given = apportion([large, large, 5n * SIZE, -SIZE], 2 ** 31 - 1, SIZE)
  assert.deepEqual([...given].sort(), [0, 0, 2 ** 30, 2 ** 30 - 1].sort())
})

const tagsOf = (n: number): Tags => [['model', `m${n}`]]

test('a split has the quantity that is metered, each tag set once, and what it is of is carried', () => {
  const hour = fc.record({
    tagged: fc.array(fc.tuple(fc.nat(8), fc.bigInt(0n, 5n * UNIT)), { maxLength: 8 }),
    untagged: fc.bigInt(0n, 3n * UNIT),
    included: fc.nat(4),
  })
  fc.assert(
    fc.property(fc.array(hour, { maxLength: 12 }), hours => {
      let balance = 0n
      const shares = new Shares()
      for (const { tagged, untagged, included } of hours) {
        balance += untagged
        for (const [n, amount] of tagged) {
          shares.add(tagsOf(n), amount)
          balance += amount
        }
        const units = Number(balance / UNIT)
        if (units === 0) continue
        const quantity = Math.max(0, units - included)
        const before = sum(shares.all.map(share => share.balance))
        const split = shares.split(balance, units - quantity, quantity, UNIT)
        balance -= BigInt(units) * UNIT
        const taken = before - sum(shares.all.map(share => share.balance))
        assert.equal(taken % UNIT, 0n)
        if (split === undefined) continue
        assert.equal(
          split.reduce((all, [one]) => all + one, 0),
          quantity,
        )
        assert.ok(split.every(([one]) => one > 0))
        assert.equal(new Set(split.map(([, tags]) => JSON.stringify(tags ?? null))).size, split.length)
        for (const { balance: left } of shares.all) assert.ok(left > -UNIT)
      }
    }),
    { seed: 20_261_129, numRuns: 200 },
  )
})
