import { createRequire } from 'node:module'
import type { Meter } from '@opentelemetry/api'
import { resourceFromAttributes } from '@opentelemetry/resources'
import type { AggregationOption, MetricData, ResourceMetrics, ViewOptions } from '@opentelemetry/sdk-metrics'
import * as sdk3 from '@opentelemetry/sdk-metrics'
import type { Account } from '../../src/usage/account.ts'
import type { Dimension } from '../../src/usage/dimension.ts'
import type { UsageMapper } from '../../src/usage/mapper.ts'
import type { MapReport } from '../../src/usage/mapping.ts'

const requireOld = createRequire(new URL('../sdk-metrics-2/package.json', import.meta.url))

/** Both generations of the SDK that are supported, in their own copies. */
export const SDKS: Record<string, typeof sdk3> = {
  'sdk-metrics 3': sdk3,
  'sdk-metrics 2.7': requireOld('@opentelemetry/sdk-metrics'),
}

interface Options {
  readonly sdk?: typeof sdk3
  readonly views?: ViewOptions[]
  readonly cumulative?: boolean
  readonly resource?: Record<string, string>
  readonly limit?: number
  readonly selectAggregation?: () => AggregationOption
}

/** A real meter, and what the SDK has collected from it since the last time. */
export function measure(options: Options = {}): {
  meter: (name?: string) => Meter
  collect: () => Promise<ResourceMetrics>
} {
  const { MetricReader, MeterProvider, AggregationTemporality } = options.sdk ?? sdk3
  class Reader extends MetricReader {
    protected override async onShutdown() {}
    protected override async onForceFlush() {}
  }
  const { CUMULATIVE, DELTA } = AggregationTemporality
  const reader = new Reader({
    aggregationTemporalitySelector: () => (options.cumulative ? CUMULATIVE : DELTA),
    cardinalitySelector: () => options.limit ?? 2000,
    ...(options.selectAggregation && { aggregationSelector: options.selectAggregation }),
  })
  const provider = new MeterProvider({
    readers: [reader],
    resource: resourceFromAttributes(options.resource ?? {}),
    views: options.views ?? [],
  })
  return {
    meter: (name = 'app') => provider.getMeter(name),
    collect: async () => (await reader.collect()).resourceMetrics,
  }
}

/** A metric as the SDK hands it over, for what the SDK itself never brings. */
export function handmade(metric: object): ResourceMetrics {
  return {
    resource: resourceFromAttributes({}),
    scopeMetrics: [{ scope: { name: 'app' }, metrics: [metric as MetricData] }],
  }
}

export interface Mapped {
  readonly amounts: Record<string, bigint>
  readonly accounts: Account[]
  readonly report: MapReport
}

/** What a mapper makes of a collection: amounts by `account key → dimension`. */
export function map(mapper: UsageMapper, metrics: ResourceMetrics): Mapped {
  const amounts: Record<string, bigint> = {}
  const accounts: Account[] = []
  const report = mapper.map(metrics, (account: Account, dimension: Dimension, amount: bigint) => {
    const key = `${account.key} → ${dimension.name}`
    amounts[key] = (amounts[key] ?? 0n) + amount
    accounts.push(account)
  })
  return { amounts, accounts, report }
}
