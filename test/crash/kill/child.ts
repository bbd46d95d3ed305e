import { setTimeout as sleep } from 'node:timers/promises'
import { AWSMarketplaceMetricExporter } from '../../../src/exporter.ts'
import type { Ledger, UsageBatch } from '../../../src/ledger/ledger.ts'
import { SqliteLedger } from '../../../src/ledger/sqlite/ledger.ts'
import { seeded } from '../../../src/simulator/random.ts'
import { untaggedAccount } from '../../../src/usage/tagged-account.ts'
import { CrashPoint } from './crash-point.ts'
import { httpClient } from './http-client.ts'
import { PHASES, type Phase, type SeriesUsage, tell } from './telling.ts'
import { measured, PRODUCT, REGION } from './usage.ts'

/** The process that is killed: an exporter under load, which tells what it does and what the ledger acknowledged. */
export interface LifeOptions {
  readonly ledger: string
  readonly backup: string
  /** Where AWS is. */
  readonly url: string
  /** When it begins; then the clock is told. */
  readonly time: number
  readonly seed: number
  /** Where it kills itself. */
  readonly crashPoint?: { readonly phase: Phase; readonly statement: number }
}

/** A rest between two exports, in milliseconds, in which passes have their turn. */
const REST = 4
const BACKUP_EVERY = 12

const options = JSON.parse(process.argv[2] ?? '{}') as LifeOptions
const crashPoint = options.crashPoint && new CrashPoint(options.crashPoint.phase, options.crashPoint.statement)
let { time } = options
let phases = 0
process.on('message', (message: { time: number }) => {
  time = message.time
})
process.once('disconnect', () => process.exit(1))

const file = await telling('open', () => new SqliteLedger({ path: options.ledger }))
const ledger = told(file)
const client = httpClient(options.url, REGION)
const exporter = new AWSMarketplaceMetricExporter({
  ...PRODUCT,
  region: REGION,
  ledger,
  client: { ...client, batchMeterUsage: (...given) => telling('request', () => client.batchMeterUsage(...given)) },
  now: () => time,
  wakeInterval: 20,
  consoleWarnings: false,
})
const draw = seeded(options.seed)
for (let n = 1; ; n += 1) {
  const { code, error } = await new Promise<{ code: number; error?: Error }>(resolve =>
    exporter.export(measured(n, draw), resolve),
  )
  if (code !== 0) tell({ fault: String(error) })
  if (n % BACKUP_EVERY === 0) await telling('backup', () => file.backup(options.backup))
  await sleep(REST)
}

/** Tells when something begins and when it is done, before anything else goes on. */
async function telling<Result>(begin: Phase, work: () => Result | Promise<Result>, usage?: readonly SeriesUsage[]) {
  phases += 1
  const id = phases
  tell({ begin, id, ...(usage && { usage }) })
  crashPoint?.begin(begin)
  try {
    const result = await work()
    tell({ end: id })
    return result
  } catch (error) {
    tell({ end: id, error: String(error) })
    throw error
  } finally {
    crashPoint?.end(begin)
  }
}

function told(ledger: SqliteLedger): Ledger {
  return new Proxy<Ledger>(ledger, {
    get: (_, name: keyof Ledger) => {
      if (typeof ledger[name] !== 'function') return ledger[name]
      const method = (ledger[name] as (...given: unknown[]) => Promise<unknown>).bind(ledger)
      if (!PHASES.includes(name as Phase)) return method
      return (...given: unknown[]) =>
        telling(name as Phase, () => method(...given), name === 'append' ? usageOf(given[0] as UsageBatch) : undefined)
    },
  })
}

function usageOf(batch: UsageBatch) {
  return batch.entries.map(
    ({ account, dimension, amount }) => [untaggedAccount(account).key, dimension, String(amount)] as const,
  )
}
