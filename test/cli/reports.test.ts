import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { parse } from 'csv-parse/sync'
import { findAccount, namedCustomer } from '../../src/cli/account.ts'
import { readAllocations } from '../../src/cli/allocations.ts'
import { RateCard, readRateCard } from '../../src/cli/rate-card.ts'
import { allocationsTable } from '../../src/cli/report/allocations.ts'
import { equationText } from '../../src/cli/report/equation-text.ts'
import { heldText } from '../../src/cli/report/held.ts'
import { recordsCsv, recordsJson, recordsTable } from '../../src/cli/report/records.ts'
import { statementCsv } from '../../src/cli/report/statement-csv.ts'
import { statementJson } from '../../src/cli/report/statement-json.ts'
import { statementTable } from '../../src/cli/report/statement-table.ts'
import { problemsOf } from '../../src/cli/report/status.ts'
import { readStatement } from '../../src/cli/statement.ts'
import { HOUR, hourOf } from '../../src/ledger/hours.ts'
import type { LedgerStatus, RecordEntry, StatementLine } from '../../src/ledger/ledger.ts'
import { breaches } from '../../src/ledger/rules/equation.ts'
import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import type { RecentAlarm } from '../../src/metering/counter-alarms.ts'
import { seeded } from '../../src/simulator/random.ts'
import { HELD_ADVICE } from '../../src/text/held-advice.ts'
import { parseMoney } from '../../src/text/money.ts'
import type { Account, CustomerAccount } from '../../src/usage/account.ts'
import { taggedAccount } from '../../src/usage/tagged-account.ts'
import type { Tags } from '../../src/usage/tags.ts'
import {
  Bench,
  customer,
  identified,
  licensed,
  REQUESTS as REQUESTS_SOLD,
  TOKENS as TOKENS_SOLD,
} from '../metering/support.ts'
import { ACME, folder, GPU, LATEST, MILLION, NOW, REQUESTS, run, STRAY, seededLedger, TOKENS } from './support.ts'

async function opened(t: TestContext): Promise<SqliteLedger> {
  const ledger = new SqliteLedger({ path: await seededLedger(join(folder(t), 'ledger.sqlite')), readOnly: true })
  t.after(() => ledger.close())
  return ledger
}

const DIMENSIONS = new Map([TOKENS, REQUESTS, GPU].map(dimension => [dimension.name, dimension]))

const LINE: StatementLine = {
  ...{ account: ACME, dimension: TOKENS, recorded: 9_007_199_254_740_993n * MILLION + 1n },
  ...{ included: 0n, metered: 9_007_199_254_740_993n * MILLION, pending: 0n, held: 0n, heldByReason: {}, balance: 1n },
}

