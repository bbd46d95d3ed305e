import { jsonOf, requestOf } from './gateway-points.ts'
import { type GatewayProcess, startGateway } from './gateway-sender.ts'
import type { Benchmark } from './row.ts'
import { median, medianRatio } from './statistics.ts'

const NAMES = [
  'gateway: points a second',
  'gateway: one metric in ten is billable',
  'gateway: JSON, against protobuf',
  'gateway: memory for each live counter',
] as const
const POINTS = 10_000
const ROUNDS = 25
const WARM_UP = 5
const COUNTERS = 100_000

interface Times {
  readonly ours: number[]
  readonly theirs: number[]
}

/** OTLP in, durable before the answer, on one core: beside what the library takes to decode the same bytes. */
export const gateway: Benchmark = {
  rows: NAMES,
  async run() {
    await using gateway = await startGateway()
    const all: Times = { ours: [], theirs: [] }
    const few: Times = { ours: [], theirs: [] }
    const running: Times = { ours: [], theirs: [] }
    for (let round = 0; round < ROUNDS + WARM_UP; round++) {
      const requests = [
        [all, requestOf({ points: POINTS, round })],
        [few, requestOf({ points: POINTS, round, metrics: 10, sender: 1 })],
      ] as const
      for (const [times, body] of requests) await take(gateway, body, true, round < WARM_UP ? undefined : times)
    }
    for (let round = 0; round < ROUNDS + WARM_UP; round++) {
      const body = requestOf({ points: POINTS, round, sender: 2 })
      await take(gateway, body, false, round < WARM_UP ? undefined : running)
    }
    const formats = await compareFormats(gateway)
    const memory = await memoryOfCounters()
    const common = { against: "protobufjs' decoding alone", better: 'higher' } as const
    const told = ({ ours, theirs }: Times) => ({ ours: perSecond(ours), theirs: perSecond(theirs) })
    return [
      {
        ...{ ...common, name: NAMES[0], limit: 0.6, aim: 0.8, ...told(all), ratio: medianRatio(all.theirs, all.ours) },
        note:
          `requests of ${POINTS.toLocaleString('en')} cumulative points over HTTP, from the first byte sent to the answer. ` +
          'The garbage is collected before each, which throws away optimized code of both sides; where the process just runs on: ' +
          `${perSecond(running.ours)} against ${perSecond(running.theirs)}, ${medianRatio(running.theirs, running.ours).toFixed(2)}`,
      },
      {
        ...{ ...common, name: NAMES[1], limit: 2, aim: 3, ...told(few), ratio: medianRatio(few.theirs, few.ours) },
        note: 'the same number of points, of which a tenth is billable',
      },
      {
        ...{ name: NAMES[2], against: 'the same points in protobuf', better: 'higher', limit: 0.25, aim: 0.5 },
        ...{ ...told(formats), ratio: medianRatio(formats.theirs, formats.ours) },
        note: `requests of ${POINTS.toLocaleString('en')} points as an SDK writes them, in turns, where the process just runs on`,
      },
      {
        ...{ name: NAMES[3], against: 'a number of bytes', ours: `${memory.toFixed(0)} B`, theirs: '–', ratio: memory },
        ...{ limit: 800, aim: 500, better: 'lower' },
        note:
          `${COUNTERS.toLocaleString('en')} cumulative counters of 1,000 customers, without what has a bound whatever ` +
          "their number: SQLite's page cache, and the last batches",
      },
    ]
  },
}

const perSecond = (times: readonly number[]) => `${Math.round((POINTS / median(times)) * 1000).toLocaleString('en')}/s`

/** Times the library with a request, then the gateway. */
async function take(gateway: GatewayProcess, body: Buffer, collect: boolean, times: Times | undefined): Promise<void> {
  const theirs = (await gateway.ask({ what: 'decode', body, collect })) as number
  const ours = await gateway.send(body)
  times?.theirs.push(theirs)
  times?.ours.push(ours)
}

async function compareFormats(gateway: GatewayProcess): Promise<Times> {
  const ours: number[] = []
  const theirs: number[] = []
  for (let round = 0; round < ROUNDS + WARM_UP; round++) {
    // The same counters in both, each time with more.
    const protobuf = await gateway.send(requestOf({ points: POINTS, round: 2 * round, sender: 3 }))
    const json = await gateway.send(jsonOf(requestOf({ points: POINTS, round: 2 * round + 1, sender: 3 })), 'json')
    if (round < WARM_UP) continue
    theirs.push(protobuf)
    ours.push(json)
  }
  return { ours, theirs }
}

async function memoryOfCounters(): Promise<number> {
  await using gateway = await startGateway()
  // As many points as the gateway remembers of the last batches.
  for (let round = 0; round < 60; round++) await gateway.send(requestOf({ points: 1_000, round }))
  const before = (await gateway.ask({ what: 'memory' })) as number
  for (let round = 0; round < 3; round++) await gateway.send(requestOf({ points: COUNTERS, round, sender: 1 }))
  return (((await gateway.ask({ what: 'memory' })) as number) - before) / COUNTERS
}
