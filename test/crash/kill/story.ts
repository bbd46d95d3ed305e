import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AWSMarketplaceMetricExporter } from '../../../src/exporter.ts'
import { HOUR, MINUTE } from '../../../src/ledger/hours.ts'
import { SqliteLedger } from '../../../src/ledger/sqlite/ledger.ts'
import { type Fault, type RunningSimulator, simulatorClient, startSimulator } from '../../../src/simulator/index.ts'
import { seeded } from '../../../src/simulator/random.ts'
import type { Mutation } from '../mutation.ts'
import { Books } from './books.ts'
import { drawInstant, type Instant } from './instants.ts'
import { Life } from './life.ts'
import type { Phase } from './telling.ts'
import { PRODUCT, REGION } from './usage.ts'

export interface StoryOptions {
  readonly kills: number
  readonly seed: number
  /** A change to what the processes run. */
  readonly mutation?: Mutation | undefined
}

export interface Kill {
  readonly planned: Instant
  /** What the process was in the middle of. */
  readonly in: readonly Phase[]
}

export interface StoryResult {
  readonly kills: readonly Kill[]
  readonly acknowledged: number
  readonly lost: number
  readonly twice: number
  /** How many records AWS billed, and how many a person had to settle. */
  readonly billed: number
  readonly settled: number
  readonly faults: readonly string[]
}

/** Two days before a month's end, so that a long story crosses it. */
const START = Date.UTC(2026, 2, 30)
/** How far the clock goes on with each batch. */
const TICK = 5 * MINUTE
/** Some processes are started again only when AWS no longer takes what the last one left. */
const LONG = 30 * HOUR
const LONG_BREAKS = 0.15
/** A process that does not come to its instant is killed all the same: so long after it has opened the ledger … */
const LONGEST_LIFE = 1000
/** … and so long after it was started. */
const LONGEST_START = 15_000
const FAULTS: Fault[] = [
  { kind: 'reset-after', rate: 0.05 },
  { kind: 'internal-error-after', rate: 0.03 },
  { kind: 'throttling', rate: 0.03 },
  { kind: 'unprocessed', rate: 0.05 },
]

/** One ledger, from a new file over many processes that are killed to the day on which all of it is billed. */
export async function story(options: StoryOptions): Promise<StoryResult> {
  const folder = mkdtempSync(join(tmpdir(), 'kills-'))
  const random = seeded(options.seed)
  let onTaken: (() => void) | undefined
  const aws = await startSimulator({
    now: () => START,
    quota: null,
    seed: options.seed,
    faults: FAULTS,
    // It is called when AWS has taken the records and has not answered yet.
    delay: async () => onTaken?.(),
  })
  const path = join(folder, 'ledger.sqlite')
  const backup = join(folder, 'backup.sqlite')
  const books = new Books(aws.simulator)
  const kills: Kill[] = []
  let time = START
  const setTime = (to: number) => {
    time = to
    aws.simulator.clock.set(to)
  }
  setTime(time)
  try {
    // What comes after a fault is its consequence.
    for (let n = 0; n < options.kills && books.faults.length === 0; n += 1) {
      const planned = drawInstant(random, n < 2)
      const trigger = new Trigger(planned, aws)
      const life = new Life(
        {
          ...{ ledger: path, backup, url: aws.url, time, seed: Math.floor(random() * 2 ** 32) },
          ...(planned.type === 'statement' && { crashPoint: planned }),
        },
        options.mutation,
        (life, begun, done) => {
          trigger.told(life, begun, done)
          // The clock of a request that is under way stands still, as it nearly does in life.
          if (done !== 'append' || life.isIn('request')) return
          setTime(time + TICK)
          life.setTime(time)
        },
      )
      onTaken = () => trigger.taken(life)
      trigger.begin(life)
      await life.over
      trigger.end()
      kills.push({ planned, in: life.phases })
      books.faults.push(...life.faults)
      books.acknowledge(life.acknowledged)
      await books.check(path, life.inFlight)
      await books.checkBackup(backup)
      if (random() < LONG_BREAKS) setTime(time + LONG)
    }
    const settled = books.faults.length > 0 ? 0 : await finish(path, aws, () => time, setTime, books)
    return {
      kills,
      acknowledged: books.batches,
      lost: books.lost,
      twice: books.twice,
      billed: aws.simulator.billed().length,
      settled,
      faults: books.faults,
    }
  } finally {
    await aws.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Waits for the planned instant, and kills. */
class Trigger {
  readonly #planned: Instant
  readonly #aws: RunningSimulator
  #begun = false
  #requests = 0
  #timers: NodeJS.Timeout[] = []

  constructor(planned: Instant, aws: RunningSimulator) {
    this.#planned = planned
    this.#aws = aws
  }

  begin(life: Life): void {
    this.#killAfter(life, LONGEST_START)
  }

  told(life: Life, begun: Phase | undefined, done: Phase | undefined): void {
    if (done === 'open') this.#live(life)
    const planned = this.#planned
    if (this.#begun || planned.type !== 'time' || begun !== planned.phase) return
    this.#begun = true
    this.#killAfter(life, planned.after)
  }

  /** AWS has taken records, and has not answered. */
  taken(life: Life): void {
    const planned = this.#planned
    this.#requests += 1
    if (planned.type === 'taken' && this.#requests === planned.times) life.kill()
    if (planned.type === 'answered' && this.#requests === planned.times) this.#killAfter(life, planned.after)
  }

  end(): void {
    for (const timer of this.#timers) clearTimeout(timer)
    this.#aws.simulator.faults.clear('latency')
  }

  #live(life: Life): void {
    this.#killAfter(life, LONGEST_LIFE)
    // Latency, because the simulator waits for it between taking records and answering.
    if ('times' in this.#planned) {
      this.#aws.simulator.faults.add({ kind: 'latency', next: this.#planned.times, milliseconds: 1 })
    }
  }

  #killAfter(life: Life, milliseconds: number): void {
    if (milliseconds < 0.5) life.kill()
    else this.#timers.push(setTimeout(() => life.kill(), milliseconds))
  }
}

/** Lets the ledger run until all that is whole is billed. Returns how many records a person had to settle. */
async function finish(
  path: string,
  aws: RunningSimulator,
  now: () => number,
  setTime: (to: number) => void,
  books: Books,
): Promise<number> {
  aws.simulator.faults.clear()
  const ledger = new SqliteLedger({ path })
  const client = simulatorClient(aws.simulator, { region: REGION })
  const exporter = new AWSMarketplaceMetricExporter({
    ...PRODUCT,
    region: REGION,
    ledger,
    client,
    now,
    wakeInterval: HOUR,
    consoleWarnings: false,
  })
  let settled = 0
  // The hour that is open, the hour that what was held goes into, and one for what came late.
  for (let hours = 0; hours < 4; hours += 1) {
    setTime(now() + HOUR)
    await exporter.forceFlush()
    for (const { id, account, dimension, hour } of await ledger.records({ state: 'held', limit: 100_000 })) {
      // What a person would look up in CloudTrail.
      const billed = aws.simulator.billed({ customer: account.accountId ?? '', dimension, hour })
      await ledger.decide(id, billed.length > 0 ? 'billed' : 'not-billed', {
        who: 'a person',
        why: 'CloudTrail',
        now: now(),
      })
      settled += 1
    }
  }
  await exporter.shutdown()
  books.checkEnd(await ledger.statement())
  await ledger.close()
  await books.check(path, [])
  return settled
}
