import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createWriteStream, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { gzipSync } from 'node:zlib'
import { HOUR, SECOND } from '../../src/ledger/hours.ts'
import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import { customerAccount } from '../../src/usage/account.ts'
import { eventOf } from '../reconcile/trail.ts'

/** A month of two million metered records, and what CloudTrail and AWS's usage report have of them: `node reconcile-month.ts <folder>`. */

const START = Date.parse('2026-10-01T00:00:00Z')
const HOURS = 720
const CUSTOMERS = 1000
const DIMENSIONS = ['requests', 'tokens', 'gpu-hours'] as const
/** 2,778 series an hour: 2,000,160 records. */
const SERIES = 2778

const name = (series: number) => ({
  accountId: String(100_000_000_000 + (series % CUSTOMERS)),
  dimension: DIMENSIONS[Math.floor(series / CUSTOMERS)] as string,
})
const quantityOf = (series: number) => 1 + (series % 500)
const idOf = (series: number, hour: number) =>
  `5a1b0c9d-0000-4000-8000-${String(hour * 10_000 + series).padStart(12, '0')}`

await seed(process.argv[2] as string)
report(process.argv[2] as string)

async function seed(folder: string): Promise<void> {
  mkdirSync(join(folder, 'trail'), { recursive: true })
  const path = join(folder, 'ledger.sqlite')
  const ledger = new SqliteLedger({ path })
  await ledger.register(
    DIMENSIONS.map(dimension => ({ name: dimension, unit: '{unit}', baseUnit: '1', size: 1_000_000n })),
  )
  const entries = Array.from({ length: SERIES }, (_, series) => {
    const { accountId, dimension } = name(series)
    const account = customerAccount({ product: 'prod', accountId })
    return { account, dimension, hour: START, amount: BigInt(quantityOf(series)) * 1_000_000n }
  })
  await ledger.append({ writer: 'a'.repeat(32), sequence: 1, entries })
  await ledger.closeHours({ now: START + HOUR, region: 'us-east-1', closeDelay: 0, deadlineMargin: 0 })
  await ledger.close()
  // The other hours are copies: only the records are read.
  const database = new DatabaseSync(path)
  database.exec('PRAGMA synchronous = OFF; BEGIN')
  database.exec("UPDATE record SET state = 'metered', attempts = 1, answer = 'Success'")
  for (let hour = 0; hour < HOURS; hour++) {
    if (hour > 0) {
      database.exec(`INSERT INTO record (series, hour, timestamp, deadline, lane, quantity, size, state, attempts, answer)
        SELECT series, hour + ${hour * HOUR}, timestamp + ${hour * HOUR}, deadline + ${hour * HOUR}, lane, quantity, size,
          state, attempts, answer FROM record WHERE hour = ${START}`)
    }
  }
  database.exec('COMMIT')
  database.close()
  const lookup = createWriteStream(join(folder, 'lookup.json'))
  lookup.write('{"Events": [\n')
  for (let hour = 0; hour < HOURS; hour++) {
    const events: Record<string, unknown>[] = []
    for (let first = 0; first < SERIES; first += 25) {
      const records = Array.from({ length: Math.min(25, SERIES - first) }, (_, index) => {
        const series = first + index
        const timestamp = START + hour * HOUR + HOUR - SECOND
        const said = { said: 'Success', meteringRecordId: idOf(series, hour) }
        return { ...name(series), quantity: quantityOf(series), timestamp, ...said }
      })
      events.push(eventOf({ at: START + (hour + 1) * HOUR + 5 * 60 * SECOND + first * 4, product: 'prod', records }))
    }
    writeFileSync(
      join(folder, 'trail', `${String(hour).padStart(3, '0')}.json.gz`),
      gzipSync(JSON.stringify({ Records: events }), { level: 1 }),
    )
    const text = events
      .map(event => JSON.stringify({ EventId: event.eventID, CloudTrailEvent: JSON.stringify(event) }))
      .join(',\n')
    if (!lookup.write(`${hour > 0 ? ',\n' : ''}${text}`)) await once(lookup, 'drain')
  }
  lookup.end('], "NextToken": null}\n')
}

/** The Daily Usage feed, of which each second row is a revision, and the Account feed. */
function report(folder: string): void {
  const csv = (rows: readonly (readonly unknown[])[]) =>
    rows.map(row => row.map(cell => `"${cell}"`).join(',')).join('\r\n')
  const hash = (accountId: string) => createHash('sha256').update(accountId).digest('hex')
  const header = [
    ...['valid_from', 'insert_date', 'update_date', 'delete_date', 'usage_feed_id', 'usage_date', 'product_id'],
    ...['agreement_id', 'end_user_account_id', 'payer_account_id', 'region', 'dimension_key', 'usage_unit'],
    ...['usage_quantity', 'pricing_currency', 'estimated_revenue_in_pricing_currency', 'catalog'],
    ...['recipient_account_id', 'offer_id', 'usage_rate_per_unit_in_pricing_currency', 'charge_item_description'],
  ]
  const rows = Array.from({ length: HOURS / 24 }, (_, day) => {
    return Array.from({ length: SERIES }, (_, series) => {
      const { accountId, dimension } = name(series)
      const at = (hours: number) => new Date(START + (day * 24 + hours) * HOUR).toISOString()
      const row = (updated: number, quantity: number) => [
        ...[at(24), at(24), at(updated), '', hash(`${day} ${series}`), at(0), 'prod-sample01', ''],
        ...[hash(accountId), hash(accountId), 'us-east-1', dimension, 'Units', quantity.toFixed(2), 'USD', '1.00'],
        ...['AWSMarketplace', hash('seller'), 'offer-sample01', '0.01', `AWS Marketplace usage of ${dimension}`],
      ]
      return [row(26, 24 * quantityOf(series)), row(25, 17)]
    }).flat()
  }).flat()
  writeFileSync(join(folder, 'usage.csv'), csv([header, ...rows]))
  const accounts = Array.from({ length: CUSTOMERS }, (_, index) => name(index).accountId)
  const account = [START, START, START].map(time => new Date(time).toISOString())
  writeFileSync(
    join(folder, 'accounts.csv'),
    csv([
      [
        'valid_from',
        'insert_date',
        'update_date',
        'delete_date',
        'account_id',
        'aws_account_id',
        'encrypted_account_id',
      ],
      ...accounts.map(accountId => [...account, '', hash(accountId), accountId, '']),
    ]),
  )
}
