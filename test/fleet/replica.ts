import { once } from 'node:events'
import { DiagConsoleLogger, DiagLogLevel, diag } from '@opentelemetry/api'
import { LedgerError } from '../../src/ledger/errors.ts'
import { MINUTE } from '../../src/ledger/hours.ts'
import type { Ledger } from '../../src/ledger/ledger.ts'
import { runApplication } from './application.ts'
import { runGateway } from './gateway.ts'
import { openPlace } from './open-place.ts'
import { NO_ENGINE, type Orders, type Told } from './orders.ts'
import { real, virtual } from './time.ts'
import { DIMENSIONS } from './traffic.ts'

/** One process of a fleet: an application or a gateway, which meters through the ledger that all share. */

const orders = JSON.parse(process.argv[2] as string) as Orders
const { began, skew } = orders
const AWAY = ['ERR_LEDGER_IO', 'ERR_LEDGER_BUSY']
if (process.env.FLEET_LOG) diag.setLogger(new DiagConsoleLogger(), DiagLogLevel.WARN)

const tell = (told: Told) => void process.send?.(told)
// Orphans are of no use.
process.on('disconnect', () => process.exit(1))
const stopped = once(process, 'message')
const { ledger, end } = await start().catch(error => {
  if (!(error instanceof LedgerError && AWAY.includes(error.code))) throw error
  process.exit(NO_ENGINE)
})
await stopped
await end().catch(error => console.error(`${orders.role}: ${error}`))
await ledger.close()
process.exit(0)

async function start() {
  const ledger = await openPlace(orders.place)
  const options = {
    consoleWarnings: false,
    productCode: 'prod-fleet',
    dimensions: DIMENSIONS,
    region: 'us-east-1',
    ledger: inVirtualTime(ledger),
    now: () => virtual(Date.now(), began) + skew,
    wakeInterval: Math.max(10, real(MINUTE)),
    requestTimeout: 5_000,
  }
  const end = orders.role === 'gateway' ? await runGateway(options, tell) : runApplication(options, orders, tell)
  return { ledger, end }
}

/** The engine's clock is a real one: what it says stands for a virtual time, as this process's own does. */
function inVirtualTime(ledger: Ledger): Ledger {
  const now = async (virtualHere: number) => {
    const realHere = Date.now() + real(skew)
    const there = await ledger.clock.now(realHere)
    return there === realHere ? virtualHere : virtual(there, began)
  }
  return new Proxy(ledger, {
    get: (target, name: keyof Ledger) => {
      const member = target[name]
      if (name === 'clock') return { ...target.clock, now }
      return typeof member === 'function' ? member.bind(target) : member
    },
  })
}
