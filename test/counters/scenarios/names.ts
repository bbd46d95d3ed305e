import { Application, GO, JAVASCRIPT, merged, TOKENS } from '../sdk.ts'
import { ALICE, BOB, BYSTANDER, CAROL, type Course, type Stage } from '../stage.ts'
import { direct, queue, spread } from '../transports.ts'
import { type Scenario, scenario } from './scenario.ts'

const POD = { 'k8s.pod.name': 'assistant-5c7f-x2x', 'k8s.namespace.name': 'prod', 'k8s.node.name': 'node-3' }

/** A process whose attributes follow the minute. The old one began long before metering did. */
function renamed(
  stage: Stage,
  resource: (minute: number) => Record<string, string>,
  { old = false, sdk = GO, every = 5 } = {},
): Course {
  const application = new Application(stage, { sdk, started: old ? -600 : 1, resource })
  if (old) application.serve(ALICE, { from: -590, to: -2, heap: 40_000, rate: 1 })
  application.serve(ALICE, { from: 2, to: 158 }).serve(BOB, { from: 31, to: 158, heap: 800 })
  application.serve(CAROL, { from: 120, to: 158, heap: 9000 })
  return { deliveries: direct(stage, application.exports({ every, from: old ? 1 : 2, to: 161 })) }
}

/** Two Collectors get the same points and send both. */
function fanOut(stage: Stage, label: (collector: number) => Record<string, string>) {
  const application = new Application(stage, { sdk: GO, started: 1, instance: 'assistant-1' })
  application.serve(ALICE, { from: 2, to: 118 })
  const messages = application.exports({ every: 5, to: 120 })
  const through = (collector: number) =>
    messages.map(message => ({
      ...message,
      points: message.points.map(point => ({ ...point, resource: { ...point.resource, ...label(collector) } })),
    }))
  return merged(through(1), through(2))
}

const RENAMED =
  'The same start, metric and point attributes under a resource that differs by added or removed keys only: one counter.'

export const NAMES: readonly Scenario[] = [
  scenario('names/k8s-attributes-appear-early', 'exact', RENAMED, stage =>
    renamed(stage, minute => (minute > 4 ? POD : {}), { every: 1 }),
  ),
  scenario('names/k8s-attributes-appear-after-40-minutes', 'exact', RENAMED, stage =>
    renamed(stage, minute => (minute > 40 ? POD : {})),
  ),
  scenario('names/k8s-attributes-appear-series-start', 'exact', RENAMED, stage =>
    renamed(stage, minute => (minute > 40 ? POD : {}), { sdk: JAVASCRIPT }),
  ),
  scenario('names/k8s-attributes-appear-old-process', 'exact', RENAMED, stage =>
    renamed(stage, minute => (minute > 60 ? POD : {}), { old: true }),
  ),
  scenario('names/k8s-attributes-appear-one-by-one', 'exact', RENAMED, stage =>
    renamed(stage, minute => Object.fromEntries(Object.entries(POD).slice(0, Math.floor(minute / 25)))),
  ),
  scenario('names/k8s-attributes-flap', 'exact', `${RENAMED} Both ways, as often as it flaps.`, stage =>
    renamed(stage, minute => (Math.floor(minute) % 3 === 0 ? {} : POD), { every: 2 }),
  ),
  scenario('names/k8s-attributes-vanish', 'exact', RENAMED, stage =>
    renamed(stage, minute => (minute < 70 ? POD : {})),
  ),
  scenario('names/k8s-attributes-flap-ten-consumers', 'exact', `${RENAMED} In any order.`, stage => {
    const resource = (minute: number) => (minute % 4 < 2 ? {} : POD)
    const application = new Application(stage, { sdk: GO, started: 1, resource })
    application.serve(ALICE, { from: 2, to: 118 }).serve(BOB, { from: 40, to: 118 })
    const messages = application.exports({ every: 3, to: 121 })
    return {
      deliveries: spread(stage, queue(stage, messages, { consumers: 10, outages: [[30, 60]] }), 2),
      gateways: 2,
    }
  }),
  scenario(
    'names/unit-appears',
    'exact',
    'A metric gets its unit in mid-life: the same start, name and attributes.',
    stage => {
      const metric = (minute: number) =>
        (minute > 60 ? TOKENS : { name: TOKENS.name, type: 'sum', temporality: 'cumulative' }) as typeof TOKENS
      const application = new Application(stage, { sdk: GO, started: 1, instance: 'assistant-1', metric })
      application.serve(ALICE, { from: 2, to: 118 }).serve(BOB, { from: 20, to: 118 })
      return { deliveries: direct(stage, application.exports({ every: 5, to: 121 })) }
    },
  ),
  scenario(
    'names/scope-version-of-a-deployment',
    'exact',
    'A deployment brings another scope version, and a start of its own.',
    stage => {
      const runs = ['2.4.0', '2.5.0', '2.5.1'].map((version, n) => {
        const started = 2 + 50 * n
        const run = new Application(stage, {
          sdk: GO,
          started,
          instance: 'assistant-0',
          scope: { name: 'inference', version },
        })
        run.serve(ALICE, { from: started + 1, to: started + 44, heap: 3000 - 1000 * n })
        return run.exports({ every: 5, to: started + 47 })
      })
      return { deliveries: direct(stage, merged(...runs)) }
    },
  ),
  scenario(
    'names/value-changes',
    'bounded',
    'Equal starts under other values are two counters, or one that was renamed: what may be double is held.',
    stage => renamed(stage, minute => ({ 'deployment.ring': minute > 70 ? 'stable' : 'canary' })),
  ),
  scenario(
    'names/point-attribute-appears',
    'bounded',
    "A Collector adds an attribute to points in mid-life: a point's own attributes tell series apart, and nothing says which.",
    stage => {
      const { deliveries } = renamed(stage, () => ({}))
      return {
        deliveries: deliveries.map(one => ({
          ...one,
          points: one.points.map(point => ({
            ...point,
            ...(one.at > stage.at(70) && { attributes: { ...point.attributes, tier: 'gold' } }),
          })),
        })),
      }
    },
  ),
  scenario(
    'names/fan-out-labelled',
    'alarm',
    'The same values at the same times under two names are one counter that is sent twice.',
    stage => {
      const bystander = new Application(stage, { sdk: GO, started: 1, instance: 'assistant-9', service: 'other' })
      bystander.serve(BYSTANDER, { from: 2, to: 118 })
      const messages = merged(
        fanOut(stage, n => ({ 'collector.id': `c-${n}` })),
        bystander.exports({ every: 5, to: 120 }),
      )
      return { deliveries: direct(stage, messages), expected: { bystanders: [BYSTANDER] } }
    },
  ),
  scenario(
    'names/fan-out-one-labelled',
    'exact',
    'One of two Collectors adds an attribute: as of a counter whose name flaps.',
    stage => ({
      deliveries: direct(
        stage,
        fanOut(stage, n => (n === 1 ? {} : { 'collector.id': 'c-2' })),
      ),
    }),
  ),
  scenario('names/fan-out-without-labels', 'exact', 'The same points twice say nothing new.', stage => ({
    deliveries: direct(
      stage,
      fanOut(stage, () => ({})),
    ),
  })),
]
