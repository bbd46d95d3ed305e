import { HOUR, SECOND } from '../../../src/ledger/hours.ts'
import type { Delivery, Message, Point } from '../otlp.ts'
import { Collector, type CollectorOptions, Pod, type Scrapes, Target } from '../scraping.ts'
import { Application, type ApplicationOptions, GO, JAVASCRIPT, merged, PYTHON_OLD, REQUESTS, TOKENS } from '../sdk.ts'
import { ALICE, BOB, BYSTANDER, CAROL, type Stage } from '../stage.ts'
import { direct, queue, repeated, together } from '../transports.ts'
import { type Scenario, scenario } from './scenario.ts'

const NONE: CollectorOptions = { starts: 'none' }
const CREATED: CollectorOptions = { starts: 'created' }
const START_METRIC: CollectorOptions = { starts: 'start-time-metric' }
const SCRAPES: Scrapes = { from: 1, to: 151, every: 5 }
const DELTA = { ...TOKENS, temporality: 'delta' } as const

function oldPod(stage: Stage, { ended = 240, heap = 700_000 } = {}): Pod {
  const pod = new Pod(stage, { started: -2000, ended })
  pod.serve(ALICE, { from: -1900, to: -2, heap, rate: 0.01 })
  return pod.serve(ALICE, { from: 2, to: ended - 1 })
}

function successor(stage: Stage, started: number, heap = 5): Pod {
  const pod = new Pod(stage, { started })
  return pod.serve(ALICE, { from: started + 0.2, to: 148, heap })
}

function mapped(deliveries: readonly Delivery[], change: (point: Point, at: number) => Partial<Point>): Delivery[] {
  return deliveries.map(one => ({ ...one, points: one.points.map(point => ({ ...point, ...change(point, one.at) })) }))
}

function pair(stage: Stage, options: CollectorOptions, target: Target, { phase = 30_500, clock = 0 } = {}): Delivery[] {
  const first = new Collector(stage, options).scrapes(target, { ...SCRAPES, phase: 30_000 })
  const second = new Collector(stage, { ...options, clock }).scrapes(target, { ...SCRAPES, phase })
  return together(direct(stage, first), direct(stage, second))
}

/** The process's start, as it says it itself: one for all of its series. */
const withProcessStart = (pods: readonly Pod[], deliveries: readonly Delivery[], whole = false) =>
  mapped(deliveries, ({ tells }) => {
    const pod = pods.find(one => one.series.some(({ counter }) => counter === tells?.counter)) as Pod
    const at = whole ? Math.floor(pod.startedAt / SECOND) * SECOND : pod.startedAt
    return { start: BigInt(at) * 1_000_000n }
  })

const bystander = (stage: Stage): Message[] => {
  const other = new Application(stage, { sdk: GO, started: 1, instance: 'assistant-9', service: 'other' })
  other.serve(BYSTANDER, { from: 2, to: 118 })
  return other.exports({ every: 5, to: 120 })
}

function old(stage: Stage, started: number, customer: string, options: Partial<ApplicationOptions> = {}) {
  const application = new Application(stage, { sdk: GO, ...options, started })
  application.serve(customer, { from: started + 5, to: -2, heap: 50_000, rate: 1 })
  return application.serve(customer, { from: 2, to: 238 })
}

