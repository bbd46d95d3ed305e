import { HOUR, MINUTE, SECOND } from '../../../src/ledger/hours.ts'
import type { StatementLine } from '../../../src/ledger/ledger.ts'
import type { Account } from '../../../src/usage/account.ts'
import type { UsageOptions } from '../../../src/usage/options.ts'
import type { Attributes, Point, Scope } from '../../counters/otlp.ts'

/**
 * What the gateway of an earlier release took before its ledger was kept as a fixture, and what the same senders go on
 * with. A fixture of a release is made by its own code: a gateway, `BEFORE`, a restore and passes, as `STEPS` has them.
 */

/** When the ledger begins to meter; when it is restored; the day after next, when most is counted. */
export const BEGINS = Date.UTC(2026, 2, 3, 10)
export const RESTORED = BEGINS + 30 * MINUTE
export const DAY = BEGINS + 40 * HOUR
/** When the last pass of before is, and the next of those that go on. */
export const PASSED = DAY + HOUR + 6 * MINUTE
export const GOES_ON = DAY + HOUR + 9 * MINUTE
export const NEXT_PASS = DAY + 2 * HOUR + 6 * MINUTE

export const PRODUCT = 'prod-1'

const names = [
  'alice',
  'bob',
  'carol',
  'dave',
  'erin',
  'frank',
  'grace',
  'heidi',
  'ivan',
  'oscar',
  'kim',
  'lena',
] as const
export type Customer = (typeof names)[number]
export const accountId = (customer: Customer): string => String(names.indexOf(customer) + 1).padStart(12, '9')

/** Fresh each time: options are frozen by who takes them. */
export function usageOptions(): UsageOptions {
  return {
    productCode: PRODUCT,
    dimensions: {
      tokens: { unit: '{token}', from: { metric: 'inference.tokens', unit: '{token}' }, maxQuantity: 1000 },
      gpu: { unit: 's', from: { metric: 'gpu_active', value: 'integral', unit: '1' } },
    },
    customer: attributes => {
      const id = attributes['customer.account']
      return id === undefined ? undefined : { accountId: String(id) }
    },
  }
}

const nanoseconds = (milliseconds: number): bigint => BigInt(milliseconds) * 1_000_000n

const process = (instance: string): Attributes => ({
  ...{ 'service.name': 'inference', 'service.instance.id': instance, 'telemetry.sdk.language': 'go' },
})
/** Of a process whose counter began more often than the first schema remembered. */
const FORGOTTEN = process('p-5')
const pod: Attributes = { 'service.name': 'vllm', 'service.instance.id': 'pod-1:8000', 'url.scheme': 'http' }
const APP: Scope = { name: 'app', version: '1.4.0' }
const SCRAPER: Scope = {
  name: 'github.com/open-telemetry/opentelemetry-collector-contrib/receiver/prometheusreceiver',
  version: '0.139.0',
}

type Told = Pick<Point, 'resource' | 'scope'> & { readonly temporality?: 'cumulative' | 'delta' }

function tokens(customer: Customer, start: number, time: number, value: number, of: Told): Point {
  const { resource, scope, temporality = 'cumulative' } = of
  return {
    ...{ resource, scope, metric: { name: 'inference.tokens', unit: '{token}', type: 'sum', temporality } },
    ...{ attributes: { 'customer.account': accountId(customer) }, value },
    ...{ start: start === 0 ? 0n : nanoseconds(start), time: nanoseconds(time) },
  }
}

const sdk = (instance: string): Told => ({ resource: process(instance), scope: APP })
const told = (customer: Customer, start: number, time: number, value: number, instance = 'p-1') =>
  tokens(customer, start, time, value, sdk(instance))
const delta = (time: number, value: number) =>
  tokens('dave', time - MINUTE, time, value, { ...sdk('p-2'), temporality: 'delta' })
const scraped = (time: number, value: number) => tokens('bob', 0, time, value, { resource: pod, scope: SCRAPER })
const level = (time: number, value: number): Point => ({
  ...{ resource: pod, scope: SCRAPER, metric: { name: 'gpu_active', unit: '1', type: 'gauge' } },
  ...{ attributes: { 'customer.account': accountId('carol') }, start: 0n, time: nanoseconds(time), value },
})

export interface Request {
  /** When it comes, in milliseconds since the epoch. */
  readonly at: number
  readonly points: readonly Point[]
}

const at = (minute: number) => DAY + minute * MINUTE
const FIRST = at(1)
const AGAIN = at(10)
const LATE_DELTA = delta(BEGINS + 9 * MINUTE, 4)
const LAST: Request = {
  at: at(68),
  points: [
    told('alice', AGAIN, at(68), 100),
    scraped(at(68), 90),
    delta(at(68), 2),
    told('frank', BEGINS - 10 * HOUR, at(68), 530, 'p-old'),
    level(at(68), 2),
  ],
}

/** Before the restore, whose balances and counters are in doubt from then on. */
export const BEFORE_RESTORE: readonly Request[] = [
  {
    at: BEGINS + 5 * MINUTE,
    points: [told('heidi', BEGINS + MINUTE, BEGINS + 5 * MINUTE, 30, 'p-0'), delta(BEGINS + 4 * MINUTE, 3)],
  },
]

