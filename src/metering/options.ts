import type { MeterProvider } from '@opentelemetry/api'
import * as v from 'valibot'
import { check, configurationError, strictObject, together } from '../check.ts'
import { DAY, HOUR, MINUTE } from '../ledger/hours.ts'
import type { Included, Ledger } from '../ledger/ledger.ts'
import type { MeteringClient } from '../marketplace/client.ts'
import type { EntitlementClient } from '../marketplace/entitlement-client.ts'
import { regionOf, regionOption, wrongRegion } from '../marketplace/region.ts'
import { notice } from '../notice.ts'
import { PRODUCT, parseUsageOptions, USAGE_OPTIONS, type UsageOptions } from '../usage/options.ts'

/** What is measured and sold, who the customer is, and how it is metered. */
export type AWSMarketplaceMetricExporterOptions = UsageOptions & MeteringOptions

/** How usage is kept and metered. */
export interface MeteringOptions {
  /** The region whose Marketplace endpoint is called. By default that of `AWS_REGION` or `AWS_DEFAULT_REGION`. */
  region?: string
  /**
   * What sends usage records, to the same region. By default the AWS SDK's `MarketplaceMetering` for `region`. One that
   * says another region is refused; the AWS SDK's says it before anything is frozen or sent, and then nothing is.
   */
  client?: MeteringClient
  /**
   * Where usage is kept: a ledger, or the path of a SQLite ledger. By default `marketplace-ledger.sqlite` in the working
   * directory. A ledger that is passed in is left open at shutdown.
   */
  ledger?: Ledger | string
  /** Milliseconds since the epoch. The only clock that usage, hours and records follow. `Date.now` by default. */
  now?: () => number
  /** For the exporter's own metrics. None by default. */
  meterProvider?: MeterProvider
  /**
   * Say warnings and errors on the console's stderr where `diag` of `@opentelemetry/api` has no logger, each kind once
   * an hour. On by default.
   */
  consoleWarnings?: boolean
  /**
   * Have the reader aggregate only instruments with a view, and drop the others: the MeterProvider needs
   * `billingViews(…)` then, or nothing is billed. Off by default: what no rule names is collected and ignored.
   */
  dropUnnamed?: boolean
  /**
   * How long after its end an hour is frozen into records, in milliseconds: 5 minutes by default, at least as long as
   * the export interval. What comes later goes into the next hour's record.
   */
  closeDelay?: number
  /** How long before AWS's window closes a record is no longer sent, in milliseconds. 5 minutes by default. */
  deadlineMargin?: number
  /** Send records of quantity 0 for the idle hours of known customers. Off by default. */
  zeroQuantityRecords?: boolean
  /**
   * What to do with a quantity that AWS refuses as `DuplicateRecord`, because somebody else metered the hour: `hold` it
   * for a person to look at (the default), or `roll-forward` into the next hour, where only other usage can be meant.
   */
  onConflict?: 'hold' | 'roll-forward'
  /**
   * What to do with usage of customers of whom AWS says `CustomerNotSubscribed`: `hold` each hour's for a person (the
   * default), who knows whether there was an agreement; or `roll-forward`, where all of it may be billed by whatever
   * agreement comes: it stays in the balance, and goes out in one record when the customer is back.
   */
  onNotSubscribed?: 'hold' | 'roll-forward'
  /** How AWS is asked what contracts include, of dimensions with `included.entitlement`. */
  entitlements?: EntitlementOptions
  /** Freeze hours and report what would be sent, but send nothing. */
  dryRun?: boolean
  /** How long settled records are kept for audit, in days. For ever by default. */
  retentionDays?: number
  /** How long a request to AWS may take, in milliseconds. 10 seconds by default. */
  requestTimeout?: number
  /** How long `forceFlush` and `shutdown` may take to send what is due, in milliseconds. 10 seconds by default. */
  flushTimeout?: number
  /** The longest time between two looks at the clock when nothing is exported, in milliseconds. A minute by default. */
  wakeInterval?: number
}

