import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { STRATEGIES, scraped } from './collector-starts.ts'

const README = readFileSync(new URL('../../examples/collector/README.md', import.meta.url), 'utf8')

/** What the README says of each strategy: of a server that has long been running, and when the Collector restarts. */
const statements = new Map(
  [...README.matchAll(/^\| `?(none|\w+_\w+)`? \| (.+?) \| (.+?) \|$/gm)].map(([, strategy, ...words]) => [
    strategy,
    words,
  ]),
)

const MEANINGS: readonly [RegExp, (billed: number, used: number) => boolean][] = [
  [/^all$/, (billed, used) => billed === used],
  [/^less: /, (billed, used) => billed < used],
  [/^all or more$/, (billed, used) => billed >= used],
]

function assertTrue(words: string | undefined, { billed, used }: Awaited<ReturnType<typeof scraped>>): void {
  const meaning = MEANINGS.find(([pattern]) => pattern.test(words ?? ''))
  assert.ok(meaning?.[1](billed, used), `${words}: ${billed} of ${used}`)
}

test('the README speaks of every strategy of metric_start_time', () => {
  assert.deepEqual([...statements.keys()].sort(), Object.keys(STRATEGIES).sort())
})

for (const [name, strategy] of Object.entries(STRATEGIES)) {
  test(`metric_start_time, ${name}: what the README says is billed`, async () => {
    const [running, restarting] = statements.get(name) ?? []
    assertTrue(running, await scraped(70_000, { strategy }))
    assertTrue(restarting, await scraped(70_000, { strategy, away: [14, 15, 16] }))
  })
}

test('a pair of Collectors counts once, together and when one takes over', async () => {
  const scrapes = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => from + index)
  for (const [one, other] of [
    [{}, { lag: 5_000 }],
    [{ away: scrapes(14, 31) }, { lag: 5_000, away: scrapes(0, 10) }],
  ] as const) {
    const { billed, used } = await scraped(70_000, one, other)
    assert.equal(billed, used)
  }
})