/** Situations that are rarer than those of the other pages, and that rules have failed in. */
export const RARER: readonly Scenario[] = [
  scenario(
    'sdk/two-old-processes-one-name',
    'exact',
    'Two starts of before metering began: each has its own baseline.',
    stage => {
      const one = old(stage, -900, ALICE).serve(BOB, { from: 60, to: 200, heap: 300 })
      const two = old(stage, -700, ALICE).serve(CAROL, { from: 90, to: 200, heap: 9000 })
      return {
        deliveries: direct(
          stage,
          merged(one.exports({ every: 5, from: 1, to: 200 }), two.exports({ every: 5, from: 2, to: 200 })),
        ),
      }
    },
  ),
  scenario(
    'sdk/two-old-processes-different-customers',
    'exact',
    'Two starts of before metering began: each has its own baseline.',
    stage => {
      const one = old(stage, -900, ALICE).serve(CAROL, { from: 60, to: 200, heap: 300 })
      const two = old(stage, -700, BOB).serve(CAROL, { from: 90, to: 200, heap: 9000 })
      return {
        deliveries: direct(
          stage,
          merged(one.exports({ every: 5, from: 1, to: 200 }), two.exports({ every: 5, from: 2, to: 200 })),
        ),
      }
    },
  ),
  scenario(
    'sdk/restart-in-outage-ten-consumers',
    'exact',
    'Each start has its own mark, whichever comes first.',
    stage => {
      const one = new Application(stage, { sdk: GO, started: 1, instance: 'a' }).serve(ALICE, { from: 2, to: 68 })
      const two = new Application(stage, { sdk: GO, started: 70, instance: 'a' })
        .serve(ALICE, { from: 71, to: 118, heap: 9000 })
        .serve(BOB, { from: 90, to: 118 })
      return {
        deliveries: queue(stage, merged(one.exports({ every: 3, to: 69 }), two.exports({ every: 3, to: 120 })), {
          consumers: 10,
          outages: [[50, 95]],
        }),
      }
    },
  ),
  scenario('sdk/60-replicas', 'exact', 'Each start has its own mark: the name is shared, the sums are not.', stage => {
    const messages = Array.from({ length: 60 }, (_, index) => {
      const application = new Application(stage, { sdk: GO, started: 2 + index * 0.1 })
      application.serve(index % 2 === 0 ? ALICE : BOB, { from: 30, to: 118, rate: 5 + index })
      application.serve(CAROL, { from: 60 + index * 0.4, to: 118, rate: 3 })
      return application.exports({ every: 15, to: 150 })
    })
    return { deliveries: direct(stage, merged(...messages)) }
  }),
  scenario('sdk/20-old-replicas', 'exact', 'Each old start has its own baseline and its own late customers.', stage => {
    const messages = Array.from({ length: 20 }, (_, index) => {
      const application = new Application(stage, { sdk: GO, started: -900 + index })
      application.serve(ALICE, { from: -890, to: -2, rate: 1 }).serve(ALICE, { from: 4, to: 188 })
      application.serve(CAROL, { from: 60 + index * 3, to: 180, rate: 3 })
      return application.exports({ every: 10, from: 1 + index * 0.1, to: 190 })
    })
    return { deliveries: direct(stage, merged(...messages)) }
  }),
  scenario(
    'sdk/forked-own-pid-late-customers',
    'exact',
    'The same start under other values: each process is its own counter, late customers, too.',
    stage => {
      const resource = (pid: number) => ({ resource: () => ({ 'process.pid': pid }) })
      const first = new Application(stage, { sdk: PYTHON_OLD, started: 1, service: 'g', ...resource(41) })
      const workers = [1, 2, 3].map(
        n =>
          new Application(stage, { sdk: PYTHON_OLD, started: 1, service: 'g', forkedFrom: first, ...resource(41 + n) }),
      )
      const messages = [first, ...workers].map((worker, index) => {
        worker.serve(ALICE, { from: 2, to: 118, rate: 8 + 9 * index })
        worker.serve(BOB, { from: 40 + 7 * index, to: 118, rate: 4, heap: 500 })
        if (index === 2) worker.serve(CAROL, { from: 90, to: 118, heap: 70 })
        return worker.exports({ every: 5, from: 6 + 0.1 * index, to: 120 })
      })
      return { deliveries: direct(stage, merged(...messages)) }
    },
  ),
  scenario(
    'sdk/forked-own-pid-late-customers-ten-consumers',
    'exact',
    'As in order: who is alive at once is told by times.',
    stage => {
      const resource = (pid: number) => ({ resource: () => ({ 'process.pid': pid }) })
      const first = new Application(stage, { sdk: PYTHON_OLD, started: 1, service: 'g', ...resource(41) })
      const workers = [1, 2, 3].map(
        n =>
          new Application(stage, { sdk: PYTHON_OLD, started: 1, service: 'g', forkedFrom: first, ...resource(41 + n) }),
      )
      const messages = [first, ...workers].map((worker, index) => {
        worker.serve(ALICE, { from: 2, to: 118, rate: 8 + 9 * index })
        worker.serve(BOB, { from: 40 + 7 * index, to: 118, rate: 4, heap: 500 })
        return worker.exports({ every: 5, from: 6 + 0.1 * index, to: 120 })
      })
      return { deliveries: queue(stage, merged(...messages), { consumers: 10, outages: [[50, 70]] }) }
    },
  ),
  scenario('sdk/forked-after-the-fact-pid-appears', 'exact', 'An attribute appears: one counter.', stage => {
    const application = new Application(stage, {
      sdk: GO,
      started: 1,
      instance: 'a',
      resource: (minute): Record<string, number> => (minute > 50 ? { 'process.pid': 7 } : {}),
    })
    application.serve(ALICE, { from: 2, to: 118 }).serve(BOB, { from: 70, to: 118 })
    return { deliveries: direct(stage, application.exports({ every: 5, to: 120 })) }
  }),
  scenario('sdk/no-start', 'bounded', 'Without a start the first point is a baseline.', stage => {
    const application = new Application(stage, { sdk: GO, started: 1, instance: 'a' })
    application.serve(ALICE, { from: 2, to: 118 }).serve(BOB, { from: 70, to: 118 })
    return { deliveries: mapped(direct(stage, application.exports({ every: 5, to: 120 })), () => ({ start: 0n })) }
  }),
  scenario('sdk/no-start-old', 'exact', 'Without a start, one who is new beside known series is.', stage => {
    const application = old(stage, -600, ALICE, { instance: 'a' }).serve(BOB, { from: 70, to: 118, heap: 4000 })
    return {
      deliveries: mapped(direct(stage, application.exports({ every: 5, from: 1, to: 120 })), () => ({ start: 0n })),
    }
  }),
  scenario(
    'sdk/no-start-restart',
    'exact',
    'Without a start, a fall whose height does not come back is a restart.',
    stage => {
      const application = old(stage, -600, ALICE, { instance: 'a' })
      const next = new Application(stage, { sdk: GO, started: 70, instance: 'a' })
        .serve(ALICE, { from: 71, to: 148 })
        .serve(BOB, { from: 100, to: 148 })
      const messages = merged(application.exports({ every: 5, from: 1, to: 66 }), next.exports({ every: 5, to: 150 }))
      return { deliveries: mapped(direct(stage, messages), () => ({ start: 0n })) }
    },
  ),
  scenario(
    'sdk/no-start-k8s-attributes',
    'bounded',
    'Without a start nothing says that another name is the same counter, but for its instance.',
    stage => {
      const application = old(stage, -600, ALICE, {
        instance: 'a',
        resource: (minute): Record<string, string> => (minute > 40 ? { 'k8s.pod.name': 'x' } : {}),
      })
      return {
        deliveries: mapped(direct(stage, application.exports({ every: 5, from: 1, to: 120 })), () => ({ start: 0n })),
      }
    },
  ),
  scenario('sdk/whole-seconds', 'exact', 'Starts of an SDK in whole seconds are starts.', stage => {
    const whole = (x: bigint) => x - (x % 1_000_000_000n)
    const application = old(stage, -600, ALICE, { instance: 'a' }).serve(BOB, { from: 70, to: 118, heap: 4000 })
    const next = new Application(stage, { sdk: GO, started: 122, instance: 'a' }).serve(ALICE, {
      from: 123,
      to: 200,
      heap: 200_000,
    })
    const messages = merged(application.exports({ every: 5, from: 1, to: 120 }), next.exports({ every: 5, to: 205 }))
    return {
      deliveries: mapped(direct(stage, messages), ({ time, start }) => ({ time: whole(time), start: whole(start) })),
    }
  }),
  scenario(
    'sdk/replicas-whole-second-starts',
    'exact',
    'Starts of an SDK in whole seconds are starts, also where several have the same.',
    stage => {
      const whole = (x: bigint) => x - (x % 1_000_000_000n)
      const messages = [0, 1, 2].map(n => {
        const application = new Application(stage, { sdk: GO, started: 2, instance: `a-${n}` })
        application.serve(ALICE, { from: 3, to: 118, rate: 10 + n }).serve(BOB, { from: 60 + n, to: 118 })
        return application.exports({ every: 5, to: 120 })
      })
      return {
        deliveries: mapped(direct(stage, merged(...messages)), ({ time, start }) => ({
          time: whole(time),
          start: whole(start),
        })),
      }
    },
  ),
  scenario('sdk/temporality-switch', 'exact', 'Totals and deltas are two counters.', stage => {
    const started = 1
    const first = new Application(stage, { sdk: GO, started, instance: 'a' }).serve(ALICE, { from: 2, to: 58 })
    const second = new Application(stage, { sdk: GO, started: 62, instance: 'a', metric: DELTA }).serve(ALICE, {
      from: 63,
      to: 118,
    })
    return {
      deliveries: direct(stage, merged(first.exports({ every: 5, to: 61 }), second.exports({ every: 5, to: 122 }))),
    }
  }),
  scenario('sdk/temporality-switch-back', 'exact', 'Deltas and totals are two counters.', stage => {
    const second = new Application(stage, { sdk: GO, started: 62, instance: 'a' }).serve(ALICE, { from: 63, to: 118 })
    const first = new Application(stage, { sdk: GO, started: 1, instance: 'a', metric: DELTA }).serve(ALICE, {
      from: 2,
      to: 58,
    })
    return {
      deliveries: direct(stage, merged(first.exports({ every: 5, to: 61 }), second.exports({ every: 5, to: 122 }))),
    }
  }),
  scenario('sdk/empty-resource', 'exact', 'Nothing says who counts, and one does: its start says all.', stage => {
    const application = new Application(stage, { sdk: GO, started: 1 })
      .serve(ALICE, { from: 2, to: 118 })
      .serve(BOB, { from: 60, to: 118 })
    return { deliveries: mapped(direct(stage, application.exports({ every: 5, to: 120 })), () => ({ resource: {} })) }
  }),
  scenario(
    'sdk/empty-resource-old',
    'exact',
    'Nothing says who counts: one who is new beside known series began after the collection before.',
    stage => {
      const application = old(stage, -500, ALICE).serve(BOB, { from: 60, to: 118, heap: 1234 })
      return {
        deliveries: mapped(direct(stage, application.exports({ every: 5, from: 1, to: 120 })), () => ({
          resource: {},
          scope: { name: '' },
        })),
      }
    },
  ),
  scenario(
    'sdk/histogram-reset',
    'exact',
    'A new start is a new count, and another type of histogram is another counter.',
    stage => {
      const first = new Application(stage, { sdk: GO, started: -300, instance: 'a', metric: REQUESTS })
        .serve(ALICE, { from: -290, to: -2, heap: 4000 })
        .serve(ALICE, { from: 2, to: 58 })
      const second = new Application(stage, {
        sdk: GO,
        started: 62,
        instance: 'a',
        metric: { ...REQUESTS, type: 'exponential-histogram' },
      }).serve(ALICE, { from: 63, to: 118, heap: 8000 })
      return {
        deliveries: direct(
          stage,
          merged(first.exports({ every: 5, from: 1, to: 61 }), second.exports({ every: 5, to: 122 })),
        ),
      }
    },
  ),
  scenario('sdk/above-2^62-restart', 'exact', 'A baseline of any height, and a new start is a new count.', stage => {
    const first = new Application(stage, { sdk: GO, started: -300, instance: 'a' })
      .serve(ALICE, { from: -290, to: -280, heap: 4_700_000_000_000_000 })
      .serve(ALICE, { from: 2, to: 58 })
    const second = new Application(stage, { sdk: GO, started: 62, instance: 'a' }).serve(ALICE, {
      from: 63,
      to: 118,
      heap: 8000,
    })
    return {
      deliveries: direct(
        stage,
        merged(first.exports({ every: 5, from: 1, to: 61 }), second.exports({ every: 5, to: 122 })),
      ),
    }
  }),
  scenario(
    'sdk/vanishes-30-hours',
    'exact',
    'A series that is known goes on from its mark, however long it was left out.',
    stage => {
      const application = new Application(stage, {
        sdk: GO,
        started: 1,
        instance: 'a',
        leavesOut: (customer, minute) => customer === BOB && minute > 60 && minute < 1860,
      })
      application
        .serve(ALICE, { from: 2, to: 1990, rate: 1 })
        .serve(BOB, { from: 3, to: 58 })
        .serve(BOB, { from: 1700, to: 1990 })
      return { deliveries: direct(stage, application.exports({ every: 10, to: 2000 })) }
    },
  ),
  scenario(
    'sdk/old-vanishes-30-hours',
    'exact',
    'A series that is known goes on from its mark, in an old process, too.',
    stage => {
      const application = old(stage, -300, ALICE, {
        instance: 'a',
        leavesOut: (customer, minute) => customer === BOB && minute > 60 && minute < 1860,
      })
      application
        .serve(ALICE, { from: 300, to: 1990, rate: 1 })
        .serve(BOB, { from: -200, to: -10 })
        .serve(BOB, { from: 3, to: 58 })
        .serve(BOB, { from: 1700, to: 1990 })
      return { deliveries: direct(stage, application.exports({ every: 10, from: 1, to: 2000 })) }
    },
  ),
  scenario('scraped/vanishes-30-hours', 'exact', 'A series that comes back higher than it was goes on.', stage => {
    const pod = oldPod(stage, { ended: 2000 }).serve(BOB, { from: 20, to: 58 }).serve(BOB, { from: 1700, to: 1980 })
    const hides = (customer: string, minute: number) => customer === BOB && minute > 60 && minute < 1860
    return {
      deliveries: direct(
        stage,
        new Collector(stage, NONE).scrapes(new Target({ pods: [pod], hides }), { from: 1, to: 1990, every: 10 }),
      ),
    }
  }),
  scenario(
    'sdk/deployment-changes-service-version',
    'exact',
    'Another name and another start: another counter.',
    stage => {
      const runs = ['1.0', '1.1', '2.0'].map((version, n) => {
        const started = 2 + 50 * n
        const run = new Application(stage, {
          sdk: GO,
          started,
          instance: 'a',
          resource: () => ({ 'service.version': version }),
        })
        run.serve(ALICE, { from: started + 1, to: started + 44, heap: 300 + 1000 * n })
        return run.exports({ every: 5, to: started + 47 })
      })
      return { deliveries: direct(stage, merged(...runs)) }
    },
  ),
  scenario(
    'sdk/old-deployment-changes-service-version',
    'exact',
    'The old one has its baseline, its successor counts whole.',
    stage => {
      const first = old(stage, -500, ALICE, { instance: 'a', resource: () => ({ 'service.version': '1' }) })
      const second = new Application(stage, {
        sdk: GO,
        started: 62,
        instance: 'a',
        resource: () => ({ 'service.version': '2' }),
      }).serve(ALICE, { from: 63, to: 118, heap: 80_000 })
      return {
        deliveries: direct(
          stage,
          merged(first.exports({ every: 5, from: 1, to: 61 }), second.exports({ every: 5, to: 122 })),
        ),
      }
    },
  ),
  // scraped
  ...[-1000, 1000, -60_000, 60_000, 240_000].map(clock =>
    scenario(
      `scraped/ha-clocks-${clock}-late-customers`,
      'exact',
      'One counter: by their times the values dip a little and are back at once.',
      stage => {
        const pod = oldPod(stage)
          .serve(BOB, { from: 50, to: 240, heap: 1000 })
          .serve(CAROL, { from: 90, to: 95, heap: 44 })
        return { deliveries: pair(stage, NONE, new Target({ pods: [pod] }), { clock }) }
      },
    ),
  ),
  ...[-1000, 0, 1000].map(clock =>
    scenario(
      `scraped/ha-clocks-${clock}-restart`,
      'exact',
      'One fall that two scrapers see, one of them by another clock.',
      stage => {
        const pods = [oldPod(stage, { ended: 70 }), successor(stage, 71).serve(BOB, { from: 100, to: 148, heap: 77 })]
        // Between the two scrapes that see the fall.
        pods[1]?.series[0]?.counter.count(stage.at(71) + 30_250, 6)
        return { deliveries: pair(stage, NONE, new Target({ pods }), { clock }) }
      },
    ),
  ),
  scenario('scraped/ha-phases-apart-restart', 'exact', 'One fall that two scrapers see.', stage => {
    const pods = [oldPod(stage, { ended: 70 }), successor(stage, 71).serve(BOB, { from: 100, to: 148, heap: 77 })]
    return { deliveries: pair(stage, NONE, new Target({ pods }), { phase: 170_000 }) }
  }),
  scenario('scraped/ha-created-restart-above', 'exact', 'The same starts and values, twice.', stage => {
    const pods = [
      oldPod(stage, { ended: 70 }),
      successor(stage, 71, 2_000_000).serve(BOB, { from: 100, to: 148, heap: 77 }),
    ]
    return { deliveries: pair(stage, CREATED, new Target({ pods }), { clock: 1000 }) }
  }),
  ...[10, 3_000_000].flatMap(heap =>
    [false, true].map(whole =>
      scenario(
        `scraped/created-process-start-restart-${heap}-${whole}`,
        heap > 700_000 ? 'bounded' : 'exact',
        'A start that all series of a target go on under is none; where they fall, values tell the same.',
        stage => {
          const pods = [
            oldPod(stage, { ended: 70 }),
            successor(stage, 71, heap).serve(BOB, { from: 100, to: 148, heap: 77 }),
          ]
          pods[0]?.serve(CAROL, { from: -1000, to: -10 }).serve(CAROL, { from: 5, to: 50 })
          pods[1]?.serve(CAROL, { from: 72, to: 140, heap: heap * 2 })
          const deliveries = direct(stage, new Collector(stage, CREATED).scrapes(new Target({ pods }), SCRAPES))
          return { deliveries: withProcessStart(pods, deliveries, whole), expected: { blind: 800_000 } }
        },
      ),
    ),
  ),
  ...[10, 3_000_000].map(heap =>
    scenario(
      `scraped/created-process-start-restart-${heap}-ten-consumers`,
      heap > 700_000 ? 'bounded' : 'exact',
      'A start that all series of a target go on under is none; where they fall, values tell the same.',
      stage => {
        const pods = [
          oldPod(stage, { ended: 70 }),
          successor(stage, 71, heap).serve(BOB, { from: 100, to: 148, heap: 77 }),
        ]
        pods[0]?.serve(CAROL, { from: -1000, to: -10 }).serve(CAROL, { from: 5, to: 50 })
        pods[1]?.serve(CAROL, { from: 72, to: 140, heap: heap * 2 })
        const deliveries = queue(stage, new Collector(stage, CREATED).scrapes(new Target({ pods }), SCRAPES), {
          consumers: 10,
          outages: [[50, 95]],
        })
        return { deliveries: withProcessStart(pods, deliveries), expected: { blind: 800_000 } }
      },
    ),
  ),
  scenario('scraped/created-two-targets-one-second', 'exact', 'Created timestamps are starts.', stage => {
    const pods = [0, 1].map(n =>
      new Pod(stage, { started: 5 }).serve(ALICE, { from: 6, to: 148, heap: 40 + n }).serve(BOB, { from: 60, to: 148 }),
    )
    const collector = new Collector(stage, CREATED)
    const messages = pods.map((pod, n) =>
      collector.scrapes(new Target({ pods: [pod], instance: `i-${n}:80` }), { ...SCRAPES, from: 11 }),
    )
    return { deliveries: withProcessStart(pods, direct(stage, merged(...messages)), false) }
  }),
  scenario('scraped/created-pair-of-names', 'exact', 'Each point says by its start whose it is.', stage => {
    const pods = [oldPod(stage, { ended: 76 }), successor(stage, 70, 400)]
    const target = new Target({ pods, answering: 'any', instance: 'inference:8000' })
    return {
      deliveries: direct(stage, new Collector(stage, CREATED).scrapes(target, { ...SCRAPES, every: 2, to: 111 })),
    }
  }),
  scenario(
    'scraped/created-24-workers',
    'exact',
    'Each point says by its start whose it is: none is forgotten because there are others.',
    stage => {
      const pods = Array.from({ length: 24 }, (_, n) =>
        new Pod(stage, { started: 2 + n * 0.1 }).serve(ALICE, { from: 5 + n, to: 148, heap: 100 * n, rate: 9 + n }),
      )
      const target = new Target({ pods, answering: 'any', instance: 'inference:8000' })
      return { deliveries: direct(stage, new Collector(stage, CREATED).scrapes(target, { ...SCRAPES, every: 0.25 })) }
    },
  ),
  scenario('scraped/created-hand-over', 'exact', 'Real starts end: the values go on.', stage => {
    const target = new Target({ pods: [oldPod(stage).serve(BOB, { from: 50, to: 240, heap: 1000 })] })
    const first = new Collector(stage, CREATED).scrapes(target, { ...SCRAPES, to: 81 })
    const second = new Collector(stage, NONE).scrapes(target, { ...SCRAPES, from: 83 })
    return { deliveries: direct(stage, merged(first, second)) }
  }),
  scenario('scraped/start-metric-hand-over', 'exact', 'Two Collectors say the same start.', stage => {
    const target = new Target({ pods: [oldPod(stage).serve(BOB, { from: 50, to: 240, heap: 1000 })], saysStart: true })
    const first = new Collector(stage, START_METRIC).scrapes(target, { ...SCRAPES, to: 81 })
    const second = new Collector(stage, START_METRIC).scrapes(target, { ...SCRAPES, from: 70 })
    return { deliveries: direct(stage, merged(first, second)) }
  }),
  scenario(
    'scraped/start-metric-hand-over-after-restart',
    'exact',
    'A start that is older than what it goes on from, and after which nothing falls, is no second count.',
    stage => {
      const pods = [oldPod(stage, { ended: 50 }), successor(stage, 51).serve(BOB, { from: 60, to: 148, heap: 1000 })]
      const target = new Target({ pods, saysStart: true })
      const first = new Collector(stage, START_METRIC).scrapes(target, { ...SCRAPES, to: 91 })
      const second = new Collector(stage, START_METRIC).scrapes(target, { ...SCRAPES, from: 93 })
      return { deliveries: direct(stage, merged(first, second)) }
    },
  ),
  scenario(
    'scraped/start-metric-fallback-hand-over',
    'exact',
    'One whole second that several targets say is none.',
    stage => {
      const targets = [0, 1].map(
        n => new Target({ pods: [oldPod(stage).serve(BOB, { from: 40, to: 240, heap: 50 })], instance: `i-${n}:80` }),
      )
      const messages = [-1440, 70].flatMap((started, n) => {
        const collector = new Collector(stage, { ...START_METRIC, started })
        return targets.map(target =>
          collector.scrapes(target, n === 0 ? { ...SCRAPES, to: 81 } : { ...SCRAPES, from: 78 }),
        )
      })
      return { deliveries: direct(stage, merged(...messages)) }
    },
  ),
  scenario('scraped/near-heights-workers', 'alarm', 'Values that dip deep again and again: several writers.', stage => {
    const pods = [100_000, 100_900, 99_500].map((heap, n) =>
      new Pod(stage, { started: -900 + n })
        .serve(ALICE, { from: -800, to: -2, heap, rate: 0.01 })
        .serve(ALICE, { from: 2, to: 148, rate: 10 + 5 * n }),
    )
    return {
      deliveries: direct(
        stage,
        new Collector(stage, NONE).scrapes(new Target({ pods, answering: 'any' }), { ...SCRAPES, every: 2 }),
      ),
    }
  }),
  scenario('scraped/near-heights-two', 'alarm', 'Values that dip deep again and again: several writers.', stage => {
    const pods = [100_000, 103_000].map((heap, n) =>
      new Pod(stage, { started: -900 + n })
        .serve(ALICE, { from: -800, to: -2, heap, rate: 0.01 })
        .serve(ALICE, { from: 2, to: 148, rate: 10 }),
    )
    return {
      deliveries: direct(
        stage,
        new Collector(stage, NONE).scrapes(new Target({ pods, answering: 'any' }), { ...SCRAPES, every: 2 }),
      ),
    }
  }),
  scenario('scraped/young-workers', 'alarm', 'Heights that alternate behind one name.', stage => {
    const pods = [0, 1].map(n => new Pod(stage, { started: 2 + n }).serve(ALICE, { from: 3 + n, to: 148, rate: 10 }))
    return {
      deliveries: direct(
        stage,
        new Collector(stage, NONE).scrapes(new Target({ pods, answering: 'any' }), { ...SCRAPES, every: 2 }),
      ),
    }
  }),
  scenario(
    'scraped/k8s-attributes',
    'exact',
    'A target is its service and its instance, whatever else is said of it.',
    stage => {
      const pod = oldPod(stage).serve(BOB, { from: 50, to: 240, heap: 1000 })
      const collector = new Collector(stage, {
        ...NONE,
        resource: (minute): Record<string, string> => (minute > 40 && minute < 90 ? { 'k8s.pod.name': 'x' } : {}),
      })
      return { deliveries: direct(stage, collector.scrapes(new Target({ pods: [pod] }), SCRAPES)) }
    },
  ),
  scenario(
    'scraped/k8s-attributes-target-info',
    'exact',
    'A target is its service and its instance, also where its SDK is said.',
    stage => {
      const pod = oldPod(stage).serve(BOB, { from: 50, to: 240, heap: 1000 })
      const sdk = {
        'telemetry.sdk.language': 'python',
        'telemetry.sdk.name': 'opentelemetry',
        'telemetry.sdk.version': '1.37.0',
      }
      const collector = new Collector(stage, {
        ...NONE,
        resource: (minute): Record<string, string> => ({
          ...sdk,
          ...(minute > 40 && minute < 90 && { 'k8s.pod.name': 'x' }),
        }),
      })
      return { deliveries: direct(stage, collector.scrapes(new Target({ pods: [pod] }), SCRAPES)) }
    },
  ),
  scenario('scraped/restart-in-outage-late-ten-consumers', 'exact', 'By their times there is one fall.', stage => {
    const pods = [oldPod(stage, { ended: 70 }), successor(stage, 71).serve(BOB, { from: 90, to: 148, heap: 500 })]
    return {
      deliveries: queue(stage, new Collector(stage, NONE).scrapes(new Target({ pods }), { ...SCRAPES, every: 3 }), {
        consumers: 10,
        outages: [[60, 110]],
      }),
    }
  }),
  scenario(
    'scraped/two-restarts-in-outage',
    'exact',
    'By their times there are two falls, and repeats say nothing new.',
    stage => {
      const pods = [
        oldPod(stage, { ended: 70 }),
        new Pod(stage, { started: 71, ended: 90 }).serve(ALICE, { from: 71.2, to: 89, heap: 700 }),
        successor(stage, 91),
      ]
      return {
        deliveries: repeated(
          stage,
          queue(stage, new Collector(stage, NONE).scrapes(new Target({ pods }), { ...SCRAPES, every: 3 }), {
            consumers: 10,
            outages: [[60, 110]],
          }),
          0.5,
          600,
        ),
      }
    },
  ),
  scenario('scraped/repeats-days-later', 'exact', 'The same points again say nothing new, days later, too.', stage => {
    const pods = [
      oldPod(stage, { ended: 70 }),
      new Pod(stage, { started: 71 }).serve(ALICE, { from: 71.2, to: 3990, heap: 7, rate: 3 }),
    ]
    const deliveries = direct(
      stage,
      new Collector(stage, NONE).scrapes(new Target({ pods }), { from: 1, to: 4000, every: 20 }),
    )
    return {
      deliveries: together(
        deliveries,
        deliveries.slice(0, 100).map(one => ({ ...one, at: one.at + 40 * HOUR })),
      ),
    }
  }),
  scenario('sdk/repeats-days-later', 'exact', 'The same points again say nothing new, days later, too.', stage => {
    const one = old(stage, -300, ALICE, { instance: 'a' })
    const two = new Application(stage, { sdk: GO, started: 250, instance: 'a' }).serve(ALICE, {
      from: 260,
      to: 3990,
      heap: 500,
      rate: 2,
    })
    const deliveries = direct(
      stage,
      merged(one.exports({ every: 20, from: 1, to: 241 }), two.exports({ every: 20, to: 4000 })),
    )
    return {
      deliveries: together(
        deliveries,
        deliveries.slice(0, 100).map(one => ({ ...one, at: one.at + 40 * HOUR })),
      ),
    }
  }),
  scenario('scraped/stray-old-stamp', 'exact', 'A time that nothing remembers orders nothing.', stage => {
    const pod = oldPod(stage).serve(BOB, { from: 50, to: 240, heap: 1000 })
    const year = 365n * 86_400n * 1_000_000_000n
    const deliveries = direct(stage, new Collector(stage, NONE).scrapes(new Target({ pods: [pod] }), SCRAPES))
    return {
      deliveries: deliveries.map((one, n) =>
        n === 12 ? { ...one, points: one.points.map(point => ({ ...point, time: point.time - year })) } : one,
      ),
    }
  }),
  scenario('sdk/stray-old-stamp', 'exact', 'A time that nothing remembers orders nothing.', stage => {
    const application = old(stage, -500, ALICE, { instance: 'a' }).serve(BOB, { from: 50, to: 240, heap: 1000 })
    const year = 365n * 86_400n * 1_000_000_000n
    const deliveries = direct(stage, application.exports({ every: 5, from: 1, to: 200 }))
    return {
      deliveries: deliveries.map((one, n) =>
        n === 15 ? { ...one, points: one.points.map(point => ({ ...point, time: point.time - year })) } : one,
      ),
    }
  }),
  ...['scraped', 'sdk'].map(kind =>
    scenario(`${kind}/stamp-a-year-ahead`, 'exact', 'A time that has not come orders nothing.', stage => {
      const year = 365n * 86_400n * 1_000_000_000n
      const pod = oldPod(stage).serve(BOB, { from: 50, to: 240, heap: 1000 })
      const application = old(stage, -500, ALICE, { instance: 'a' }).serve(BOB, { from: 50, to: 240, heap: 1000 })
      const messages =
        kind === 'sdk'
          ? application.exports({ every: 5, from: 1, to: 200 })
          : new Collector(stage, NONE).scrapes(new Target({ pods: [pod] }), SCRAPES)
      return {
        deliveries: direct(stage, messages).map((one, n) =>
          n === 10 ? { ...one, points: one.points.map(point => ({ ...point, time: point.time + year })) } : one,
        ),
      }
    }),
  ),
  scenario('clocks/2-hours-behind-old-ledger', 'exact', "The ledger is older than the sender's error.", stage => {
    const application = new Application(stage, { sdk: JAVASCRIPT, started: 300, clock: -2 * HOUR, instance: 'a' })
      .serve(ALICE, { from: 301, to: 518 })
      .serve(BOB, { from: 400, to: 518, heap: 40 })
    return { deliveries: direct(stage, merged(bystander(stage), application.exports({ every: 5, to: 520 }))) }
  }),
  scenario('clocks/sender-steps-back-2-hours', 'exact', 'The start is the same, wherever the clock is.', stage => {
    const application = new Application(stage, { sdk: GO, started: 1, instance: 'a' })
      .serve(ALICE, { from: 2, to: 198 })
      .serve(BOB, { from: 150, to: 198 })
    return {
      deliveries: mapped(direct(stage, application.exports({ every: 5, to: 200 })), ({ time }, at) =>
        at < stage.at(100) ? { time: time + 7_200_000_000_000n } : {},
      ),
    }
  }),
  // delta
  scenario('deltas/repeats-days-later', 'exact', 'A delta is known by its series, start and time.', stage => {
    const application = new Application(stage, { sdk: GO, started: 1, instance: 'a', metric: DELTA }).serve(ALICE, {
      from: 2,
      to: 4000,
      rate: 2,
    })
    const deliveries = direct(stage, application.exports({ every: 20, to: 4010 }))
    return {
      deliveries: together(
        deliveries,
        deliveries.slice(0, 60).map(one => ({ ...one, at: one.at + 20 * HOUR })),
      ),
    }
  }),
  scenario(
    'deltas/repeats-40-hours-later',
    'bounded',
    'Nobody can tell whether deltas came that are older than the memory: they are held.',
    stage => {
      const application = new Application(stage, { sdk: GO, started: 1, instance: 'a', metric: DELTA }).serve(ALICE, {
        from: 2,
        to: 4000,
        rate: 2,
      })
      const deliveries = direct(stage, application.exports({ every: 20, to: 4010 }))
      return {
        deliveries: together(
          deliveries,
          deliveries.slice(0, 60).map(one => ({ ...one, at: one.at + 40 * HOUR })),
        ),
      }
    },
  ),
  scenario(
    'names/old-process-renamed-while-silent',
    'exact',
    'The same start under more attributes goes on.',
    stage => {
      const application = old(stage, -500, ALICE, {
        resource: (minute): Record<string, string> => (minute > 50 ? { pod: 'x' } : {}),
      })
      application.serve(BOB, { from: -400, to: -3, heap: 5000 })
      return { deliveries: direct(stage, application.exports({ every: 5, from: 1, to: 220 })) }
    },
  ),
]
