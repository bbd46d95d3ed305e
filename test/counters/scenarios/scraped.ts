import { Collector, type CollectorOptions, Pod, type Scrapes, Target } from '../scraping.ts'
import { merged } from '../sdk.ts'
import { ALICE, BOB, BYSTANDER, CAROL, type Course, type Stage } from '../stage.ts'
import { direct, queue, repeated, together } from '../transports.ts'
import { type Scenario, scenario } from './scenario.ts'

const NONE: CollectorOptions = { starts: 'none' }
const CREATED: CollectorOptions = { starts: 'created' }
const FIRST_SCRAPE: CollectorOptions = { starts: 'first-scrape' }
const TRUE_RESET: CollectorOptions = { starts: 'true-reset-point' }
const SUBTRACT: CollectorOptions = { starts: 'subtract-initial-point' }
const START_METRIC: CollectorOptions = { starts: 'start-time-metric' }

const SCRAPES: Scrapes = { from: 1, to: 151, every: 5 }

/** A pod from long before metering began, whose customer is idle until the first scrape since, at minute 1. */
function oldPod(stage: Stage, { ended = 240, heap = 700_000 } = {}): Pod {
  const pod = new Pod(stage, { started: -2000, ended })
  pod.serve(ALICE, { from: -1900, to: -2, heap, rate: 0.01 })
  return pod.serve(ALICE, { from: 2, to: ended - 1 })
}

/** A pod that takes the place of another. */
function successor(stage: Stage, started: number, heap = 5): Pod {
  const pod = new Pod(stage, { started })
  return pod.serve(ALICE, { from: started + 0.2, to: 148, heap })
}

function lateCustomers(stage: Stage, collector: CollectorOptions, scrapes = SCRAPES, saysStart = true): Course {
  const pod = oldPod(stage)
    .serve(BOB, { from: 50, to: 240, heap: 9000 })
    .serve(CAROL, { from: 110, to: 111, heap: 300 })
  return scraped(stage, collector, new Target({ pods: [pod], saysStart }), scrapes)
}

function restart(stage: Stage, collector: CollectorOptions, heap = 5): Course {
  const pods = [oldPod(stage, { ended: 70 }), successor(stage, 71, heap).serve(BOB, { from: 95, to: 148, heap: 2000 })]
  return scraped(stage, collector, new Target({ pods, saysStart: true }))
}

const scraped = (stage: Stage, options: CollectorOptions, target: Target, scrapes = SCRAPES): Course => ({
  deliveries: direct(stage, new Collector(stage, options).scrapes(target, scrapes)),
})

/** The Collector is another from minute 70 on, and knows nothing. */
function collectorRestart(stage: Stage, before: CollectorOptions, after = before): Course {
  const pod = oldPod(stage).serve(BOB, { from: 30, to: 240, heap: 2000 }).serve(CAROL, { from: 110, to: 240 })
  const target = new Target({ pods: [pod] })
  const first = new Collector(stage, before).scrapes(target, { ...SCRAPES, to: 70 })
  const second = new Collector(stage, { ...after, started: 71 }).scrapes(target, { ...SCRAPES, from: 73 })
  return { deliveries: direct(stage, merged(first, second)) }
}

/** Something broken beside a target in order, both of the same Collector. */
function withBystander(stage: Stage, options: CollectorOptions, target: Target, scrapes = SCRAPES): Course {
  const pod = new Pod(stage, { started: -500 }).serve(BYSTANDER, { from: -400, to: -2 })
  pod.serve(BYSTANDER, { from: 2, to: 148 })
  const collector = new Collector(stage, options)
  const other = new Target({ pods: [pod], instance: 'inference-9.inference:8000' })
  const messages = merged(collector.scrapes(target, scrapes), collector.scrapes(other, scrapes))
  return { deliveries: direct(stage, messages), expected: { bystanders: [BYSTANDER] } }
}

/**
 * Two pods of one customer, of different heights, or several workers. The second answers first, and is not the lowest: a
 * huge jump before any fall could not be told from use.
 */
