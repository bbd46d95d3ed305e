import {
  Application,
  type ApplicationOptions,
  CPP_OLD,
  GO,
  JAVA,
  JAVA_OLD,
  JAVASCRIPT,
  merged,
  PYTHON,
  PYTHON_OLD,
  REQUESTS,
  RUBY,
  RUST,
  type Sdk,
  TOKENS_EVER,
} from '../sdk.ts'
import { ALICE, BOB, BYSTANDER, CAROL, DAVE, type Stage } from '../stage.ts'
import { direct, queue, together } from '../transports.ts'
import { type Scenario, scenario } from './scenario.ts'

/** A process that began long before metering did, whose customer is idle until its first export since, at minute 1. */
function oldApplication(stage: Stage, options: Partial<ApplicationOptions> = {}): Application {
  const started = options.started ?? -900
  const application = new Application(stage, { sdk: GO, instance: 'assistant-1', ...options, started })
  application.serve(ALICE, { from: started + 5, to: -2, heap: 4_000_000 })
  return application.serve(ALICE, { from: 2, to: 240 })
}

/** Customers come in the course of a day to a process that is younger than the ledger. */
function lateCustomers(stage: Stage, options: Partial<ApplicationOptions> & { readonly sdk: Sdk }) {
  const application = new Application(stage, { instance: 'assistant-1', started: 3, ...options })
    .serve(ALICE, { from: 4, to: 400 })
    .serve(BOB, { from: 94, to: 400 })
    // All of it before its first export.
    .serve(CAROL, { from: 248, to: 249, heap: 66_000 })
    .serve(DAVE, { from: 395, to: 400 })
  return { deliveries: direct(stage, application.exports({ every: 10, to: 403 })) }
}

/** Replicas that share a name, each with a start of its own. */
function replicas(stage: Stage, count: number, sdk = GO) {
  const messages = Array.from({ length: count }, (_, index) => {
    const application = new Application(stage, { sdk, started: 2 + index * 0.4 })
    application.serve(index % 2 === 0 ? ALICE : BOB, { from: 30, to: 118, rate: 5 + index })
    application.serve(CAROL, { from: 60 + index * 0.4, to: 118, rate: 3 })
    return application.exports({ every: count > 20 ? 30 : 15, to: 150 })
  })
  return { deliveries: direct(stage, merged(...messages)) }
}

/** @param heights how much the process counts before each restart */
function restarts(stage: Stage, heights: readonly number[], options: Partial<ApplicationOptions> = {}) {
  let started = 5
  const messages = heights.map(heap => {
    const application = new Application(stage, { sdk: GO, instance: 'assistant-0', ...options, started })
    application.serve(ALICE, { from: started + 1, to: started + 24, heap, rate: 5 })
    const exports = application.exports({ every: 5, to: started + 25 })
    started += 27
    return exports
  })
  return { deliveries: direct(stage, merged(...messages)) }
}

/** One run after the other, under one name. @param every minutes of the four that each run lasts */
function jobs(stage: Stage, every: number) {
  const runs = Array.from({ length: 60 }, (_, n) => {
    const started = 2 + 5 * n
    const job = new Application(stage, { sdk: JAVASCRIPT, started, service: 'nightly' })
    job.serve(n % 3 === 0 ? BOB : ALICE, { from: started + 0.5, to: started + 3, heap: stage.integer(10, 5000) })
    return job.exports({ every, to: started + 4 })
  })
  return { deliveries: direct(stage, merged(...runs)) }
}

/** Workers that were forked when the SDK had begun. */
function forked(stage: Stage, ownPid: boolean) {
  const started = 1
  const resource = (pid: number) => (ownPid ? { resource: () => ({ 'process.pid': pid }) } : {})
  const first = new Application(stage, { sdk: PYTHON_OLD, started, service: 'gunicorn', ...resource(41) })
  const workers = [1, 2, 3].map(
    n =>
      new Application(stage, { sdk: PYTHON_OLD, started, service: 'gunicorn', forkedFrom: first, ...resource(41 + n) }),
  )
  const messages = [first, ...workers].map((worker, index) => {
    worker.serve(ALICE, { from: 2, to: 118, rate: 8 + 9 * index })
    return worker.exports({ every: 8, from: 6 + 0.1 * index, to: 120 })
  })
  const bystander = new Application(stage, { sdk: GO, started: 2, instance: 'assistant-9' })
  bystander.serve(BYSTANDER, { from: 3, to: 118 })
  return {
    deliveries: direct(stage, merged(...messages, bystander.exports({ every: 8, to: 120 }))),
    expected: { bystanders: [BYSTANDER] },
  }
}

