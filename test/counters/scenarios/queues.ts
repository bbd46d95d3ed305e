import { Application, GO, JAVASCRIPT, merged, type Sdk } from '../sdk.ts'
import { ALICE, BOB, CAROL, DAVE, type Restart, type Stage } from '../stage.ts'
import { direct, inOrder, queue, repeated, split, spread } from '../transports.ts'
import { type Scenario, scenario } from './scenario.ts'

const EVERYBODY = [ALICE, BOB, CAROL, DAVE]

function young(stage: Stage, sdk: Sdk = GO): Application {
  const application = new Application(stage, { sdk, started: 2, instance: 'assistant-1' })
  for (const [n, customer] of EVERYBODY.entries())
    application.serve(customer, { from: 3 + 40 * n, to: 178, heap: 500 * n })
  return application
}

/** A process from before metering began, with customers from before and from since. */
function old(stage: Stage, to = 178): Application {
  const application = new Application(stage, { sdk: GO, started: -3000, instance: 'assistant-1' })
  for (const [n, customer] of [ALICE, BOB, CAROL].entries()) {
    application.serve(customer, { from: -2900, to: -2899, heap: 100_000 * (n + 1) }).serve(customer, { from: 2, to })
  }
  return application.serve(DAVE, { from: 62, to, heap: 25_000 })
}

const oldExports = (stage: Stage, every = 5) => old(stage).exports({ every, from: 1, to: 181 })

const restartsAt = (stage: Stage, minutes: readonly number[], more: Omit<Restart, 'at' | 'gateway'> = {}): Restart[] =>
  minutes.map(minute => ({ at: stage.at(minute), gateway: 0, ...more }))

const ANY_ORDER = 'The queue empties in any order: within what is remembered, times decide.'