function several(stage: Stage, heights: readonly number[]): Target {
  const pods = heights.map((heap, n) => {
    const pod = new Pod(stage, { started: -900 + n }).serve(ALICE, { from: -800, to: -2, heap, rate: 0.01 })
    return pod.serve(ALICE, { from: 2, to: 148, rate: 10 + 5 * n })
  })
  return new Target({ pods, answering: 'any', instance: 'inference:8000' })
}

/** Behind a Service the old pod and the new one are for eleven minutes, then only the new one. */
function rollout(stage: Stage): Target {
  const pods = [oldPod(stage, { ended: 50 }), successor(stage, 39)]
  return new Target({ pods, answering: 'any', instance: 'inference:8000' })
}

/** Pods that began after metering did, all behind one target. */
function youngPods(stage: Stage, count: number): Target {
  const pods = Array.from({ length: count }, (_, n) => {
    const pod = new Pod(stage, { started: 2 + n }).serve(ALICE, { from: 5 + n, to: 148, heap: 4000 * n, rate: 9 + n })
    return pod.serve(BOB, { from: 60 + 5 * n, to: 148, rate: 4 })
  })
  return new Target({ pods, answering: 'any', instance: 'inference:8000' })
}

/** Two Collectors scrape one target. */
function pair(stage: Stage, options: CollectorOptions, pods: readonly Pod[], { phase = 500, clock = 0 } = {}): Course {
  const target = new Target({ pods })
  const first = new Collector(stage, options).scrapes(target, { ...SCRAPES, phase: 30_000 })
  const second = new Collector(stage, { ...options, clock }).scrapes(target, { ...SCRAPES, phase: 30_000 + phase })
  const late = direct(stage, second).map(one => ({ ...one, at: one.at + 20_000 }))
  return { deliveries: together(direct(stage, first), late) }
}

const haPod = (stage: Stage) => oldPod(stage).serve(BOB, { from: 50, to: 240, heap: 1000 })

const OWN_START =
  "The first start is a scrape's time, so none of the target: its values are followed, and its first is a baseline."
const REAL = 'A created timestamp is the start of the counter itself.'
const BALANCED = 'Heights that alternate behind one name: none of the falls is a restart, and nobody can add them up.'

