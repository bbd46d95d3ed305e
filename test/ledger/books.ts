import assert from 'node:assert/strict'
import { HOUR, hourOf, SECOND, type Span } from '../../src/ledger/hours.ts'
import type {
  AuditEntry,
  DecisionResult,
  Ledger,
  RecordDecision,
  RecordEntry,
  StatementLine,
  UsageBatch,
} from '../../src/ledger/ledger.ts'
import type { Account } from '../../src/usage/account.ts'
import { MAX_QUANTITY } from '../../src/usage/dimension.ts'
import { untaggedAccount } from '../../src/usage/tagged-account.ts'

/** What a ledger was told, kept apart from it, and what its records said before: the other side of the books. */
export class Books {
  /** Whether calls are only noted, where there are too many to check after each. */
  paused = false
  /** What the last check saw. */
  latest: { lines: StatementLine[]; records: RecordEntry[] } = { lines: [], records: [] }
  readonly #recorded = new Map<string, bigint>()
  readonly #batches = new Set<string>()
  readonly #records = new Map<string, { immutable: string; timestamp: number; metered: boolean; inDoubt: boolean }>()
  readonly #included = new Map<string, bigint>()
  #calls = 0
  #pruned = false

  /** Notes a call that the ledger fulfilled. */
  note(name: string, given: readonly unknown[], result: unknown): void {
    if (name === 'append') this.#append(given[0] as UsageBatch)
    if (name === 'prune') this.#pruned ||= (result as number) > 0
    if (name === 'writeOff') this.#add(given[0] as string, given[1] as string, -(result as bigint))
    if (name === 'attribute') {
      this.#add(given[0] as string, given[1] as string, -(result as bigint))
      this.#add((given[2] as Account).key, given[1] as string, result as bigint)
    }
    if (name === 'undo') {
      for (const [index, entry] of (given[0] as AuditEntry[]).entries()) {
        const { amount } = (result as DecisionResult[])[index] ?? {}
        if (amount !== undefined) this.#undo(entry, amount)
      }
    }
  }