export const QUEUES: readonly Scenario[] = [
  scenario('queues/outage-5-minutes-one-consumer', 'exact', 'The queue keeps the order.', stage => ({
    deliveries: queue(stage, young(stage).exports({ every: 2, to: 181 }), { outages: [[81, 86]] }),
  })),
  ...[young, old].flatMap(application =>
    (
      [
        ['5-minutes', [[81, 86]]],
        ['30-minutes', [[55, 85]]],
        [
          'twice',
          [
            [20, 45],
            [60, 130],
          ],
        ],
      ] as const
    ).map(([name, outages]) =>
      scenario(`queues/outage-${name}-ten-consumers-${application.name}-process`, 'exact', ANY_ORDER, stage => {
        const messages = application(stage).exports({ every: 5, from: application === old ? 1 : 6, to: 181 })
        return { deliveries: queue(stage, messages, { consumers: 10, outages }) }
      }),
    ),
  ),
  scenario('queues/outage-6-hours', 'exact', ANY_ORDER, stage => {
    const messages = old(stage, 600).exports({ every: 15, from: 1, to: 611 })
    return { deliveries: queue(stage, messages, { consumers: 10, outages: [[40, 400]] }) }
  }),
  scenario('queues/outage-20-hours', 'exact', 'A queue lives a day, and so does the memory.', stage => {
    const messages = old(stage, 1600).exports({ every: 40, from: 1, to: 1610 })
    return { deliveries: queue(stage, messages, { consumers: 10, outages: [[90, 1290]] }) }
  }),
  scenario('queues/everything-twice', 'exact', 'The same point again says nothing new.', stage => ({
    deliveries: repeated(stage, direct(stage, oldExports(stage)), 1, 3),
  })),
  scenario(
    'queues/everything-thrice-hours-later',
    'exact',
    'The same point again says nothing new, however late.',
    stage => ({
      deliveries: repeated(stage, repeated(stage, direct(stage, oldExports(stage)), 1, 600), 0.5, 300),
    }),
  ),
  scenario(
    'queues/split-young-process',
    'exact',
    'All of a process that is younger than the ledger counts.',
    stage => ({
      deliveries: split(stage, direct(stage, young(stage).exports({ every: 8, to: 181 })), 3),
    }),
  ),
  scenario(
    'queues/split-old-process',
    'exact',
    'The parts of its first collection have one time: none of its series is new in it.',
    stage => ({ deliveries: split(stage, direct(stage, oldExports(stage, 8)), 3) }),
  ),
  scenario(
    'queues/split-old-process-first-part-late',
    'bounded',
    'In the second collection the series of the late part look new, and are not: only the late part tells.',
    stage => {
      const deliveries = split(stage, direct(stage, oldExports(stage, 8)), 3)
      const [first, ...others] = deliveries
      return { deliveries: first === undefined ? [] : inOrder([{ ...first, at: first.at + 8 * 60_000 }, ...others]) }
    },
  ),
  ...[young, old].map(application =>
    scenario(
      `queues/three-gateways-${application.name}-process`,
      'exact',
      'What each saw comes together in the ledger.',
      stage => {
        const messages = application(stage).exports({ every: 5, from: application === old ? 1 : 6, to: 181 })
        return { deliveries: spread(stage, direct(stage, messages), 3), gateways: 3 }
      },
    ),
  ),
  scenario('queues/all-at-once', 'exact', 'Cut, repeated, shuffled, spread, and gateways that are killed.', stage => {
    const queued = queue(stage, oldExports(stage), { consumers: 10, outages: [[30, 70]], calmUntil: 20 })
    const deliveries = spread(stage, repeated(stage, split(stage, queued, 2), 0.4, 60), 2)
    const restarts = [
      ...restartsAt(stage, [35, 90, 140], { killed: true }),
      ...[71, 100].map(minute => ({ at: stage.at(minute), gateway: 1 })),
    ]
    return { deliveries, gateways: 2, restarts }
  }),
  scenario(
    'queues/gateway-restarts',
    'exact',
    'What is known of streams is as durable as the usage: a customer comes right after a restart.',
    stage => ({
      deliveries: direct(stage, oldExports(stage)),
      restarts: restartsAt(stage, [13, 61.5, 64, 100]),
    }),
  ),
  scenario('queues/gateway-killed', 'exact', 'Whoever got no answer sends again, and it counts once.', stage => {
    const deliveries = direct(stage, oldExports(stage))
    const kills = [36, 61, 101]
    const again = deliveries.filter(({ at }) => kills.some(minute => Math.abs(at - stage.at(minute)) < 60_000))
    return {
      deliveries: inOrder([...deliveries, ...again.map(one => ({ ...one, at: one.at + 70_000 }))]),
      restarts: restartsAt(
        stage,
        kills.map(minute => minute + 1),
        { killed: true },
      ),
    }
  }),
  scenario('queues/without-an-hour', 'exact', 'A cumulative value says again what the lost ones said.', stage => ({
    deliveries: direct(stage, young(stage, JAVASCRIPT).exports({ every: 5, to: 181 })).filter(
      ({ at }) => at < stage.at(60) || at > stage.at(120),
    ),
  })),
  scenario(
    'queues/backlog-from-before-metering',
    'exact',
    'What points of before metering began say was used before; the last of them is the baseline, whichever comes first.',
    stage => {
      const application = new Application(stage, { sdk: GO, started: -600, instance: 'assistant-1' })
      application.serve(ALICE, { from: -590, to: -12 }).serve(ALICE, { from: 5, to: 118 })
      application.serve(BOB, { from: -300, to: -12 }).serve(CAROL, { from: 70, to: 118, heap: 6000 })
      const messages = application.exports({ every: 10, from: -540, to: 120 })
      return { deliveries: queue(stage, messages, { outages: [[-2000, 2]] }) }
    },
  ),
  scenario(
    'queues/backlog-from-before-metering-shuffled',
    'exact',
    'As in order: within what is remembered, times decide.',
    stage => {
      const application = new Application(stage, { sdk: JAVASCRIPT, started: -200, instance: 'assistant-1' })
      application.serve(ALICE, { from: -190, to: -12 }).serve(ALICE, { from: 5, to: 118 })
      application.serve(BOB, { from: 45, to: 118 })
      const messages = application.exports({ every: 10, from: -190, to: 120 })
      return { deliveries: queue(stage, messages, { consumers: 10, outages: [[-2000, 30]] }) }
    },
  ),
  scenario('queues/two-applications-one-queue', 'exact', 'A queue has requests of many senders.', stage => {
    const first = young(stage)
    const second = new Application(stage, { sdk: JAVASCRIPT, started: 20, service: 'search', instance: 's-1' })
    second.serve(ALICE, { from: 21, to: 178 }).serve(BOB, { from: 90, to: 178, heap: 70 })
    const messages = merged(first.exports({ every: 5, to: 181 }), second.exports({ every: 5, to: 181 }))
    return { deliveries: queue(stage, messages, { consumers: 10, outages: [[85, 125]] }) }
  }),
]
