import { parseArgs } from 'node:util'
import { broken, chaos } from './chaos.ts'
import { asObject, print } from './report.ts'

const HELP = `Usage: npm run chaos -- [options]

A month on a virtual clock, across a month's end: hundreds of customers, and everything that can go wrong at AWS, on the
way and in one's own processes. Several ways to meter live through it, on the same usage. Ends with 1 where this package
loses a unit or bills one twice.

  --days N        virtual days (31)
  --customers N   customers (200)
  --seed N        the same seed repeats the same month (1)
  --json          print one JSON object`

const { values } = parseArgs({
  options: {
    days: { type: 'string', default: '31' },
    customers: { type: 'string', default: '200' },
    seed: { type: 'string', default: '1' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
if (values.help) {
  console.log(HELP)
  process.exit()
}

const whole = (name: 'days' | 'customers' | 'seed', least: number) => {
  const value = Number(values[name])
  if (Number.isInteger(value) && value >= least) return value
  console.error(`--${name}: expected an integer from ${least}, got "${values[name]}"`)
  process.exit(2)
}

const options = { seed: whole('seed', 0), days: whole('days', 3), customers: whole('customers', 3) }
const told = new Map<string, number>()
const outcomes = await chaos(options, (name, share) => {
  const tenth = Math.floor(share * 10)
  if (tenth === told.get(name)) return
  told.set(name, tenth)
  console.error(`${name}: ${tenth * 10} %`)
})
const violations = broken(outcomes)
if (values.json) console.log(JSON.stringify(asObject(options, outcomes, violations), null, 2))
else print(options, outcomes)
if (violations.length > 0) {
  console.error(
    `The promise is broken (repeat it with --seed ${options.seed} --days ${options.days} --customers ${options.customers}):`,
  )
  for (const violation of violations) console.error(`  ${violation}`)
  process.exitCode = 1
}
