import { Agent, request } from 'node:http'
import { startChild } from './child.ts'
import { requestOf } from './gateway-points.ts'
import type { Answer, Question } from './gateway-worker.ts'
import type { Benchmark } from './row.ts'
import { median, medianRatio, milliseconds } from './statistics.ts'

const WORKER = new URL('./gateway-worker.ts', import.meta.url)
const NAMES = [
  'gateway: points a second',
  'gateway: one metric in ten is billable',
  'gateway: memory for each live series',
  'gateway: p99 at 1,000 requests a second',
] as const
const POINTS = 10_000
const ROUNDS = 25
const WARM_UP = 5
const SERIES = 100_000
const SMALL = 200
const SENDERS = 20
const REQUESTS = 5_000
const PER_SECOND = 1_000

/** OTLP in, durable before the answer, on one core: beside what the library takes to decode the same bytes. */
export const gateway: Benchmark = {
  rows: NAMES,
  async run() {
    await using worker = startChild<Question, Answer>(WORKER)
    const address = `http://${await worker.ask({ what: 'address' })}/v1/metrics`
    const agent = new Agent({ keepAlive: true })
    const times: Record<'all' | 'few', { ours: number[]; theirs: number[] }> = {
      all: { ours: [], theirs: [] },
      few: { ours: [], theirs: [] },
    }
    for (let round = 0; round < ROUNDS + WARM_UP; round++) {
      for (const [which, metrics] of [
        ['all', 1],
        ['few', 10],
      ] as const) {
        const body = requestOf({ points: POINTS, round, metrics, sender: metrics })
        const theirs = (await worker.ask({ what: 'decode', body })) as number
        const ours = await send(address, body, agent)
        if (round < WARM_UP) continue
        times[which].ours.push(ours)
        times[which].theirs.push(theirs)
      }
    }
    const latencies = await load()
    const memory = await memoryOfSeries()
    agent.destroy()
    const perSecond = (time: number) => `${Math.round((POINTS / time) * 1000).toLocaleString('en')}/s`
    const common = { against: "protobufjs' decoding alone", better: 'higher' } as const
    return [
      {
        ...{ ...common, name: NAMES[0], limit: 0.5, aim: 0.8 },
        ours: perSecond(median(times.all.ours)),
        theirs: perSecond(median(times.all.theirs)),
        ratio: medianRatio(times.all.theirs, times.all.ours),
        note: `requests of ${POINTS.toLocaleString('en')} cumulative points over HTTP, from the first byte sent to the answer`,
      },
      {
        ...{ ...common, name: NAMES[1], limit: 1, aim: 3 },
        ours: perSecond(median(times.few.ours)),
        theirs: perSecond(median(times.few.theirs)),
        ratio: medianRatio(times.few.theirs, times.few.ours),
        note: 'the same number of points, of which a tenth is billable',
      },
      {
        ...{ name: NAMES[2], against: 'a number of bytes', ours: `${memory.toFixed(0)} B`, theirs: '–', ratio: memory },
        ...{ limit: 1200, aim: 750, better: 'lower' },
        note: `${SERIES.toLocaleString('en')} cumulative counters of 1,000 customers, without SQLite's page cache`,
      },
      {
        ...{ name: NAMES[3], against: 'milliseconds', ours: milliseconds(at(latencies, 0.99)), theirs: '–' },
        ...{ ratio: at(latencies, 0.99), limit: 250, aim: 50, better: 'lower' },
        note:
          `${REQUESTS.toLocaleString('en')} requests of ${SMALL} points from ${SENDERS} senders, each begun when it is due; ` +
          `median ${milliseconds(at(latencies, 0.5))}`,
      },
    ]
  },
}

/** Returns the milliseconds until it was answered. */
function send(address: string, body: Uint8Array, agent: Agent): Promise<number> {
  const headers = { 'content-type': 'application/x-protobuf', 'content-length': body.length }
  return new Promise((resolve, reject) => {
    const begun = performance.now()
    const sent = request(address, { method: 'POST', headers, agent }, response => {
      response.resume().once('end', () => {
        if (response.statusCode === 200) resolve(performance.now() - begun)
        else reject(new Error(`the gateway answered with ${response.statusCode}`))
      })
    })
    sent.once('error', reject).end(body)
  })
}

/** The latencies of requests that are begun at a steady rate, whether or not those before were answered; sorted. */
async function load(): Promise<number[]> {
  await using worker = startChild<Question, Answer>(WORKER)
  const url = `http://${await worker.ask({ what: 'address' })}/v1/metrics`
  const agent = new Agent({ keepAlive: true, maxSockets: 64 })
  const rounds = REQUESTS / SENDERS
  const body = (sender: number, round: number) => requestOf({ points: SMALL, round, sender })
  // Warm: the counters are known.
  for (let sender = 0; sender < SENDERS; sender++) await send(url, body(sender, 0), agent)
  const bodies = Array.from({ length: rounds }, (_, round) =>
    Array.from({ length: SENDERS }, (_, sender) => body(sender, round + 1)),
  ).flat()
  const begun = performance.now()
  const latencies: Promise<number>[] = []
  for (let next = 0; next < bodies.length; ) {
    const due = Math.min(bodies.length, Math.floor(((performance.now() - begun) / 1000) * PER_SECOND))
    for (; next < due; next++) {
      const late = performance.now() - begun - (next / PER_SECOND) * 1000
      latencies.push(send(url, bodies[next] as Buffer, agent).then(time => time + late))
    }
    await new Promise(resolve => setTimeout(resolve, 1))
  }
  const all = await Promise.all(latencies)
  agent.destroy()
  return all.sort((a, b) => a - b)
}

async function memoryOfSeries(): Promise<number> {
  await using worker = startChild<Question, Answer>(WORKER)
  const address = `http://${await worker.ask({ what: 'address' })}/v1/metrics`
  const agent = new Agent({ keepAlive: true })
  for (let round = 0; round < 3; round++) await send(address, requestOf({ points: 1_000, round }), agent)
  const before = (await worker.ask({ what: 'memory' })) as number
  for (let round = 0; round < 3; round++) await send(address, requestOf({ points: SERIES, round, sender: 1 }), agent)
  const after = (await worker.ask({ what: 'memory' })) as number
  agent.destroy()
  return (after - before) / SERIES
}

function at(sorted: readonly number[], share: number): number {
  return sorted[Math.floor(sorted.length * share)] ?? Number.NaN
}
