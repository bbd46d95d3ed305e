import { HOUR } from '../../../src/ledger/hours.ts'
import type { Delivery, Point } from '../otlp.ts'
import { Collector, Pod, Target } from '../scraping.ts'
import { Application, GO, JAVASCRIPT, merged, TOKENS } from '../sdk.ts'
import { ALICE, BOB, BYSTANDER, type Stage } from '../stage.ts'
import { direct, queue } from '../transports.ts'
import { type Scenario, scenario } from './scenario.ts'

const DAY = 86_400_000n * 1_000_000n
const DELTA = { ...TOKENS, temporality: 'delta' } as const

/** @param clock how far it is ahead, in milliseconds */
function sender(stage: Stage, clock: number, { started = 1, sdk = GO, metric = TOKENS } = {}): Application {
  const application = new Application(stage, { sdk, started, clock, metric, instance: 'assistant-1' })
  application.serve(ALICE, { from: started + 1, to: started + 118 })
  return application.serve(BOB, { from: started + 50, to: started + 118, heap: 4000 })
}

/** One request has its time, or another of its points, a day ahead. */
const dayAhead = (
  deliveries: readonly Delivery[],
  which: number,
  change: (point: Point) => Partial<Point>,
): Delivery[] =>
  deliveries.map((one, n) =>
    n === which ? { ...one, points: one.points.map(point => ({ ...point, ...change(point) })) } : one,
  )

export const CLOCKS: readonly Scenario[] = [
  scenario('clocks/2-hours-behind', 'exact', "The ledger is older than the sender's error.", stage => ({
    deliveries: direct(stage, sender(stage, -2 * HOUR, { started: 130 }).exports({ every: 5, to: 250 })),
  })),
  scenario(
    'clocks/2-hours-behind-young-ledger',
    'bounded',
    'By its own times it began, and counted for two hours, before metering did.',
    stage => ({ deliveries: direct(stage, sender(stage, -2 * HOUR, { started: 20 }).exports({ every: 5, to: 200 })) }),
  ),
  scenario('clocks/2-hours-ahead', 'exact', 'A sender that is always ahead is believed in its own order.', stage => ({
    deliveries: direct(stage, sender(stage, 2 * HOUR).exports({ every: 5, to: 121 })),
  })),
  scenario(
    'clocks/2-hours-ahead-series-start',
    'exact',
    'A sender that is always ahead is believed in its own order.',
    stage => ({
      deliveries: direct(stage, sender(stage, 2 * HOUR, { sdk: JAVASCRIPT }).exports({ every: 5, to: 121 })),
    }),
  ),
  scenario(
    'clocks/2-hours-ahead-restarts',
    'exact',
    'Its starts are ahead, too, and are starts all the same.',
    stage => {
      const runs = [1, 131].map(started =>
        sender(stage, 2 * HOUR, { started }).exports({ every: 5, to: started + 121 }),
      )
      return { deliveries: direct(stage, merged(...runs)) }
    },
  ),
  scenario(
    'clocks/2-hours-ahead-ten-consumers',
    'exact',
    'In its own order, also when it comes in another.',
    stage => ({
      deliveries: queue(stage, sender(stage, 2 * HOUR).exports({ every: 5, to: 121 }), {
        consumers: 10,
        outages: [[60, 90]],
      }),
    }),
  ),
  scenario('clocks/deltas-2-hours-ahead', 'exact', 'A delta counts once, and in the hour in which it came.', stage => ({
    deliveries: direct(stage, sender(stage, 2 * HOUR, { metric: DELTA }).exports({ every: 5, to: 121 })),
  })),
  scenario(
    'clocks/deltas-30-hours-behind',
    'bounded',
    'By their times these deltas are older than a memory: nobody can tell whether they came before.',
    stage => {
      const behind = new Application(stage, {
        sdk: GO,
        started: 1900,
        clock: -30 * HOUR,
        metric: DELTA,
        instance: 'late-1',
      })
      behind.serve(ALICE, { from: 1901, to: 2018 })
      const other = new Application(stage, { sdk: GO, started: 1, metric: DELTA, instance: 'assistant-9' })
      other.serve(BYSTANDER, { from: 2, to: 2018, rate: 1 })
      const messages = merged(other.exports({ every: 60, to: 2019 }), behind.exports({ every: 5, to: 2020 }))
      return { deliveries: direct(stage, messages), expected: { bystanders: [BYSTANDER] } }
    },
  ),
  scenario('clocks/one-stamp-a-day-ahead', 'exact', 'A time that has not come orders nothing.', stage => ({
    deliveries: dayAhead(direct(stage, sender(stage, 0).exports({ every: 5, to: 121 })), 6, ({ time }) => ({
      time: time + DAY,
    })),
  })),
  scenario('clocks/one-stamp-a-day-ahead-scraped', 'exact', 'A time that has not come orders nothing.', stage => {
    const pod = new Pod(stage, { started: -600 })
      .serve(ALICE, { from: -500, to: -2 })
      .serve(ALICE, { from: 2, to: 148 })
    pod.serve(BOB, { from: 80, to: 148, heap: 900 })
    const messages = new Collector(stage, { starts: 'none' }).scrapes(new Target({ pods: [pod] }), {
      ...{ from: 1, to: 149, every: 4 },
    })
    return { deliveries: dayAhead(direct(stage, messages), 7, ({ time }) => ({ time: time + DAY })) }
  }),
  scenario(
    'clocks/one-delta-a-day-ahead',
    'exact',
    'A delta counts once, and in the hour in which it came.',
    stage => ({
      deliveries: dayAhead(
        direct(stage, sender(stage, 0, { metric: DELTA }).exports({ every: 5, to: 121 })),
        6,
        ({ time }) => ({
          time: time + DAY,
        }),
      ),
    }),
  ),
  scenario(
    'clocks/collector-10-minutes-ahead',
    'exact',
    'A Collector whose clock is always ahead is believed in its own order.',
    stage => {
      const pod = new Pod(stage, { started: -600 })
        .serve(ALICE, { from: -500, to: -2 })
        .serve(ALICE, { from: 2, to: 148 })
      pod.serve(BOB, { from: 80, to: 148, heap: 900 })
      const collector = new Collector(stage, { starts: 'none', clock: 10 * 60_000 })
      return {
        deliveries: direct(stage, collector.scrapes(new Target({ pods: [pod] }), { from: 1, to: 149, every: 4 })),
      }
    },
  ),
]
