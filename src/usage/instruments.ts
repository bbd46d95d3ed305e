import type { Counter, Meter } from '@opentelemetry/api'

/** The dimensions that are metered when no others are configured. */
export const INFERENCE_REQUESTS = 'inference-requests'
export const TOKENS_PROCESSED = 'tokens-processed'
export const GPU_HOURS = 'gpu-hours'
export const INFERENCE_DIMENSIONS = [INFERENCE_REQUESTS, TOKENS_PROCESSED, GPU_HOURS] as const

/** The names of our own instruments, which feed those dimensions. */
export const REQUESTS_METRIC = 'marketplace.inference.requests'
export const TOKENS_METRIC = 'marketplace.inference.tokens'
export const GPU_TIME_METRIC = 'marketplace.gpu.time'

/** On tokens: `input` or `output`. Without it they count as tokens, and as neither of the two. */
export const TOKEN_TYPE_ATTRIBUTE = 'marketplace.token.type'

/** Where the customer is looked for when nothing else is configured. OpenTelemetry has no convention for it. */
export const ACCOUNT_ID_ATTRIBUTE = 'marketplace.customer.account_id'
export const LICENSE_ARN_ATTRIBUTE = 'marketplace.customer.license_arn'
/** The older identity of products with a product code, instead of the account id. */
export const CUSTOMER_IDENTIFIER_ATTRIBUTE = 'marketplace.customer.identifier'

/**
 * Counters for an inference application, which `InferenceMeter` records with. Give each `add` the customer's attributes
 * (`marketplace.customer.account_id`, and `marketplace.customer.license_arn` where products are sold by licence).
 */
export interface InferenceInstruments {
  /** Requests answered: `{request}`. */
  readonly requests: Counter
  /** Tokens of prompts and of answers, told apart by `marketplace.token.type`: `{token}`. */
  readonly tokens: Counter
  /** Time that GPUs worked for a customer, in seconds; two GPUs for a second are two seconds. */
  readonly gpuTime: Counter
}

export function inferenceInstruments(meter: Meter): InferenceInstruments {
  return {
    requests: meter.createCounter(REQUESTS_METRIC, { unit: '{request}', description: 'Inference requests answered.' }),
    tokens: meter.createCounter(TOKENS_METRIC, { unit: '{token}', description: 'Tokens read and generated.' }),
    gpuTime: meter.createCounter(GPU_TIME_METRIC, { unit: 's', description: 'Time that GPUs worked.' }),
  }
}
