import { DatabaseSync } from 'node:sqlite'
import { HOUR } from '../../src/ledger/hours.ts'
import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import type { MeteringClient } from '../../src/marketplace/client.ts'
import { answerWith, collectGarbage } from './child.ts'
import { temporaryFolder } from './folder.ts'
import { assertDrained, cycleOf, NOW, use } from './metering.ts'

/** How long a pass took, in milliseconds: one that meters each customer's hour, and one with nothing to do. */
export interface Passes {
  readonly metering: number
  readonly idle: number
}

const CUSTOMERS = 100
const PRODUCT = 'prod-bench'

const client: MeteringClient = {
  batchMeterUsage: async ({ UsageRecords }) => ({
    Results: UsageRecords.map(UsageRecord => ({ UsageRecord, Status: 'Success', MeteringRecordId: 'id' })),
  }),
}

const path = `${temporaryFolder()}/ledger.sqlite`
const ledger = new SqliteLedger({ path })
let now = NOW
const cycle = cycleOf({ ledger, client, now: () => now })
await use(ledger, CUSTOMERS, PRODUCT, now)
await cycle.pass()
addHistory(Number(process.argv[2]))

answerWith<'pass', Passes>(async () => {
  now += HOUR
  await use(ledger, CUSTOMERS, PRODUCT, now)
  collectGarbage()
  const metering = await timeOfPass()
  await assertDrained(ledger)
  return { metering, idle: await timeOfPass() }
})

async function timeOfPass(): Promise<number> {
  const begun = performance.now()
  await cycle.pass()
  await cycle.nextPassAt()
  return performance.now() - begun
}

/**
 * Settled records, and the usage they are of, as years of passes would have left them: 1,000 other customers' hours,
 * of the past. Straight into the tables, since a million of them take minutes on their way through AWS's answers.
 */
function addHistory(records: number): void {
  if (records === 0) return
  const database = new DatabaseSync(path)
  const customers = 1_000
  const hours = records / customers
  const first = Math.floor(NOW / HOUR) * HOUR - (hours + 2) * HOUR
  database.exec(`BEGIN;
    WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ${customers})
    INSERT INTO account (id, key, kind, product, account_id)
    SELECT 1000000 + n, '${PRODUCT},' || (200000000000 + n), 'customer', '${PRODUCT}', 200000000000 + n FROM n;
    INSERT INTO series (id, account, dimension, first_hour, recorded, metered)
    SELECT id, id, 1, ${first}, '${hours * 5_000_000}', '${hours * 5_000_000}' FROM account WHERE id > 1000000;
    WITH RECURSIVE h(h) AS (SELECT 0 UNION ALL SELECT h + 1 FROM h WHERE h + 1 < ${hours})
    INSERT INTO record (series, hour, timestamp, deadline, lane, quantity, size, state, attempts, answer, metering_record_id)
    SELECT series.id, ${first} + h * ${HOUR}, ${first} + h * ${HOUR} + 3599000, ${first} + (h + 24) * ${HOUR}, 1, 5,
           '1000000', 'metered', 1, 'Success', hex(randomblob(16))
    FROM h, series WHERE series.id > 1000000 ORDER BY h, series.id;
    INSERT INTO usage (hour, series, whole, millionths) SELECT hour, series, 5, 0 FROM record WHERE series > 1000000;
    COMMIT;
    PRAGMA wal_checkpoint(TRUNCATE)`)
  database.close()
}
