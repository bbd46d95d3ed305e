import { globSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { Table } from 'console-table-printer'
import { inParallel, judge, type Verdict } from './harness.ts'
import { Project, ROOT } from './project.ts'
import { randomMutations } from './random.ts'
import { MUTATIONS } from './table.ts'

/** Some of the tests run several processes themselves, and are about when they end. */
const JOBS = Math.ceil(availableParallelism() / 2)

/** Where money is decided. */
const CORE = [
  ...['src/usage/*.ts', 'src/ledger/{rules,clients,sqlite}/*.ts', 'src/metering/*.ts', 'src/exporter.ts'],
  ...['src/gateway/{intake,counter-names,observation-writer}.ts'],
].join()

const HELP = `Usage: npm run mutations -- [options]

Makes deliberate mistakes in copies of the source, one at a time, and runs the tests that have to find each. First those
tests run on a copy without a mistake, where all of them have to pass. Exits with 1 if a mistake is not found.

  --only TEXT    only mutations whose name has this text

Or makes mistakes at random, runs the quick tests of what they are in, and says which of them nobody notices: some of
those change nothing that anybody could see.

  --random N     how many
  --seed S       which (1)
  --files GLOBS  of which files, with commas between (where money is decided)

  --jobs N       how many run at once (${JOBS})
  --json         print one JSON object`

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    random: { type: 'string' },
    seed: { type: 'string', default: '1' },
    files: { type: 'string', default: CORE },
    jobs: { type: 'string', default: String(JOBS) },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
if (values.help) {
  console.log(HELP)
  process.exit()
}
const jobs = whole('jobs', values.jobs)
if (values.random !== undefined) {
  // A comma in braces is the glob's own.
  const files = globSync(values.files.split(/,(?![^{]*\})/), { cwd: ROOT }).sort()
  if (files.length === 0) refuse(`--files: expected globs of source files, got "${values.files}"`)
  const [count, seed] = [whole('random', values.random), whole('seed', values.seed)]
  await randomMutations({ count, seed, files, jobs, json: values.json })
  process.exit()
}
const mutations = MUTATIONS.filter(({ name }) => name.includes(values.only))
if (mutations.length === 0) refuse(`--only: no mutation's name has "${values.only}"`)

const NO_MUTATION = { name: 'none', sin: '', edits: [], caughtBy: [...new Set(mutations.flatMap(one => one.caughtBy))] }

const sound = await inParallel(NO_MUTATION.caughtBy, jobs, async file => {
  using project = new Project()
  return await judge(project, file)
})
const unsound = sound.filter(({ says }) => says !== 'passes' && says !== 'skipped')
for (const { file, test, output } of unsound)
  console.error(`${file} fails without any mutation: ${test ?? output.slice(0, 1000)}`)
if (unsound.length > 0) process.exit(1)

const results = await inParallel(mutations, jobs, async ({ name, sin, edits, caughtBy }) => {
  using project = new Project()
  for (const edit of edits) project.apply(edit)
  const verdicts: Verdict[] = []
  for (const file of caughtBy) verdicts.push(await judge(project, file))
  const survives = verdicts.some(({ says }) => says === 'passes' || says === 'does not run')
  const skipped = verdicts.every(({ says }) => says === 'skipped')
  const result = survives ? 'SURVIVES' : skipped ? 'skipped' : 'caught'
  if (!values.json) console.error(`${result}: ${name}`)
  return { name, sin, result, verdicts: verdicts.map(({ output: _, ...verdict }) => verdict) }
})

if (values.json) console.log(JSON.stringify({ mutations: results }, null, 2))
else print()
process.exitCode = results.some(({ result }) => result === 'SURVIVES') ? 1 : 0

function whole(option: string, given: string): number {
  const number = Number(given)
  return Number.isInteger(number) && number > 0 ? number : refuse(`--${option}: expected 1 or more, got "${given}"`)
}

function refuse(message: string): never {
  console.error(message)
  process.exit(2)
}

function print(): void {
  const table = new Table({
    shouldDisableColors: !process.stdout.isTTY,
    columns: ['mutation', 'result', 'by'].map(name => ({ name, alignment: 'left' })),
  })
  for (const { name, result, verdicts } of results) {
    const by = verdicts.map(
      ({ file, says }) => `${file.replace(/^test\/|\.test\.ts$/g, '')}${says === 'fails' ? '' : ` (${says})`}`,
    )
    table.addRow({ mutation: name, result, by: by.join(', ') })
  }
  table.printTable()
  const caught = results.filter(({ result }) => result === 'caught').length
  console.log(`${caught} of ${results.length} mutations are caught.`)
}
