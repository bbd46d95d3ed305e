import { parseArgs } from 'node:util'
import { Table } from 'console-table-printer'
import ora, { type Ora } from 'ora'
import { endWhereUnwritable } from '../../src/cli/output.ts'
import { bars } from './bars.ts'
import { type MainJobResult, type Progress, runMainJob, START } from './main-job.ts'

const HELP = `Usage: npm start -- [options]

Starts the AWS Marketplace simulator and the example inference server, drives traffic of several customers through
HTTP for some virtual hours, and compares what the responses said, what the ledger recorded and what AWS bills.

  --hours N       virtual hours of traffic (6)
  --customers N   customers at the beginning; the first leaves, and another arrives (5)
  --seed N        the same seed asks the same (1)
  --no-faults     let AWS never fail
  --kills N       kill the server with SIGKILL so often, and start it again (0)
  --json          print one JSON object`

const { values } = parseArgs({
  options: {
    hours: { type: 'string', default: '6' },
    customers: { type: 'string', default: '5' },
    seed: { type: 'string', default: '1' },
    kills: { type: 'string', default: '0' },
    faults: { type: 'boolean', default: true },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
  allowNegative: true,
})
endWhereUnwritable()
if (values.help) console.log(HELP)
else await main()

async function main(): Promise<void> {
  const spinner = ora({ text: 'Starting the simulator and the inference server' }).start()
  const result = await runMainJob({
    hours: whole('hours', 1),
    customers: whole('customers', 1),
    seed: whole('seed', 0),
    kills: whole('kills', 0),
    faults: values.faults,
    progress: progress(spinner),
  }).finally(() => spinner.stop())
  if (values.json) console.log(JSON.stringify(result, null, 2))
  else print(result)
  process.exitCode = result.difference === 0 || (result.kills > 0 && onlyUnacknowledged(result)) ? 0 : 1
}

function whole(name: 'hours' | 'customers' | 'seed' | 'kills', least: number): number {
  const value = Number(values[name])
  if (Number.isInteger(value) && value >= least) return value
  console.error(`--${name}: expected an integer from ${least}, got "${values[name]}"`)
  process.exit(2)
}

/** A line that changes on a terminal, and a line for each virtual hour elsewhere. */
function progress(spinner: Ora): (state: Progress) => void {
  let told = -1
  return ({ hour, minute, requests, billedRecords, faults, kills }) => {
    const clock = `${String(hour).padStart(2, '0')}:${String(minute).padStart(2, '0')}`
    const text = `virtual time ${clock}  ${requests} requests answered, ${billedRecords} records billed, ${faults} faults${
      kills > 0 ? `, ${kills} kills` : ''
    }`
    spinner.text = text
    if (!process.stderr.isTTY && hour !== told) console.error(text)
    told = hour
  }
}

function print(result: MainJobResult): void {
  const table = new Table({
    shouldDisableColors: !process.stdout.isTTY,
    columns: [
      { name: 'customer', alignment: 'left' },
      { name: 'dimension', alignment: 'left' },
      { name: 'unit', title: 'in', alignment: 'left' },
      ...['measured', 'recorded', 'metered', 'pending', 'held', 'balance', 'billed'].map(name => ({
        name,
        alignment: 'right',
      })),
      { name: ' ', alignment: 'left' },
    ],
  })
  for (const line of result.lines) {
    const right = line.measured === line.recorded && line.metered === line.billed
    const numbers = Object.fromEntries(
      Object.entries(line).map(([name, value]) => [
        name,
        typeof value === 'number' ? value.toLocaleString('en-US', { maximumFractionDigits: 6 }) : value,
      ]),
    )
    table.addRow({ ...numbers, ' ': right ? '✓' : '✗' })
  }
  table.printTable()
  const faults = Object.entries(result.faults).map(([kind, count]) => `${count} ${kind}`)
  console.log('GPU time is in seconds, of which a GPU hour is 3,600.')
  console.log('measured: what the HTTP responses said. recorded … balance: the ledger. billed: what AWS bills.')
  console.log(`${result.requests} requests; faults at AWS: ${faults.join(', ') || 'none'}.`)
  for (const line of tellVisitors(result)) console.log(line)
  for (const line of tellModels(result)) console.log(line)
  console.log(
    `Difference: ${result.difference}${result.difference === 0 ? ' (measured = recorded and metered = billed on every line)' : ''}`,
  )
  if (result.kills > 0) {
    console.log(
      `${result.kills} kills: ${onlyUnacknowledged(result) ? 'nothing is missing but' : 'MORE is missing than'} what was not exported yet when the server was killed.`,
    )
  }
  for (const line of tellHour(result)) console.log(line)
}

/** The picture: the same hour, billed in several ways. */
function tellHour({ busiestHour: { hour, measured, billed } }: MainJobResult): string[] {
  const heading = `The tokens of one hour, ${clockOf(hour)} to ${clockOf(hour + 3_600_000)}, and how many of them AWS bills:`
  return ['', heading, ...bars({ measured, ...billed })]
}

/** As AWS Cost Explorer shows it to who has activated the tag. */
function tellModels({ models }: MainJobResult): string[] {
  const told = models.map(({ model, measured, metered, billed }) => {
    const [all, ...others] = [billed, metered, measured].map(tokens => tokens.toLocaleString('en-US'))
    return `${model} ${all} (ledger ${others[0]}, measured ${others[1]})`
  })
  return models.slice(0, 1).map(({ customer }) => `The bill of ${customer} by model, in tokens: ${told.join('; ')}.`)
}

/** Nobody called anything: AWS's events came into the server's queue. */
function tellVisitors({ visitors: { arrived, left } }: MainJobResult): string[] {
  const lines: string[] = []
  if (arrived !== undefined) {
    const { customer, at, keyAt } = arrived
    lines.push(
      `${customer} subscribed at ${clockOf(at)}; by AWS's event its key worked ${minutesFrom(at, keyAt)} later.`,
    )
  }
  if (left !== undefined) {
    const { customer, at, lastBilledAt = 0 } = left
    const billed =
      lastBilledAt < at ? 'owed nothing' : `was billed to the last unit ${minutesFrom(at, lastBilledAt)} later`
    lines.push(`${customer} left at ${clockOf(at)}; by AWS's event it ${billed}.`)
  }
  return lines
}

function minutesFrom(from: number, to: number): string {
  const minutes = Math.round((to - from) / 60_000)
  return `${minutes} ${minutes === 1 ? 'minute' : 'minutes'}`
}

/** Virtual hours and minutes since the beginning. */
function clockOf(time: number): string {
  const minutes = Math.floor((time - START) / 60_000)
  return `${String(Math.floor(minutes / 60)).padStart(2, '0')}:${String(minutes % 60).padStart(2, '0')}`
}

/** Whether no line misses more than what the ledger had not acknowledged when the server was killed. */
function onlyUnacknowledged({ lines, unacknowledged }: MainJobResult): boolean {
  return lines.every(({ measured, recorded, metered, billed }, index) => {
    const most = unacknowledged[index]?.amount ?? 0
    const missing = measured - recorded
    return metered === billed && missing >= 0 && missing <= most + 1e-6
  })
}
