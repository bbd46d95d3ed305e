import { parseArgs } from 'node:util'
import { ENGINES } from './engines.ts'
import { live, type Result } from './lab.ts'
import { print } from './report.ts'
import { SCENARIOS } from './scenarios/index.ts'

const HELP = `Usage: npm run counters -- [options]

What a counter is: situations from real life (who counts, how it comes here, what goes wrong), generated with what was
truly used, through real gateways on a virtual clock. Beside it, what others make of the same messages. Exits with 1 if a
situation is billed otherwise than its class allows.

  --only TEXT      only situations whose name has this text
  --seed N         the same seed gives the same traffic, times and order (1)
  --engine NAMES   sqlite, postgresql, dynamodb, or several with commas (sqlite)
  --json           print one JSON object`

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    seed: { type: 'string', default: '1' },
    engine: { type: 'string', default: 'sqlite' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
if (values.help) {
  console.log(HELP)
  process.exit()
}

const seed = Number(values.seed)
const scenarios = SCENARIOS.filter(({ name }) => name.includes(values.only))
const engines = values.engine.split(',')
const unknown = engines.find(name => !Object.hasOwn(ENGINES, name))
const wrong =
  (!(Number.isInteger(seed) && seed >= 0) && `--seed: expected an integer from 0, got "${values.seed}"`) ||
  (scenarios.length === 0 && `--only: no situation's name has "${values.only}"`) ||
  (unknown !== undefined && `--engine: expected some of ${Object.keys(ENGINES).join(', ')}, got "${unknown}"`)
if (wrong) {
  console.error(wrong)
  process.exit(2)
}

const results = new Map<string, Result[]>()
for (const name of engines) {
  const own: Result[] = []
  results.set(name, own)
  await using engine = await (ENGINES[name] as (typeof ENGINES)[string])()
  for (const scenario of scenarios) {
    own.push(await live(engine, scenario, seed))
    if (process.stderr.isTTY) process.stderr.write(`\r${name}: ${own.length} of ${scenarios.length}`)
  }
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K')
}

if (values.json) {
  const all = [...results].flatMap(([engine, own]) => own.map(one => ({ ...one, engine })))
  console.log(JSON.stringify({ seed, scenarios: all }, null, 2))
} else print(results, scenarios)
if ([...results.values()].flat().some(({ verdict }) => verdict === 'fail')) process.exitCode = 1