const YOUNG =
  'The process began after metering did, so all that it counted was used since, however late its customers come.'
const EACH_ITS_OWN = 'Each start has its own mark: the name is shared, the sums are not.'
const NO_START = 'A start that moves with each export is none, and by the letter each point would be a new counter.'

function movingStart(stage: Stage, starts: Sdk['starts']) {
  const application = new Application(stage, { sdk: { ...CPP_OLD, starts }, started: 3, instance: 'engine-1' })
  application.serve(ALICE, { from: 4, to: 118 })
  const bystander = new Application(stage, { sdk: GO, started: 2, instance: 'assistant-9' })
  bystander.serve(BYSTANDER, { from: 3, to: 118 })
  const messages = [application, bystander].map(one => one.exports({ every: 5, to: 120 }))
  return { deliveries: direct(stage, merged(...messages)), expected: { bystanders: [BYSTANDER] } }
}

export const SDK: readonly Scenario[] = [
  ...[GO, RUST, PYTHON_OLD, JAVA_OLD, PYTHON, JAVA, JAVASCRIPT, RUBY].map(sdk =>
    scenario(`sdk/late-customers-${sdk.language}-${sdk.version}`, 'exact', YOUNG, stage =>
      lateCustomers(stage, { sdk }),
    ),
  ),
  ...(['histogram', 'exponential-histogram'] as const).map(type =>
    scenario(`sdk/late-customers-${type}`, 'exact', 'As of sums, by how many values a histogram has.', stage =>
      lateCustomers(stage, { sdk: GO, metric: { ...REQUESTS, type } }),
    ),
  ),
  scenario('sdk/no-instance-late-customers', 'exact', YOUNG, stage => {
    const { deliveries } = lateCustomers(stage, { sdk: JAVASCRIPT })
    return { deliveries: deliveries.map(one => ({ ...one, points: one.points.map(withoutInstance) })) }
  }),
  scenario(
    'sdk/old-process',
    'exact',
    'What a process that began before had counted by its first point is a baseline.',
    stage => ({ deliveries: direct(stage, oldApplication(stage).exports({ every: 5, from: 1, to: 120 })) }),
  ),
  ...[GO, JAVA_OLD].map(sdk =>
    scenario(
      `sdk/old-process-late-customers-${sdk.language}`,
      'exact',
      'A cumulative exporter sends all its series: one that the collection before had not, began after it, whatever its start.',
      stage => {
        const application = oldApplication(stage, { sdk })
          .serve(BOB, { from: 47, to: 240, heap: 1_000_000 })
          .serve(CAROL, { from: 200, to: 201, heap: 700 })
        return { deliveries: direct(stage, application.exports({ every: 6, from: 1, to: 241 })) }
      },
    ),
  ),
  scenario(
    'sdk/old-process-late-customers-series-start',
    'exact',
    'The old series began before metering did, the new one after, each by its own start.',
    stage => {
      const application = oldApplication(stage, { sdk: PYTHON }).serve(BOB, { from: 47, to: 240, heap: 90_000 })
      return { deliveries: direct(stage, application.exports({ every: 6, from: 1, to: 241 })) }
    },
  ),
  scenario(
    'sdk/old-process-first-seen-late',
    'bounded',
    'Between the beginning of metering and its first point nothing tells new usage of an old process from old.',
    stage => {
      const application = new Application(stage, { sdk: GO, started: -120, instance: 'assistant-1' })
      application.serve(ALICE, { from: -110, to: 120 })
      return { deliveries: direct(stage, application.exports({ every: 5, from: 35, to: 120 })) }
    },
  ),
  scenario(
    'sdk/first-export-after-50-minutes',
    'exact',
    'A process that began after metering did, and that nobody knows by another name: all it counted is of since.',
    stage => {
      const application = new Application(stage, { sdk: GO, started: 1, instance: 'batch-1' })
      application.serve(ALICE, { from: 2, to: 239, rate: 400 }).serve(BOB, { from: 30, to: 239, rate: 300 })
      return { deliveries: direct(stage, application.exports({ every: 50, to: 240 })) }
    },
  ),
  scenario('sdk/restart-below', 'exact', 'A new start is a new count.', stage => restarts(stage, [30_000, 20, 5000])),
  scenario('sdk/restart-above', 'exact', 'A new start is a new count, also where its first value is higher.', stage =>
    restarts(stage, [20, 3000, 70_000]),
  ),
  scenario('sdk/restart-equal', 'exact', 'Equal values of two starts are two counts.', stage => {
    const messages = [5, 35].map(started => {
      const application = new Application(stage, { sdk: GO, started, instance: 'assistant-0' })
      application.serve(ALICE, { from: started + 1, to: started + 1, heap: 5000 })
      return application.exports({ every: 5, to: started + 25 })
    })
    return { deliveries: direct(stage, merged(...messages)) }
  }),
  scenario(
    'sdk/thirty-restarts-one-identity',
    'exact',
    'A start is forgotten when nothing spoke of it for longer than a queue lives, not because there are others.',
    stage =>
      restarts(
        stage,
        Array.from({ length: 30 }, (_, n) => 100 + 70 * ((n * 7) % 11)),
      ),
  ),
  scenario('sdk/sixty-jobs', 'exact', 'Each run of a job is a start that speaks twice.', stage => jobs(stage, 2)),
  scenario(
    'sdk/sixty-jobs-of-one-export',
    'bounded',
    'Of starts that speak once, nothing tells those of jobs from one that moves with each export.',
    stage => ({ ...jobs(stage, 4), expected: { blind: Number.POSITIVE_INFINITY } }),
  ),
  scenario(
    'sdk/instance-id-of-each-start',
    'exact',
    'A random instance id makes each restart a name of its own.',
    stage => {
      const runs = [0, 1, 2, 3, 4].map(n => {
        const started = 4 + 30 * n
        const run = new Application(stage, { sdk: JAVA, started, instance: `6f0c2e${n}d-51aa` })
        run.serve(ALICE, { from: started + 1, to: started + 24, heap: 900 - 100 * n })
        return run.exports({ every: 6, to: started + 25 })
      })
      return { deliveries: direct(stage, merged(...runs)) }
    },
  ),
  ...[3, 12, 40].map(count =>
    scenario(`sdk/${count}-replicas-no-instance`, 'exact', EACH_ITS_OWN, stage => replicas(stage, count)),
  ),
  scenario('sdk/5-replicas-series-start', 'exact', EACH_ITS_OWN, stage => replicas(stage, 5, JAVASCRIPT)),
  scenario(
    'sdk/rollout-no-instance',
    'exact',
    'For some minutes the old pods and the new ones speak under one name, each by its start.',
    stage => {
      const of = (started: number, to: number, rate: number) => {
        const application = new Application(stage, { sdk: GO, started })
        application.serve(ALICE, { from: started + 1, to: to - 1, rate })
        application.serve(BOB, { from: started + 9, to: to - 1, rate: 7 })
        return application.exports({ every: 5, to })
      }
      const pods = [of(1, 60, 9), of(2, 66, 30), of(52, 120, 21), of(58, 120, 4)]
      return { deliveries: direct(stage, merged(...pods)) }
    },
  ),
  scenario(
    'sdk/one-old-and-one-young-replica',
    'exact',
    'Under one name, one start before metering began, which is a baseline, and one after, which counts whole.',
    stage => {
      const old = new Application(stage, { sdk: GO, started: -700 })
      old.serve(ALICE, { from: -690, to: -2, heap: 9_000_000 }).serve(ALICE, { from: 2, to: 118 })
      const young = new Application(stage, { sdk: GO, started: 15 }).serve(ALICE, { from: 16, to: 118, heap: 40_000 })
      const messages = merged(old.exports({ every: 5, from: 1, to: 120 }), young.exports({ every: 5, to: 120 }))
      return { deliveries: direct(stage, messages) }
    },
  ),
  scenario(
    'sdk/forked-workers-one-start',
    'alarm',
    'Resource and start are shared: the values are one series that jumps up and down, and nobody can add them up.',
    stage => forked(stage, false),
  ),
  scenario(
    'sdk/forked-workers-own-pid',
    'exact',
    'The same start, but resources that differ in a value are different counters.',
    stage => forked(stage, true),
  ),
  scenario('sdk/start-of-the-export-before', 'alarm', NO_START, stage => movingStart(stage, 'previous-export')),
  scenario('sdk/start-a-second-ago', 'alarm', NO_START, stage => movingStart(stage, 'second-before')),
  scenario('sdk/start-is-the-time', 'alarm', NO_START, stage => movingStart(stage, 'export')),
  scenario(
    'sdk/observable-leaves-out-and-returns',
    'exact',
    'A series that is known goes on from its mark, however long it was left out.',
    stage => {
      const application = new Application(stage, {
        ...{ sdk: GO, started: 1, instance: 'assistant-1' },
        leavesOut: (customer, minute) => customer === BOB && minute > 40 && minute < 150,
      })
      application.serve(ALICE, { from: 2, to: 198 }).serve(BOB, { from: 3, to: 198 })
      return { deliveries: direct(stage, application.exports({ every: 6, to: 200 })) }
    },
  ),
  scenario(
    'sdk/observable-alternates',
    'bounded',
    'Where the known series do not go on in the same collection, a new one is no proof: it may have been left out before.',
    stage => {
      const application = new Application(stage, {
        ...{ sdk: GO, started: -800, instance: 'assistant-1' },
        leavesOut: (customer, minute) => (customer === ALICE) === minute > 60,
      })
      application.serve(ALICE, { from: -700, to: -2, heap: 5000 }).serve(ALICE, { from: 2, to: 60 })
      application.serve(BOB, { from: -700, to: -2, heap: 900_000 }).serve(BOB, { from: 70, to: 118 })
      return { deliveries: direct(stage, application.exports({ every: 6, from: 1, to: 120 })) }
    },
  ),
  scenario(
    'sdk/observable-of-a-device',
    'exact',
    'A total that outlives the process, as its rule says: what it had when each process began is none of its usage.',
    stage => {
      const device = new Application(stage, {
        ...{ sdk: GO, started: 4, instance: 'assistant-1', metric: TOKENS_EVER },
        leavesOut: (customer, minute) => customer === BOB && minute < 30,
      })
      device.serve(ALICE, { from: -900, to: -2, heap: 4_000_000 })
      device.serve(ALICE, { from: 11, to: 52 }).serve(ALICE, { from: 60, to: 116 })
      device.serve(BOB, { from: -800, to: -700, heap: 9000 }).serve(BOB, { from: 41, to: 52 })
      const began = stage.at(57)
      const messages = device.exports({ every: 5, to: 54 })
      // The process after it has another start, and reads the same total.
      const after = device
        .exports({ every: 5, from: 58, to: 120 })
        .map(({ at, points }) => ({ at, points: points.map(one => ({ ...one, start: BigInt(began) * 1_000_000n })) }))
      return { deliveries: direct(stage, merged(messages, after)) }
    },
  ),
  scenario(
    'sdk/cardinality-overflow',
    'bounded',
    "Customers beyond the SDK's limit share a series that names none of them: it is kept for a person.",
    stage => {
      const application = new Application(stage, { sdk: GO, started: 1, instance: 'assistant-1' })
      application.serve(BYSTANDER, { from: 2, to: 118 }).serve(BOB, { from: 30, to: 118 })
      const deliveries = direct(stage, application.exports({ every: 5, to: 120 }))
      return {
        deliveries: deliveries.map(one => ({
          ...one,
          points: one.points.map(point => ({
            ...point,
            ...(point.attributes['customer.account'] === BOB && { attributes: { 'otel.metric.overflow': true } }),
          })),
        })),
        expected: { bystanders: [BYSTANDER], mustTell: true },
      }
    },
  ),
  scenario(
    'sdk/three-days-silent',
    'exact',
    'The only start of its name goes on from its mark; a customer who came meanwhile is new since.',
    stage => {
      const application = new Application(stage, { sdk: GO, started: 1, instance: 'assistant-1' })
      application.serve(ALICE, { from: 2, to: 4440, rate: 1 }).serve(BOB, { from: 3000, to: 4440, rate: 2 })
      const messages = [
        ...application.exports({ every: 5, to: 60 }),
        ...application.exports({ every: 5, from: 4320, to: 4440 }),
      ]
      return { deliveries: direct(stage, messages) }
    },
  ),
  scenario(
    'sdk/speaks-again-after-three-days',
    'bounded',
    'Of several starts under one name, one that was silent for longer than a queue lives is forgotten: it is held.',
    stage => {
      const steady = new Application(stage, { sdk: GO, started: 1 }).serve(BOB, { from: 2, to: 4440, rate: 1 })
      const silent = new Application(stage, { sdk: GO, started: 2 }).serve(ALICE, { from: 3, to: 4440, rate: 1 })
      const other = new Application(stage, { sdk: GO, started: 100 }).serve(ALICE, { from: 101, to: 4440, rate: 1 })
      const messages = merged(
        ...[steady.exports({ every: 120, to: 4440 }), other.exports({ every: 120, to: 4440 })],
        ...[silent.exports({ every: 5, to: 60 }), silent.exports({ every: 5, from: 4320, to: 4440 })],
      )
      return { deliveries: direct(stage, messages) }
    },
  ),
  scenario(
    'sdk/temporality-switched',
    'exact',
    'A deployment goes from cumulative to delta and back: other streams, with starts of their own.',
    stage => {
      const runs = (['cumulative', 'delta', 'cumulative'] as const).map((temporality, n) => {
        const started = 2 + 70 * n
        const metric = { name: 'inference.tokens', unit: '{token}', type: 'sum', temporality } as const
        const run = new Application(stage, { sdk: GO, started, instance: 'assistant-0', metric })
        run
          .serve(ALICE, { from: started + 1, to: started + 58, heap: 200 })
          .serve(BOB, { from: started + 20, to: started + 58 })
        return run.exports({ every: 5, to: started + 65 })
      })
      return { deliveries: direct(stage, merged(...runs)) }
    },
  ),
  scenario(
    'sdk/process-ends-between-exports',
    'exact',
    'What a process counted after its last export is in no message; what its successor counts is.',
    stage => {
      const first = new Application(stage, { sdk: GO, started: 1, instance: 'assistant-0' })
      first.serve(ALICE, { from: 2, to: 64 })
      const second = new Application(stage, { sdk: GO, started: 66, instance: 'assistant-0' })
      second.serve(ALICE, { from: 67, to: 118 })
      const messages = merged(first.exports({ every: 5, to: 61 }), second.exports({ every: 5, to: 121 }))
      return { deliveries: direct(stage, messages) }
    },
  ),
  scenario(
    'sdk/customers-with-many-series',
    'exact',
    'Each model and token type is a series; those of a customer come one after the other.',
    stage => {
      const application = new Application(stage, { sdk: GO, started: 1, instance: 'assistant-1' })
      for (const [n, model] of ['small', 'large', 'embed', 'vision'].entries()) {
        for (const type of ['input', 'output']) {
          const attributes = { 'gen_ai.request.model': model, 'gen_ai.token.type': type }
          application.serve(ALICE, { from: 3 + 25 * n, to: 118, rate: 6 }, attributes)
          application.serve(BOB, { from: 20 + 25 * n, to: 118, rate: 3 }, attributes)
        }
      }
      return { deliveries: direct(stage, application.exports({ every: 6, to: 120 })) }
    },
  ),
  scenario(
    'sdk/collections-lost',
    'exact',
    'A cumulative value says again what the lost ones said; a customer who came meanwhile began after the last known collection.',
    stage => {
      const application = oldApplication(stage).serve(BOB, { from: 66, to: 240, heap: 30_000 })
      const deliveries = direct(stage, application.exports({ every: 5, from: 1, to: 241 }))
      return { deliveries: deliveries.filter(({ at }) => at < stage.at(60) || at > stage.at(95)) }
    },
  ),
  scenario(
    'sdk/two-applications-one-customer',
    'exact',
    'Two services serve one customer, one of them through a slow queue: their names differ, and nothing else has to.',
    stage => {
      const chat = new Application(stage, { sdk: GO, started: 2, service: 'chat', instance: 'c-1' })
      const search = new Application(stage, { sdk: JAVASCRIPT, started: 2, service: 'search', instance: 's-1' })
      for (const one of [chat, search]) one.serve(ALICE, { from: 3, to: 118 })
      return {
        deliveries: together(
          direct(stage, chat.exports({ every: 5, to: 120 })),
          queue(stage, search.exports({ every: 5, to: 120 }), { consumers: 10, outages: [[40, 70]] }),
        ),
      }
    },
  ),
]

function withoutInstance<Of extends { readonly resource: object }>(point: Of): Of {
  const { 'service.instance.id': _, ...resource } = point.resource as Record<string, unknown>
  return { ...point, resource }
}
