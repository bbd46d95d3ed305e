import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { HOUR } from '../../src/ledger/hours.ts'
import { compareUsageReport, type UsageFinding } from '../../src/reconcile/usage-report/compare.ts'
import type { UsageReport } from '../../src/simulator/index.ts'
import { seeded } from '../../src/simulator/random.ts'
import { customerAccount } from '../../src/usage/account.ts'
import {
  CUSTOMERS,
  csvOf,
  DAY,
  DAYS,
  LEGACY,
  type Row,
  rowsOf,
  START,
  STRANGER,
  UsageMonth,
} from '../reconcile/usage-month.ts'
import { RUNS, SEED } from './sequences.ts'

const file = (text: string) => [{ name: 'report.csv', open: () => Readable.from([Buffer.from(text)]) }]

/** Of which report, and how much of it is joined. */
const WAYS = ['feed', 'dataset', 'feed without accounts', 'feed without products'] as const

async function compare(month: UsageMonth, report: UsageReport, way: (typeof WAYS)[number] = 'feed') {
  const findings: UsageFinding[] = []
  const result = await compareUsageReport(month.ledger, {
    files: file(way === 'dataset' ? report.dataset : report.usage),
    // Of the first day there may be one line alone, and nothing where that is taken away.
    from: START - DAY,
    ...(way !== 'feed without accounts' && { accountFeed: file(report.accounts) }),
    ...(way.startsWith('feed') && way !== 'feed without products' && { products: month.productIds() }),
    onFinding: finding => void findings.push(finding),
  })
  assert.deepEqual(result.unread, { count: 0, first: [] })
  const wrong = findings.filter(({ verdict }) => verdict === 'less' || verdict === 'more')
  return { result, findings, wrong: wrong.map(shown).sort() }
}

const dateText = (day: number) => new Date(day).toISOString().slice(0, 10)
const shown = ({ verdict, day, region, customer, dimension, metered, billed }: UsageFinding) =>
  `${verdict} ${dateText(day)} ${region} ${customer} ${dimension} ${billed - metered}`

const met = new Set<string>()

async function tryMonth(seed: number): Promise<void> {
  const at = `PROPERTY_SEED=${seed}`
  const month = new UsageMonth(seed)
  try {
    await month.run()
    const report = month.report()
    const billed = month.simulator.billed().reduce((sum, { quantity }) => sum + quantity, 0)
    for (const way of WAYS) {
      const { result, findings, wrong } = await compare(month, report, way)
      assert.deepEqual(wrong, [], `${at}: ${way}, nothing is wrong`)
      const compared = result.totals.reduce((sum, total) => sum + total.billed, 0)
      assert.equal(compared, billed, `${at}: ${way}, all is compared`)
      for (const { verdict } of findings) met.add(verdict)
    }
    await tamper(month, report, seed)
  } finally {
    await month.ledger.close()
  }
}

/** Rows that the report has not, revisions that take one back, and what somebody else has metered: just that is found. */
async function tamper(month: UsageMonth, report: UsageReport, seed: number): Promise<void> {
  const random = seeded(seed)
  const { findings } = await compare(month, report)
  const accounts = new Map(
    rowsOf(report.accounts).map(row => [row.account_id, row.aws_account_id || row.encrypted_account_id]),
  )
  const plain = rowsOf(month.simulator.usageReport().usage).filter(row => {
    const day = Date.parse(row.usage_date as string)
    const place = [day, row.region, accounts.get(row.end_user_account_id), row.dimension_key].join()
    return (
      Number(row.usage_quantity) > 0 &&
      !findings.some(({ day, region, customer, dimension }) => [day, region, customer, dimension].join() === place)
    )
  })
  const lastDay = rowsOf(report.usage).reduce(
    (last, { usage_date = '' }) => (usage_date > last ? usage_date : last),
    '',
  )
  const isLast = ({ usage_date }: Row) => usage_date === lastDay
  const less = ({ usage_date = '', region, end_user_account_id: account, dimension_key, usage_quantity }: Row) =>
    `less ${usage_date.slice(0, 10)} ${region} ${accounts.get(account)} ${dimension_key} ${-Number(usage_quantity)}`
  // Of the last day AWS may not have written all yet.
  const [, late] = plain.filter(isLast)
  const [dropped, ...others] = plain.filter(row => !isLast(row)) as [Row, ...Row[]]
  const deleted = others[Math.floor(random() * others.length)] as Row
  const expected = [less(dropped), less(deleted)]
  const missing = [dropped, late].map(row => row?.usage_feed_id)
  const usage = rowsOf(report.usage).filter(row => !missing.includes(row.usage_feed_id))
  const last = usage.filter(row => row.usage_feed_id === deleted.usage_feed_id)
  const until = '2026-11-06T12:00:00Z'
  // Each of a line's versions is taken back, before or after the others in the file.
  const gone = last.map(row => ({ ...row, update_date: until, delete_date: until }))
  const tampered = { ...report, usage: csvOf(random() < 0.5 ? [...usage, ...gone] : [...gone, ...usage]) }
  const found = await compare(month, tampered)
  assert.deepEqual(found.wrong, expected.sort(), `PROPERTY_SEED=${seed}`)
  for (const { verdict } of found.findings) met.add(verdict)
}

const MONTHS = Math.ceil(RUNS / 50)

test(`${MONTHS} times some days: a usage report has what the ledger has, and what is wrong with it is found`, async () => {
  for (let run = 0; run < MONTHS; run++) await tryMonth(SEED + run)
  assert.deepEqual([...met].sort(), ['in-doubt', 'incomplete', 'less'])
})

test('what somebody else has metered is found, whosever it is', async () => {
  const month = new UsageMonth(SEED)
  try {
    await month.run()
    const [, , old] = CUSTOMERS
    const stranger = customerAccount({ product: LEGACY, accountId: STRANGER })
    const hour = START + DAYS * DAY - 3 * HOUR
    month.simulator.clock.set(hour + 2 * HOUR)
    month.meterForeign(stranger, hour, 'us-east-1', 7)
    month.meterForeign(old as typeof stranger, hour, 'ap-south-1', 8)
    month.simulator.clock.set(hour + 9 * DAY)
    for (const way of WAYS.slice(0, 2)) {
      assert.deepEqual((await compare(month, month.report(), way)).wrong, [
        `more ${dateText(hour - (hour % DAY))} ap-south-1 444455556666 requests 8`,
        `more ${dateText(hour - (hour % DAY))} us-east-1 ${STRANGER} requests 7`,
      ])
    }
  } finally {
    await month.ledger.close()
  }
})

test('the ledger knows of hours that somebody else has metered before it', async () => {
  const month = new UsageMonth(SEED, true)
  try {
    await month.run()
    const { findings, wrong } = await compare(month, month.report())
    const held = await month.ledger.records({ state: 'held', limit: 10_000 })
    assert.ok(held.some(({ reason }) => reason === 'conflict'))
    assert.ok(findings.some(({ verdict, inConflict }) => verdict === 'in-doubt' && inConflict > 0))
    // Hours in which only they have metered.
    assert.ok(
      wrong.every(text => text.startsWith('more ')),
      wrong.join('\n'),
    )
  } finally {
    await month.ledger.close()
  }
})
