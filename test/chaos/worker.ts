import { parentPort, workerData } from 'node:worker_threads'
import { liveThrough } from './month.ts'
import type { PlanOptions } from './plan.ts'

/** Lives one strategy through the month, beside the others. */
const { name, options } = workerData as { name: string; options: PlanOptions }
const outcome = await liveThrough(name, options, share => parentPort?.postMessage({ share }))
parentPort?.postMessage({ outcome })