/** How AWS is asked what contracts include: `GetEntitlements`. */
export interface EntitlementOptions {
  /**
   * What asks. By default the AWS SDK's `MarketplaceEntitlementService` for us-east-1, or cn-northwest-1 in China: the
   * package `@aws-sdk/client-marketplace-entitlement-service`.
   */
  client?: EntitlementClient
  /** AWS's code of the product whose customers have licences, where it is not the option `productCode`. */
  productCode?: string
  /** What becomes of usage while it is not known what its contract included in its hour. */
  unknown?: {
    /** How long it waits, in milliseconds: from an hour to 30 days, 6 hours by default. */
    after?: number
    /**
     * And then: `hold` it for a person (the default), or `meter` it by what was known last. What is metered stays
     * billed, also where the contract had included it.
     */
    outcome?: 'hold' | 'meter'
  }
}

export interface ParsedOptions {
  readonly usage: UsageOptions
  readonly region: string
  readonly client: MeteringClient | undefined
  readonly ledger: Ledger | string
  readonly now: () => number
  readonly meterProvider: MeterProvider | undefined
  readonly consoleWarnings: boolean
  readonly dropUnnamed: boolean
  readonly closeDelay: number
  readonly deadlineMargin: number
  readonly zeroQuantityRecords: boolean
  readonly onConflict: 'hold' | 'roll-forward'
  readonly onNotSubscribed: 'hold' | 'roll-forward'
  readonly entitlements: ParsedEntitlements
  readonly dryRun: boolean
  readonly retention: number
  readonly requestTimeout: number
  readonly flushTimeout: number
  readonly wakeInterval: number
}

export interface ParsedEntitlements {
  readonly client?: EntitlementClient | undefined
  readonly productCode?: string | undefined
  readonly unknown: Included['unknown']
}

const milliseconds = (least: number, most: number) =>
  v.pipe(
    v.number(`from ${least} to ${most} milliseconds`),
    v.check(value => value >= least && value <= most, `from ${least} to ${most} milliseconds`),
  )
const withMethods = <Type>(expected: string, ...methods: string[]) =>
  v.custom<Type>(
    value => methods.every(method => typeof (value as Record<string, unknown> | null)?.[method] === 'function'),
    expected,
  )
const clock = v.custom<() => number>(
  value => typeof value === 'function' && read(value as () => number) !== undefined,
  'a function that returns milliseconds since the epoch, such as Date.now',
)
/** The last instant that a `Date` can be. */
const LAST_TIME = 8.64e15

/** In whole milliseconds. */
function read(now: () => number): number | undefined {
  try {
    const time = now()
    return typeof time === 'number' && time >= 0 && time <= LAST_TIME ? Math.floor(time) : undefined
  } catch {
    return undefined
  }
}

const CLIENT = "a client with batchMeterUsage(request), such as the AWS SDK's MarketplaceMetering"

/** A clock that fails stands still, so that usage has an hour to go into. */
function steady(now: () => number): () => number {
  let last = read(now) ?? 0
  let failing = false
  return () => {
    const time = read(now)
    if (time === undefined && !failing) {
      notice(
        'error',
        'The option now fails to return milliseconds since the epoch. Nothing is metered until it does again.',
      )
    }
    failing = time === undefined
    last = time ?? last
    return last
  }
}

/** Where options leave them out, in milliseconds. */
export const CLOSE_DELAY = 5 * MINUTE
export const DEADLINE_MARGIN = 5 * MINUTE

const holdOrRollForward = v.optional(v.picklist(['hold', 'roll-forward'], "'hold' or 'roll-forward'"), 'hold')

const entitlements = strictObject({
  client: v.optional(
    withMethods<EntitlementClient>(
      "a client with getEntitlements(request), such as the AWS SDK's MarketplaceEntitlementService",
      'getEntitlements',
    ),
  ),
  productCode: v.optional(v.pipe(v.string(), v.regex(PRODUCT, '1 to 255 of the characters -a-zA-Z0-9/=:_.@'))),
  unknown: v.optional(
    strictObject({
      after: v.optional(milliseconds(HOUR, 30 * DAY), 6 * HOUR),
      outcome: v.optional(v.picklist(['hold', 'meter'], "'hold' or 'meter'"), 'hold'),
    }),
    {},
  ),
})