describe('the statement', () => {
  test('shows a table for each dimension, what has no customer, and that it adds up', async t => {
    const report = await readStatement(await opened(t), { period: {}, now: NOW })
    assert.equal(
      statementTable(report),
      `Statement from the beginning to now, 2026-11-21T09:40Z

gpu-hours, in h
  CUSTOMER      RECORDED  METERED  PENDING  HELD  BALANCE
  111122223333    ~1.389        0        1     0   ~0.389
  TOTAL           ~1.389        0        1     0   ~0.389

inference-requests, in request
  CUSTOMER         RECORDED  METERED  PENDING    HELD  BALANCE  HELD FOR
  111122223333           90       90        0       0        0
  444455556666       60,000        0        0  60,000        0  over-maximum
  =cmd|\\u001b[31m         5        0        0       5        0  not-subscribed
  TOTAL              60,095       90        0  60,005        0  over-maximum 60,000, not-subscribed 5

tokens-processed, in 1,000 token
  CUSTOMER      RECORDED  METERED  PENDING  HELD  BALANCE  HELD FOR
  111122223333  3,013       3,001        0    12     0     in-doubt
  444455556666      7.25        0        0     7     0.25  conflict
  TOTAL         3,020.25    3,001        0    19     0.25  in-doubt 12, conflict 7

Unattributed: nobody is billed for it until you attribute it or write it off
  ACCOUNT     REASON       DIMENSION         BALANCE  IN
  u-fc273356  no-customer  tokens-processed      2.5  1,000 token
  no-customer: the data points name no customer
  What the data points said:
    u-fc273356  {"tenant":"acme"}

~ is rounded; --base-units and --json have it exactly.
The equation holds for all 7 series: recorded = metered + pending + held + balance.
us-east-1: not reconciled with AWS yet (reconcile --cloudtrail)`,
    )
  })

  test('explains the balance of a period', async t => {
    const period = { from: LATEST, to: LATEST + HOUR }
    const report = await readStatement(await opened(t), {
      customer: ACME.key,
      dimension: TOKENS.name,
      period,
      now: NOW,
    })
    const text = statementTable(report, { baseUnits: true })
    assert.match(text, /^Statement from 2026-11-21T08Z to 2026-11-21T09Z\n\ntokens-processed, in token\n/)
    assert.match(text, /111122223333 {2}3,000,655 {2}3,001,000 +0 +0 +-345\n/)
    assert.match(text, /For a period, the balance is/)
    assert.match(text, /The equation holds for the one series: .*\(Since the ledger began\.\)$/m)
  })

  test('for programs and spreadsheets has exact amounts', () => {
    const report = { now: NOW, period: {}, lines: [LINE], allTime: [LINE], agreements: new Map() }
    const figures = {
      ...{ recorded: '9007199254740993.000001', included: '0', metered: '9007199254740993', pending: '0', held: '0' },
      ...{ heldByReason: {}, balance: '0.000001' },
    }
    assert.deepEqual(statementJson(report), {
      ...{ at: '2026-11-21T09:40:00.000Z', from: null, to: null },
      lines: [{ account: ACME, dimension: TOKENS.name, ...figures }],
      dimensions: [{ name: TOKENS.name, unit: '{token}', baseUnit: '1', size: '1000', total: figures }],
      ...{ equationHolds: true, breaches: [], reconciled: [] },
    })
    assert.match(statementCsv(report), /,1000,9007199254740993\.000001,0,9007199254740993,0,0,,0\.000001,,,,\r\n$/)
  })

  test('by hours, days or months tells what AWS bills in units of the dimension, and what that costs', async t => {
    const ledger = await opened(t)
    const rateCard = new RateCard(
      'USD',
      new Map([TOKENS, REQUESTS].map(({ name }, n) => [name, parseMoney(['0.00002', '0.5'][n] ?? '')])),
    )
    const by = 'day'
    const report = { ...(await readStatement(ledger, { period: {}, by, now: NOW })), rateCard }
    const text = statementTable(report)
    assert.match(text, /^ {2}DAY +CUSTOMER +RECORDED +METERED +PENDING +HELD +BALANCE +CHARGE USD +HELD FOR$/m)
    assert.match(text, /^ {2}2026-11-21 {2}111122223333 {2}3,000\.655 +3,001 +0 +0 +-0\.345 +0\.06002$/m)
    assert.match(text, /^ {2}TOTAL +3,020\.25 +3,001 +0 +19 +0\.25 +0\.06002 +in-doubt 12, conflict 7$/m)
    assert.match(text, /^Metered by the rate card's prices: 45\.06002 USD in all\.$/m)

    const rows = parse(statementCsv(report), { columns: true }) as Record<string, string>[]
    const acme = rows.find(
      row => row.account === ACME.key && row.dimension === TOKENS.name && row.from?.includes('-21T'),
    )
    assert.deepEqual([acme?.from, acme?.to], ['2026-11-21T00:00:00.000Z', '2026-11-22T00:00:00.000Z'])
    assert.deepEqual([acme?.account_id, acme?.metered, acme?.metered_quantity], ["'111122223333", '3001000', '3001'])
    assert.deepEqual([acme?.price, acme?.charge, acme?.currency], ['0.00002', '0.06002', 'USD'])
    const gpu = rows.find(row => row.dimension === GPU.name)
    assert.deepEqual([gpu?.pending_quantity, gpu?.price, gpu?.charge, gpu?.currency], ['1', '', '', ''])

    const told = statementJson(report)
    const line = told.lines.find(line => JSON.stringify(line).includes('3000655'))
    assert.deepEqual([told.by, told.currency, told.charge, told.unpriced], ['day', 'USD', '45.06002', []])
    assert.deepEqual(line, {
      ...{ from: '2026-11-21T00:00:00.000Z', to: '2026-11-22T00:00:00.000Z', account: ACME, dimension: TOKENS.name },
      ...{
        recorded: '3000655',
        included: '0',
        metered: '3001000',
        pending: '0',
        held: '0',
        heldByReason: {},
        balance: '-345',
      },
      ...{
        price: '0.00002',
        quantities: { included: '0', metered: '3001', pending: '0', held: '0' },
        charge: '0.06002',
      },
    })
  })

  test('tells no charge where there is no price for all that is metered', async t => {
    const ledger = await opened(t)
    const priced = async (code?: string) => {
      const rateCard = new RateCard('EUR', new Map([[TOKENS.name, parseMoney('2')]]), code)
      return { ...(await readStatement(ledger, { period: {}, by: 'month', now: NOW })), rateCard }
    }
    const missing = await priced('prod')
    assert.match(
      statementTable(missing),
      /^No charge is told of inference-requests: the rate card has no price for all/m,
    )
    const { charge, unpriced, dimensions } = statementJson(missing)
    assert.deepEqual([charge, unpriced], [null, ['inference-requests']])
    const charges = dimensions.map(({ total }) => total.charge)
    assert.deepEqual(charges, ['0.00', null, '6002.00'])
    const { lines } = statementJson(missing)
    const hasPrice = ({ account, dimension }: { account: Account; dimension: string }) =>
      account.kind === 'customer' && dimension === TOKENS.name
    assert.ok(lines.every(line => (line.charge !== null) === hasPrice(line)))
    // Another product's dimension has the same name.
    const other = statementJson(await priced('other'))
    assert.deepEqual(other.unpriced, ['inference-requests', 'tokens-processed'])
  })

  test('reads the rate card of a listing, and says what is wrong with one', t => {
    const listing = fileURLToPath(new URL('../../examples/aws/listing.json', import.meta.url))
    const card = readRateCard(listing)
    assert.deepEqual([card.currency, card.priceOf('gpu-hours', ACME)], ['USD', 250_000_000n])
    const file = join(folder(t), 'listing.json')
    for (const [pricing, message] of [
      [{ currency: 'usd', rateCard: [] }, /pricing\.currency: expected three letters, such as USD, got "usd"/],
      [
        { currency: 'USD', rateCard: [{ dimension: 'x', price: 0.1 }] },
        /price: expected a price as a string, got 0\.1/,
      ],
      [
        { currency: 'USD', rateCard: [{ dimension: 'x', price: '0.123456789' }] },
        /expected a price such as "0\.00002"/,
      ],
      [
        { currency: 'USD', rateCard: [1, 2].map(n => ({ dimension: 'x', price: `${n}` })) },
        /one price for each dimension/,
      ],
      [undefined, /pricing/],
    ] as const) {
      writeFileSync(file, JSON.stringify({ pricing }))
      assert.throws(() => readRateCard(file), message)
    }
    assert.throws(() => readRateCard('none.json'), /got none\.json: ENOENT/)
  })

  test('tells licences and products apart', () => {
    const customer = (product: string, id: string) =>
      namedCustomer(product, { accountId: '111122223333', licenseArn: `arn:aws:license-manager::111122223333:${id}` })
    const lines = [customer('one', 'license:l-1'), customer('two', 'license:l-2')].map(account => ({
      ...LINE,
      account,
    }))
    const text = statementTable({ now: NOW, period: {}, lines, allTime: lines, agreements: new Map() })
    assert.match(text, /CUSTOMER +PRODUCT +LICENCE .*\n +111122223333 {2}one +l-1 .*\n +111122223333 {2}two +l-2 /)
  })

  test('is loud when the equation does not hold', () => {
    const broken = { ...LINE, metered: LINE.metered - 5n * MILLION }
    assert.deepEqual(breaches([LINE, broken]), [broken])
    const text = equationText([LINE, broken])
    assert.match(text, /^THE EQUATION DOES NOT HOLD for 1 of 2 series: /)
    assert.match(text, /111122223333, tokens-processed: off by 5 token/)
  })
})

describe('allocations', () => {
  const tags = (model: string, team?: string): Tags => [
    ['model', model],
    ...(team === undefined ? [] : [['team', team] as const]),
  ]
  const scene = async (t: TestContext) => {
    const bench = new Bench(t)
    const { accountId } = customer(2)
    const use = (hoursAgo: number, quantity: number, account: CustomerAccount, ...some: Tags[]) =>
      bench.use(some.length === 0 ? account : some.map(one => taggedAccount(account, one)), quantity, {
        dimension: TOKENS_SOLD,
        hoursAgo,
      })
    await use(1, 1200, customer(1), tags('small', 'search'), tags('large', 'search'))
    await use(1, 800, customer(1), tags('small', 'mail'), tags('small'))
    await use(1, 20, customer(1))
    await use(1, 5, customer(2), tags('=cmd|\u001b'))
    await bench.pass()
    // AWS takes no such tag; and somebody else has taken his next hour. Hers is frozen and not sent.
    bench.now += HOUR
    await use(1, 7, customer(2), tags('small'))
    bench.simulator.meterForeign({
      ProductCode: 'prod-inference',
      UsageRecords: [
        { Timestamp: new Date(bench.now - HOUR), Dimension: 'tokens', Quantity: 9, CustomerAWSAccountId: accountId },
      ],
    })
    await bench.pass()
    bench.now += HOUR
    await use(1, 30, customer(1), tags('large', 'search'))
    await bench.ledger.closeHours(bench.cycle.closeOptions)
    return bench
  }

  test('say what of a customer’s quantities is for which tags, and sum to the statement', async t => {
    const bench = await scene(t)
    const report = await readAllocations(bench.ledger, { period: {}, now: bench.now })
    assert.equal(
      allocationsTable(report),
      `Allocations from the beginning to now, 2026-06-10T14:10Z

tokens, in 1,000 token
  CUSTOMER      MODEL        TEAM    METERED  PENDING  HELD
  100000000001  large        search    1,200       30     0
  100000000001  small        search    1,200        0     0
  100000000001  small        mail        800        0     0
  100000000001  small        -           800        0     0
  100000000001  -            -            20        0     0
  100000000002  small        -             0        0     7
  100000000002  =cmd|\\u001b  -             0        0     5
  TOTAL                                4,020       30    12`,
    )
    const statement = await bench.ledger.statement({ by: 'month' })
    for (const { account, span } of statement) {
      const { metered = 0n, pending = 0n, held = 0n } = span?.quantities ?? {}
      const own = report.lines.filter(line => line.account.key === account.key)
      const sum = (name: 'metered' | 'pending' | 'held') => own.reduce((all, line) => all + line[name], 0n)
      assert.deepEqual([sum('metered'), sum('pending'), sum('held')], [metered, pending, held])
    }
    const billed = bench.simulator.totalsByTags({ customer: customer(1).accountId as string })
    assert.deepEqual(
      billed.map(({ quantity }) => quantity).sort((a, b) => b - a),
      report.lines.flatMap(({ account, metered }) => (account.key === customer(1).key ? Number(metered) : [])),
    )
  })

  test('by one tag, of a period and a customer', async t => {
    const bench = await scene(t)
    const command = async (format: string) => {
      const { stdout, stderr, status } = await run([
        ...['allocations', '--by', 'team', '--customer', customer(1).accountId as string, '--from', '2026-06-10T11'],
        ...['--to', '2026-06-10T12', '--format', format, '--ledger', bench.path, '--now', '2026-06-10T14:10Z'],
      ])
      assert.deepEqual([status, stderr], [0, ''])
      return stdout
    }
    const { lines, ...rest } = JSON.parse(await command('json'))
    assert.deepEqual(rest, {
      ...{ at: '2026-06-10T14:10:00.000Z', from: '2026-06-10T11:00:00.000Z', to: '2026-06-10T13:00:00.000Z' },
      by: 'team',
    })
    const { tags: _, ...account } = customer(1)
    const none = { pending: '0', held: '0' }
    assert.deepEqual(lines, [
      { account, dimension: 'tokens', tags: { team: 'search' }, metered: '2400', ...none },
      { account, dimension: 'tokens', tags: { team: 'mail' }, metered: '800', ...none },
      { account, dimension: 'tokens', tags: null, metered: '820', ...none },
    ])
    const rows = parse(await command('csv'), { columns: true }) as Record<string, string>[]
    assert.deepEqual(
      rows.map(row => [row.dimension, row['tag team'], row.metered_quantity, row.held_quantity]),
      [
        ['tokens', 'search', '2400', '0'],
        ['tokens', 'mail', '800', '0'],
        ['tokens', '', '820', '0'],
      ],
    )
    const strange = await run(['allocations', '--by', 'app.team', '--ledger', bench.path, '--now', '2026-06-10T14:10Z'])
    assert.match(strange.stdout, /TOTAL +4,020 .*\n\nNo record has the tag app\.team: they have model, team\.\n$/)
    const empty = await run([
      'allocations',
      '--ledger',
      bench.path,
      '--dimension',
      'none',
      '--now',
      '2026-06-10T14:10Z',
    ])
    assert.match(empty.stdout, /\n\nNo usage records\.\n$/)
    const [record] = await bench.ledger.records({ customer: customer(2).key, state: 'held' })
    const [json] = recordsJson([record as RecordEntry], DIMENSIONS) as { allocations: unknown }[]
    assert.deepEqual(json?.allocations, [{ quantity: 7, tags: { model: 'small' } }])
  })
})

describe('records', () => {
  const all = async (t: TestContext) => (await opened(t)).records()

  test('are a table that fits the terminal', async t => {
    const records = await all(t)
    const wide = recordsTable(records, DIMENSIONS).split('\n')
    assert.equal(wide.length, 8)
    assert.match(wide[0] ?? '', /^ID +HOUR .* DEADLINE +NEXT ATTEMPT +LAST ANSWER +METERING RECORD ID$/)
    assert.match(wide[2] ?? '', / 6 .* pending +1 +no +2026-11-22T07:50Z +2026-11-21T10Z +ThrottlingException: Rate/)
    assert.match(wide[3] ?? '', / 5 .* 3,001 +metered +.*a1b2c3d4-0000-4000-8000-000000000005$/)
    assert.match(wide[7] ?? '', / 1 .* held: in-doubt +1 +yes /)
    const narrow = recordsTable(records, DIMENSIONS, { width: 92 }).split('\n')
    assert.ok(narrow.slice(0, -1).every(line => line.length <= 92))
    assert.match(narrow[0] ?? '', /^ID +HOUR +CUSTOMER +DIMENSION +QUANTITY +STATE/)
    assert.match(narrow.at(-1) ?? '', /too narrow for: .*metering record id/)
  })

  test('have everything in JSON and CSV', async t => {
    const records = await all(t)
    assert.deepEqual(recordsJson(records, DIMENSIONS)[6], {
      ...{ id: '1', account: ACME, dimension: TOKENS.name, region: 'us-east-1', reason: 'in-doubt', state: 'held' },
      ...{ hour: '2026-11-20T07:00:00.000Z', timestamp: '2026-11-20T07:59:59.000Z' },
      ...{
        quantity: 12,
        allocations: null,
        size: '1000',
        amount: '12000',
        baseUnit: '1',
        attempts: 1,
        inDoubt: true,
        nextAttemptAt: null,
      },
      deadline: '2026-11-21T06:50:00.000Z',
      ...{ lastAnswer: 'TimeoutError: no answer within 10 s', meteringRecordId: null },
    })
    const lines = recordsCsv(records, DIMENSIONS).split('\r\n')
    assert.equal(lines.length, 9)
    assert.match(lines[0] ?? '', /,quantity,size,amount,base_unit,state,/)
    assert.match(lines.find(line => line.includes('gpu-hours')) ?? '', /,\d+,3600,\d+,s,pending,/)
    assert.ok(lines[4]?.startsWith('4,"prod,customer==cmd|\\u001b[31m",prod,,\'=cmd|'))
  })

  test('that are held come with what they mean and what to do', async t => {
    const records = await all(t)
    const held = records.filter(record => record.state === 'held')
    const text = heldText(held, DIMENSIONS)
    const order = ['in-doubt', 'conflict', 'not-subscribed', 'over-maximum']
    assert.deepEqual(text.match(/^\S.*(?=: 1 record$)/gm), order)
    // An ARN is shown before it is asked for, and agreements before what depends on them.
    const commands = [...text.matchAll(/^ {6}marketplace-meter (\S+ .*)$/gm)].map(([, command]) => command)
    assert.deepEqual(commands.slice(0, 2), [
      'reconcile --cloudtrail',
      'reconcile --cloudtrail --caller <arn> --settle --dry-run',
    ])
    const ofAgreements = commands.indexOf('agreements --customer <customer>')
    assert.match(commands[ofAgreements + 1] ?? '', /^release 4 /)
    for (const line of text.split('\n').filter(line => line.startsWith('  - '))) assert.ok(line.length <= 80, line)
    assert.match(text, /AWS did not:\n +marketplace-meter settle 1 --not-billed --why/)
    const [conflict] = held.filter(({ reason }) => reason === 'conflict') as [RecordEntry]
    const several = heldText([conflict, conflict], DIMENSIONS, {}, ' --dimension tokens')
    assert.match(several, / settle --reason conflict --dimension tokens --not-billed --why "…" --dry-run\n/)
    assert.match(several, / held --reason conflict --dimension tokens --format csv > decisions\.csv\n/)
    assert.equal(heldText([], DIMENSIONS), 'Nothing is held.')
    for (const { means, released } of Object.values(HELD_ADVICE)) {
      for (const line of `${means}\n${released}`.split('\n')) assert.ok(line.length <= 78, line)
    }
  })

  test('of a restored ledger are told apart, and show what they hold', async t => {
    const [first] = (await all(t)) as [RecordEntry]
    const restored: RecordEntry = {
      ...first,
      ...{ dimension: TOKENS.name, reason: 'restored', state: 'held', attempts: 0, quantity: 1, size: 250n * MILLION },
    }
    assert.match(heldText([restored], DIMENSIONS), /^restored: 1 record\n.* 1 × 0\.25 /s)
  })
})

describe('accounts', () => {
  const lines = [
    LINE,
    { ...LINE, account: STRAY },
    { ...LINE, account: namedCustomer('other', { accountId: '111122223333' }) },
  ]

  test('are found by any name that is theirs alone', () => {
    assert.equal(findAccount(lines, 'u-fc273356'), STRAY)
    assert.equal(findAccount(lines, STRAY.key), STRAY)
    assert.equal(findAccount(lines, ACME.key), ACME)
    assert.throws(
      () => findAccount(lines, '111122223333'),
      /several accounts\. Give a key: "prod,111122223333", "other,/,
    )
    assert.throws(() => findAccount(lines, 'nobody'), { code: 'ERR_LEDGER_NOT_FOUND' })
  })

  test('of customers are what the exporter makes of them', () => {
    assert.deepEqual(namedCustomer('prod', { accountId: '111122223333' }), ACME)
    assert.equal(namedCustomer('prod', { customerIdentifier: 'abc' }).key, 'prod,customer=abc')
    for (const identity of [{ accountId: '1' }, { accountId: '111122223333', licenseArn: 'arn:x' }]) {
      assert.throws(() => namedCustomer('prod', identity), { code: 'ERR_COMMAND_LINE' })
    }
    assert.throws(() => namedCustomer('a b', { accountId: '111122223333' }), /--product/)
  })
})

test('the status names what to look at first', () => {
  const figure = { dimension: TOKENS.name, records: 2, amount: 2n }
  const fine: LedgerStatus = {
    pending: [],
    held: [],
    unattributed: [],
    waiting: [],
    closedThrough: NOW - 2 * HOUR,
    notCounted: {},
  }
  const answered = { product: 'prod', identity: 'product-code', region: 'us-east-1', at: NOW - 5 * 60_000 } as const
  const answers = [
    { ...answered, answer: 'AccessDeniedException: not\nauthorized' },
    { ...answered, product: 'other', answer: 'Success' },
  ]
  const problems = (facts: { status: LedgerStatus; alarms: readonly RecentAlarm[]; free?: number }) =>
    problemsOf({ now: NOW, answers, overflows: [], ...facts }).map(
      ({ state, message, advice }) => `${state} ${message}: ${advice}`,
    )
  assert.deepEqual(problems({ status: fine, alarms: [], free: 32e6 }), [])
  assert.deepEqual(problems({ status: fine, alarms: [], free: 32e6 - 1 }), [
    "fault 31 MB free of the 32 MB that the ledger's disk is to have: make room; once it is full, what is measured waits in memory",
  ])
  const bad: LedgerStatus = {
    pending: [figure],
    held: [
      { ...figure, reason: 'refused' },
      { ...figure, reason: 'in-doubt', records: 1 },
    ],
    unattributed: [{ dimension: TOKENS.name, amount: 1n }],
    waiting: [],
    oldestPendingHour: LATEST - 4 * HOUR,
    closedThrough: LATEST - 4 * HOUR,
    notCounted: {},
  }
  const alarms = [{ verdict: 'shared-identity', at: NOW - 12 * 60_000 }] as const
  assert.deepEqual(problems({ status: bad, alarms }), [
    'fault Usage of 2026-11-21T04Z is still pending; AWS takes it until 2026-11-22T04Z (in 18 h); AWS answered last: ' +
      'prod in us-east-1: AccessDeniedException: not authorized, 5 min ago: marketplace-meter records --state pending, then doctor',
    'fault No hour was closed since 2026-11-21T04Z: is an exporter or gateway running? Start it with this ledger, never with a new one',
    'warning Several processes count under one name. Last seen 12 min ago. Give each process a service.instance.id, and each scraped target an instance of its own: marketplace-meter audit',
    'warning 1 record is in doubt, AWS may have billed it: marketplace-meter held',
    'warning 2 records are held: marketplace-meter held',
    'warning Usage is unattributed, nobody is billed for it: marketplace-meter statement, then attribute or write-off',
  ])
})

test('the accountant adds up the monthly statement, and comes to what AWS bills, to the cent', async t => {
  const bench = new Bench(t, { now: Date.UTC(2026, 10, 1, 0, 10), simulator: { seed: 11 } })
  const customers = [customer(1), identified(2), licensed(3)]
  const rates = { requests: '0.00100001', tokens: '0.02', 'gpu-hours': '2.4999' }
  const random = seeded(11)
  const below = (most: number) => Math.floor(random() * most)
  const sold = [REQUESTS_SOLD, TOKENS_SOLD, GPU]
  await bench.ledger.register(sold)
  for (const kind of ['throttling', 'internal-error', 'internal-error-after', 'reset-after', 'unprocessed'] as const) {
    bench.simulator.faults.add({ kind, rate: 0.1 })
  }
  // Some hours of most days, and all around the month's end, which AWS closes at 06:00; then all is quiet.
  const end = Date.UTC(2026, 11, 1)
  for (let sequence = 1; bench.now < end + 10 * HOUR; sequence += 1) {
    const entries = customers.flatMap(account =>
      sold.map(({ name: dimension, size }) => {
        const hour = hourOf(bench.now) - (1 + below(3)) * HOUR
        return { account, dimension, hour, amount: BigInt(1 + below(4000)) * (size / 8n) }
      }),
    )
    await bench.ledger.append({ writer: 'f'.repeat(32), sequence, entries })
    await bench.cycle.pass()
    bench.now += (bench.now > end - 4 * HOUR ? 1 : 12 + below(36)) * HOUR
  }
  bench.simulator.faults.clear()
  // What is in doubt a person settles, as CloudTrail shows it.
  const taken = new Set(
    bench.simulator.billed().map(one => `${one.accountId ?? one.customerIdentifier} ${one.dimension} ${one.hour}`),
  )
  const placeOf = ({ account, dimension, hour }: RecordEntry) =>
    `${account.accountId ?? account.customerIdentifier} ${dimension} ${new Date(hour).toISOString()}`
  for (let pass = 0; pass < 4; pass += 1, bench.now += HOUR) await bench.cycle.pass()
  const held = await bench.ledger.records({ state: 'held' })
  for (const record of held) {
    const decision = taken.has(placeOf(record)) ? 'billed' : 'not-billed'
    await bench.ledger.decide(record.id, decision, { who: 'ops', why: 'CloudTrail', now: bench.now })
  }
  await bench.passes(2, HOUR)
  await bench.assertAllBilled()
  assert.ok(held.length > 0 && held.every(({ reason }) => reason === 'in-doubt'))
  bench.now += 48 * HOUR

  const listing = join(folder(t), 'listing.json')
  const rateCard = Object.entries(rates).map(([dimension, price]) => ({ dimension, price }))
  writeFileSync(listing, JSON.stringify({ pricing: { currency: 'USD', rateCard } }))
  const { stdout, stderr, status } = await run([
    ...['statement', '--by', 'month', '--format', 'csv', '--rate-card', listing],
    ...['--ledger', bench.path, '--now', new Date(bench.now).toISOString()],
  ])
  assert.deepEqual([status, stderr], [0, ''])
  const rows = parse(stdout, { columns: true }) as Record<string, string>[]
  const feed = parse(bench.simulator.usageReport({ rates }).usage, { columns: true }) as Record<string, string>[]
  // In hundred-millionths.
  const sum = (texts: (string | undefined)[]) =>
    texts.reduce((total, text = '') => {
      const [whole = '', fraction = ''] = text.split('.')
      return total + BigInt(whole + fraction.padEnd(8, '0'))
    }, 0n)
  for (const month of ['2026-11', '2026-12']) {
    const ofMonth = rows.filter(({ from }) => from?.startsWith(month))
    assert.ok(ofMonth.every(({ currency }) => currency === 'USD'))
    const billed = feed.filter(({ usage_date: date }) => date?.startsWith(month))
    const bill = sum(billed.map(row => row.estimated_revenue_in_pricing_currency))
    assert.equal(sum(ofMonth.map(({ charge }) => charge)), bill, month)
    assert.ok(bill > 10_000_000_000n && ofMonth.length === 9, `${bill} in ${ofMonth.length} rows`)
  }
  assert.ok(bench.faults().filter(fault => fault !== 'ok').length > 10, 'nothing went wrong')
})
