import { randomBytes } from 'node:crypto'
import type { UsageEntry } from '../../src/ledger/ledger.ts'
import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import type { CustomerAccount } from '../../src/usage/account.ts'
import { Bare, type Way } from './append-bare.ts'
import { answerWith, collectGarbage } from './child.ts'
import { temporaryFolder } from './folder.ts'

/** Which way of writing, and how many series. Answers with the milliseconds that it took. */
export interface Question {
  readonly way: 'ledger' | Way
  readonly series: number
}

const NOON = Date.UTC(2026, 5, 10, 12)
const AMOUNT = 1_234_567_890n

type Write = () => void | Promise<void>
/** By way and series: each has a database of its own, whose series are known from the second time on. */
const writers = new Map<string, Write>()

answerWith<Question, number>(async ({ way, series }) => {
  const name = `${way} ${series}`
  const write = writers.get(name) ?? (await (way === 'ledger' ? ledger(series) : bare(way, series)))
  writers.set(name, write)
  collectGarbage()
  const begun = performance.now()
  await write()
  return performance.now() - begun
})

async function ledger(series: number): Promise<Write> {
  const ledger = new SqliteLedger({ path: `${temporaryFolder()}/ledger.sqlite` })
  await ledger.register([{ name: 'tokens', unit: '{token}', baseUnit: '1', size: 1_000_000n }])
  const entries = Array.from({ length: series }, (_, number): UsageEntry => {
    const accountId = String(100_000_000_000 + number)
    const account: CustomerAccount = { kind: 'customer', key: `prod,${accountId}`, product: 'prod', accountId }
    return { account, dimension: 'tokens', hour: NOON, amount: AMOUNT + BigInt(number) }
  })
  const writer = randomBytes(16).toString('hex')
  let sequence = 0
  return () => ledger.append({ writer, sequence: ++sequence, entries })
}

function bare(way: Way, series: number): Write {
  const database = new Bare(`${temporaryFolder()}/bare.sqlite`, way)
  const rows = Array.from({ length: series }, (_, number) => ({
    hour: NOON,
    series: number + 1,
    amount: AMOUNT + BigInt(number),
  }))
  return () => database.write(rows)
}