const entries = {
  region: regionOption,
  client: v.optional(withMethods<MeteringClient>(CLIENT, 'batchMeterUsage')),
  ledger: v.optional(
    v.union(
      [v.pipe(v.string(), v.nonEmpty()), withMethods<Ledger>('', 'append', 'closeHours', 'claim', 'settle')],
      ({ input }) =>
        typeof (input as Partial<PromiseLike<unknown>> | null)?.then === 'function'
          ? 'a ledger, or the path of one (await what is opened: ledger: await openLedger(…))'
          : 'a ledger, or the path of one',
    ),
    'marketplace-ledger.sqlite',
  ),
  now: v.optional(clock, () => Date.now),
  meterProvider: v.optional(withMethods<MeterProvider>('a MeterProvider', 'getMeter')),
  consoleWarnings: v.optional(v.boolean(), true),
  dropUnnamed: v.optional(v.boolean(), false),
  closeDelay: v.optional(milliseconds(0, HOUR), CLOSE_DELAY),
  deadlineMargin: v.optional(milliseconds(0, HOUR), DEADLINE_MARGIN),
  zeroQuantityRecords: v.optional(v.boolean(), false),
  onConflict: holdOrRollForward,
  onNotSubscribed: holdOrRollForward,
  entitlements: v.optional(entitlements, {}),
  dryRun: v.optional(v.boolean(), false),
  // Shorter than two days, records could go whose answer may still come.
  retentionDays: v.optional(
    v.pipe(
      v.number(),
      v.check(days => days >= 2, '2 days or more'),
    ),
  ),
  requestTimeout: v.optional(milliseconds(100, 5 * MINUTE), 10_000),
  flushTimeout: v.optional(milliseconds(0, HOUR), 10_000),
  wakeInterval: v.optional(milliseconds(10, HOUR), MINUTE),
}
const MINE = Object.keys(entries)

/**
 * Checks all options but for what dimensions make of their rules. `usage` has those that are about usage.
 *
 * @param others names of options that whoever calls checks himself
 */
export function parseOptions(
  options: AWSMarketplaceMetricExporterOptions,
  others: readonly string[] = [],
): ParsedOptions {
  const unchecked = [...USAGE_OPTIONS, ...others].map(name => [name, v.optional(v.unknown())] as const)
  const schema = strictObject({ ...(Object.fromEntries(unchecked) as object), ...entries })
  const [own, usage] = together(
    () => check(schema, options),
    // What is no object at all is wrong once.
    () => (Object(options) === options ? parseUsageOptions(pick(options, USAGE_OPTIONS) as UsageOptions) : options),
  )
  const { retentionDays, client, meterProvider, ...rest } = pick(own, MINE) as typeof own
  // One that has to look it up is asked before the first pass.
  checkEntitlements(usage as UsageOptions, own.entitlements)
  const wrong = client && wrongRegion(own.region, regionOf(client))
  if (wrong) throw configurationError([wrong])
  return {
    ...rest,
    now: steady(rest.now),
    usage,
    client,
    meterProvider,
    retention: retentionDays === undefined ? Number.POSITIVE_INFINITY : retentionDays * DAY,
  }
}

/**
 * AWS is asked by a product code, also of customers with licences.
 *
 * @throws ConfigurationError where there is none to ask by
 */
export function checkEntitlements(
  { productCode, dimensions }: Pick<UsageOptions, 'productCode' | 'dimensions'>,
  entitlements: { readonly productCode?: string | undefined } | undefined,
): void {
  const entitled = Object.entries(Object(dimensions) as NonNullable<UsageOptions['dimensions']>).find(
    ([, one]) => one?.included && one.included.entitlement !== undefined,
  )
  if (entitled === undefined || productCode !== undefined || entitlements?.productCode !== undefined) return
  throw configurationError([
    `entitlements.productCode: expected AWS's code of the product, which GetEntitlements is asked by for ` +
      `dimensions.${entitled[0]}.included, got none (the listing in the AWS Marketplace Management Portal has it)`,
  ])
}

/** Those of an object's members that have these names. */
function pick(object: object, names: readonly string[]): object {
  return Object.fromEntries(Object.entries(object).filter(([name]) => names.includes(name)))
}
