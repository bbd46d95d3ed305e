import type { Meter } from '@opentelemetry/api'
import { InferenceMeter } from '../../src/inference-meter.ts'
import type { ApiCustomer } from './api-keys.ts'

/** What a request is billed for, as its client is told. `compute_microseconds` is ours, the rest is OpenAI's. */
export interface Usage {
  readonly prompt_tokens: number
  readonly completion_tokens: number
  readonly total_tokens: number
  readonly compute_microseconds: number
}

/** What usage is for: the model that was asked, and the name of the API key. */
export interface UsageFor {
  readonly model: string
  readonly apiKey: string
}

export type RecordUsage = (customer: ApiCustomer, usage: Usage, of: UsageFor) => void

/** Records a request's usage with OpenTelemetry counters. */
export function usageRecorder(meter: Meter): RecordUsage {
  const inference = new InferenceMeter(meter)
  return (customer, usage, { model, apiKey }) => {
    const attributes = { 'gen_ai.request.model': model, 'app.api_key': apiKey }
    inference.recordInferenceRequests(customer, 1, attributes)
    const tokens = { input: usage.prompt_tokens, output: usage.completion_tokens }
    inference.recordTokensProcessed(customer, tokens, attributes)
    // The instrument counts seconds, and sums of fractions are not exact. But n additions are off by at most n times
    // 2^-53 of their sum: even 10,000 requests with 100,000 GPU seconds in an export interval stay below half a
    // microsecond, so that the sum rounded to microseconds is the sum of what the clients were told.
    inference.recordGpuTime(customer, usage.compute_microseconds / 1e6, attributes)
  }
}
