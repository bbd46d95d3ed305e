import { GPU_TIME_METRIC, REQUESTS_METRIC, TOKEN_TYPE_ATTRIBUTE, TOKENS_METRIC } from './instruments.ts'
import type { Rule } from './rule.ts'

/** Metrics born in Prometheus arrive without a unit; GenAI's and our own instruments bring theirs. */
const COUNTED = { unit: '1' }
const SECONDS = { unit: 's' }

/** GenAI's duration histograms count failed calls too. */
const SUCCEEDED = { 'error.type': null }

/** The names under which a Prometheus metric arrives: on the way the colon is kept or replaced. */
function prometheus(...names: string[]): string[] {
  return names.flatMap(name => (name.includes(':') ? [name, name.replace(':', '_')] : [name]))
}

/** Those of a counter, whose `_total` is kept or cut. */
function counter(...names: string[]): string[] {
  return prometheus(...names).flatMap(name => [name, `${name}_total`])
}

/**
 * Rules for well-known sources, by name: `family.thing`. None of these sources says whose usage it is: that attribute
 * is the application's own. Metrics that count a part of another (cached or reasoning tokens) are left out on
 * purpose, since adding them would bill twice.
 */
export const PRESETS = {
  // Our own instruments: instruments.ts.
  'marketplace.requests': [{ metric: REQUESTS_METRIC }],
  'marketplace.tokens': [{ metric: TOKENS_METRIC }],
  'marketplace.input-tokens': [{ metric: TOKENS_METRIC, attributes: { [TOKEN_TYPE_ATTRIBUTE]: 'input' } }],
  'marketplace.output-tokens': [{ metric: TOKENS_METRIC, attributes: { [TOKEN_TYPE_ATTRIBUTE]: 'output' } }],
  'marketplace.time': [{ metric: GPU_TIME_METRIC }],

  // OpenTelemetry's GenAI conventions since 1.41, https://github.com/open-telemetry/semantic-conventions-genai
  // (docs/gen-ai/gen-ai-token-metrics.md). Its histograms `….operation.input_tokens` repeat the counters: left out.
  'genai.requests': [{ metric: 'gen_ai.client.inference.duration', value: 'count', attributes: SUCCEEDED }],
  'genai.tokens': [
    { metric: ['gen_ai.client.inference.usage.input_tokens', 'gen_ai.client.inference.usage.output_tokens'] },
  ],
  'genai.input-tokens': [{ metric: 'gen_ai.client.inference.usage.input_tokens' }],
  'genai.output-tokens': [{ metric: 'gen_ai.client.inference.usage.output_tokens' }],
  'genai.time': [{ metric: 'gen_ai.client.inference.duration', attributes: SUCCEEDED }],

  // The same until 1.41, https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/. One request records
  // token.usage twice, so its count is no number of requests. Agents' and tools' own operations are counted by
  // operation.duration too: where there are any, write a rule that names `gen_ai.operation.name`.
  'genai-legacy.requests': [{ metric: 'gen_ai.client.operation.duration', value: 'count', attributes: SUCCEEDED }],
  'genai-legacy.tokens': [
    { metric: 'gen_ai.client.token.usage', attributes: { 'gen_ai.token.type': ['input', 'output'] } },
  ],
  'genai-legacy.input-tokens': [{ metric: 'gen_ai.client.token.usage', attributes: { 'gen_ai.token.type': 'input' } }],
  'genai-legacy.output-tokens': [
    { metric: 'gen_ai.client.token.usage', attributes: { 'gen_ai.token.type': 'output' } },
  ],
  'genai-legacy.time': [{ metric: 'gen_ai.client.operation.duration', attributes: SUCCEEDED }],

  // What a model server records by GenAI's conventions, the same in both generations.
  'genai-server.requests': [{ metric: 'gen_ai.server.request.duration', value: 'count', attributes: SUCCEEDED }],
  'genai-server.time': [{ metric: 'gen_ai.server.request.duration', attributes: SUCCEEDED }],

  // https://docs.vllm.ai/en/latest/usage/metrics.html. Requests of every `finished_reason`, `abort` included: to bill
  // fewer, write a rule with that attribute. Time is that in the RUNNING phase.
  'vllm.requests': [{ metric: counter('vllm:request_success'), ...COUNTED }],
  'vllm.tokens': [{ metric: counter('vllm:prompt_tokens', 'vllm:generation_tokens'), ...COUNTED }],
  'vllm.input-tokens': [{ metric: counter('vllm:prompt_tokens'), ...COUNTED }],
  'vllm.output-tokens': [{ metric: counter('vllm:generation_tokens'), ...COUNTED }],
  'vllm.time': [{ metric: prometheus('vllm:request_inference_time_seconds'), ...SECONDS }],

  // https://docs.sglang.io/references/production_metrics.html. Time is end to end, queueing included.
  'sglang.requests': [{ metric: prometheus('sglang:e2e_request_latency_seconds'), value: 'count' }],
  'sglang.tokens': [{ metric: counter('sglang:prompt_tokens', 'sglang:generation_tokens'), ...COUNTED }],
  'sglang.input-tokens': [{ metric: counter('sglang:prompt_tokens'), ...COUNTED }],
  'sglang.output-tokens': [{ metric: counter('sglang:generation_tokens'), ...COUNTED }],
  'sglang.time': [{ metric: prometheus('sglang:e2e_request_latency_seconds'), ...SECONDS }],

  // https://huggingface.co/docs/text-generation-inference/reference/metrics. Tokens are sums of histograms.
  'tgi.requests': [{ metric: counter('tgi_request_success'), ...COUNTED }],
  'tgi.tokens': [{ metric: prometheus('tgi_request_input_length', 'tgi_request_generated_tokens'), ...COUNTED }],
  'tgi.input-tokens': [{ metric: prometheus('tgi_request_input_length'), ...COUNTED }],
  'tgi.output-tokens': [{ metric: prometheus('tgi_request_generated_tokens'), ...COUNTED }],
  'tgi.time': [{ metric: prometheus('tgi_request_inference_duration'), ...SECONDS }],

  // https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/user_guide/metrics.html. No tokens.
  'triton.requests': [{ metric: counter('nv_inference_request_success'), ...COUNTED }],
  'triton.time': [{ metric: counter('nv_inference_compute_infer_duration_us'), unit: 'us' }],

  // https://docs.litellm.ai/docs/proxy/prometheus. `litellm_total_tokens_metric` repeats the two: left out.
  'litellm.requests': [{ metric: counter('litellm_requests_metric'), ...COUNTED }],
  'litellm.tokens': [{ metric: counter('litellm_input_tokens_metric', 'litellm_output_tokens_metric'), ...COUNTED }],
  'litellm.input-tokens': [{ metric: counter('litellm_input_tokens_metric'), ...COUNTED }],
  'litellm.output-tokens': [{ metric: counter('litellm_output_tokens_metric'), ...COUNTED }],

  // https://github.com/NVIDIA/dcgm-exporter: busy time of each GPU, by its graphics engine or as nvidia-smi has it.
  'dcgm.time': [{ metric: 'DCGM_FI_PROF_GR_ENGINE_ACTIVE', value: 'integral', unit: '1' }],
  'dcgm-utilization.time': [{ metric: 'DCGM_FI_DEV_GPU_UTIL', value: 'integral', unit: '%' }],

  // https://github.com/kubernetes/kube-state-metrics: allocated time, of GPUs that pods ask for, busy or not.
  'kube-state.time': [
    {
      metric: 'kube_pod_container_resource_requests',
      ...{ attributes: { resource: 'nvidia_com_gpu' }, value: 'integral', unit: '1' },
    },
  ],
} satisfies Record<string, Rule[]>

export type PresetName = keyof typeof PRESETS

/** The family a preset belongs to: presets of one family count one source. */
export const familyOf = (name: PresetName): string => name.slice(0, name.indexOf('.'))

/** What a preset counts. Two presets of different families that share one of these count the same thing. */
export function thingsOf(name: PresetName): readonly string[] {
  const thing = name.slice(name.indexOf('.') + 1)
  return thing === 'tokens' ? ['input-tokens', 'output-tokens'] : [thing]
}
