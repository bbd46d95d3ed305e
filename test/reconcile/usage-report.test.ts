import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { type TestContext, test } from 'node:test'
import { HOUR, MINUTE } from '../../src/ledger/hours.ts'
import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import { compareUsageReport, type UsageFinding } from '../../src/reconcile/usage-report/compare.ts'
import { nothing } from '../../src/reconcile/usage-report/ledger-sum.ts'
import { usageVerdict } from '../../src/reconcile/usage-report/usage-verdict.ts'
import { type CustomerAccount, customerAccount } from '../../src/usage/account.ts'

const START = Date.parse('2026-11-03T00:00:00Z')
const ACME = customerAccount({ product: 'code', accountId: '000022223333' })
const OLD = customerAccount({ product: 'code', customerIdentifier: 'old' })
const TERMS = { region: 'us-east-1', closeDelay: 0, deadlineMargin: 0 }

/** A ledger that has metered these quantities of `tokens`, by customer and hour of the 3rd of November. */
async function metered(t: TestContext, usage: readonly [CustomerAccount, hour: number, quantity: number][]) {
  const ledger = new SqliteLedger({ path: ':memory:' })
  t.after(() => ledger.close())
  await ledger.register([{ name: 'tokens', unit: '{token}', baseUnit: '1', size: 1_000_000n }])
  let sequence = 0
  for (const [hour, some] of Map.groupBy(usage, ([, hour]) => hour)) {
    const entries = some.map(([account, , quantity]) => {
      return { account, dimension: 'tokens', hour: START + hour * HOUR, amount: BigInt(quantity) * 1_000_000n }
    })
    await ledger.append({ writer: 'a'.repeat(32), sequence: ++sequence, entries })
    const now = START + (hour + 1) * HOUR
    await ledger.closeHours({ ...TERMS, now })
    for (const lane of (await ledger.due(now)).lanes) {
      const records = await ledger.claim(lane, { now, limit: 25, claimedUntil: now + MINUTE })
      const outcome = { type: 'metered' } as const
      await ledger.settle(
        records.map(record => ({ record, outcome, answer: 'Success' })),
        now,
      )
    }
  }
  return ledger
}

const FEED =
  'usage_feed_id,valid_from,update_date,delete_date,usage_date,product_id,end_user_account_id,region,dimension_key,usage_quantity'
const DATASET =
  'internal_usage_line_item_id,row_type,row_modified_date,usage_date,product_code,end_user_aws_account_id,region,dimension_key,estimated_usage_units'
/** A later line, so that the days before it are complete; of nothing. */
const LATER = 'last,INSERT,2026-11-07T01:00:00Z,2026-11-06,code,000022223333,us-east-1,tokens,0'
const file = (...parts: string[]) => [
  { name: 'report.csv', open: () => Readable.from(parts.map(part => Buffer.from(part))) },
]

async function compare(ledger: SqliteLedger, report: string, accounts?: string) {
  const findings: UsageFinding[] = []
  const result = await compareUsageReport(ledger, {
    files: file(report),
    ...(accounts !== undefined && { accountFeed: file(accounts) }),
    products: new Map([['prod-1', 'code']]),
    onFinding: finding => void findings.push(finding),
  })
  const shown = findings.map(({ verdict, day, customer, metered, billed }) =>
    [verdict, new Date(day).getUTCDate(), customer, metered, billed].join(' '),
  )
  return { result, shown }
}

test('a report is read by its header, as RFC 4180 and databases write it', async t => {
  const ledger = await metered(t, [[ACME, 1, 12_000_000]])
  // A mark of UTF-8, columns in another order and more of them, line ends of both kinds, a quoted line end, a number and
  // times as others write them, an account that has lost its zeros.
  const text =
    '\ufeffEstimated_Usage_Units, Region,note,"internal_usage_line_item_id",ROW_TYPE,row_modified_date,usage_date,product_code,end_user_aws_account_id,dimension_key\r\n' +
    '1.2E7,us-east-1,"a ""quoted""\r\n, note",one,insert,2026-11-04 01:10:00.250,2026-11-03,code,22223333,tokens\n\n' +
    '"0.00",us-east-1,,two,INSERT,2026-11-07T01:00:00Z,2026-11-06T00:00:00Z,code,000022223333,tokens'
  const { result, shown } = await compare(ledger, text.replaceAll('\\', '\\').replace('Not provided', 'code'))
  assert.deepEqual([shown, result.rows, result.unread.count], [[], 2, 0])
  assert.deepEqual(result.totals, [
    { dimension: 'tokens', region: 'us-east-1', metered: 12_000_000, billed: 12_000_000 },
  ])
})

