import assert from 'node:assert/strict'
import { execSync } from 'node:child_process'
import { globSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Project } from '../package/project.ts'
import { Application, billsWhatIsSent, type Outcome, sentTimes, World } from './bill.ts'
import { linesOf, type Recipe, sections, variables } from './document.ts'
import { billsInvocations } from './lambda.ts'

/** How each recipe is tried. */

export type Trial = (project: Project, recipe: Recipe) => Promise<readonly Outcome[]>

const answers: Trial = async (project, { start }) => [await billsWhatIsSent(project, start)]

/** Deletes the ledger, since each trial begins at the same time. */
function forget(project: Project): void {
  for (const file of globSync(join(project.folder, 'ledger.sqlite*'))) rmSync(file)
}

/** With all of the variables, which it does not heed; and as a newcomer who does not wait for the hour's end. */
const node: Trial = async (project, recipe) => {
  const started = await answers(project, recipe)

  forget(project)
  const all = Object.fromEntries(variables.map(({ name, value }) => [name, value]))
  const unheeding = await billsWhatIsSent(project, recipe.start, all)

  forget(project)
  await using world = await World.begin()
  for (const serves of [true, false]) {
    await using application = await Application.start(project, recipe.start, world.env)
    if (serves) await application.serve()
    await application.end()
    const env = { ...project.env, ...world.env }
    for (const command of serves ? linesOf(sections.get('before-the-first') as string) : []) {
      execSync(command, { cwd: project.folder, env, stdio: 'inherit' })
    }
  }
  const sent = Object.fromEntries(Object.entries(sentTimes(1)).filter(([unit]) => unit.startsWith('123456789012')))
  return [...started, unheeding, { sent, billed: world.billed }]
}

/** With each of the variables, in a ledger of its own. */
const heedsVariables: Trial = async (project, recipe) => {
  const outcomes = [...(await answers(project, recipe))]
  for (const { name, value, billed } of variables) {
    forget(project)
    console.log(`${name}=${value}`)
    const env = { [name]: value }
    const outcome = await billsWhatIsSent(project, recipe.start, env)
    outcomes.push(billed === 'all' ? outcome : { ...outcome, sent: {} })
  }
  return outcomes
}

/** In development, too, where its files change and are loaded again. */
const nextjs: Trial = async (project, recipe) => {
  const started = await answers(project, recipe)

  forget(project)
  const route = 'app/answer/route.ts'
  await using world = await World.begin()
  for (const serves of [true, false]) {
    const env = { ...world.env, NEXT_EXIT_TIMEOUT_MS: '30000' }
    await using application = await Application.start(project, 'node_modules/.bin/next dev', env)
    if (serves) {
      await application.serve()
      project.write('telemetry.ts', `${recipe.files.get('telemetry.ts')}export {}\n`)
      project.write(route, (recipe.files.get(route) as string).replace('Response(null', "Response('who?'"))
      await application.answers('who?')
      await application.serve()
    }
    await application.end()
    world.anHourLater()
  }
  return [...started, { sent: sentTimes(2), billed: world.billed }]
}

/** Its own test passes, and fails where one token more is measured. */
const jest: Trial = async (project, { start, files }) => {
  project.run('sh', '-c', start)
  project.write('answer.mjs', (files.get('answer.mjs') as string).replace('output: 40', 'output: 41'))
  assert.throws(() => project.run('sh', '-c', start))
  return []
}

export const TRIALS: Readonly<Record<string, Trial>> = {
  node,
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
