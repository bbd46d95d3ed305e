import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { inspect } from 'node:util'
import type { RecordEntry } from '../../src/ledger/ledger.ts'
import { fileSource, readEventFile } from '../../src/reconcile/event-files.ts'
import { decisionOf, type Finding, reconcile } from '../../src/reconcile/reconcile.ts'
import { Month, placeOf } from '../reconcile/month.ts'
import { RUNS, SEED } from './sequences.ts'

type Decisions = Map<string, 'billed' | 'not-billed'>

const filesOf = (buffers: readonly Buffer[]) =>
  buffers.map((buffer, index) => ({ name: `file ${index}`, open: () => Readable.from([buffer]) }))

/** Settles by these events all that they prove; with `settleAbsent` also what is in none of a search without a gap. */
async function settle(month: Month, buffers: readonly Buffer[], settleAbsent: boolean) {
  const findings: Finding[] = []
  const decided: Decisions = new Map()
  const { ledger } = month.main
  // When a restore was written down is the machine's time.
  const audit: typeof ledger.audit = async query =>
    (await ledger.audit(query)).map(({ writtenAt: _, ...entry }) => entry)
  const result = await reconcile(
    { records: query => ledger.records(query), dimensions: () => ledger.dimensions(), audit },
    {
      events: filesOf(buffers).map(fileSource),
      callers: month.callers,
      onFinding: async finding => {
        findings.push(finding)
        const { record } = finding
        const decision = decisionOf(finding, { settle: true, settleAbsent, now: month.now })
        if (decision === undefined || record === undefined) return
        decided.set(record.id, decision.decision)
        const { why, quantity } = decision
        await ledger.decide(record.id, decision.decision, { who: 'a test', why, now: month.now }, quantity)
      },
    },
  )
  return { findings, decided, result }
}

/** What is right to decide of records in doubt: what AWS has, and not what events say. */
class Truth {
  readonly #month: Month
  readonly #billed: ReturnType<Month['billed']>
  /** `MeteringRecordId`s that AWS has answered to anybody, and to this ledger. */
  readonly said = new Set<string>()
  readonly #answered = new Set<string>()

  constructor(month: Month) {
    this.#month = month
    this.#billed = month.billed()
    const { requests } = month.main
    for (const { requestID, responseElements } of month.simulator.cloudTrail.events()) {
      for (const { meteringRecordId } of responseElements?.results ?? []) {
        if (meteringRecordId === undefined) continue
        this.said.add(meteringRecordId)
        if (requests.has(requestID)) this.#answered.add(meteringRecordId)
      }
    }
  }

  entry({ account, hour, ...record }: RecordEntry) {
    return this.#billed.get(placeOf(account, record, hour))
  }

