import { availableParallelism } from 'node:os'
import { seeded } from '../../../src/simulator/random.ts'
import type { Mutation } from '../mutation.ts'
import { type Kill, type StoryResult, story } from './story.ts'
import type { Phase } from './telling.ts'

export interface KillsOptions {
  readonly kills: number
  readonly seed: number
  /** So many has each ledger's story, so that there are new ledgers too. 12 by default. */
  readonly killsPerStory?: number
  readonly mutation?: Mutation
}

export interface KillsResult {
  readonly kills: number
  /** Batches that were acknowledged. */
  readonly acknowledged: number
  readonly lost: number
  readonly twice: number
  /** Usage records that AWS billed. */
  readonly billed: number
  /** In how many cases a person had to say whether AWS billed a record. */
  readonly settled: number
  /** How many processes were killed in the middle of what; some in the middle of two things. */
  readonly inTheMiddleOf: Partial<Record<Phase | 'nothing', number>>
  readonly instants: readonly Kill[]
  readonly faults: readonly string[]
}

/** Tells stories side by side, each with a ledger of its own. */
export async function killProcesses({ kills, seed, killsPerStory = 12, mutation }: KillsOptions): Promise<KillsResult> {
  const random = seeded(seed)
  const stories = Array.from({ length: Math.ceil(kills / killsPerStory) }, (_, index) => ({
    kills: Math.min(killsPerStory, kills - index * killsPerStory),
    seed: Math.floor(random() * 2 ** 32),
    mutation,
  }))
  const waiting = [...stories.entries()]
  const told: StoryResult[] = []
  const teller = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [index, options] = next
      const result = await story(options)
      told[index] = { ...result, faults: result.faults.map(fault => `story ${index}: ${fault}`) }
    }
  }
  await Promise.all(Array.from({ length: availableParallelism() }, teller))
  const instants = told.flatMap(one => one.kills)
  const inTheMiddleOf: KillsResult['inTheMiddleOf'] = {}
  for (const kill of instants) {
    const phases: readonly (Phase | 'nothing')[] = kill.in.length > 0 ? kill.in : ['nothing']
    for (const phase of phases) inTheMiddleOf[phase] = (inTheMiddleOf[phase] ?? 0) + 1
  }
  const total = (figure: 'acknowledged' | 'lost' | 'twice' | 'billed' | 'settled') =>
    told.reduce((sum, one) => sum + one[figure], 0)
  return {
    kills: instants.length,
    acknowledged: total('acknowledged'),
    lost: total('lost'),
    twice: total('twice'),
    billed: total('billed'),
    settled: total('settled'),
    inTheMiddleOf,
    instants,
    faults: told.flatMap(one => one.faults),
  }
}