test('what cannot be read is told with its row, and the others are read', async t => {
  const ledger = await metered(t, [[ACME, 1, 5]])
  const row = (id: string, changes: Record<number, string> = {}) =>
    Object.values({
      ...[id, 'INSERT', '2026-11-04T01:00:00Z', '2026-11-03', 'code', '000022223333', 'us-east-1', 'tokens', '5'],
      ...changes,
    }).join()
  const rows = [
    row('one'),
    ...[row('', {}), row('a', { 1: 'MERGE' }), row('b', { 2: 'yesterday' }), row('c', { 3: '2026-02-30' })],
    ...[row('d', { 8: '1.005' }), row('e', { 8: 'many' }), row('f', { 8: '1,5' }), LATER],
  ]
  const { result, shown } = await compare(ledger, [DATASET, ...rows, '"open'].join('\n'))
  assert.deepEqual([shown, result.rows], [[], 2])
  assert.deepEqual(
    result.unread.first.map(problem => problem.replace(/^report\.csv, /, '').slice(0, 60)),
    [
      'row 3: Expected internal_usage_line_item_id, got nothing.',
      'row 4: Expected row_type INSERT, UPDATE or DELETE, got "MERG',
      'row 5: Expected a time such as 2026-11-03T00:00:00Z in row_m',
      'row 6: Expected a time such as 2026-11-03T00:00:00Z in usage',
      'row 7: Expected a number of at most two decimals in estimate',
      'row 8: Expected a number of at most two decimals in estimate',
      'row 9: Expected 9 columns, got 10.',
      'after row 10: Quote Not Closed: the parsing is finished with',
    ],
  )
})

test('of a line the latest row of the latest version that is not taken back counts, in whatever order', async t => {
  const ledger = await metered(t, [[ACME, 1, 5]])
  const row = (id: string, from: number, updated: number, quantity: number, gone = '') =>
    [
      id,
      `2026-11-0${from}T00:00:00Z`,
      `2026-11-0${updated}T00:00:00Z`,
      gone,
      '2026-11-03',
      'prod-1',
      'hash',
      'us-east-1',
      'tokens',
      quantity,
    ].join()
  const taken = '2026-11-09T00:00:00Z'
  const rows = [
    ...[row('one', 4, 6, 9), row('one', 5, 5, 1), row('one', 5, 6, 3)],
    // A version that is taken back leaves the one before, as in AWS's queries; a line without any is gone.
    ...[row('two', 4, 4, 2), row('two', 5, 5, 7), row('two', 5, 6, 7, taken)],
    ...[row('three', 4, 4, 8), row('three', 4, 9, 8, taken)],
  ]
  for (const order of [rows, rows.toReversed()]) {
    const { shown } = await compare(
      ledger,
      [FEED, ...order].join('\n'),
      'account_id,aws_account_id,encrypted_account_id\nhash,22223333,x',
    )
    assert.deepEqual(shown, [])
  }
  const changes = [
    'one,DELETE,2026-11-04T01:00:00Z,,,,,,',
    'one,UPDATE,2026-11-04T01:00:00Z,2026-11-03,code,000022223333,us-east-1,tokens,5',
  ]
  const revived = 'one,INSERT,2026-11-05T01:00:00Z,2026-11-03,code,000022223333,us-east-1,tokens,5'
  assert.deepEqual((await compare(ledger, [DATASET, ...changes, LATER].join('\n'))).shown, ['less 3 000022223333 5 0'])
  assert.deepEqual((await compare(ledger, [DATASET, revived, ...changes, LATER].join('\n'))).shown, [])
})

