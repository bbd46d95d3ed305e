import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { fileSource } from '../../src/reconcile/event-files.ts'
import { decisionOf, type Finding, reconcile } from '../../src/reconcile/reconcile.ts'
import { Month } from '../reconcile/month.ts'
import { METER } from '../reconcile/trail.ts'
import { RUNS, SEED } from './sequences.ts'

/** Settles by these events all that they prove; with `settleAbsent` also what is in none of a search without a gap. */
async function settle(month: Month, files: readonly Buffer[], settleAbsent: boolean) {
  const findings: Finding[] = []
  const decided = new Map<string, 'billed' | 'not-billed'>()
  const result = await reconcile(month.ledger, {
    events: files.map((file, index) => fileSource({ name: `file ${index}`, open: () => Readable.from([file]) })),
    callers: [METER],
    onFinding: async finding => {
      findings.push(finding)
      const { record } = finding
      const decision = decisionOf(finding, { settle: true, settleAbsent, now: month.now })
      if (decision === undefined || record === undefined) return
      decided.set(record.id, decision.decision)
      await month.ledger.decide(record.id, decision.decision, { who: 'a test', why: decision.why, now: month.now })
    },
  })
  return { findings, decided, result }
}

const met = new Set<string>()

async function tryMonth(seed: number): Promise<void> {
  const at = `PROPERTY_SEED=${seed}`
  const month = new Month(seed)
  try {
    await month.run()
    const before = await month.records()
    const wrong = (decided: ReadonlyMap<string, string>) => {
      const all = [...decided].filter(([id, decision]) => (decision === 'billed') !== month.taken.has(id))
      return all.map(([id, decision]) => `${decision}: ${inspect(before.get(id))}`)
    }
    const partial = await settle(month, month.trail(), false)
    assert.deepEqual([partial.result.unread, wrong(partial.decided)], [{ count: 0, first: [] }, []], at)
    // All that happened: what can be decided is, and what is found is what was done.
    const whole = await settle(month, [Buffer.from(JSON.stringify({ Records: month.events }))], true)
    assert.deepEqual(wrong(whole.decided), [], at)
    const after = await month.records()
    for (const { verdict, record } of [...partial.findings, ...whole.findings]) {
      met.add(`${verdict} ${record?.state ?? ''} ${record?.reason ?? ''}`)
    }
    for (const record of after.values()) {
      const { id, account, dimension, hour, quantity, state, reason } = record
      if (state !== 'held' || reason !== 'in-doubt') continue
      const found = whole.findings.find(finding => finding.record?.id === id)
      const shared = month.foreign.get(`${account.key} ${dimension} ${hour}`) === quantity
      // A call that failed may have billed it; one that another has sent, too, a person decides.
      assert.ok(
        (shared && found?.verdict === 'two-senders') ||
          (found?.verdict === 'undecided' && found.shown.some(({ outcome }) => outcome === 'unclear')),
        `${at}: ${found?.verdict} ${inspect(record)}`,
      )
    }
    const billed = month.simulator.billed()
    for (const { verdict, record, shown, hour } of whole.findings) {
      if (verdict === 'missing') assert.fail(`${at}: ${inspect(record)} is metered and in the trail`)
      if (verdict !== 'two-senders') continue
      const other = month.foreign.get(`${record?.account.key} ${record?.dimension} ${hour}`)
      assert.deepEqual([other, shown.length > 0], [record?.quantity, true], at)
    }
    const alien = billed.filter(({ foreign }) => foreign).length
    const told = whole.findings.filter(({ verdict, shown }) => {
      return (
        verdict !== 'billed' && shown.some(({ caller, outcome }) => outcome === 'success' && caller.principal !== METER)
      )
    })
    assert.ok(told.length >= alien, `${at}: ${told.length} of ${alien} records of somebody else are told`)
  } finally {
    await month.ledger.close()
  }
}

const MONTHS = Math.ceil(RUNS / 10)

test(`${MONTHS} months: whatever is missing from a trail, a wrong decision is never made`, async () => {
  for (let run = 0; run < MONTHS; run++) await tryMonth(SEED + run)
  for (const kind of [
    ...[
      'billed held in-doubt',
      'not-billed held in-doubt',
      'other-quantity held in-doubt',
      'other-quantity held conflict',
    ],
    ...[
      'absent held in-doubt',
      'undecided held in-doubt',
      'two-senders metered',
      'two-senders held in-doubt',
      'foreign  ',
    ],
  ]) {
    assert.ok(
      [...met].some(one => one.startsWith(kind)),
      `${kind} of ${[...met].sort().join(', ')}`,
    )
  }
})
