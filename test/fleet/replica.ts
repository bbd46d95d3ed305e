import { DiagConsoleLogger, DiagLogLevel, diag } from '@opentelemetry/api'
import { LedgerError } from '../../src/ledger/errors.ts'
import type { Ledger } from '../../src/ledger/ledger.ts'
import { awsClient } from '../../src/marketplace/aws-client.ts'
import type { MeteringClient } from '../../src/marketplace/client.ts'
import { runApplication } from './application.ts'
import { runGateway } from './gateway.ts'
import { type OpenPlace, openPlace } from './open-place.ts'
import { NO_ENGINE, type Order, type Orders, type ReplicaTold, type Told, type Work } from './orders.ts'
import { real, virtual } from './time.ts'
import { DIMENSIONS } from './traffic.ts'
import { Whereabouts } from './whereabouts.ts'

/**
 * One process of a fleet. Each of its replicas is an application or a gateway, with a connection, a writer and a clock of
 * its own, and meters through the ledger that all share.
 */

const all = JSON.parse(process.argv[2] as string) as Orders[]
const AWAY = ['ERR_LEDGER_IO', 'ERR_LEDGER_BUSY']
const REGION = 'us-east-1'
const REQUEST_TIMEOUT = 5_000
const WORK_OF: Partial<Record<keyof Ledger, Work>> = {
  ...{ append: 'append', closeHours: 'close', claim: 'claim', settle: 'settle', expire: 'expire' },
}
if (process.env.FLEET_LOG) diag.setLogger(new DiagConsoleLogger(), DiagLogLevel.WARN)

const tell = (told: Told) => void process.send?.(told)
// Orphans are of no use.
process.on('disconnect', () => process.exit(1))
const whereabouts = new Whereabouts(tell)
const ended = new Promise<void>(resolve => {
  process.on('message', (order: Order) => {
    if (order === 'end') resolve()
    else if ('goOn' in order) whereabouts.goOn(order.goOn)
    else whereabouts.tellOf(order.tellOf)
  })
})
const running = await start().catch(error => {
  if (!(error instanceof LedgerError && AWAY.includes(error.code))) throw error
  process.exit(NO_ENGINE)
})
tell({ ready: true, addresses: running.flatMap(({ address = [] }) => address) })
setInterval(() => tell({ asked: whereabouts.asked }), real(all[0]?.interval as number)).unref()
await ended
await Promise.all(running.map(({ end }) => end()))
process.send?.({ asked: whereabouts.asked } satisfies Told, () => process.exit(0))

async function start(): Promise<{ address?: string; end: () => Promise<void> }[]> {
  const opened = await Promise.all(all.map(({ place }) => openPlace(place, whereabouts)))
  return await Promise.all(all.map((orders, number) => startOne(orders, number, opened[number] as OpenPlace)))
}

async function startOne(orders: Orders, number: number, { ledger, close }: OpenPlace) {
  const { began, skew, interval, role } = orders
  const options = {
    consoleWarnings: false,
    productCode: 'prod-fleet',
    dimensions: DIMENSIONS,
    region: REGION,
    client: watched(awsClient(REGION, REQUEST_TIMEOUT)),
    ledger: inVirtualTime(ledger, orders),
    now: () => virtual(Date.now(), began) + skew,
    wakeInterval: Math.max(10, real(interval)),
    requestTimeout: REQUEST_TIMEOUT,
  }
  const tellOf = (told: ReplicaTold) => tell({ ...told, replica: number })
  const started =
    role === 'gateway'
      ? await runGateway(options)
      : { end: runApplication(options, orders, tellOf), address: undefined }
  const end = async () => {
    await started.end().catch(error => console.error(`${role}: ${error}`))
    await close()
  }
  return { ...(started.address !== undefined && { address: started.address }), end }
}

function watched(client: MeteringClient): MeteringClient {
  const batchMeterUsage: MeteringClient['batchMeterUsage'] = (...request) =>
    whereabouts.during('send', () =>
      whereabouts.request({ what: 'BatchMeterUsage' }, () => client.batchMeterUsage(...request)),
    )
  return new Proxy(client, {
    get: (target, name: keyof MeteringClient) => (name === 'batchMeterUsage' ? batchMeterUsage : target[name]),
  })
}

/** The engine's clock is a real one: what it says stands for a virtual time, as this process's own does. */
function inVirtualTime(ledger: Ledger, { began, skew }: Orders): Ledger {
  const now = async (virtualHere: number) => {
    const realHere = Date.now() + real(skew)
    const there = await ledger.clock.now(realHere)
    return there === realHere ? virtualHere : virtual(there, began)
  }
  return new Proxy(ledger, {
    get: (target, name: keyof Ledger) => {
      const member = target[name]
      if (name === 'clock') return { ...target.clock, now }
      if (typeof member !== 'function') return member
      const call = member.bind(target) as (...given: unknown[]) => Promise<unknown>
      const work = WORK_OF[name]
      return work === undefined ? call : (...given: unknown[]) => whereabouts.during(work, () => call(...given))
    },
  })
}
