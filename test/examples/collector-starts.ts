import { Gateway } from '../../src/gateway/gateway.ts'
import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import { MarketplaceSimulator, simulatorClient } from '../../src/simulator/index.ts'
import { TemporaryFolder } from '../ledger/sqlite-under-test.ts'

/** A point as a Collector has it: a counter's value, when, and since when. Times in milliseconds. */
interface Point {
  readonly time: number
  readonly value: number
  readonly start?: number
}

/** What a Collector makes of one counter's points, from its own start on. */
export type Strategy = (collectorStart: number) => (point: Point) => Point | undefined

/**
 * The strategies of the Collector's metric_start_time, for counters that come without a start and do not fall
 * (open-telemetry/opentelemetry-collector-contrib, processor/metricstarttimeprocessor/internal).
 */
export const STRATEGIES: Readonly<Record<string, Strategy>> = {
  none: () => point => point,
  // truereset/adjuster.go: the time of the first point.
  true_reset_point: () => {
    let first: Point | undefined
    return point => {
      first ??= point
      return { ...point, start: first.time }
    }
  },
  // subtractinitial/adjuster.go: the first point is left out, and taken off the others.
  subtract_initial_point: () => {
    let first: Point | undefined
    return point => {
      if (first !== undefined) return { time: point.time, value: point.value - first.value, start: first.time }
      first = point
      return undefined
    }
  },
  // starttimemetric/adjuster.go, without process_start_time_seconds: the Collector's start, in whole seconds.
  start_time_metric: collectorStart => point => ({ ...point, start: Math.floor(collectorStart / 1000) * 1000 }),
}

const BEGIN = Date.UTC(2026, 9, 5, 8)
const FIRST = BEGIN + 60_000
const INTERVAL = 10_000
const SCRAPES = 30
const ACCOUNTS = ['111122223333', '444455556666']

export interface Collector {
  readonly strategy?: Strategy
  /** How much later than at full intervals it scrapes, in milliseconds. */
  readonly lag?: number
  /** Scrapes that it misses. It starts anew after each. */
  readonly away?: readonly number[]
}

/**
 * What is billed of a server, and what it counted from the first scrape to the last: a token a second for each of two
 * customers, while Collectors scrape it for five minutes.
 *
 * @param before what each counter says at the first scrape, a minute after metering began
 */
export async function scraped(before: number, ...collectors: readonly Collector[]) {
  using folder = new TemporaryFolder()
  let now = BEGIN
  const ledger = new SqliteLedger({ path: folder.file() })
  const gateway = await Gateway.start({
    ...{ productCode: 'prod', region: 'us-east-1', ledger, http: { port: 0 }, now: () => now },
    client: simulatorClient(new MarketplaceSimulator({ now: () => now })),
    dimensions: { tokens: { unit: '{token}', from: 'vllm.output-tokens' } },
    customer: { accountId: 'account' },
  })
  try {
    for (const { time, points } of collectors.flatMap(collector => scrapesOf(collector, before)).sort(byTime)) {
      now = time + 500
      if (points.length > 0) await post(gateway, points)
    }
    const lines = await ledger.statement()
    const billed = Number(lines.reduce((sum, { recorded, held }) => sum + recorded - held, 0n)) / 1e6
    return { billed, used: (ACCOUNTS.length * (now - 500 - FIRST)) / 1000 }
  } finally {
    await gateway.close()
    await ledger.close()
  }
}

interface Scrape {
  readonly time: number
  readonly points: readonly object[]
}

const byTime = (one: Scrape, other: Scrape) => one.time - other.time

function scrapesOf({ strategy = () => point => point, lag = 0, away = [] }: Collector, before: number): Scrape[] {
  const started = (at: number) => ACCOUNTS.map(account => ({ account, adjust: strategy(at) }))
  let series = started(BEGIN + 30_000)
  const scrapes: Scrape[] = []
  for (let scrape = 0; scrape <= SCRAPES; scrape += 1) {
    const time = FIRST + scrape * INTERVAL + lag
    if (away.includes(scrape)) {
      series = started(time)
      continue
    }
    const points = series.flatMap(({ account, adjust }) => {
      const point = adjust({ time, value: before + (time - FIRST) / 1000 })
      return point === undefined ? [] : [dataPoint(account, point)]
    })
    scrapes.push({ time, points })
  }
  return scrapes
}

function dataPoint(account: string, { time, value, start }: Point): object {
  return {
    attributes: [{ key: 'account', value: { stringValue: account } }],
    timeUnixNano: `${time}000000`,
    ...(start !== undefined && { startTimeUnixNano: `${start}000000` }),
    asDouble: value,
  }
}

async function post(gateway: Gateway, dataPoints: readonly object[]): Promise<void> {
  const attribute = (key: string, stringValue: string) => ({ key, value: { stringValue } })
  const resource = { attributes: [attribute('service.name', 'vllm'), attribute('service.instance.id', 'pod-1')] }
  const scope = { name: 'github.com/open-telemetry/opentelemetry-collector-contrib/receiver/prometheusreceiver' }
  const sum = { aggregationTemporality: 2, isMonotonic: true, dataPoints }
  const metrics = [{ name: 'vllm:generation_tokens_total', sum }]
  const response = await fetch(`http://${gateway.addresses.http}/v1/metrics`, {
    ...{ method: 'POST', headers: { 'content-type': 'application/json' } },
    body: JSON.stringify({ resourceMetrics: [{ resource, scopeMetrics: [{ scope, metrics }] }] }),
  })
  if (response.status !== 200) throw new Error(await response.text())
}
