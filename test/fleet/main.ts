import { parseArgs } from 'node:util'
import { Table } from 'console-table-printer'
import { ENGINES } from './engine.ts'
import { type FleetResult, runFleet } from './fleet.ts'

const HELP = `Usage: npm run fleet -- [options]

Dozens of processes meter through one shared ledger for some virtual hours, while they are scaled up and down and killed
at random, their clocks are wrong by seconds, AWS fails now and then, and the engine is killed and restarted. Two of three
are applications with the exporter. The third is a gateway: senders, as many as gateways, count cumulative
and delta counters and send each request to any gateway until one has acknowledged it, some twice, and begin anew now and
then. Another tool meters the same customers; reconciling the ledger with the simulator's CloudTrail has to find just
that. Each customer's contract includes some requests, and tokens are billed by model. Ends with 1 where the bill is not
what was recorded and is not included, or not what was measured, to the unit.

  --engine name   only this one; may be repeated (${Object.keys(ENGINES).join(', ')}; all but sqlite by default)
  --replicas N    how many there are at most at a time (24)
  --together N    how many share a process, which is killed as a whole (1); where there are several, each exports every
                  five minutes instead of each minute
  --stops         stop a process for a virtual hour (SIGSTOP) in the middle of an append, of closing while others wait for
                  it, of a claim, a request to AWS, a settlement and an expiry: one in each of them, and then again
  --hours N       virtual hours of traffic; one takes 20 seconds (4)
  --seed N        1
  --json          print one JSON object`

const { values } = parseArgs({
  options: {
    engine: { type: 'string', multiple: true, default: Object.keys(ENGINES).filter(name => name !== 'sqlite') },
    replicas: { type: 'string', default: '24' },
    together: { type: 'string', default: '1' },
    stops: { type: 'boolean', default: false },
    hours: { type: 'string', default: '4' },
    seed: { type: 'string', default: '1' },
    json: { type: 'boolean' },
    help: { type: 'boolean' },
  },
})
if (values.help) {
  console.log(HELP)
  process.exit()
}

const whole = (name: 'replicas' | 'together' | 'hours' | 'seed') => {
  const value = Number(values[name])
  if (Number.isInteger(value) && value > 0) return value
  console.error(`--${name}: expected an integer above 0, got "${values[name]}"`)
  process.exit(2)
}

const options = {
  ...{ replicas: whole('replicas'), together: whole('together'), stops: values.stops },
  ...{ hours: whole('hours'), seed: whole('seed') },
}
const engines: FleetResult[] = []
for (const name of values.engine) {
  const start = ENGINES[name]
  if (start === undefined) {
    console.error(`--engine: expected one of ${Object.keys(ENGINES).join(', ')}, got "${name}"`)
    process.exit(2)
  }
  await using engine = await start()
  engines.push(await runFleet({ ...options, engine, progress: text => console.error(text) }))
}

if (values.json) {
  console.log(JSON.stringify({ engines }, null, 2))
} else {
  const table = new Table({
    shouldDisableColors: !process.stdout.isTTY,
    defaultColumnOptions: { alignment: 'right' },
    columns: [{ name: 'engine', alignment: 'left' }],
  })
  const figure = (value: number) => value.toLocaleString('en')
  for (const result of engines) {
    const { name, processes, replicas, gateways, kills, restarts, requests, repeated, unknown } = result
    const { recorded, included, billed, difference } = result
    table.addRow({
      ...{ engine: name, processes, replicas, gateways, killed: kills, 'engine restarts': restarts },
      'requests to gateways': figure(requests),
      'sent again': figure(repeated),
      ...{ recorded: figure(recorded), included: figure(included), billed: figure(billed) },
      difference: figure(difference),
      'lost with those killed, at most': figure(unknown),
    })
  }
  table.printTable()
  for (const { name, othersFound, stops, seconds, engineRequests } of engines) {
    const stopped = Object.entries(stops).map(([work, count]) => `${count} ${work}`)
    console.log(`${name}: ${seconds} s, ${figure(engineRequests)} requests to the engine`)
    if (values.stops) console.log(`${name}: stopped for an hour in the middle of ${stopped.join(', ')}`)
    console.log(
      `${name}: reconciling found what another tool has metered, ${othersFound} records, or says below what is wrong.`,
    )
  }
  for (const { name, problems } of engines) for (const problem of problems) console.log(`${name}: ${problem}`)
}
if (engines.some(({ difference, problems }) => difference !== 0 || problems.length > 0)) process.exitCode = 1