  allows(record: RecordEntry): readonly ('billed' | 'not-billed')[] {
    const entry = this.entry(record)
    // The lost ledger had it back in its balance, and has billed it with another hour perhaps.
    if (record.hour <= this.#month.restoredAt && this.#month.lost.get(record.id) === 'returned') return []
    if (entry === undefined || entry.quantity !== record.quantity) return ['not-billed']
    if (!entry.foreign && this.#month.main.calledAt.has(Date.parse(entry.takenAt))) return ['billed']
    // AWS took both for one: what it says of ours is that it is billed.
    return this.#answered.has(entry.meteringRecordId) ? ['billed', 'not-billed'] : ['not-billed']
  }
}

/** Whether all that events show of the ledger's callers may be the ledger's own. */
async function mayBeOwn(month: Month, buffers: readonly Buffer[], records: Iterable<RecordEntry>): Promise<boolean> {
  const all = [...records]
  let own = true
  for (const file of filesOf(buffers)) {
    await readEventFile(
      file,
      ({ call }) => {
        const { principal = '', arn = '' } = call?.caller ?? {}
        if (call === undefined || !(month.callers.includes(principal) || month.callers.includes(arn))) return
        for (const { series: named, hour, quantity } of call.sightings) {
          const { region, dimension, product, accountId, customerIdentifier, licence } = named
          const series = all.filter(
            ({ account, ...record }) =>
              record.region === region &&
              record.dimension === dimension &&
              account.accountId === accountId &&
              account.customerIdentifier === customerIdentifier &&
              (licence === undefined ? account.product === product : account.licenseArn?.endsWith(licence)),
          )
          const sent = series.some(record => record.hour === hour && record.quantity === quantity)
          if (!sent && series.length > 0) own &&= quantity === 0 || hour <= month.restoredAt
        }
      },
      () => {},
    )
  }
  return own
}

const met = new Map<string, number>()
const meet = (what: string) => met.set(what, (met.get(what) ?? 0) + 1)

async function tryMonth(seed: number): Promise<void> {
  const at = `PROPERTY_SEED=${seed}`
  const month = new Month(seed)
  try {
    await month.run()
    const before = await month.records()
    const truth = new Truth(month)
    const shares = month.second !== undefined && month.secondHas !== 'its own role'
    const separate = month.secondHas === 'the same role' && !month.callers.some(arn => arn.includes(':role/'))
    const check = async (decided: Decisions, buffers: readonly Buffer[]) => {
      const wrong = [...decided].filter(([id, decision]) => {
        const record = before.get(id) as RecordEntry
        meet(`${decision} as ${truth.allows(record).join(' or ') || 'nothing'}`)
        return !truth.allows(record).includes(decision)
      })
      if (wrong.length === 0) return
      // Of two ledgers with the same credentials no event tells which has sent what both have.
      if (shares && !separate && (await mayBeOwn(month, buffers, before.values()))) meet('undecidable')
      else assert.fail(`${at}: ${wrong.map(([id, decision]) => `${decision}: ${inspect(before.get(id))}`)}`)
    }
    const buffers = month.partial()
    const partial = await settle(month, buffers, false)
    await check(partial.decided, buffers)
    // All that happened: what can be decided is, and what is found is what was done.
    const whole = await settle(month, month.whole(), true)
    assert.deepEqual(whole.result.unread, { count: 0, first: [] }, at)
    await check(whole.decided, month.whole())
    for (const { verdict, record } of [...partial.findings, ...whole.findings]) {
      meet(`${verdict} ${record?.state ?? ''} ${record?.reason ?? ''}`)
    }
    const shared = whole.result.callers.some(caller => caller.shared)
    if (shared) assert.ok(shares, `${at}: the ledger's own callers are taken for shared`)
    const records = await month.records()
    const billed = month.billed()
    const found = new Map(whole.findings.map(finding => [finding.record?.id, finding]))
    for (const record of records.values()) {
      if (record.state !== 'held' || record.reason !== 'in-doubt') continue
      const finding = found.get(record.id)
      const entry = truth.entry(record)
      const other = entry !== undefined && !month.main.calledAt.has(Date.parse(entry.takenAt))
      // What a call that failed has done, one that another has sent too, and what the ledger does not know a person decides.
      const decidable =
        !shared &&
        record.hour > month.restoredAt &&
        !finding?.shown.some(({ outcome }) => outcome === 'unclear' || outcome === 'duplicate') &&
        !(finding?.verdict === 'two-senders' && (shares || month.main.repeats || finding.shown.length > 1 || other)) &&
        !(other && shares) &&
        !(finding?.verdict === 'undecided' && month.main.repeats)
      assert.ok(!decidable, `${at}: ${finding?.verdict} ${inspect(finding, { depth: 4 })}`)
    }
    // Whatever somebody else has billed is told, by its amount, and nothing else is.
    const told = new Set<string>()
    for (const { verdict, record, shown, series, hour } of whole.findings) {
      if (verdict === 'missing' || verdict === 'other-id') assert.fail(`${at}: ${verdict} ${inspect(record)}`)
      for (const { quantity, outcome, meteringRecordId } of shown) {
        if (outcome === 'success') told.add(`${series.region} ${meteringRecordId} ${quantity}`)
      }
      const strangers = month.second !== undefined || month.restoredAt > 0
      if (verdict !== 'foreign' || strangers) continue
      const entries = [...billed.values()].filter(({ meteringRecordId: id }) =>
        shown.some(one => one.meteringRecordId === id),
      )
      assert.ok(
        entries.length > 0 && entries.every(entry => entry.foreign && Date.parse(entry.hour) === hour),
        `${at}: ${inspect(shown)} is nobody else's`,
      )
    }
    for (const { region, meteringRecordId, quantity, foreign, takenAt } of billed.values()) {
      if (!foreign && month.main.calledAt.has(Date.parse(takenAt))) continue
      // Of a call that failed afterwards no event says so; of nothing there is nothing to tell.
      if (!truth.said.has(meteringRecordId) || quantity === 0) continue
      if (foreign || month.secondHas === 'its own role') {
        assert.ok(told.has(`${region} ${meteringRecordId} ${quantity}`), `${at}: ${meteringRecordId} is not told`)
      }
    }
  } finally {
    await month.close()
  }
}

const MONTHS = Math.ceil(RUNS / 25)

test(`${MONTHS} months: whatever is missing from a trail, a wrong decision is never made`, async test => {
  for (let run = 0; run < MONTHS; run++) await tryMonth(SEED + run)
  for (const [what, times] of [...met].sort(([, a], [, b]) => b - a)) test.diagnostic(`${what}: ${times}`)
  if (MONTHS < 10) return
  for (const kind of [
    ...['billed held in-doubt', 'other-quantity held in-doubt', 'other-quantity held conflict', 'foreign  '],
    ...['undecided held in-doubt', 'two-senders metered'],
  ]) {
    assert.ok(
      [...met.keys()].some(one => one.startsWith(kind)),
      `${kind} of ${[...met.keys()].sort().join(', ')}`,
    )
  }
})
