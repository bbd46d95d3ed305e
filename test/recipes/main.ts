import assert from 'node:assert/strict'
import { parseArgs } from 'node:util'
import { ours, Project } from '../package/project.ts'
import type { Bill } from './bill.ts'
import { recipes } from './document.ts'
import { TRIALS, type Trial } from './trials.ts'

/**
 * Tries the recipes of examples/README.md as a newcomer would: the packed package in an empty folder, what is written there
 * word for word, and requests; then what the simulator has billed is what was sent. `--only NAME`, several times perhaps.
 * Lambda's takes some minutes, in which AWS's runtime client is compiled.
 */

const { values } = parseArgs({ options: { only: { type: 'string', multiple: true } } })
const names = values.only ?? Object.keys(TRIALS)
const unknown = names.filter(name => !(name in TRIALS))
if (unknown.length > 0) {
  console.error(`There is no recipe ${unknown.join(', ')}: expected ${Object.keys(TRIALS).join(', ')}`)
  process.exit(2)
}

const lines: string[] = []
for (const recipe of recipes.filter(({ name }) => names.includes(name))) {
  console.log(`\n── ${recipe.name}`)
  using project = new Project()
  const name = recipe.name.padEnd(22)
  const begun = performance.now()
  const seconds = () => `${Math.round((performance.now() - begun) / 1000)} s`
  try {
    for (const [path, text] of recipe.files) project.write(path, text)
    project.install(...recipe.packages.filter(name => name !== ours.name))
    console.log(`installed after ${seconds()}`)
    for (const step of recipe.steps) project.run('sh', '-c', step)
    const outcomes = await (TRIALS[recipe.name] as Trial)(project, recipe)
    for (const { sent, billed } of outcomes) assert.deepEqual(billed, sent)
    const units = (bills: readonly Bill[]) => bills.flatMap(Object.values).reduce((sum, each) => sum + each, 0)
    const [sent, billed] = [outcomes.map(outcome => outcome.sent), outcomes.map(outcome => outcome.billed)]
    const said = `${units(sent)} units sent, ${units(billed)} billed, in ${outcomes.length} trials`
    lines.push(`${name} ok after ${seconds()}: ${outcomes.length === 0 ? 'its own test tells' : said}`)
  } catch (error) {
    process.exitCode = 1
    console.error(error)
    lines.push(`${name} FAILED after ${seconds()}: ${(error as Error).message.split('\n')[0]}`)
  }
}
console.log(`\n${lines.join('\n')}`)
