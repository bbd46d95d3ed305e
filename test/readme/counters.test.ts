import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { HOUR, MINUTE } from '../../src/ledger/hours.ts'
import type { NotCounted } from '../../src/ledger/ledger.ts'
import { LARGEST_SKEW } from '../../src/ledger/rules/counters/evidence.ts'
import { DELTA_MEMORY } from '../../src/ledger/rules/counters/index.ts'
import { LONGEST_DOUBT } from '../../src/ledger/rules/counters/started.ts'
import type { UnattributedReason } from '../../src/usage/account.ts'
import { MAX_AMOUNT } from '../../src/usage/amount.ts'
import { ENGINES } from '../counters/engines.ts'
import { live } from '../counters/lab.ts'
import { SCENARIOS } from '../counters/scenarios/index.ts'
import { textOf } from './documents.ts'

/** The gateway's tables of what counts are true: each row names situations that are what it says. */

const HEADER = '| what comes | what counts | billed | tried as |\n|---|---|---|---|\n'
const [, ...tables] = textOf('src/gateway/README.md').split(HEADER)
const rows = tables
  .flatMap(text => text.slice(0, text.indexOf('\n\n')).split('\n'))
  .map(row => row.split(' |').map(cell => cell.replace(/^\|? /, '')))
  .map(([what = '', counts = '', billed = '', tried = '']) => {
    return { what, counts, billed, names: [...tried.matchAll(/`([^`]+)`/g)].map(([, name]) => name as string) }
  })

/** Another than that of the tests of the situations. */
const SEED = 2

describe('what counts', async () => {
  const engine = await (ENGINES.sqlite as (typeof ENGINES)[string])()
  after(() => engine[Symbol.asyncDispose]())

  for (const { what, billed, names } of rows.slice(0, -1)) {
    test(what, async () => {
      assert.ok(names.length > 0, 'it names no situation')
      for (const name of names) {
        const scenario = SCENARIOS.find(one => one.name === name)
        assert.ok(scenario, `there is no situation ${name}`)
        const result = await live(engine, scenario, SEED)
        assert.deepEqual(result.faults, [], name)
        if (billed.startsWith('all')) assert.deepEqual([result.billed, result.held], [result.used, 0], name)
        else {
          assert.equal(billed, 'not more')
          assert.ok(result.billed <= result.used && (result.held > 0 || result.told > 0), name)
        }
      }
    })
  }
})

test('each reason is in the tables, and each figure is that of the code', () => {
  const table = rows.map(({ counts }) => counts).join('\n')
  const told: Record<NotCounted, true> = {
    ...{ baseline: true, 'old-counter': true, 'too-late': true, conflict: true, gap: true, 'shared-identity': true },
    ...{ 'sent-twice': true, 'moving-start': true, 'clock-ahead': true, 'out-of-range': true },
  }
  const held: readonly UnattributedReason[] = ['old-counter', 'too-late', 'several-writers']
  for (const reason of [...Object.keys(told), ...held]) assert.match(table, new RegExp(`[\`*]${reason}[\`*]`))
  const said = rows.map(({ what, counts }) => `${what}\n${counts}`).join('\n')
  for (const figure of [
    `${DELTA_MEMORY / HOUR} hours before the latest point`,
    `more than ${LARGEST_SKEW / 1000 / MINUTE} minutes ahead`,
    `2^${MAX_AMOUNT.toString(2).length - 1} millionths`,
  ]) {
    assert.ok(said.includes(figure), figure)
  }
  assert.equal(LONGEST_DOUBT, HOUR)
})
