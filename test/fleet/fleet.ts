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
import { type Amounts, addAll } from './orders.ts'
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
  readonly hours: number
  readonly seed: number
  readonly progress: (text: string) => void
}

export interface FleetResult extends Bill {
  readonly name: string
  /** How many processes there were in all, and how many of them were gateways. */
  readonly replicas: number
  readonly gateways: number
  readonly kills: number
  readonly restarts: number
  /** How many requests senders had for gateways, and how often they sent one again. */
  readonly requests: number
  readonly repeated: number
  /** What was measured by processes that were killed before they knew whether the ledger had it. */
  readonly unknown: number
  /** How many records another tool has metered of the same customers; each is found by reconciling, or a problem. */
  readonly othersFound: number
}

/** Lets a fleet live: it is scaled up and down, killed at random, its engine killed and restarted. Then it adds up. */
export async function runFleet({ engine, replicas: most, hours, seed, progress }: FleetOptions): Promise<FleetResult> {
  Object.assign(process.env, CREDENTIALS)
  const began = Date.now()
  const now = () => virtual(Date.now(), began)
  const begin = now()
  const random = seeded(seed)
  await using marketplace = await startSimulator({
    now,
    seed,
    quota: null,
    faults: FAULTS.map(fault => ({ ...fault })),
  })
  const { url } = marketplace
  const ledger = await openPlace(engine.place)
  const folder = mkdtempSync(join(tmpdir(), 'fleet-senders-'))
  const replicas = new Replicas({
    ...{ place: engine.place, marketplace: url, began, customers: APPLICATIONS_CUSTOMERS, random },
    env: { ...process.env, AWS_ENDPOINT_URL_MARKETPLACE_METERING: url },
  })
  const senders = Array.from(
    { length: Math.ceil(most / 3) },
    (_, n) =>
      new Sender({
        ...{ number: n + 1, temporality: n % 2 === 1 ? 'delta' : 'cumulative', customers: SENDERS_CUSTOMERS },
        ...{ began, skew: skewOf(random), seed: seed * 1000 + n, queueFile: join(folder, `queue-${n}`) },
        gateway: random => replicas.gateway(random),
      }),
  )
  const otherTool = new OtherTool(marketplace.simulator, seeded(seed))
  let restarts = 0
  try {
    replicas.scaleTo(most)
    const end = begin + hours * HOUR
    for (let step = 1; now() < end; step += 1) {
      // On a busy machine a process takes longer to start than it would have to live.
      await replicas.ready(real(HOUR / 4))
      await sleep(real(5 * MINUTE))
      replicas.kill()
      otherTool.meter()
      // Between half and all of them; who goes is killed, or says goodbye.
      replicas.scaleTo(Math.ceil(most * (0.5 + random() / 2)))
      if (step % 6 === 2 && engine.restart !== undefined) {
        restarts += 1
        await engine.restart()
      }
      const minutes = Math.floor((now() - begin) / MINUTE)
      progress(
        `${engine.name}: ${Math.floor(minutes / 60)} h ${minutes % 60} min, ${replicas.size} replicas, ${replicas.kills} killed`,
      )
    }
    progress(`${engine.name}: acknowledging what was sent`)
    // Whatever becomes of the others, this one stays until all is acknowledged.
    replicas.start('gateway')
    const unsent = await Promise.all(senders.map(sender => sender.end(real(LONGEST_END))))
    await replicas.stopAll()
    progress(`${engine.name}: closing the last hours`)
    replicas.start('application', [])
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
      ...{ name: engine.name, replicas: replicas.started.application + replicas.started.gateway },
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
    await ledger.close()
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