export const SCRAPED: readonly Scenario[] = [
  scenario('scraped/steady', 'exact', 'Without a start the first scrape is a baseline, and rises count.', stage =>
    scraped(stage, NONE, new Target({ pods: [oldPod(stage)] })),
  ),
  scenario(
    'scraped/late-customers',
    'exact',
    'A scrape has all series of a target: one that was not in the scrape before began after it.',
    stage => lateCustomers(stage, NONE),
  ),
  scenario('scraped/failed-scrapes', 'exact', 'What was not scraped is in the next scrape.', stage =>
    lateCustomers(stage, NONE, { ...SCRAPES, fails: minute => minute % 15 === 1 && minute > 1 }),
  ),
  scenario('scraped/restart', 'exact', 'A fall whose old height does not come back is a restart.', stage =>
    restart(stage, NONE),
  ),
  scenario('scraped/two-restarts', 'exact', 'Each fall to a new low is a restart.', stage => {
    const pods = [oldPod(stage, { ended: 50 }), new Pod(stage, { started: 51, ended: 100 }), successor(stage, 101)]
    pods[1]?.serve(ALICE, { from: 51.2, to: 98, heap: 800 })
    return scraped(stage, NONE, new Target({ pods }))
  }),
  scenario(
    'scraped/restart-above',
    'bounded',
    'Without a start, a restart that has passed the old height between two scrapes looks like a rise.',
    stage => {
      const first = new Pod(stage, { started: -60, ended: 30 }).serve(ALICE, { from: -50, to: -2, rate: 1 })
      first.serve(ALICE, { from: 2, to: 28 })
      const second = successor(stage, 31, 3000)
      const height = first.series[0]?.counter.value(stage.at(29)) ?? 0
      return { ...scraped(stage, NONE, new Target({ pods: [first, second] })), expected: { blind: height } }
    },
  ),
  scenario(
    'scraped/climbs-past-the-old-height',
    'exact',
    'After a restart it climbs step by step past its old height: no jump comes back to it.',
    stage => {
      const first = new Pod(stage, { started: -5, ended: 50 }).serve(ALICE, { from: 2, to: 48, rate: 60 })
      const second = new Pod(stage, { started: 51 }).serve(ALICE, { from: 51.5, to: 148, rate: 75 })
      first.serve(BOB, { from: -4, to: -4, heap: 10 })
      second.serve(BOB, { from: 51.5, to: 51.5, heap: 4 })
      return scraped(stage, NONE, new Target({ pods: [first, second] }))
    },
  ),
  scenario(
    'scraped/burst-past-the-old-height',
    'bounded',
    'After a fall the old height is back in one step: a burst after a restart, or another writer.',
    stage => {
      const second = successor(stage, 71, 30)
      second.series[0]?.counter.count(stage.at(82), 900_000)
      return scraped(stage, NONE, new Target({ pods: [oldPod(stage, { ended: 70 }), second] }))
    },
  ),
  scenario(
    'scraped/glitch',
    'exact',
    'One value that is a little too low, and the old height is back at once.',
    stage => {
      const spoilt: Scrapes['spoilt'] = (point, minute) =>
        minute === 61 ? { ...point, value: point.value - 250 } : point
      return scraped(stage, NONE, new Target({ pods: [oldPod(stage)] }), { ...SCRAPES, spoilt })
    },
  ),
  scenario('scraped/hidden-for-an-hour', 'exact', 'A series that comes back as high as it was goes on.', stage => {
    const hides = (customer: string, minute: number) => customer === BOB && minute > 60 && minute < 120
    const pod = oldPod(stage).serve(BOB, { from: 30, to: 58 }).serve(BOB, { from: 122, to: 140 })
    return scraped(stage, NONE, new Target({ pods: [pod], hides }))
  }),
  scenario(
    'scraped/stale-markers-then-a-restart',
    'exact',
    'A marker says that nothing answered; what comes then is lower, and the old height does not come back.',
    stage => scraped(stage, NONE, new Target({ pods: [oldPod(stage, { ended: 60 }), successor(stage, 71)] })),
  ),
  scenario(
    'scraped/stale-markers-then-the-same',
    'exact',
    'A marker says that nothing answered; what comes then is higher, and goes on.',
    stage => {
      const down = (minute: number) => minute > 60 && minute < 75
      const pod = oldPod(stage).serve(BOB, { from: 65, to: 240, heap: 3000 })
      return scraped(stage, NONE, new Target({ pods: [pod], down }))
    },
  ),
  scenario(
    'scraped/crash-loop',
    'bounded',
    'A pod that dies after each scrape or two: where it rose past what it had, the rest is in no message.',
    stage => {
      const pods = Array.from({ length: 24 }, (_, n) => {
        const pod = new Pod(stage, { started: 4 + 6 * n, ended: 9.5 + 6 * n })
        return pod.serve(ALICE, { from: 4.2 + 6 * n, to: 9 + 6 * n, rate: stage.integer(5, 60) })
      })
      const expected = { blind: Number.POSITIVE_INFINITY }
      return { ...scraped(stage, NONE, new Target({ pods: [oldPod(stage, { ended: 4 }), ...pods] })), expected }
    },
  ),
  scenario('scraped/two-instances', 'exact', 'Two targets that are alive at once are two.', stage => {
    const collector = new Collector(stage, NONE)
    const messages = [0, 1, 2].map(n => {
      const pod = oldPod(stage).serve(BOB, { from: 40 + 10 * n, to: 240, heap: 100 * n })
      return collector.scrapes(new Target({ pods: [pod], instance: `inference-${n}.inference:8000` }), {
        ...SCRAPES,
        every: 6,
      })
    })
    return { deliveries: direct(stage, merged(...messages)) }
  }),
  scenario(
    'scraped/new-instance',
    'bounded',
    'The first scrape of a target that nobody knows, without a start: it may have counted before.',
    stage => {
      const collector = new Collector(stage, NONE)
      const old = new Target({ pods: [oldPod(stage, { ended: 70 })], instance: 'inference-7d9f:8000' })
      const young = new Target({ pods: [successor(stage, 71, 800)], instance: 'inference-c41a:8000' })
      const messages = [
        collector.scrapes(old, { ...SCRAPES, to: 69 }),
        collector.scrapes(young, { ...SCRAPES, from: 73 }),
      ]
      return { deliveries: direct(stage, merged(...messages)) }
    },
  ),
  scenario(
    'scraped/unit-appears',
    'bounded',
    'A metric without a start gets its unit in mid-life: nothing says that it is the same, or that it is new.',
    stage => {
      const target = new Target({ pods: [oldPod(stage)] })
      const metric = {
        name: 'inference_tokens_total',
        unit: '{token}',
        type: 'sum',
        temporality: 'cumulative',
      } as const
      const before = new Collector(stage, NONE).scrapes(target, { ...SCRAPES, to: 70 })
      const after = new Collector(stage, { ...NONE, metric }).scrapes(target, { ...SCRAPES, from: 73 })
      return { deliveries: direct(stage, merged(before, after)) }
    },
  ),
  // Two Collectors on one target.
  scenario('scraped/pair', 'exact', 'One counter, whose points come twice as often.', stage =>
    pair(stage, NONE, [haPod(stage)]),
  ),
  scenario('scraped/pair-restart', 'exact', 'Both see the same fall, and the old height does not come back.', stage =>
    pair(stage, NONE, [oldPod(stage, { ended: 70 }), successor(stage, 71)]),
  ),
  scenario(
    'scraped/pair-clocks-apart',
    'exact',
    'By their times the values go down a little and are back at once: that is the clock of another scraper.',
    stage => pair(stage, NONE, [haPod(stage)], { phase: -25_000, clock: 27_000 }),
  ),
  scenario('scraped/pair-created', 'exact', 'The same start and values, twice.', stage =>
    pair(stage, CREATED, [haPod(stage)]),
  ),
  scenario(
    'scraped/pair-old-receivers',
    'exact',
    'Each Collector has a start of its own for each series, and none of them is.',
    stage => pair(stage, FIRST_SCRAPE, [haPod(stage)]),
  ),
  scenario(
    'scraped/collectors-hand-over',
    'exact',
    'The new Collector scrapes before the old one ends, under a start of its own.',
    stage => {
      const target = new Target({ pods: [haPod(stage)] })
      const first = new Collector(stage, FIRST_SCRAPE).scrapes(target, { ...SCRAPES, to: 81 })
      const second = new Collector(stage, FIRST_SCRAPE).scrapes(target, { ...SCRAPES, from: 70 })
      return { deliveries: direct(stage, merged(first, second)) }
    },
  ),
  // Starts that are the Collector's own.
  ...[FIRST_SCRAPE, TRUE_RESET].flatMap(options => [
    scenario(`scraped/${options.starts}-late-customers`, 'exact', OWN_START, stage => lateCustomers(stage, options)),
    scenario(
      `scraped/${options.starts}-restart`,
      'exact',
      'The Collector makes a start of a fall, and the fall alone says that it is one.',
      stage => restart(stage, options),
    ),
    scenario(
      `scraped/${options.starts}-collector-restart`,
      'exact',
      'Known series go on under a new start without a fall: it is none.',
      stage => collectorRestart(stage, options),
    ),
    scenario(
      `scraped/${options.starts}-balanced`,
      'alarm',
      'Every fall gets a start that is new and true by the letter, on a sawtooth.',
      stage => withBystander(stage, options, several(stage, [100_000, 300_000])),
    ),
  ]),
  scenario(
    'scraped/collector-upgrade',
    'exact',
    'Starts end, and the host is called otherwise: the target is its service.name and service.instance.id.',
    stage => collectorRestart(stage, { ...FIRST_SCRAPE, oldNames: true }, NONE),
  ),
  scenario(
    'scraped/collector-downgrade',
    'exact',
    'As an upgrade, back again: a point whose start is its time says that it is none.',
    stage => collectorRestart(stage, NONE, { ...FIRST_SCRAPE, oldNames: true }),
  ),
  scenario(
    'scraped/subtract-initial-point-late-customers',
    'exact',
    'What is said is what was counted since the start; the first value of each series is in no message.',
    stage => lateCustomers(stage, SUBTRACT),
  ),
  scenario(
    'scraped/subtract-initial-point-restart',
    'exact',
    'After a fall the value is the whole, and its start is of after metering began.',
    stage => restart(stage, SUBTRACT),
  ),
  scenario(
    'scraped/subtract-initial-point-collector-restart',
    'exact',
    'A new start, and less than before: it counts from there.',
    stage => {
      const target = new Target({ pods: [oldPod(stage)] })
      const first = new Collector(stage, SUBTRACT).scrapes(target, { ...SCRAPES, to: 110 })
      const second = new Collector(stage, SUBTRACT).scrapes(target, { ...SCRAPES, from: 113 })
      return { deliveries: direct(stage, merged(first, second)) }
    },
  ),
  scenario(
    'scraped/start-time-metric-late-customers',
    'exact',
    "The start is the old process's, for all of its series: a new one began after the scrape before.",
    stage => lateCustomers(stage, START_METRIC),
  ),
  scenario(
    'scraped/start-time-metric-young',
    'exact',
    'The process began after metering did: it counts whole.',
    stage => {
      const pod = new Pod(stage, { started: 12 }).serve(ALICE, { from: 13, to: 148, heap: 5000 })
      pod.serve(BOB, { from: 90, to: 148, heap: 700 })
      return scraped(stage, START_METRIC, new Target({ pods: [pod], saysStart: true }), { ...SCRAPES, from: 31 })
    },
  ),
  scenario(
    'scraped/start-time-metric-restart',
    'exact',
    'After a fall known series get a start of their own, new ones the start of the process.',
    stage => restart(stage, START_METRIC),
  ),
  scenario(
    'scraped/start-time-metric-restart-above',
    'bounded',
    'A known series keeps its first start when it does not fall: the restart is in no message.',
    stage => {
      const first = new Pod(stage, { started: 0.2, ended: 30 }).serve(ALICE, { from: 0.5, to: 28 })
      const second = successor(stage, 31, 3000)
      const target = new Target({ pods: [first, second], saysStart: true })
      const height = first.series[0]?.counter.value(stage.at(29)) ?? 0
      return { ...scraped(stage, START_METRIC, target), expected: { blind: height } }
    },
  ),
  scenario(
    'scraped/start-time-metric-fallback-late-customers',
    'exact',
    "Without the metric all get the Collector's own start, of before metering began.",
    stage => lateCustomers(stage, START_METRIC, SCRAPES, false),
  ),
  scenario(
    'scraped/start-time-metric-fallback-collector-restart',
    'bounded',
    'Known series of two targets go on under one whole second after metering began: a hint that it is no start of theirs.',
    stage => {
      const targets = [0, 1].map(n => new Target({ pods: [oldPod(stage)], instance: `inference-${n}.inference:8000` }))
      const scrape = (started: number, scrapes: Scrapes) => {
        const collector = new Collector(stage, { ...START_METRIC, started })
        const [one, other] = targets.map(target => collector.scrapes(target, { ...scrapes, phase: 15_000 }))
        return (one ?? []).map((message, n) => ({
          ...message,
          points: [...message.points, ...(other?.[n]?.points ?? [])],
        }))
      }
      const messages = merged(scrape(-1440, { ...SCRAPES, to: 70 }), scrape(71, { ...SCRAPES, from: 73 }))
      return { deliveries: direct(stage, messages) }
    },
  ),
  // Created timestamps.
  scenario('scraped/created-first-scrape', 'exact', REAL, stage => {
    const pod = new Pod(stage, { started: 5 }).serve(ALICE, { from: 6, to: 148, heap: 4000 })
    pod.serve(BOB, { from: 70, to: 148, heap: 300 })
    return scraped(stage, CREATED, new Target({ pods: [pod] }), { ...SCRAPES, from: 33 })
  }),
  scenario('scraped/created-old-process', 'exact', 'It says itself that it began before metering did.', stage =>
    lateCustomers(stage, CREATED),
  ),
  scenario('scraped/created-restart', 'exact', REAL, stage => restart(stage, CREATED)),
  scenario(
    'scraped/created-restart-above',
    'exact',
    'The start changes, so a restart is known whatever its value.',
    stage => restart(stage, CREATED, 2_000_000),
  ),
  scenario(
    'scraped/created-new-instance',
    'exact',
    'A target that nobody knows, but its counters say when they began.',
    stage => {
      const collector = new Collector(stage, CREATED)
      const messages = [8, 60, 100].map((started, n) => {
        const pod = new Pod(stage, { started, ended: started + 48 })
        pod.serve(ALICE, { from: started + 1, to: started + 46, heap: 700 })
        const target = new Target({ pods: [pod], instance: `inference-${n}b${n}:8000` })
        return collector.scrapes(target, { ...SCRAPES, from: started + 9, to: started + 47 })
      })
      return { deliveries: direct(stage, merged(...messages)) }
    },
  ),
  scenario('scraped/created-balanced', 'exact', 'Each point says by its start whose it is.', stage =>
    scraped(stage, CREATED, youngPods(stage, 2)),
  ),
  scenario('scraped/created-four-workers', 'exact', 'Each point says by its start whose it is.', stage =>
    scraped(stage, CREATED, youngPods(stage, 4), { ...SCRAPES, every: 2 }),
  ),
  // Several writers behind one target.
  scenario('scraped/balanced', 'alarm', BALANCED, stage =>
    withBystander(stage, NONE, several(stage, [100, 5_000_000])),
  ),
  scenario('scraped/four-workers', 'alarm', BALANCED, stage =>
    withBystander(stage, NONE, several(stage, [90_000, 60_000, 30_000, 2000]), { ...SCRAPES, every: 2 }),
  ),
  scenario(
    'scraped/rollout-behind-a-service',
    'alarm',
    'For eleven minutes two pods answer in turn, then only the new one: the old height came back before it fell for good.',
    stage => withBystander(stage, NONE, rollout(stage), { ...SCRAPES, every: 3, to: 115 }),
  ),
  // On the way.
  ...([NONE, CREATED, FIRST_SCRAPE, TRUE_RESET] as const).map(options =>
    scenario(
      `scraped/outage-ten-consumers-${options.starts}`,
      'exact',
      'The queue empties in any order: within what is remembered, times decide.',
      stage => {
        const pod = oldPod(stage).serve(BOB, { from: 62, to: 240, heap: 5000 })
        const messages = new Collector(stage, options).scrapes(new Target({ pods: [pod] }), SCRAPES)
        // A first point that is overtaken says too late that its start is none.
        return { deliveries: queue(stage, messages, { consumers: 10, outages: [[50, 95]], calmUntil: 20 }) }
      },
    ),
  ),
  scenario(
    'scraped/outage-of-ten-hours',
    'exact',
    'A queue lives a day, and its order is that of the times.',
    stage => {
      const pod = oldPod(stage, { ended: 900 }).serve(BOB, { from: 300, to: 890, heap: 5000, rate: 3 })
      const messages = new Collector(stage, NONE).scrapes(new Target({ pods: [pod] }), { from: 1, to: 900, every: 15 })
      return { deliveries: queue(stage, messages, { consumers: 10, outages: [[100, 700]] }) }
    },
  ),
  scenario('scraped/everything-twice', 'exact', 'The same point again says nothing new, however late.', stage => {
    const { deliveries } = restart(stage, NONE)
    return { deliveries: repeated(stage, deliveries, 1, 180) }
  }),
  scenario(
    'scraped/restart-during-an-outage',
    'exact',
    'The fall comes before the height that it fell from; by their times there is one fall.',
    stage => {
      const pods = [oldPod(stage, { ended: 70 }), successor(stage, 71)]
      const messages = new Collector(stage, NONE).scrapes(new Target({ pods }), SCRAPES)
      return { deliveries: queue(stage, messages, { consumers: 10, outages: [[50, 95]] }) }
    },
  ),
]
