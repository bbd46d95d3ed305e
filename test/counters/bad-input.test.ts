import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HOUR } from '../../src/ledger/hours.ts'
import type { Observation } from '../../src/ledger/ledger.ts'
import {
  type CounterMemory,
  type CounterState,
  observeAll,
  packState,
  packStream,
  type SharedStart,
  type Stream,
  type StreamState,
  unpackState,
  wakeAll,
} from '../../src/ledger/rules/counters/index.ts'
import { customerAccount } from '../../src/usage/account.ts'
import { START } from '../ledger/scene.ts'

/** The smallest engine's items hold four times as much, and what is written with each point should be far less. */
const LARGEST_STATE = 100_000
/** In milliseconds for each point, on a slow machine. */
const LONGEST = 5
const SECOND = 1_000_000
const HUGE = 2n ** 119n

const digits = (n: number, length = 32) => n.toString(16).padStart(8, '0').padEnd(length, '0')
const account = customerAccount({ product: 'prod-1', accountId: '111111111111' })
/** Who has nothing to do with it. */
const bystander = customerAccount({ product: 'prod-1', accountId: '222222222222' })

function stream(n: number, attributes = '{}', target = digits(n, 12)): Stream {
  return { key: digits(n + 1), target, metric: 'tokens', attributes }
}

const at = (second: number) => START * 1000 + second * SECOND

function point(second: number, value: bigint, more: Partial<Observation> = {}): Observation {
  return {
    ...{ counter: digits(7), series: digits(7), stream: stream(0), kind: 'scraped', account, dimension: 'tokens' },
    ...{ start: 0, time: at(second), receivedAt: START + second * 1000, value },
    ...more,
  }
}

/** What an engine keeps, in a map: how large it gets, how long it takes, and what is told. */
function ledger() {
  const states = new Map<string, { state: CounterState; dimension: string; wakeAt: number }>()
  const streams = new Map<string, StreamState>()
  const sharedStarts = new Map<number, SharedStart>()
  const deltas = new Map<string, bigint>()
  const memory: CounterMemory = {
    ...{ forgottenBefore: 0, silentBefore: 0, restored: 0, since: () => START },
    state: key => states.get(key)?.state,
    stream: key => streams.get(key),
    sharedStart: start => sharedStarts.get(start),
    legacy: () => undefined,
    delta: ({ counter, start, time }) => deltas.get(`${counter} ${start} ${time}`),
  }
  const seen = { largest: 0, billed: 0n, bystander: 0n, held: 0n, told: new Map<string, number>(), time: 0, points: 0 }
  const keep = (set: ReturnType<typeof observeAll>) => {
    for (const [key, kept] of set.states) {
      // As an engine reads it again.
      const state = unpackState(packState(kept.state))
      assert.deepEqual(JSON.parse(JSON.stringify(state, digitsOf)), JSON.parse(JSON.stringify(kept.state, digitsOf)))
      states.set(key, { ...kept, state })
      seen.largest = Math.max(seen.largest, packState(kept.state).length)
    }
    for (const [key, state] of set.streams) {
      streams.set(key, state)
      seen.largest = Math.max(seen.largest, packStream(state).length)
    }
    for (const [start, shared] of set.sharedStarts) sharedStarts.set(start, shared)
    for (const delta of set.deltas) deltas.set(`${delta.counter} ${delta.start} ${delta.time}`, delta.value)
    for (const { account, amount } of set.entries) {
      if (account.key === bystander.key) seen.bystander += amount
      else if (account.kind === 'customer') seen.billed += amount
      else seen.held += amount
    }
    for (const { verdict, points } of set.notes) seen.told.set(verdict, (seen.told.get(verdict) ?? 0) + points)
  }
  const take = (points: readonly Observation[]) => {
    const before = performance.now()
    keep(observeAll(points, memory))
    seen.time += performance.now() - before
    seen.points += points.length
  }
  return {
    states,
    streams,
    sharedStarts,
    seen,
    /** Many requests of some points each. */
    takeAll(points: readonly Observation[], each = 50) {
      for (let index = 0; index < points.length; index += each) take(points.slice(index, index + each))
    },
    wake(now: number) {
      const waiting = [...states].filter(([, { wakeAt }]) => wakeAt > 0 && wakeAt <= now)
      keep(
        wakeAll(
          waiting.map(([key, { state, dimension }]) => [key, state, dimension] as const),
          memory,
          now,
        ),
      )
    },
  }
}

const digitsOf = (_: string, one: unknown) => (typeof one === 'bigint' ? `${one}n` : one)

const range = (count: number) => Array.from({ length: count }, (_, n) => n)

/** Deterministic, and in no order. */
const shuffled = <One>(all: readonly One[]) =>
  all
    .map((one, n) => [(n * 7919 + 13) % all.length, one] as const)
    .sort(([a], [b]) => a - b)
    .map(([, one]) => one)

