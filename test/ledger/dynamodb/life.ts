import { createHash } from 'node:crypto'
import { MINUTE } from '../../../src/ledger/hours.ts'
import type {
  AuditNote,
  CounterSources,
  Ledger,
  MeteringRecord,
  Observation,
  Outcome,
  RecordEntry,
  StatementLine,
  UsageBatch,
} from '../../../src/ledger/ledger.ts'
import type { CustomerAccount } from '../../../src/usage/account.ts'
import {
  ALICE,
  BOB,
  bounced,
  CONFLICT,
  closeOptions,
  closing,
  DIMENSIONS,
  entry,
  GPU,
  hour,
  lost,
  METERED,
  NOBODY,
  NOT_SUBSCRIBED,
  REFUSED,
  REQUESTS,
  START,
  TOKENS,
  UNIT,
} from '../scene.ts'

/** What tests bring upon a ledger that is to end the same, whatever goes wrong on the way. */

export const customers = Array.from({ length: 20 }, (_, n): CustomerAccount => {
  return { kind: 'customer', key: `prod-1,${n}`, product: `prod-${n % 2}`, accountId: String(n).padStart(12, '0') }
})

/** Since when its dimensions are metered. */
export const SOURCES: CounterSources = {
  ...{ product: ALICE.product, now: START },
  metrics: DIMENSIONS.map(({ name }) => ({ dimension: name, metric: '' })),
}

export const micros = (minute: number): number => (START + minute * MINUTE) * 1000

export function point(name: string, minute: number, value: number, more: Partial<Observation> = {}): Observation {
  return {
    counter: createHash('md5').update(name).digest('hex'),
    ...{ kind: 'cumulative', account: ALICE, dimension: REQUESTS.name },
    ...{ start: micros(0) + 1, time: micros(minute), receivedAt: START + minute * MINUTE, value: BigInt(value) * UNIT },
    ...more,
  }
}

const level = (minute: number): Observation =>
  point('gauge', minute, 2, { kind: 'gauge', start: 0, dimension: GPU.name, maxGap: 120_000_000 })
const delta = (minute: number, value: number): Observation => point('delta', minute, value, { kind: 'delta' })

const MANY = { key: 'ab'.repeat(16), target: 'ab'.repeat(6), metric: '', attributes: '{}' }

/** Two writers' usage of two hours: two shards of customers, one of nobody, counters of all kinds. */
export const BATCHES: readonly UsageBatch[] = [
  { writer: 'a'.repeat(32), sequence: 1, entries: customers.map((one, n) => entry(one, REQUESTS, 0, n + 1)) },
  { writer: 'a'.repeat(32), sequence: 2, entries: customers.map((one, n) => entry(one, TOKENS, n % 2, 700 + n)) },
  { writer: 'b'.repeat(32), sequence: 1, entries: [entry(NOBODY, REQUESTS, 0, 5), entry(ALICE, GPU, 0, 4000)] },
  {
    ...{ writer: 'b'.repeat(32), sequence: 2, entries: [] },
    observations: [
      ...[point('known', 1, 10), point('baseline', 1, 1000, { start: micros(-100) }), point('old', 90, 300)],
      ...[delta(2, 6), delta(2, 7), level(3)],
      // So many that the body is an item of its own; of one stream, since each stream is a write.
      ...Array.from({ length: 24 }, (_, n) => point(`one of many ${n}`, 5, n + 1, { stream: MANY })),
    ],
  },
  {
    ...{ writer: 'b'.repeat(32), sequence: 3, entries: [entry(ALICE, REQUESTS, 1, 3)] },
    observations: [point('known', 2, 14), delta(2, 6), level(4)],
  },
]

export async function begin(ledger: Ledger): Promise<void> {
  await ledger.register(DIMENSIONS, SOURCES)
  for (const batch of BATCHES) await ledger.append(batch)
}

export async function claimAll(ledger: Ledger, now: number): Promise<MeteringRecord[]> {
  const claimed: MeteringRecord[] = []
  for (const lane of (await ledger.due(now)).lanes) {
    claimed.push(...(await ledger.claim(lane, { now, limit: 1000, claimedUntil: now + MINUTE })))
  }
  return claimed
}

export async function settleAll(
  ledger: Ledger,
  records: readonly MeteringRecord[],
  outcomeOf: (record: MeteringRecord) => Outcome,
  now: number,
): Promise<void> {
  await ledger.settle(
    records.map(record => ({ record, outcome: outcomeOf(record), answer: 'an answer' })),
    now,
  )
}

const by = (n: number): AuditNote => ({ who: 'ops', why: `decision ${n}`, now: closing(2) + n })

/** Answers of all kinds, an end of the window, decisions of a person, a customer's end. */
export async function live(ledger: Ledger): Promise<void> {
  await begin(ledger)
  await ledger.closeHours(closeOptions(closing(1)))
  const answers = [METERED, METERED, CONFLICT, REFUSED, NOT_SUBSCRIBED, bounced(closing(2)), lost(closing(2))]
  const answerTo = ({ account }: MeteringRecord) => answers[Number(account.accountId) % answers.length] ?? METERED
  await settleAll(ledger, await claimAll(ledger, closing(1)), answerTo, closing(1))
  await ledger.attribute(NOBODY.key, REQUESTS.name, BOB, by(1))
  await ledger.writeOff(customers[3]?.key ?? '', TOKENS.name, by(2))
  await ledger.finalize(BOB, { ...closeOptions(closing(2)), endedAt: closing(2) })
  await ledger.closeHours({ ...closeOptions(closing(2)), zeroQuantityRecords: true })
  await settleAll(ledger, await claimAll(ledger, closing(2)), () => METERED, closing(2))
  for (const record of await ledger.records({ state: 'held', limit: 3 })) {
    if (record.reason === 'in-doubt') await ledger.decide(record.id, 'billed', by(3))
    else if (record.reason === 'conflict') await ledger.decide(record.id, 'not-billed', by(3))
    else await ledger.decide(record.id, 'release', by(4))
  }
  await ledger.expire(hour(30))
}

export interface Books {
  readonly lines: readonly StatementLine[]
  readonly records: readonly RecordEntry[]
  readonly status: unknown
  readonly audit: unknown
}

/** All that a ledger says. */
export async function read(ledger: Ledger): Promise<Books> {
  const lines = await ledger.statement()
  const records = await ledger.records({ limit: 10_000 })
  const audit = (await ledger.audit()).map(({ action, account, amount }) => `${action} ${account?.key} ${amount}`)
  const { pending, held, ...status } = await ledger.status()
  const sorted = [pending, held].map(figures => figures.map(figure => Object.values(figure).join(' ')).sort())
  return { lines, records, status: { ...status, sorted }, audit: audit.sort() }
}