export const BEFORE: readonly Request[] = [
  {
    at: at(2),
    points: [
      told('alice', FIRST, at(2), 100),
      told('grace', FIRST, at(2), 11),
      told('oscar', FIRST, at(2), 5000),
      scraped(at(2), 1000),
      delta(at(2), 5),
      told('frank', BEGINS - 10 * HOUR, at(2), 500, 'p-old'),
      told('ivan', 0, at(2), 10, 'p-3'),
    ],
  },
  {
    at: at(3),
    points: [
      scraped(at(3), 1200),
      delta(at(3), 7),
      LATE_DELTA,
      told('frank', BEGINS - 10 * HOUR, at(3), 520, 'p-old'),
      told('ivan', 0, at(3), 25, 'p-3'),
    ],
  },
  { at: at(5), points: [told('alice', FIRST, at(5), 250), scraped(at(4), 50)] },
  {
    at: at(30),
    points: [
      told('alice', AGAIN, at(12), 40),
      told('alice', AGAIN, at(30), 90),
      scraped(at(30), 80),
      told('erin', FIRST, at(30), 80, 'p-4'),
    ],
  },
  {
    at: at(40),
    points: Array.from({ length: 10 }, (_, n) =>
      tokens('lena', at(20 + n), at(20 + n) + SECOND, 10 + n, { resource: FORGOTTEN, scope: APP }),
    ),
  },
  ...[65, 66, 67].map(minute => ({ at: at(minute), points: [level(at(minute), 2)] })),
  LAST,
]

/** What comes to the gateway of today: again what a sender had no answer to, and what each counter says next. */
export const AFTER: readonly Request[] = [
  { at: GOES_ON, points: LAST.points },
  {
    at: GOES_ON,
    points: BEFORE.flatMap(({ points }) =>
      points.filter(({ start, resource }) => start !== 0n && resource !== FORGOTTEN),
    ),
  },
  {
    at: GOES_ON,
    points: [
      // Of its first start a point that was held up.
      told('alice', FIRST, at(9), 260),
      told('alice', AGAIN, GOES_ON, 130),
      told('kim', GOES_ON - MINUTE / 2, GOES_ON, 15),
      told('grace', FIRST, GOES_ON, 14),
      told('oscar', FIRST, GOES_ON, 5003),
      scraped(GOES_ON, 120),
      level(GOES_ON, 2),
      delta(GOES_ON, 9),
      told('erin', FIRST, GOES_ON, 100, 'p-4'),
      told('frank', BEGINS - 10 * HOUR, GOES_ON, 570, 'p-old'),
      told('heidi', BEGINS + MINUTE, GOES_ON, 37, 'p-0'),
      told('ivan', 0, GOES_ON, 31, 'p-3'),
    ],
  },
]

/** Recorded, metered, pending, held and balance of a series, in whole units. */
export type Figures = readonly [recorded: number, metered: number, pending: number, held: number, balance: number]

/** How the books are when the fixture is made. Of what is held apart the key is its reason and customer. */
export const BOOKS_BEFORE: Readonly<Record<string, Figures>> = {
  'alice tokens': [350, 340, 0, 0, 10],
  'bob tokens': [290, 0, 280, 0, 10],
  'carol gpu': [360, 0, 0, 0, 360],
  'dave tokens': [17, 12, 0, 3, 2],
  'too-late dave tokens': [4, 0, 0, 0, 4],
  'old-counter erin tokens': [80, 0, 0, 0, 80],
  'frank tokens': [30, 20, 0, 0, 10],
  'grace tokens': [11, 0, 0, 11, 0],
  'heidi tokens': [30, 0, 0, 30, 0],
  'ivan tokens': [15, 15, 0, 0, 0],
  'lena tokens': [145, 145, 0, 0, 0],
  'oscar tokens': [5000, 0, 0, 5000, 0],
}

/** What the requests of `AFTER` add, each once. */
export const INCREASES: Readonly<Record<string, number>> = {
  ...{ 'alice tokens': 40, 'bob tokens': 30, 'carol gpu': 120, 'dave tokens': 9, 'erin tokens': 20 },
  ...{ 'frank tokens': 40, 'grace tokens': 3, 'ivan tokens': 6, 'oscar tokens': 3, 'kim tokens': 15 },
  // The restore is of before: what it says next may have been billed by the ledger that was lost.
  'old-counter heidi tokens': 7,
}

/** What it adds where a queue sends all of `BEFORE` again: two starts were forgotten, and nobody knows what was billed. */
export const REPLAYED: Readonly<Record<string, number>> = { ...INCREASES, 'old-counter lena tokens': 21 }

const CUSTOMERS = new Map(names.map(name => [accountId(name), name]))

/** A statement's lines by the names of the story, but for those that have nothing. */
export function booksOf(lines: readonly StatementLine[]): Record<string, Figures> {
  const books = lines.map(({ account, dimension, recorded, metered, pending, held, balance }) => {
    const figures = [recorded, metered, pending, held, balance].map(amount => Number(amount) / 1e6)
    return [nameOf(account, dimension.name), figures] as unknown as [string, Figures]
  })
  return Object.fromEntries(books.filter(([, [recorded]]) => recorded > 0))
}

export function nameOf(account: Account, dimension: string): string {
  const apart = account.kind === 'unattributed'
  const id = (apart ? account.evidence : account.key).match(/\d{12}/)?.[0] ?? ''
  return [...(apart ? [account.reason] : []), CUSTOMERS.get(id), dimension].join(' ')
}

/** What AWS answers: who is not subscribed, and whose answer is lost. */
export function answerTo(id: string | undefined): 'Success' | 'CustomerNotSubscribed' | undefined {
  if (id === accountId('grace')) return 'CustomerNotSubscribed'
  return id === accountId('bob') ? undefined : 'Success'
}
