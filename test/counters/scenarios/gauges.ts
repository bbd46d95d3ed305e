import { HOUR } from '../../../src/ledger/hours.ts'
import { type Delivery, type Message, nanoseconds } from '../otlp.ts'
import { ALICE, BOB, type Stage } from '../stage.ts'
import { direct, queue, repeated, spread, together } from '../transports.ts'
import { type Scenario, scenario } from './scenario.ts'

/** As long as a level is taken to hold, by default, in seconds. */
const MAX_GAP = 300

interface GaugeOptions {
  readonly customer?: string
  readonly gpu?: string
  readonly from?: number
  readonly to?: number
  readonly every?: number
  /** The level from a scrape on. */
  readonly level?: (minute: number) => number
  readonly stamp?: (at: number, minute: number) => number
  readonly fails?: (minute: number) => boolean
  /** The marker that its series has ended. */
  readonly ends?: boolean
}

/** A GPU's activity, as the DCGM exporter has it: what it is at a scrape, it is until the next. */
function gauge(stage: Stage, options: GaugeOptions = {}): Message[] {
  const { customer = ALICE, gpu = '0', from = 1, to = 121, every = 2, ends = false } = options
  const levels = Array.from({ length: 200 }, () => stage.integer(0, 4) / 4)
  const { level = (minute: number) => levels[Math.floor(minute) % 200] as number, stamp, fails } = options
  const shift = stage.integer(0, 9000)
  const counter = stage.counter(customer, 'gpu')
  const minutes = Array.from({ length: Math.floor((to - from) / every) + 1 }, (_, n) => from + n * every)
  const scraped = minutes.filter(minute => !fails?.(minute))
  return scraped.map((minute, n) => {
    const at = stage.at(minute) + shift
    const before = scraped[n - 1]
    const seconds = before === undefined ? 0 : (minute - before) * 60
    if (before !== undefined) counter.count(at, level(before) * seconds)
    const stale = ends && n === scraped.length - 1
    const point = {
      resource: { 'service.name': 'dcgm', 'service.instance.id': 'node-3:9400', 'server.address': 'node-3' },
      scope: { name: 'github.com/open-telemetry/opentelemetry-collector-contrib/receiver/prometheusreceiver' },
      metric: { name: 'gpu_active', type: 'gauge' },
      attributes: { customer_account: customer, gpu },
      start: 0n,
      time: nanoseconds(stamp?.(at, minute) ?? at),
      value: level(minute),
      stale,
      tells: { counter, from: Number.NEGATIVE_INFINITY, to: at },
    } as const
    return { at, points: [point] }
  })
}

const LEVELS = 'The levels by their times say all, whatever their order.'

export const GAUGES: readonly Scenario[] = [
  scenario('gauges/steady', 'exact', 'A level holds until the next point.', stage => ({
    deliveries: direct(stage, gauge(stage)),
  })),
  scenario('gauges/two-gpus-two-customers', 'exact', 'Each series has its own level.', stage => ({
    deliveries: together(
      direct(stage, gauge(stage)),
      direct(stage, gauge(stage, { gpu: '1' })),
      direct(stage, gauge(stage, { gpu: '2', customer: BOB })),
    ),
  })),
  scenario('gauges/outage-30-minutes-ten-consumers', 'exact', LEVELS, stage => ({
    deliveries: queue(stage, gauge(stage), { consumers: 10, outages: [[40, 70]] }),
  })),
  scenario('gauges/outage-8-hours-ten-consumers', 'exact', LEVELS, stage => ({
    deliveries: queue(stage, gauge(stage, { to: 700, every: 5 }), { consumers: 10, outages: [[60, 540]] }),
  })),
  scenario('gauges/repeats-and-two-gateways', 'exact', LEVELS, stage => ({
    deliveries: spread(stage, repeated(stage, direct(stage, gauge(stage)), 0.7, 40), 2),
    gateways: 2,
  })),
  scenario('gauges/some-late', 'exact', 'A late level divides the interval that was filled without it.', stage => {
    const deliveries: Delivery[] = direct(stage, gauge(stage)).map((one, n) =>
      n % 6 === 3 ? { ...one, at: one.at + 25 * 60_000 } : one,
    )
    return { deliveries: together(deliveries) }
  }),
  scenario('gauges/gateway-restarts', 'exact', 'The last level is as durable as the usage.', stage => ({
    deliveries: direct(stage, gauge(stage)),
    restarts: [30, 61, 90].map((minute, n) => ({ at: stage.at(minute), gateway: 0, killed: n === 1 })),
  })),
  scenario(
    'gauges/repeats-days-later',
    'exact',
    'What is summed up is not divided again, whatever comes of its time.',
    stage => {
      const deliveries = direct(stage, gauge(stage, { to: 2400, every: 4 }))
      return {
        deliveries: together(
          deliveries,
          deliveries.slice(0, 150).map(one => ({ ...one, at: one.at + 35 * HOUR })),
        ),
      }
    },
  ),
  scenario('gauges/pair', 'exact', 'Two Collectors scrape one gauge, one of them sends late.', stage => {
    const deliveries = direct(stage, gauge(stage, { every: 1 }))
    return { deliveries: together(deliveries.map((one, n) => (n % 2 === 0 ? one : { ...one, at: one.at + 95_000 }))) }
  }),
  scenario('gauges/one-stamp-a-year-behind', 'exact', 'A time that nothing remembers orders nothing.', stage => {
    const level = (minute: number) => (Math.floor(minute / 20) % 2 === 0 ? 1 : 0.5)
    const stamp = (at: number, minute: number) => (minute === 51 ? at - 365 * 24 * HOUR : at)
    return { deliveries: direct(stage, gauge(stage, { level, stamp })) }
  }),
  scenario(
    'gauges/silent-for-an-hour',
    'bounded',
    'A silent gauge holds its level for a while; the time after is told, and not billed.',
    stage => {
      const fails = (minute: number) => minute > 40 && minute < 100
      const messages = gauge(stage, { fails, level: () => 1 })
      return { deliveries: direct(stage, messages), expected: { blind: 62 * 60 - MAX_GAP, mustTell: true } }
    },
  ),
  scenario(
    'gauges/ends',
    'exact',
    'A marker says that the level has ended; what ends is nothing to reject.',
    stage => ({
      deliveries: direct(stage, gauge(stage, { ends: true })),
    }),
  ),
  scenario(
    'gauges/backlog-from-before-metering',
    'exact',
    'What a level was before metering began is none of its usage.',
    stage => {
      const level = (minute: number) => (Math.abs(minute) < 9 ? 0 : 1)
      const messages = gauge(stage, { from: -61, level })
      return { deliveries: queue(stage, messages, { outages: [[-100, 3]] }) }
    },
  ),
  scenario(
    'gauges/one-stamp-a-day-ahead',
    'exact',
    'A time that has not come is none; the level before it was the same.',
    stage => {
      const level = (minute: number) => (Math.floor(minute / 20) % 2 === 0 ? 1 : 0.5)
      const stamp = (at: number, minute: number) => (minute === 51 ? at + 86_400_000 : at)
      return { deliveries: direct(stage, gauge(stage, { level, stamp })) }
    },
  ),
]
