import { setTimeout as sleep } from 'node:timers/promises'
import { type Caller, callerOf } from './caller.ts'
import { type MarketplaceSimulator, resultOf } from './marketplace.ts'
import type {
  BatchMeterUsageRequest,
  BatchMeterUsageResult,
  GetEntitlementsRequest,
  GetEntitlementsResult,
  Operation,
  Operations,
  ResolveCustomerRequest,
  ResolveCustomerResult,
} from './wire.ts'

/** Waits; rejects when `signal` is aborted. */
export type Delay = (milliseconds: number, signal: AbortSignal | undefined) => Promise<unknown>

export const realDelay: Delay = (milliseconds, signal) => sleep(milliseconds, undefined, { signal, ref: true })

interface CallOptions {
  abortSignal?: AbortSignal
}

/** As the AWS SDK's own: how it went, beside the result. */
interface Metadata {
  $metadata: { attempts: number; httpStatusCode: number; requestId: string }
}

/**
 * A client of a simulator in the same process, that fits wherever the AWS SDK's `MarketplaceMetering` does, or its
 * `MarketplaceEntitlementService`.
 */
export interface SimulatorClient {
  /** This machine, as of a simulator behind HTTP here. */
  readonly endpoint: string
  batchMeterUsage(request: BatchMeterUsageRequest, options?: CallOptions): Promise<BatchMeterUsageResult & Metadata>
  resolveCustomer(request: ResolveCustomerRequest, options?: CallOptions): Promise<ResolveCustomerResult & Metadata>
  /** In `us-east-1`. */
  getEntitlements(request: GetEntitlementsRequest, options?: CallOptions): Promise<GetEntitlementsResult & Metadata>
}

export interface ClientOptions extends Partial<Caller> {
  /** How a fault's latency is waited for (default: by the machine's clock). */
  delay?: Delay
}

/**
 * A client without HTTP between it and the simulator.
 *
 * Its calls reject with {@link SimulatedServiceError} under AWS's name, {@link SimulatedResetError} (`code`
 * `ECONNRESET`) or {@link SimulatedAnswerError}.
 */
export function simulatorClient(
  simulator: MarketplaceSimulator,
  { delay = realDelay, ...caller }: ClientOptions = {},
): SimulatorClient {
  const who = callerOf(caller)
  const call = async <Name extends Operation>(
    operation: Name,
    request: Operations[Name]['request'],
    { abortSignal }: CallOptions = {},
  ): Promise<Operations[Name]['result'] & Metadata> => {
    abortSignal?.throwIfAborted()
    const answer = simulator.answer(operation, request, who)
    if (answer.delay > 0) await delay(answer.delay, abortSignal)
    return { ...resultOf(answer), $metadata: { attempts: 1, httpStatusCode: 200, requestId: answer.requestId } }
  }
  return {
    endpoint: 'http://localhost',
    batchMeterUsage: (request, options) => call('BatchMeterUsage', request, options),
    resolveCustomer: (request, options) => call('ResolveCustomer', request, options),
    getEntitlements: (request, options) => call('GetEntitlements', request, options),
  }
}
