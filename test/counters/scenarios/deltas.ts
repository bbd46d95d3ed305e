import { Application, type ApplicationOptions, GO, JAVASCRIPT, merged, REQUESTS, TOKENS } from '../sdk.ts'
import { ALICE, BOB, BYSTANDER, type Stage } from '../stage.ts'
import { direct, inOrder, queue, repeated, split, spread } from '../transports.ts'
import { type Scenario, scenario } from './scenario.ts'

const DELTA = { ...TOKENS, temporality: 'delta' } as const

function application(stage: Stage, options: Partial<ApplicationOptions> = {}): Application {
  const made = new Application(stage, { sdk: GO, started: 1, instance: 'assistant-1', metric: DELTA, ...options })
  return made.serve(ALICE, { from: 2, to: 158 }).serve(BOB, { from: 40, to: 158, heap: 3000 })
}

const KNOWN = 'A delta is known by its series, start and time: it counts once, whatever its order.'

export const DELTAS: readonly Scenario[] = [
  scenario('deltas/steady', 'exact', KNOWN, stage => ({
    deliveries: direct(stage, application(stage).exports({ every: 5, to: 160 })),
  })),
  scenario('deltas/histogram', 'exact', KNOWN, stage => {
    const made = application(stage, { metric: { ...REQUESTS, temporality: 'delta' } })
    return { deliveries: direct(stage, made.exports({ every: 5, to: 160 })) }
  }),
  scenario('deltas/ten-consumers-and-repeats', 'exact', KNOWN, stage => {
    const messages = application(stage).exports({ every: 4, to: 160 })
    const deliveries = queue(stage, messages, { consumers: 10, outages: [[50, 90]] })
    return { deliveries: repeated(stage, deliveries, 0.6, 120) }
  }),
  scenario('deltas/split-and-spread', 'exact', KNOWN, stage => {
    const deliveries = direct(stage, application(stage).exports({ every: 4, to: 160 }))
    return { deliveries: spread(stage, repeated(stage, split(stage, deliveries, 2), 0.3, 30), 3), gateways: 3 }
  }),
  scenario(
    'deltas/four-replicas-no-instance',
    'exact',
    'Several deltas under one name: their times differ, and they add up.',
    stage => {
      const replicas = [0, 1, 2, 3].map(n =>
        new Application(stage, { sdk: JAVASCRIPT, started: 1 + n, metric: DELTA })
          .serve(ALICE, { from: 2 + n, to: 118 })
          .exports({ every: 5, to: 120 }),
      )
      return { deliveries: direct(stage, merged(...replicas)) }
    },
  ),
  scenario('deltas/restarts', 'exact', 'A delta needs no memory of the process.', stage => {
    const runs = [1, 41, 81].map(started =>
      new Application(stage, { sdk: GO, started, instance: 'assistant-0', metric: DELTA })
        .serve(ALICE, { from: started + 1, to: started + 33 })
        .exports({ every: 5, to: started + 36 }),
    )
    return { deliveries: direct(stage, merged(...runs)) }
  }),
  scenario('deltas/lost', 'exact', 'What is lost is in no message, and nothing else is.', stage => {
    const deliveries = direct(stage, application(stage).exports({ every: 5, to: 160 }))
    return { deliveries: deliveries.filter((_, n) => n % 5 !== 2) }
  }),
  scenario('deltas/backlog-of-20-hours', 'exact', 'A queue lives a day, and a receiver remembers longer.', stage => {
    const made = new Application(stage, { sdk: GO, started: 1, instance: 'assistant-1', metric: DELTA })
    made.serve(ALICE, { from: 2, to: 1500, rate: 3 })
    const messages = made.exports({ every: 30, to: 1510 })
    const deliveries = queue(stage, messages, { consumers: 10, outages: [[120, 1300]] })
    return { deliveries: repeated(stage, deliveries, 0.5, 100) }
  }),
  scenario(
    'deltas/backlog-from-before-metering',
    'exact',
    'A delta whose time is before metering began was used before, whenever it comes.',
    stage => {
      const made = new Application(stage, { sdk: GO, started: -600, instance: 'assistant-1', metric: DELTA })
      made.serve(ALICE, { from: -590, to: -12, rate: 3 }).serve(ALICE, { from: 5, to: 118 })
      const messages = made.exports({ every: 10, from: -540, to: 120 })
      return { deliveries: queue(stage, messages, { consumers: 10, outages: [[-2000, 30]] }) }
    },
  ),
  scenario(
    'deltas/one-stamp-two-values',
    'alarm',
    'Two writers share name, start and time: the second value is a conflict, and is told.',
    stage => {
      const first = new Application(stage, { sdk: GO, started: 1, metric: DELTA, service: 'gunicorn' })
      const second = new Application(stage, {
        sdk: GO,
        started: 1,
        metric: DELTA,
        service: 'gunicorn',
        forkedFrom: first,
      })
      const other = new Application(stage, { sdk: GO, started: 1, metric: DELTA, instance: 'assistant-9' })
      first.serve(ALICE, { from: 2, to: 118, rate: 10 })
      second.serve(ALICE, { from: 2, to: 118, rate: 30 })
      other.serve(BYSTANDER, { from: 2, to: 118 })
      const messages = [first, second, other].map(one => one.exports({ every: 5, to: 120 }))
      return { deliveries: direct(stage, merged(...messages)), expected: { bystanders: [BYSTANDER] } }
    },
  ),
  scenario(
    'deltas/two-writers-with-equal-values',
    'alarm',
    'All that one says the other says, too: it counts once, and is told.',
    stage => {
      const made = new Application(stage, { sdk: GO, started: 1, metric: DELTA }).serve(ALICE, { from: 2, to: 118 })
      const other = new Application(stage, { sdk: GO, started: 1, metric: DELTA, instance: 'assistant-9' })
      other.serve(BYSTANDER, { from: 2, to: 118 })
      const both = direct(stage, made.exports({ every: 5, to: 120 }))
      const deliveries = inOrder([
        ...repeated(stage, both, 1, 1),
        ...direct(stage, other.exports({ every: 5, to: 120 })),
      ])
      return { deliveries, expected: { bystanders: [BYSTANDER] } }
    },
  ),
]
