import { execFileSync } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { Table } from 'console-table-printer'
import { append } from './append.ts'
import { drain } from './drain.ts'
import { dynamodb } from './dynamodb.ts'
import { exports } from './export.ts'
import { footprint } from './footprint.ts'
import { gateway } from './gateway.ts'
import { gatewayLoad } from './gateway-load.ts'
import { gatewayShared } from './gateway-shared.ts'
import { hostile } from './hostile.ts'
import { memory } from './memory.ts'
import { pass } from './pass.ts'
import { postgresql } from './postgresql.ts'
import { postgresqlHistory } from './postgresql-history.ts'
import { quota } from './quota.ts'
import { type Row, verdict } from './row.ts'
import { turns } from './turns.ts'

const HELP = `Usage: npm run bench -- [options]

Ratios between this package and what it is compared with, measured side by side in one run, on 2 cores; medians of
several rounds. Ends with 1 where a row misses what it must reach.

  --only text  only the rows with this in their name
  --json       print one JSON object`

const { values } = parseArgs({
  options: { only: { type: 'string', default: '' }, json: { type: 'boolean' }, help: { type: 'boolean' } },
})
if (values.help) {
  console.log(HELP)
  process.exit()
}

useTwoCores()
const asked = (name: string) => name.includes(values.only)
const shared = [postgresql, postgresqlHistory, dynamodb]
const gateways = [gateway, gatewayLoad, gatewayShared]
const all = [...exports, append, pass, turns, drain, quota, memory, footprint, ...gateways, hostile, ...shared]
const benchmarks = all.filter(({ rows }) => rows.some(asked))
if (benchmarks.length === 0) {
  console.error(`--only: no row has "${values.only}" in its name`)
  process.exit(2)
}
const rows: Row[] = []
for (const benchmark of benchmarks) {
  console.error(`… ${benchmark.rows.filter(asked).join(', ')}`)
  rows.push(...(await benchmark.run()).filter(({ name }) => asked(name)))
}

if (values.json) {
  console.log(JSON.stringify({ rows: rows.map(row => ({ ...row, verdict: verdict(row) })) }, null, 2))
} else {
  const table = new Table({
    shouldDisableColors: !process.stdout.isTTY,
    defaultColumnOptions: { alignment: 'right' },
    columns: [{ name: 'what', alignment: 'left' }],
  })
  for (const row of rows) {
    table.addRow({
      what: row.name,
      ours: row.ours,
      theirs: row.theirs,
      ratio: figure(row.ratio),
      must: bound(row, row.limit),
      aim: bound(row, row.aim),
      reached: verdict(row),
    })
  }
  table.printTable()
  for (const { name, against, note } of rows) console.log(`${name}: against ${against}${note ? `; ${note}` : ''}`)
}
for (const row of rows.filter(row => verdict(row) === 'MISSED')) {
  console.error(`MISSED ${row.name}: ${figure(row.ratio)}, must be ${bound(row, row.limit)}`)
  process.exitCode = 1
}

/** The table's figures are of 2 cores, whatever the machine has. Processes that are started later keep to them. */
function useTwoCores(): void {
  if (availableParallelism() <= 2) return
  try {
    execFileSync('taskset', ['--all-tasks', '--cpu-list', '--pid', '0,1', String(process.pid)], { stdio: 'ignore' })
  } catch {
    console.error('Without taskset these figures are of all cores.')
  }
}

function bound({ better }: Row, value: number): string {
  return `${better === 'lower' ? '≤' : '≥'} ${figure(value)}`
}

function figure(value: number): string {
  return value >= 10 ? value.toFixed(0) : value.toFixed(value >= 0.9 ? 3 : 2)
}
