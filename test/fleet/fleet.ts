import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { HOUR, hourOf, MINUTE } from '../../src/ledger/hours.ts'
import type { Ledger } from '../../src/ledger/ledger.ts'
import { type FaultKind, type MarketplaceSimulator, startSimulator } from '../../src/simulator/index.ts'
import { seeded } from '../../src/simulator/random.ts'
import { type Bill, billOf, total } from './bill.ts'
import type { Engine } from './engine.ts'
import { openPlace } from './open-place.ts'
import { type Amounts, addAll, type Work } from './orders.ts'
import { OtherTool } from './other-tool.ts'
import { Replicas, skewOf } from './replicas.ts'
import { Sender } from './sender.ts'
import { real, virtual } from './time.ts'

/** A third of them only applications know, a third only senders, and a third both. */
const CUSTOMERS = Array.from({ length: 30 }, (_, n) => String(100_000_000_000 + n))
const APPLICATIONS_CUSTOMERS = CUSTOMERS.slice(0, 20)
const SENDERS_CUSTOMERS = CUSTOMERS.slice(10)
/** How long the last hours may take to be closed and sent when nothing is measured any more. */
const LONGEST_END = 4 * HOUR

/** How long the first processes may take to start, in real milliseconds. */
const LONGEST_START = 120_000
/** A step is five minutes and what it takes to start processes; what is stopped goes on after an hour. */
const STEPS_BETWEEN_STOPS = 6

const FAULTS: readonly { kind: FaultKind; rate: number }[] = [
  { kind: 'throttling', rate: 0.03 },
  { kind: 'internal-error', rate: 0.03 },
  { kind: 'internal-error-after', rate: 0.03 },
  { kind: 'reset-after', rate: 0.03 },
  { kind: 'unprocessed', rate: 0.03 },
]

/** The simulator takes any; DynamoDB Local has tables of its own for each. */
const CREDENTIALS = { AWS_ACCESS_KEY_ID: 'local', AWS_SECRET_ACCESS_KEY: 'local', AWS_REGION: 'us-east-1' }

export interface FleetOptions {
  readonly engine: Engine
  readonly replicas: number
  /** How many of them share a process, which is killed and stopped as a whole. */
  readonly together: number
  /** Whether processes are stopped for an hour in the middle of each kind of work. */
  readonly stops: boolean
  readonly hours: number
  readonly seed: number
  readonly progress: (text: string) => void
}

export interface FleetResult extends Bill {
  readonly name: string
  /** How many there were in all, and how many of the replicas were gateways. */
  readonly processes: number
  readonly replicas: number
  readonly gateways: number
  /** How many processes were killed, and how often the engine. */
  readonly kills: number
  readonly restarts: number
  /** How many processes were stopped for an hour in the middle of what. */
  readonly stops: Readonly<Record<Work, number>>
  /** How many requests the engine had of the processes: a file none. */
  readonly engineRequests: number
  /** How long it took, in real seconds. */
  readonly seconds: number
  /** How many requests senders had for gateways, and how often they sent one again. */
  readonly requests: number
  readonly repeated: number
  /** What was measured by processes that were killed before they knew whether the ledger had it. */
  readonly unknown: number
  /** How many records another tool has metered of the same customers; each is found by reconciling, or a problem. */
  readonly othersFound: number
}

