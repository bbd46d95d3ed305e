import type { ResourceMetrics } from '@opentelemetry/sdk-metrics'
import type { UsageOptions } from '../../../src/usage/options.ts'

/** What the process that is killed sells, and what it measures. */

/** Some customers fill whole units all the time. */
const BUSY = 6
/** And so many use a little that an hour is closed in more than one transaction. */
const CROWD = 2100
/** The crowd is measured with every so many exports. */
const CROWD_EVERY = 8

export const REGION = 'us-east-1'
export const PRODUCT: UsageOptions = {
  productCode: 'prod-crash',
  dimensions: {
    requests: { unit: '{request}', from: { metric: 'app.requests' } },
    tokens: { unit: '{token}', per: 1000, from: { metric: 'app.tokens' }, allocations: ['model'] },
  },
}

/** The series that has 1 in each export, so that it tells how many batches there are. */
export const COUNTING = { account: 'prod-crash,100000000000', dimension: 'requests', each: 1_000_000n }

/** What the n-th export brings: the same for the same `draw`. */
export function measured(n: number, draw: () => number): ResourceMetrics {
  const busy = Array.from({ length: BUSY }, (_, index) => point(index, index === 0 ? 1 : 1 + Math.floor(draw() * 9)))
  const crowd =
    n % CROWD_EVERY === 0
      ? Array.from({ length: CROWD }, (_, index) => point(1000 + index, 1 + Math.floor(draw() * 5)))
      : busy.map((_, index) => point(index, 1 + Math.floor(draw() * 900)))
  return {
    resource: { attributes: {} } as ResourceMetrics['resource'],
    scopeMetrics: [{ scope: { name: 'app' }, metrics: [counter('app.requests', busy), counter('app.tokens', crowd)] }],
  }
}

type Metric = ResourceMetrics['scopeMetrics'][number]['metrics'][number]
type Point = Metric['dataPoints'][number]

function point(customer: number, value: number): Point {
  const attributes = {
    'marketplace.customer.account_id': String(100_000_000_000 + customer),
    ...(value % 3 > 0 && { model: `model ${value % 3}` }),
  }
  return { value, attributes, startTime: [0, 0], endTime: [0, 0] } as Point
}

/** A counter as the SDK hands it over: a monotonic sum of delta temporality. */
function counter(name: string, dataPoints: Point[]): Metric {
  const descriptor = { name, unit: '1', description: '', valueType: 1 }
  return { descriptor, dataPointType: 3, isMonotonic: true, aggregationTemporality: 0, dataPoints } as unknown as Metric
}
