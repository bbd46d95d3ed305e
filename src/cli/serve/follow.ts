import { diag } from '@opentelemetry/api'
import { followAgreementEvents } from '../../agreements/index.ts'
import { ledgerName, openLedger } from '../../ledger/open.ts'
import type { Following } from '../json.ts'
import { type FormatOptions, isJson, printReady } from '../output.ts'
import { logDiag, logLevelOf } from './log.ts'
import { Signals } from './signals.ts'

export interface FollowOptions {
  readonly queue: string
  readonly productCode: string
  readonly product?: string
  readonly region: string
  readonly ledger: string
}

/** Takes in agreement events until a signal asks to stop. */
export async function follow({ ledger: address, ...options }: FollowOptions, form: FormatOptions): Promise<void> {
  const signals = new Signals()
  logDiag({
    level: logLevelOf(process.env.OTEL_LOG_LEVEL),
    format: process.stderr.isTTY && !isJson(form) ? 'text' : 'json',
    write: line => process.stderr.write(line),
    now: Date.now,
  })
  const ledger = await openLedger(address)
  try {
    const consumer = await followAgreementEvents({
      ...options,
      ledger,
      report: ({ level, message }) => diag[level](message),
    })
    const { name: queue, region } = consumer.queue
    diag.info(`Takes in agreement events of ${queue} in ${region}.`)
    printReady<Following>(form, { queue, region, ledger: ledgerName(address) })
    diag.info(`${await signals.next()}: stopping.`)
    await consumer.stop()
  } finally {
    await ledger.close()
  }
}
