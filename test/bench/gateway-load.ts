import { setTimeout as sleep } from 'node:timers/promises'
import { type GatewayProcess, mostOf, requestsOf, SENDERS, SMALL, startGateway } from './gateway-sender.ts'
import type { Benchmark } from './row.ts'
import { milliseconds } from './statistics.ts'

const NAME = 'gateway: p99 at half of the rate that it can take'
const WARM_UP = 20
const FULL = 60
const HALF = 150

/** What senders wait for whose gateway is neither idle nor overrun. */
export const gatewayLoad: Benchmark = {
  rows: [NAME],
  async run() {
    await using gateway = await startGateway()
    await mostOf([gateway], requestsOf(0, WARM_UP))
    const most = await mostOf([gateway], requestsOf(WARM_UP, FULL))
    const latencies = await steady(gateway, requestsOf(WARM_UP + FULL, HALF), most / 2)
    const at = (share: number) => latencies[Math.floor(latencies.length * share)] as number
    const points = (rate: number) => `${Math.round(rate * SMALL).toLocaleString('en')} points a second`
    return [
      {
        ...{ name: NAME, against: 'milliseconds', ours: milliseconds(at(0.99)), theirs: '–', ratio: at(0.99) },
        ...{ limit: 50, aim: 20, better: 'lower' },
        note:
          `${SENDERS} senders with requests of ${SMALL} points: it can take ${points(most)}, and of ${points(most / 2)}, ` +
          `each request begun when it is due, the median waits ${milliseconds(at(0.5))}`,
      },
    ]
  },
}

/** The latencies of requests that are begun at a steady rate, whether or not those before were answered; sorted. */
async function steady(gateway: GatewayProcess, requests: readonly Buffer[], perSecond: number): Promise<number[]> {
  const begun = performance.now()
  const latencies: Promise<number>[] = []
  while (latencies.length < requests.length) {
    const since = performance.now() - begun
    const due = Math.min(requests.length, Math.floor((since / 1000) * perSecond))
    for (let next = latencies.length; next < due; next++) {
      const late = since - (next / perSecond) * 1000
      latencies.push(gateway.send(requests[next] as Buffer).then(time => time + late))
    }
    await sleep(1)
  }
  return (await Promise.all(latencies)).sort((a, b) => a - b)
}
