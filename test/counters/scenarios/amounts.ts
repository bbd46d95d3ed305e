import { Collector, Pod, Target } from '../scraping.ts'
import { Application, GO, merged, REQUESTS } from '../sdk.ts'
import { ALICE, BOB, type Stage } from '../stage.ts'
import { direct } from '../transports.ts'
import { type Scenario, scenario } from './scenario.ts'

/** In units: as millionths it is above 2^62. */
const HUGE = 5_000_000_000_000

function hugeApplication(stage: Stage, height: number): Application {
  const application = new Application(stage, { sdk: GO, started: -900, instance: 'assistant-1' })
  application.serve(ALICE, { from: -890, to: -889, heap: height }).serve(ALICE, { from: 2, to: 118 })
  return application.serve(BOB, { from: 50, to: 118, heap: 10 })
}

const BASELINE = 'A running total may be far above what an hour can bill: it is a baseline, and its rises count.'

export const AMOUNTS: readonly Scenario[] = [
  scenario('amounts/total-above-2^62-millionths', 'exact', BASELINE, stage => ({
    deliveries: direct(stage, hugeApplication(stage, HUGE).exports({ every: 5, from: 1, to: 121 })),
  })),
  scenario('amounts/total-near-2^53', 'exact', BASELINE, stage => ({
    deliveries: direct(stage, hugeApplication(stage, 9_000_000_000_000_000).exports({ every: 5, from: 1, to: 121 })),
  })),
  scenario('amounts/scraped-total-above-2^62-millionths', 'exact', BASELINE, stage => {
    const pod = new Pod(stage, { started: -900 }).serve(ALICE, { from: -890, to: -889, heap: HUGE })
    pod.serve(ALICE, { from: 2, to: 118 }).serve(BOB, { from: 50, to: 118, heap: 10 })
    const messages = new Collector(stage, { starts: 'none' }).scrapes(new Target({ pods: [pod] }), {
      from: 1,
      to: 121,
      every: 5,
    })
    return { deliveries: direct(stage, messages) }
  }),
  scenario('amounts/restart-of-a-huge-total', 'exact', 'Its successor counts from nothing.', stage => {
    const before = hugeApplication(stage, HUGE).exports({ every: 5, from: 1, to: 121 })
    const after = new Application(stage, { sdk: GO, started: 125, instance: 'assistant-1' }).serve(ALICE, {
      from: 126,
      to: 158,
    })
    return { deliveries: direct(stage, merged(before, after.exports({ every: 5, to: 160 }))) }
  }),
  scenario(
    'amounts/parts-of-units',
    'exact',
    'What is no whole unit stays in the balance, to the millionth.',
    stage => {
      const application = new Application(stage, { sdk: GO, started: 1, instance: 'assistant-1' })
      for (let minute = 2; minute < 118; minute += 3) application.serve(ALICE, { from: minute, to: minute, heap: 0.25 })
      application.serve(BOB, { from: 40, to: 40, heap: 1.125 })
      return { deliveries: direct(stage, application.exports({ every: 5, to: 120 })) }
    },
  ),
  scenario(
    'amounts/dimension-added-later',
    'exact',
    'What was counted before a dimension was sold is none of its usage, though the process began after metering did.',
    stage => {
      const common = { sdk: GO, started: 1, instance: 'assistant-1' }
      const tokens = new Application(stage, common).serve(ALICE, { from: 2, to: 158 })
      const requests = new Application(stage, { ...common, metric: REQUESTS, forkedFrom: tokens })
      requests.serve(ALICE, { from: 3, to: 58, heap: 5000 }).serve(ALICE, { from: 66, to: 158 })
      requests.serve(BOB, { from: 4, to: 50 }).serve(BOB, { from: 90, to: 158 })
      const messages = merged(...[tokens, requests].map(one => one.exports({ every: 5, to: 161 })))
      return {
        deliveries: direct(stage, messages),
        dimensions: ['tokens', 'gpu'],
        restarts: [{ at: stage.at(60), gateway: 0, dimensions: ['tokens', 'gpu', 'requests'] }],
      }
    },
  ),
  scenario(
    'amounts/customer-of-a-dimension-added-later',
    'exact',
    'A series that is new in a stream whose collections since are known began after it was sold.',
    stage => {
      const requests = new Application(stage, { sdk: GO, started: 1, instance: 'assistant-1', metric: REQUESTS })
      requests.serve(ALICE, { from: 3, to: 58, heap: 5000 }).serve(ALICE, { from: 66, to: 158 })
      requests.serve(BOB, { from: 90, to: 158, heap: 70 })
      return {
        deliveries: direct(stage, requests.exports({ every: 5, to: 161 })),
        dimensions: ['tokens'],
        restarts: [{ at: stage.at(60), gateway: 0, dimensions: ['tokens', 'requests'] }],
      }
    },
  ),
]