  #undo({ action, account, dimension, detail }: AuditEntry, amount: bigint): void {
    if (action === 'release' || action === 'settle') return
    this.#add(account?.key as string, dimension as string, amount)
    if (action !== 'attribute') return
    const [whom = ''] = /^[^;]*/.exec(detail as string) ?? []
    this.#add(whom.startsWith('"') ? JSON.parse(whom) : whom, dimension as string, -amount)
  }

  /** Notes what others' counters are about to add: only who sends their points can tell. */
  expect(account: Account, dimension: string, amount: bigint): void {
    this.#add(account.key, dimension, amount)
  }

  recorded(account: string, dimension: string): bigint {
    return this.#recorded.get(`${account} ${dimension}`) ?? 0n
  }

  #append({ writer, sequence, entries }: UsageBatch): void {
    if (this.#batches.has(`${writer} ${sequence}`)) return
    this.#batches.add(`${writer} ${sequence}`)
    for (const { account, dimension, amount } of entries) this.#add(untaggedAccount(account).key, dimension, amount)
  }

  #add(account: string, dimension: string, amount: bigint): void {
    this.#recorded.set(`${account} ${dimension}`, this.recorded(account, dimension) + amount)
  }

  /** Whether a check that is not made after each call is made after this one. */
  isTurn(): boolean {
    this.#calls += 1
    return this.#calls % EACH_CALL === 0
  }

  /** Asserts all that has to hold at every instant. */
  async check(ledger: Ledger): Promise<void> {
    if (this.paused) return
    const lines = await ledger.statement()
    const records = await ledger.records({ limit: 1_000_000 })
    this.latest = { lines, records }
    const ofSeries = Map.groupBy(records, record => `${record.account.key} ${record.dimension}`)
    const found = new Set<string>()
    for (const { account, dimension, recorded, included, metered, pending, held, heldByReason, balance } of lines) {
      const series = `${account.key} ${dimension.name}`
      found.add(series)
      assert.equal(recorded, included + metered + pending + held + balance, `the equation of ${series}`)
      assert.equal(recorded, this.recorded(account.key, dimension.name), `what was recorded of ${series}`)
      assert.ok(included >= 0n && metered >= 0n && pending >= 0n && held >= 0n, `a negative figure of ${series}`)
      assert.ok(included >= (this.#included.get(series) ?? 0n), `less is included of ${series} than was`)
      this.#included.set(series, included)
      assert.equal(sum(Object.values(heldByReason)), held, `what is held of ${series}, by reason`)
      const amount = (state: string) =>
        sum((ofSeries.get(series) ?? []).filter(one => one.state === state).map(one => BigInt(one.quantity) * one.size))
      assert.equal(amount('pending'), pending, `the pending records of ${series}`)
      assert.equal(amount('held'), held, `the held records of ${series}`)
      assert.ok(amount('metered') <= metered, `the metered records of ${series}`)
    }
    for (const [series, amount] of this.#recorded) {
      assert.ok(amount === 0n || found.has(series), `no line of ${series}`)
    }
    this.#checkRecords(records)
  }

  /**
   * Asserts that the lines of hours, days or months add up to the statement that was checked last, and have its records'
   * quantities.
   */
  async checkSpans(ledger: Ledger, by: Span): Promise<void> {
    // What is deleted is only in the totals.
    if (this.#pruned) return
    const { records } = this.latest
    const all = this.latest.lines.filter(({ recorded, balance }) => recorded !== 0n || balance !== 0n)
    const lines = await ledger.statement({ by })
    const starts = lines.map(({ span }) => span?.from ?? Number.NaN)
    assert.deepEqual(
      starts,
      starts.toSorted((a, b) => a - b),
      `the order of ${by}s`,
    )
    for (const { span, recorded, included, metered, pending, held, balance } of lines) {
      assert.equal(iso(span?.from), startOf(by, span?.from), `a line of a ${by}`)
      assert.equal(iso(span?.to), startOf(by, span?.to), `the end of a ${by}`)
      assert.equal(recorded, included + metered + pending + held + balance, `the equation of a ${by}`)
    }
    const ofSeries = Map.groupBy(lines, ({ account, dimension }) => `${account.key} ${dimension.name}`)
    for (const { account, dimension, span: _, heldByReason, ...figures } of all) {
      const series = `${account.key} ${dimension.name}`
      const parts = ofSeries.get(series) ?? []
      for (const name of ['recorded', 'included', 'metered', 'pending', 'held', 'balance'] as const) {
        assert.equal(sum(parts.map(line => line[name])), figures[name], `${name} of ${series} by ${by}s`)
      }
      for (const [reason, amount] of Object.entries(heldByReason)) {
        const named = reason as keyof typeof heldByReason
        assert.equal(sum(parts.map(line => line.heldByReason[named] ?? 0n)), amount, `${reason} of ${series} by ${by}s`)
      }
      for (const state of ['metered', 'pending', 'held'] as const) {
        const own = records.filter(one => one.state === state && `${one.account.key} ${one.dimension}` === series)
        const quantities = own.map(({ reason, quantity, size }) =>
          reason === 'restored' ? (BigInt(quantity) * size) / dimension.size : BigInt(quantity),
        )
        const told = sum(parts.map(({ span }) => span?.quantities[state] ?? 0n))
        assert.equal(told, sum(quantities), `${state} quantities of ${series} by ${by}s`)
      }
    }
  }

  /**
   * No record changes what is sent of it (what a restore holds is not), but for its second, where AWS surely has not
   * taken it; none leaves `metered`, and none shares its hour with another.
   */
  #checkRecords(records: readonly RecordEntry[]): void {
    const hours = new Set<string>()
    for (const { allocations, ...record } of records) {
      const { id, account, dimension, hour, timestamp, quantity, size, region, state, reason, inDoubt } = record
      const what = `record ${id}`
      const split = JSON.stringify(allocations ?? [])
      const immutable = `${account.key} ${dimension} ${hour} ${quantity} ${size} ${region} ${split}`
      const before = this.#records.get(id)
      const divided = state === 'metered' && reason === 'restored'
      assert.ok(divided || immutable === (before?.immutable ?? immutable), `${what} changed`)
      // One that was free at the last look may have been stamped anew and then sent.
      const fixed = before?.metered === true || (inDoubt && before?.inDoubt === true)
      const stamped = timestamp === (before?.timestamp ?? timestamp) || !fixed
      assert.ok(stamped, `${what} was stamped anew`)
      assert.ok(before?.metered !== true || state === 'metered', `${what} was metered and is ${state}`)
      assert.ok(timestamp % SECOND === 0 && hourOf(timestamp) === hour && hour % HOUR === 0, `${what}'s timestamp`)
      assert.ok(Number.isInteger(quantity) && quantity >= 0 && quantity <= MAX_QUANTITY, `${what}'s quantity`)
      const parts = allocations?.reduce((all, [units]) => all + units, 0)
      assert.equal(parts ?? quantity, quantity, `the split of ${what}`)
      assert.ok(allocations?.every(([units]) => units > 0) ?? true, `a part of ${what}`)
      assert.ok(!hours.has(`${account.key} ${dimension} ${hour}`), `${what} shares its hour`)
      hours.add(`${account.key} ${dimension} ${hour}`)
      this.#records.set(id, { immutable, timestamp, metered: state === 'metered', inDoubt })
    }
  }
}

const iso = (time: number | undefined) => new Date(time ?? Number.NaN).toISOString()

/** The beginning of the hour, day or month that an instant is in. */
function startOf(by: Span, time: number | undefined): string {
  const [month, day, hour] = [7, 10, 13].map(length => iso(time).slice(0, length))
  return { hour: `${hour}:00:00.000Z`, day: `${day}T00:00:00.000Z`, month: `${month}-01T00:00:00.000Z` }[by]
}

const READING: ReadonlySet<keyof Ledger> = new Set([
  ...([
    'ping',
    'status',
    'dimensions',
    'statement',
    'records',
    'audit',
    'verifyAudit',
    'due',
    'agreements',
    'included',
    'entitlements',
    'close',
  ] as const),
])

/** Where a server is asked for each check, the calls that are checked are each so many-th, and the end is. */
const EACH_CALL = 8

function isChecked(name: keyof Ledger, given: readonly unknown[], books: Books): boolean {
  // What is found of others' counters is written down when it is looked at.
  if (name === 'append') return (given[0] as UsageBatch).observations !== undefined
  return name !== 'claim' && name !== 'register' && books.isTurn()
}

/** Records that were written off are neither in the call nor in its result. */
async function noteWrittenOff(
  ledger: Ledger,
  books: Books,
  name: string,
  given: readonly unknown[],
  result: unknown,
): Promise<void> {
  const decided =
    name === 'decide'
      ? given[1] === 'write-off' && [given[0] as string]
      : name === 'decideAll' &&
        (given[0] as RecordDecision[]).flatMap(({ decision, recordId }, index) =>
          decision === 'write-off' && (result as DecisionResult[])[index]?.error === undefined ? [recordId] : [],
        )
  if (!decided || decided.length === 0) return
  for (const { account, dimension, quantity, size } of await ledger.records({ ids: decided })) {
    books.expect(account, dimension, -BigInt(quantity) * size)
  }
}

/**
 * A ledger whose books are checked after every call that may change something, also after one that failed.
 *
 * @param remote whether a server is asked for a check: with LEDGER_CHECKS=all there is one after each call still
 */
export function audited<Engine extends Ledger>(ledger: Engine, books: Books, remote = false): Engine {
  const lazy = remote && process.env.LEDGER_CHECKS !== 'all'
  return new Proxy(ledger, {
    get: (_, name: keyof Ledger) => {
      if (typeof ledger[name] !== 'function') return ledger[name]
      if (READING.has(name)) return (ledger[name] as () => unknown).bind(ledger)
      return async (...given: unknown[]) => {
        try {
          const result = await (ledger[name] as (...given: unknown[]) => Promise<unknown>)(...given)
          books.note(name, given, result)
          await noteWrittenOff(ledger, books, name, given, result)
          return result
        } finally {
          if (!lazy || isChecked(name, given, books)) await books.check(ledger)
        }
      }
    },
  })
}

export function sum(amounts: readonly bigint[]): bigint {
  return amounts.reduce((total, amount) => total + amount, 0n)
}