/** Lets a fleet live: it is scaled up and down, killed at random, its engine killed and restarted. Then it adds up. */
export async function runFleet(options: FleetOptions): Promise<FleetResult> {
  const { engine, replicas: most, together, stops, hours, seed, progress } = options
  // Where many share a process, each does less.
  const interval = together === 1 ? MINUTE : 5 * MINUTE
  const processes = Math.ceil(most / together)
  Object.assign(process.env, CREDENTIALS)
  const began = Date.now()
  const now = () => virtual(Date.now(), began)
  const random = seeded(seed)
  await using marketplace = await startSimulator({
    now,
    seed,
    quota: null,
    faults: FAULTS.map(fault => ({ ...fault })),
  })
  const { url } = marketplace
  const { ledger, close } = await openPlace(engine.place)
  const folder = mkdtempSync(join(tmpdir(), 'fleet-senders-'))
  const replicas = new Replicas({
    ...{ place: engine.place, marketplace: url, began, customers: APPLICATIONS_CUSTOMERS, random },
    ...{ together, interval, progress: (text: string) => progress(`${engine.name}: ${text}`) },
    env: { ...process.env, AWS_ENDPOINT_URL_MARKETPLACE_METERING: url },
  })
  const senders = Array.from(
    { length: Math.ceil(most / 3) },
    (_, n) =>
      new Sender({
        ...{ number: n + 1, temporality: n % 2 === 1 ? 'delta' : 'cumulative', customers: SENDERS_CUSTOMERS },
        ...{ began, interval, skew: skewOf(random), seed: seed * 1000 + n, queueFile: join(folder, `queue-${n}`) },
        gateway: random => replicas.gateway(random),
      }),
  )
  const otherTool = new OtherTool(marketplace.simulator, seeded(seed), now)
  let restarts = 0
  try {
    replicas.scaleTo(processes)
    await replicas.ready(LONGEST_START)
    const begin = now()
    const end = begin + hours * HOUR
    for (let step = 1; now() < end; step += 1) {
      // On a busy machine a process takes longer to start than it would have to live.
      await replicas.ready(real(HOUR / 4))
      await sleep(real(5 * MINUTE))
      replicas.kill()
      otherTool.meter()
      // Between half and all of them; who goes is killed, or says goodbye.
      replicas.scaleTo(Math.ceil(processes * (0.5 + random() / 2)))
      if (stops && step % STEPS_BETWEEN_STOPS === 1) replicas.stopInEach()
      if (step % 6 === 2 && engine.restart !== undefined) {
        restarts += 1
        await engine.restart()
      }
      const minutes = Math.floor((now() - begin) / MINUTE)
      progress(
        `${engine.name}: ${Math.floor(minutes / 60)} h ${minutes % 60} min, ${replicas.size} processes, ${replicas.kills} killed`,
      )
    }
    progress(`${engine.name}: acknowledging what was sent`)
    replicas.goOn()
    // Whatever becomes of the others, this one stays until all is acknowledged.
    replicas.start(['gateway'])
    const unsent = await Promise.all(senders.map(sender => sender.end(real(LONGEST_END))))
    await replicas.stopAll()
    progress(`${engine.name}: closing the last hours`)
    replicas.start(['application'], [])
    await closed(ledger, hourOf(now()), now)
    await replicas.stopAll()
    const known: Amounts = { ...replicas.durable }
    for (const { measured } of senders) addAll(known, measured)
    const billed = marketplace.simulator.billed().filter(({ foreign }) => !foreign)
    const bill = billOf(await ledger.statement(), billed, known, replicas.unknown)
    const tagged = tagProblems(marketplace.simulator)
    const [requests, attempts] = [sumOf(senders, 'requests'), sumOf(senders, 'attempts')]
    const crashed = replicas.crashes === 0 ? [] : [`${replicas.crashes} processes ended by themselves`]
    const { notCounted } = await ledger.status()
    const uncounted = Object.entries(notCounted).map(
      ([reason, points]) => `${points} points were not counted: ${reason}`,
    )
    return {
      ...{ name: engine.name, processes: replicas.processes, seconds: Math.round((Date.now() - began) / 1000) },
      replicas: replicas.started.application + replicas.started.gateway,
      ...{ stops: replicas.stops, engineRequests: replicas.asked },
      ...{ gateways: replicas.started.gateway, kills: replicas.kills, restarts },
      ...{ requests, repeated: attempts - requests },
      ...bill,
      unknown: total(replicas.unknown),
      othersFound: otherTool.sent,
      problems: [
        ...crashed,
        ...unsent.flat(),
        ...uncounted,
        ...bill.problems,
        ...tagged,
        ...(await otherTool.problems(ledger)),
      ],
    }
  } finally {
    replicas.killAll()
    await close()
    rmSync(folder, { recursive: true })
  }
}

const sumOf = (senders: readonly Sender[], what: 'requests' | 'attempts') =>
  senders.reduce((sum, sender) => sum + sender[what], 0)

/** What is billed by tags is what is billed, some of it with tags, and no record was sent again with another split. */
function tagProblems(simulator: MarketplaceSimulator): string[] {
  const shares = simulator.totalsByTags()
  const sum = (lines: readonly { readonly quantity: number }[]) => lines.reduce((all, one) => all + one.quantity, 0)
  const [all, byTags] = [sum(simulator.totals()), sum(shares)]
  const tagged = sum(shares.filter(({ tags }) => Object.keys(tags).length > 0))
  const { resplits } = simulator.counters
  return [
    ...(all === byTags ? [] : [`billed ${all}, and ${byTags} by tags`]),
    ...(tagged > 0 ? [] : ['nothing was billed with tags']),
    ...(resplits === 0 ? [] : [`${resplits} records were sent again with another split`]),
  ]
}

/** Waits until an hour is closed and nothing is on its way any more. */
async function closed(ledger: Ledger, hour: number, now: () => number): Promise<void> {
  const end = now() + LONGEST_END
  for (;;) {
    const { closedThrough = 0, pending } = await ledger.status()
    if (closedThrough >= hour && pending.length === 0) return
    if (now() > end) return
    await sleep(real(MINUTE))
  }
}
