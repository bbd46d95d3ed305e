import type { Project } from '../package/project.ts'
import { billsWhatIsSent, type Outcome } from './bill.ts'
import type { Recipe } from './document.ts'

/** How each recipe is tried. */

type Trial = (project: Project, recipe: Recipe) => Promise<Outcome>

const answers: Trial = (project, { start }) => billsWhatIsSent(project, start)

export const TRIALS: Readonly<Record<string, Trial>> = {
  node: answers,
  nodesdk: answers,
  'auto-instrumentation': answers,
  express: answers,
  fastify: answers,
  nestjs: answers,
  nextjs: answers,
  'worker-threads': answers,
  cluster: answers,
}
