import type { AllocationTag, DimensionOptions } from '../../src/index.ts'

/** What customers see their bills split by. An API key is never there itself: see `nameOfKey`. */
const allocations: AllocationTag[] = [
  { tag: 'model', attribute: 'gen_ai.request.model' },
  { tag: 'api-key', attribute: 'app.api_key' },
]

/** What is sold: the exporter's default dimensions, with allocations. */
export const dimensions: Record<string, DimensionOptions> = {
  'inference-requests': { unit: '{request}', from: 'marketplace.requests', allocations },
  'tokens-processed': { unit: '{token}', from: 'marketplace.tokens', allocations },
  'gpu-hours': { unit: 'h', from: 'marketplace.time', allocations },
}
