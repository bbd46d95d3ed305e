import assert from 'node:assert/strict'
import { appendFileSync, globSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Project } from '../package/project.ts'
import { Application, billsWhatIsSent, type Outcome, sentTimes, World } from './bill.ts'
import { type Recipe, variables } from './document.ts'
import { billsInvocations } from './lambda.ts'

/** How each recipe is tried. */

export type Trial = (project: Project, recipe: Recipe) => Promise<readonly Outcome[]>

const answers: Trial = async (project, { start }) => [await billsWhatIsSent(project, start)]

/** With each of the variables, in a ledger of its own. */
const heedsVariables: Trial = async (project, recipe) => {
  const outcomes = [...(await answers(project, recipe))]
  for (const { name, value, billed } of variables) {
    for (const file of globSync(join(project.folder, 'ledger.sqlite*'))) rmSync(file)
    console.log(`${name}=${value}`)
    const env = { [name]: value }
    const outcome = await billsWhatIsSent(project, recipe.start, env)
    outcomes.push(billed === 'all' ? outcome : { ...outcome, sent: {} })
  }
  return outcomes
}

/** In development, too, where its files change. */
const nextjs: Trial = async (project, recipe) => {
  const started = await answers(project, recipe)
  await using world = await World.begin()
  const files = ['telemetry.ts', 'customers.ts']
  for (const serves of [true, false]) {
    const env = { ...world.env, NEXT_EXIT_TIMEOUT_MS: '30000' }
    await using application = await Application.start(project, 'node_modules/.bin/next dev', env)
    for (const file of serves ? files : []) {
      await application.serve()
      appendFileSync(join(project.folder, file), '\nexport {}\n')
    }
    await application.end()
    world.anHourLater()
  }
  return [...started, { sent: sentTimes(files.length), billed: world.billed }]
}

/** Its own test passes, and fails where one token more is measured. */
const jest: Trial = async (project, { start, files }) => {
  project.run('sh', '-c', start)
  project.write('answer.mjs', (files.get('answer.mjs') as string).replace('output: 40', 'output: 41'))
  assert.throws(() => project.run('sh', '-c', start))
  return []
}

export const TRIALS: Readonly<Record<string, Trial>> = {
  node: answers,
  nodesdk: heedsVariables,
  'auto-instrumentation': answers,
  express: answers,
  fastify: answers,
  nestjs: answers,
  nextjs,
  lambda: billsInvocations,
  'worker-threads': answers,
  cluster: answers,
  jest,
  bundlers: answers,
}
