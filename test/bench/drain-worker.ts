import { MarketplaceMetering } from '@aws-sdk/client-marketplace-metering'
import { HOUR } from '../../src/ledger/hours.ts'
import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import { answerWith, collectGarbage } from './child.ts'
import { Book } from './drain-book.ts'
import { temporaryFolder } from './folder.ts'
import { accountId, assertDrained, BATCH, CONCURRENCY, cycleOf, makeDue, NOW, REGION } from './metering.ts'

/** Who sends, and how many records. Answers with the milliseconds that it took. */
export interface Question {
  readonly who: 'ours' | 'bare' | 'by hand'
  readonly records: number
}

let rounds = 0

answerWith<Question, number>(({ who, records }) => {
  // A product of its own for each round: what is billed already would be answered in another way.
  const product = `prod-${++rounds}`
  if (who === 'ours') return drain(records, product)
  return loop(records, product, who === 'bare' ? undefined : new Book(`${temporaryFolder()}/book.sqlite`, records))
})

/** One for each round: what an earlier round left open, the simulator closes while records are made due. */
function newClient(): MarketplaceMetering {
  return new MarketplaceMetering({
    region: REGION,
    endpoint: process.argv[2] as string,
    credentials: { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'secret' },
    maxAttempts: 1,
  })
}

async function drain(records: number, product: string): Promise<number> {
  const ledger = new SqliteLedger({ path: `${temporaryFolder()}/ledger.sqlite` })
  await makeDue(ledger, records, product)
  const client = newClient()
  collectGarbage()
  const begun = performance.now()
  await cycleOf({ ledger, client }).pass()
  const time = performance.now() - begun
  client.destroy()
  await assertDrained(ledger)
  await ledger.close()
  return time
}

/** The same calls without a ledger: with a book, or from memory. */
async function loop(records: number, product: string, book?: Book): Promise<number> {
  const Timestamp = new Date(Math.floor(NOW / HOUR) * HOUR - 1000)
  const UsageRecords = Array.from({ length: records }, (_, number) => ({
    Timestamp,
    CustomerAWSAccountId: accountId(number),
    Dimension: 'requests',
    Quantity: 1 + (number % 1000),
  }))
  const client = newClient()
  collectGarbage()
  const begun = performance.now()
  let next = 0
  const work = async () => {
    while (next < records) {
      const start = next
      next += BATCH
      book?.before(start, next)
      const { Results = [] } = await client.batchMeterUsage({
        ProductCode: product,
        UsageRecords: UsageRecords.slice(start, start + BATCH),
      })
      if (!Results.every(({ Status }) => Status === 'Success')) throw new Error('a record was not taken')
      book?.after(start, Results)
    }
  }
  await Promise.all(Array.from({ length: CONCURRENCY }, work))
  const time = performance.now() - begun
  client.destroy()
  book?.close()
  return time
}
