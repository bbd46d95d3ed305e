import { parseArgs } from 'node:util'
import { Table } from 'console-table-printer'
import { type KillsResult, killProcesses } from './kill/kills.ts'
import { type CutsResult, cutPower, NORMAL } from './power/cuts.ts'
import { whyNotHere } from './power/recorder.ts'

const HELP = `Usage: npm run crash -- [options]

Kills processes that meter under load with kill -9, starts them again on the same ledger, and holds what is in it
against what it had acknowledged and against what AWS billed. Then records every write of a ledger's life, cuts the
power at random instants of it, each time with what a disk may forget, and opens what is left: once as the ledger is,
and once with synchronous=NORMAL, to show that the cuts find what is lost.

  --kills N      how many processes are killed (300)
  --cuts N       how many power cuts there are (300)
  --batches N    how many batches of usage the recorded ledger gets (160)
  --seed N       the same seed kills and cuts at the same instants, as far as processes allow (1)
  --json         print one JSON object`

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '300' },
    cuts: { type: 'string', default: '300' },
    batches: { type: 'string', default: '160' },
    seed: { type: 'string', default: '1' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
if (values.help) {
  console.log(HELP)
  process.exit()
}

const whole = (name: 'kills' | 'cuts' | 'batches' | 'seed') => {
  const value = Number(values[name])
  if (Number.isInteger(value) && value >= (name === 'batches' ? 2 : 0)) return value
  console.error(`--${name}: expected an integer, got "${values[name]}"`)
  process.exit(2)
}
const options = { kills: whole('kills'), cuts: whole('cuts'), batches: whole('batches'), seed: whole('seed') }

const kills = await killProcesses(options)
const skipped = whyNotHere()
const full = skipped === undefined ? await cutPower(options) : undefined
const normal = skipped === undefined ? await cutPower(options, NORMAL) : undefined

if (values.json) {
  console.log(JSON.stringify({ ...options, kills, powerCuts: { skipped, full, normal } }, null, 2))
} else {
  print()
}
const right = [kills, ...(full === undefined ? [] : [full])].every(one => one.lost === 0 && one.faults.length === 0)
// Cuts that find nothing wrong with NORMAL would find nothing at all.
const proven = normal === undefined || normal.cuts === 0 || normal.lost > 0
process.exitCode = right && kills.twice === 0 && proven ? 0 : 1

function print(): void {
  const table = new Table({
    shouldDisableColors: !process.stdout.isTTY,
    columns: [
      { name: 'what', alignment: 'left' },
      ...['crashes', 'acknowledged batches', 'lost', 'crashes with loss', 'billed twice', 'faults'].map(name => ({
        name,
        alignment: 'right',
      })),
    ],
  })
  const row = (what: string, crashes: number, { acknowledged, lost, faults }: KillsResult | CutsResult) => ({
    what,
    crashes,
    'acknowledged batches': acknowledged.toLocaleString('en-US'),
    lost: lost.toLocaleString('en-US'),
    faults: faults.length,
  })
  table.addRow({ ...row('kill -9', kills.kills, kills), 'billed twice': kills.twice })
  if (full !== undefined) {
    table.addRow({ ...row('power cuts', full.cuts, full), 'crashes with loss': full.cutsWithLoss })
  }
  if (normal !== undefined) {
    const what = 'power cuts, if synchronous were NORMAL'
    table.addRow({ ...row(what, normal.cuts, normal), 'crashes with loss': normal.cutsWithLoss })
  }
  table.printTable()
  const phases = Object.entries(kills.inTheMiddleOf).sort(([, a], [, b]) => b - a)
  console.log(`Killed in the middle of: ${phases.map(([phase, count]) => `${phase} ${count}`).join(', ')}.`)
  console.log(`AWS billed ${kills.billed} records; of ${kills.settled} a person had to say whether AWS billed them.`)
  if (skipped !== undefined) console.log(`Power cuts were skipped: ${skipped}.`)
  for (const fault of [...kills.faults, ...(full?.faults ?? [])].slice(0, 20)) {
    console.log(`FAULT ${fault}`)
  }
}
