import {
  type BatchMeterUsageRequest,
  type BatchMeterUsageResult,
  MarketplaceSimulator,
  SimulatedServiceError,
} from '../../../src/simulator/index.ts'
import { catalogueOf } from '../customers.ts'
import type { Plan } from '../plan.ts'
import { VirtualClock } from '../time.ts'

/** What the AWS SDK makes of a request by default. */
const ATTEMPTS = 3

/** AWS as a strategy without a ledger calls it. It has no quota, in favour of those that would exceed it. */
export class Aws {
  readonly simulator: MarketplaceSimulator
  readonly clock: VirtualClock

  constructor({ start, options, customers }: Plan) {
    this.clock = new VirtualClock(start)
    this.simulator = new MarketplaceSimulator({
      ...{ now: this.clock.now, catalogue: catalogueOf(customers), seed: options.seed, quota: null, logSize: 0 },
    })
  }

  /** The answer after at most three attempts, or nothing. */
  call(request: BatchMeterUsageRequest, region: string): BatchMeterUsageResult | undefined {
    for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
      try {
        return this.simulator.batchMeterUsage(request, { region })
      } catch (error) {
        if (!mayPass(error)) return undefined
      }
    }
    return undefined
  }
}

/** Whether the AWS SDK tries again: after throttling, a fault of the server, or none of AWS's errors at all. */
function mayPass(error: unknown): boolean {
  return !(error instanceof SimulatedServiceError) || error.$fault === 'server' || error.name === 'ThrottlingException'
}