test('customers are joined by AWS’s account, or the older identifier; those that are not are compared as one', async t => {
  const ledger = await metered(t, [
    [ACME, 1, 5],
    [OLD, 1, 7],
  ])
  const row = (account: string, quantity: number) =>
    `${account},2026-11-04T00:00:00Z,2026-11-0${quantity === 5 ? 4 : 8}T00:00:00Z,,2026-11-03,prod-1,${account},us-east-1,tokens,${quantity}`
  const accounts = (...rows: string[]) => ['account_id,aws_account_id,encrypted_account_id', ...rows].join('\n')
  const [acme, old] = ['h1,000022223333,', 'h2,444455556666,old']
  const report = [FEED, row('h1', 5), row('h2', 6)].join('\n')
  assert.deepEqual((await compare(ledger, report, accounts(acme, old))).shown, ['less 3 444455556666 7 6'])
  const without = await compare(ledger, report, accounts(acme))
  assert.deepEqual([without.shown, without.result.unjoinedCustomers], [['less 3  7 6'], 2])
  assert.deepEqual((await compare(ledger, report)).shown, ['less 3  12 11'])
  // Where the ledger knows the account of an identifier, the dataset needs no Account feed.
  const dataset = [
    DATASET,
    LATER,
    ...['000022223333,us-east-1,tokens,5', '444455556666,us-east-1,tokens,8'].map(
      (rest, id) => `${id},INSERT,2026-11-04T00:00:00Z,2026-11-03,code,${rest}`,
    ),
  ].join('\n')
  assert.deepEqual((await compare(ledger, dataset)).shown, ['more 3  7 8'])
  const known = customerAccount({ product: 'code', accountId: '444455556666' })
  const news = { what: 'active', at: START, customerIdentifier: 'old' } as const
  await ledger.noteAgreement(known, news, { ...TERMS, now: START })
  assert.deepEqual((await compare(ledger, dataset)).shown, ['more 3 444455556666 7 8'])
})

test('what AWS counts on the next day is none of its differences', async t => {
  const ledger = await metered(t, [
    [ACME, 22, 5],
    [ACME, 23, 7],
  ])
  const row = (day: number, quantity: number) =>
    `${day},INSERT,2026-11-0${day + 1}T00:00:00Z,2026-11-0${day},code,000022223333,us-east-1,tokens,${quantity}`
  assert.deepEqual((await compare(ledger, [DATASET, row(3, 5), row(4, 7), LATER].join('\n'))).shown, [
    'other-day 3 000022223333 12 5',
    'other-day 4 000022223333 0 7',
  ])
  assert.deepEqual((await compare(ledger, [DATASET, row(3, 5), row(4, 6), LATER].join('\n'))).shown, [
    'less 3 000022223333 12 5',
    'more 4 000022223333 0 6',
  ])
})

test('days of which the report or the ledger may not have all are not compared, and told', async t => {
  const ledger = await metered(t, [
    [ACME, 1, 5],
    [ACME, 49, 6],
  ])
  const row = (day: number, quantity: number, written = day + 1) =>
    `${day},INSERT,2026-11-0${written}T00:00:00Z,2026-11-0${day},code,000022223333,us-east-1,tokens,${quantity}`
  const { result, shown } = await compare(ledger, [DATASET, row(1, 9), row(3, 5), row(5, 6), LATER].join('\n'))
  assert.deepEqual([shown, [...result.beforeLedger]], [[], [['2026-11-01', 9]]])
  // A file of its month begins with what came late of the one before.
  const month = await compare(ledger, [DATASET, row(3, 2, 6), row(5, 6), LATER].join('\n'))
  assert.deepEqual([month.shown, [...month.result.beforeReport]], [[], [['2026-11-03', 2]]])
  // Where nothing is compared, nothing is right.
  assert.equal((await compare(ledger, [DATASET, row(1, 9)].join('\n'))).result.compared, undefined)
  assert.equal((await compare(ledger, DATASET)).result.compared, undefined)
})

test('records in doubt explain a difference that some of them add up to', () => {
  const verdict = (billed: number, complete = true, sum: object = {}) =>
    usageVerdict({ ...nothing(), metered: 100, inDoubt: [5, 5, 20], ...sum }, billed, complete)
  assert.deepEqual(
    [100, 105, 110, 130, 107, 131, 99].map(billed => verdict(billed)),
    [...['in-doubt', 'in-doubt', 'in-doubt', 'in-doubt'], ...['more', 'more', 'less']],
  )
  assert.deepEqual(
    [99, 107, 131].map(billed => verdict(billed, false)),
    ['incomplete', 'incomplete', 'more'],
  )
  const conflict = { inDoubt: [], inConflict: 1 }
  assert.deepEqual(
    [100, 777, 99].map(billed => verdict(billed, true, conflict)),
    ['in-doubt', 'in-doubt', 'less'],
  )
  const many = Array.from({ length: 40 }, (_, n) => 2 ** n)
  assert.deepEqual(
    [verdict(100 + 2 ** 41, true, { inDoubt: many }), verdict(101, true, { inDoubt: many })],
    ['more', 'in-doubt'],
  )
})
