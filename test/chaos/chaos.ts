import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { STRATEGIES } from './month.ts'
import type { PlanOptions } from './plan.ts'
import type { Outcome } from './strategy.ts'

export type Progress = (name: string, share: number) => void

/** Lives every strategy through the same month, as many at once as there are cores. */
export async function chaos(options: PlanOptions, progress: Progress): Promise<Map<string, Outcome>> {
  const outcomes = new Map<string, Outcome>()
  const waiting = Object.keys(STRATEGIES)
  const work = async () => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
      outcomes.set(name, await inWorker(name, options, progress))
    }
  }
  await Promise.all(Array.from({ length: Math.min(availableParallelism(), waiting.length) }, work))
  return new Map(Object.keys(STRATEGIES).map(name => [name, outcomes.get(name) as Outcome]))
}

function inWorker(name: string, options: PlanOptions, progress: Progress): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('worker.ts', import.meta.url), { workerData: { name, options } })
    worker.on('message', (message: { share: number } | { outcome: Outcome }) => {
      if ('share' in message) return progress(name, message.share)
      resolve(message.outcome)
    })
    worker.once('error', reject)
    worker.once('exit', code => reject(new Error(`"${name}" ended with ${code} and without a result`)))
  })
}

/** What of "this package" breaks the promise; nothing, if all is well. */
export function broken(outcomes: ReadonlyMap<string, Outcome>): string[] {
  return [...outcomes].flatMap(([name, { figures, violations }]) => {
    if (!name.startsWith('this package')) return []
    const wrong = figures.filter(({ lost, twice }) => lost !== 0n || twice !== 0n)
    return [...violations, ...wrong.map(({ lost, twice }) => `${lost} lost and ${twice} billed twice`)].map(
      what => `${name}: ${what}`,
    )
  })
}
