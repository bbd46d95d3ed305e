import type { Meter } from '@opentelemetry/api'
import {
  ACCOUNT_ID_ATTRIBUTE,
  inferenceInstruments,
  LICENSE_ARN_ATTRIBUTE,
  TOKEN_TYPE_ATTRIBUTE,
} from '../../src/instruments.ts'
import type { ApiCustomer } from './api-keys.ts'

/** What a request is billed for, as its client is told. `compute_microseconds` is ours, the rest is OpenAI's. */
export interface Usage {
  readonly prompt_tokens: number
  readonly completion_tokens: number
  readonly total_tokens: number
  readonly compute_microseconds: number
}

export type RecordUsage = (customer: ApiCustomer, usage: Usage) => void

/** Records a request's usage with OpenTelemetry counters. */
export function usageRecorder(meter: Meter): RecordUsage {
  const { requests, tokens, gpuTime } = inferenceInstruments(meter)
  return (customer, usage) => {
    // The SDK keeps attributes by reference: each call has objects of its own, which nobody can change later.
    const attributes = (more: Record<string, string> = {}) =>
      Object.freeze({
        [ACCOUNT_ID_ATTRIBUTE]: customer.accountId,
        ...(customer.licenseArn !== undefined && { [LICENSE_ARN_ATTRIBUTE]: customer.licenseArn }),
        ...more,
      })
    requests.add(1, attributes())
    tokens.add(usage.prompt_tokens, attributes({ [TOKEN_TYPE_ATTRIBUTE]: 'input' }))
    tokens.add(usage.completion_tokens, attributes({ [TOKEN_TYPE_ATTRIBUTE]: 'output' }))
    // The instrument counts seconds, and sums of fractions are not exact. But n additions are off by at most n times
    // 2^-53 of their sum: even 10,000 requests with 100,000 GPU seconds in an export interval stay below half a
    // microsecond, so that the sum rounded to microseconds is the sum of what the clients were told.
    gpuTime.add(usage.compute_microseconds / 1e6, attributes())
  }
}