const FLOODS: Readonly<Record<string, readonly Observation[]>> = {
  'marks that only fall': range(4000).map(n => point(n * 15, HUGE - BigInt(n))),
  'marks that only fall, by nearly nothing and much': range(4000).map(n => point(n * 15, HUGE / BigInt(n + 1))),
  'a sawtooth': range(4000).map(n => point(n * 15, n % 2 ? HUGE : BigInt(n))),
  'a sawtooth in no order': shuffled(range(4000).map(n => point(n * 15, BigInt((n * 7919) % 5000)))),
  'scraped starts without end': range(4000).map(n => point(n * 15, BigInt(n), { start: at(n * 15 - 7) + 1 })),
  'scraped starts without end, in no order': shuffled(
    range(4000).map(n => point(n * 15, HUGE - BigInt(n), { start: at(n * 15 - 7) + 1 })),
  ),
  'starts without end': range(4000).map(n =>
    point(n * 15, HUGE - BigInt(n), { kind: 'cumulative', start: at(n * 15 - 7) }),
  ),
  'starts after their times': range(2000).map(n =>
    point(n * 15, BigInt(n), { kind: n % 2 ? 'cumulative' : 'scraped', start: at(n * 15 + 90_000) }),
  ),
  'hundreds of names that can be one': range(2000).map(n =>
    point(n * 15, BigInt(n), { kind: 'cumulative', start: at(1), stream: stream(n % 400, `{"label.${n % 400}":"x"}`) }),
  ),
  'hundreds of names that cannot': range(2000).map(n =>
    point(n * 15, BigInt(n), { kind: 'cumulative', start: at(1), stream: stream(n % 400, `{"pod":"${n % 400}"}`) }),
  ),
  'hundreds of names, half of them with more': range(2000).map(n =>
    point(n * 15, BigInt(n), {
      ...{ kind: 'cumulative', start: at(1) },
      stream: stream(n % 400, n % 2 ? `{"pod":"${n % 100}"}` : `{"pod":"${n % 100}","label.${n % 400}":"x"}`),
    }),
  ),
  'thousands of streams with one whole second': range(4000).map(n =>
    point(60 + n, BigInt(n), { start: at(0), series: digits(n), counter: digits(n), stream: stream(n) }),
  ),
  'a level each second': range(6000).map(n => point(n, HUGE - BigInt(n), { kind: 'gauge', maxGap: 300 * SECOND })),
  'levels in no order': shuffled(
    range(3000).map(n => point(n * 15, BigInt(n % 9), { kind: 'gauge', maxGap: 300 * SECOND })),
  ),
  'levels of the same time': range(3000).map(n => point(1, BigInt(n), { kind: 'gauge', maxGap: 300 * SECOND })),
  'one name of every kind': range(4000).map(n =>
    point(n * 15, BigInt(n), {
      kind: (['scraped', 'cumulative', 'delta', 'gauge'] as const)[n % 4] as Observation['kind'],
      ...{ start: n % 4 === 0 ? 0 : at(n % 5), maxGap: 300 * SECOND },
    }),
  ),
  'times at the limits': range(2000).map(n =>
    point(n * 15, BigInt(n), {
      kind: n % 2 ? 'cumulative' : 'scraped',
      time: n % 3 === 0 ? 1 : Date.UTC(2099, 0) * 1000,
    }),
  ),
  'collections without end': range(4000).map(n => point(n * 15, BigInt(n), { kind: 'cumulative', start: at(-900) })),
}

for (const [name, points] of Object.entries(FLOODS)) {
  test(`${name}: what is remembered and the time for each point are bounded`, () => {
    const { takeAll, wake, seen } = ledger()
    takeAll(
      points.flatMap((one, n) => {
        const other = { ...{ counter: digits(1), series: digits(1), stream: stream(9999) }, account: bystander }
        const own = { ...other, kind: 'cumulative', start: at(2) } as const
        return n % 100 === 0 ? [one, point(60 + n, BigInt(n), own)] : [one]
      }),
    )
    wake(START + 40 * HOUR)
    wake(START + 90 * HOUR)
    assert.equal(seen.bystander, BigInt(points.length - 100), 'a bystander is billed otherwise')
    assert.ok(seen.largest < LARGEST_STATE, `expected states below ${LARGEST_STATE}, got ${seen.largest}`)
    const each = seen.time / seen.points
    assert.ok(each < LONGEST, `expected less than ${LONGEST} ms for a point, got ${each}`)
    if (process.env.SHOW) console.log(name, seen)
  })
}

test('what appears later than others of its process is soon remembered in as little as they are', () => {
  const { takeAll, states, seen } = ledger()
  const counter = (n: number, second: number) =>
    point(second, BigInt(second), { kind: 'cumulative', start: at(1), counter: digits(n), series: digits(n) })
  takeAll([counter(1, 60), ...range(4).flatMap(n => [counter(1, 75 + 15 * n), counter(2, 75 + 15 * n)])], 1)
  assert.equal(seen.billed, 2n * 120n)
  const [first, second] = [...states.values()].map(({ state }) => packState(state).length)
  assert.equal(second, first)
})
