import { diag } from '@opentelemetry/api'
import { GatewayConfigFile } from '../../gateway/config.ts'
import { Gateway } from '../../gateway/gateway.ts'
import type { GatewayOptions } from '../../gateway/options.ts'
import { ListenError } from '../../gateway/otlp/errors.ts'
import { LedgerError } from '../../ledger/errors.ts'
import { SECOND } from '../../ledger/hours.ts'
import type { Ledger } from '../../ledger/ledger.ts'
import { expectedOfLedger, ledgerFile, ledgerName, openLedger } from '../../ledger/open.ts'
import { sendTo } from '../../metering/endpoints.ts'
import { productName } from '../../usage/options.ts'
import { TO_DECIDE } from '../exit-status.ts'
import type { Serving } from '../json.ts'
import { type FormatOptions, isJson, printReady } from '../output.ts'
import { gatewayOptions } from './gateway-options.ts'
import { greeting, urlOf } from './greeting.ts'
import { logDiag, logLevelOf } from './log.ts'
import { ownMetrics, ownResource } from './own-metrics.ts'
import { renewing } from './renewal.ts'
import { Signals } from './signals.ts'

/** Runs a gateway until a signal asks it to stop, which may take `stopLimit` milliseconds. */
export async function serve(
  path: string,
  env: NodeJS.ProcessEnv,
  stopLimit: number,
  form: FormatOptions = {},
): Promise<void> {
  const signals = new Signals()
  const file = GatewayConfigFile.read(path, env)
  const references = file.readReferences(env)
  const { config } = file
  logTo(process.stderr, isJson(form) ? { ...config.telemetry, logFormat: 'json' } : config.telemetry, env)
  const { endpoint } = config.metering
  if (endpoint !== undefined) sendTo(endpoint, env)
  const shown = ledgerName(references.ledger)
  const ledger = await open(references.ledger, path)
  try {
    const gateway = await start({
      ...gatewayOptions(config, references),
      ledger,
      readers: await ownMetrics(config.telemetry.endpoint, env),
      resource: ownResource(),
      // For commands that the status page shows, which may not have a password in them.
      ...(shown === references.ledger && { ledgerAddress: shown }),
    })
    const stop = signals.next()
    const end = renewing(gateway, file, env)
    for (const [level, message] of greeting(config, gateway.addresses, shown, env)) diag[level](message)
    const { http, grpc } = gateway.addresses
    const url = (address: string | undefined) => (address === undefined ? null : urlOf(config, address))
    const { usage, region } = config
    printReady<Serving>(form, { http: url(http), grpc: url(grpc), ledger: shown, product: productName(usage), region })
    diag.info(`${await stop}: answering what was accepted. A second signal ends it at once.`)
    end()
    endWithin(stopLimit)
    await gateway.close()
  } finally {
    await ledger.close()
  }
  diag.info('Stopped.')
}

function logTo(
  stream: NodeJS.WriteStream,
  { logLevel, logFormat }: GatewayConfigFile['config']['telemetry'],
  env: NodeJS.ProcessEnv,
): void {
  // Whoever reads the log may end; metering goes on.
  stream.on('error', () => {})
  logDiag({
    level: logLevel ?? logLevelOf(env.OTEL_LOG_LEVEL),
    format: logFormat ?? (stream.isTTY ? 'text' : 'json'),
    write: line => stream.write(line),
    now: Date.now,
  })
}

async function open(address: string, path: string): Promise<Ledger> {
  try {
    return await openLedger(address)
  } catch (error) {
    if (!(error instanceof LedgerError)) throw error
    const remote = ledgerFile(address) === undefined && expectedOfLedger(address) === undefined
    const reached = remote ? 'Is it up, and does this machine reach it? ' : ''
    const advice = `${reached}It is named by "ledger" in ${path}, or by MARKETPLACE_LEDGER.`
    throw new LedgerError(error.code, `${error.message.replace(/\.$/, '')}. ${advice}`, { cause: error })
  }
}

async function start(options: GatewayOptions): Promise<Gateway> {
  try {
    return await Gateway.start(options)
  } catch (error) {
    const advice = error instanceof ListenError ? ADVICE[codeOf(error.cause)] : undefined
    throw advice === undefined ? error : new ListenError(`${(error as Error).message}. ${advice}`, { cause: error })
  }
}

const ADVICE: Readonly<Record<string, string>> = {
  EADDRINUSE: 'Another process has the port, an older gateway or a Collector perhaps: end it, or change "listen".',
  EACCES: 'Ports below 1024 are for root: choose a higher one in "listen".',
  EADDRNOTAVAIL: 'This machine has no such address: mend "listen", where 0.0.0.0 is all that it has.',
  ENOTFOUND: 'Nobody knows that name: mend "listen", where 0.0.0.0 is all addresses of this machine.',
}

const codeOf = (error: unknown) => String((error as NodeJS.ErrnoException | undefined)?.code)

/** Ends the process when it is not over by itself in time. */
function endWithin(limit: number): void {
  const end = () => {
    diag.error(`Not stopped within ${limit / SECOND} seconds. What was accepted is in the ledger.`)
    process.exit(TO_DECIDE)
  }
  setTimeout(end, limit).unref()
}
