import { GPU_TIME_METRIC, REQUESTS_METRIC, TOKEN_TYPE_ATTRIBUTE, TOKENS_METRIC } from './instruments.ts'
import type { Rule } from './rule.ts'

/** Metrics born in Prometheus arrive without a unit. GenAI's tokens do with one, but not always in braces. */
const COUNTED = { unit: '1' }
const SECONDS = { unit: 's' }

/** GenAI's duration histograms count failed calls too. Scraped, an attribute's dots are underscores. */
const SUCCEEDED = { 'error.type': null, error_type: null }

/** The names under which a Prometheus metric arrives: on the way the colon is kept or replaced. */
function prometheus(...names: string[]): string[] {
  return names.flatMap(name => (name.includes(':') ? [name, name.replace(':', '_')] : [name]))
}

/** Those of a counter, whose `_total` is kept or cut. */
function counter(...names: string[]): string[] {
  return prometheus(...names).flatMap(name => [name, `${name}_total`])
}

/** Those of a histogram of seconds, whose unit is kept or cut (`trim_metric_suffixes`). */
function seconds(...names: string[]): string[] {
  return prometheus(...names).flatMap(name => [name, `${name}_seconds`])
}

/**
 * Those of a counter that a server brings to Ray Serve as well. Ray has its own prefix, and a gauge of the same value
 * under the name without `_total` (python/ray/_private/metrics_agent.py), which is no counter: left out.
 */
function served(...names: string[]): string[] {
  return [...counter(...names), ...prometheus(...names.map(name => `ray_${name}_total`))]
}

/** Those of a histogram of seconds that a server brings to Ray Serve as well. */
function servedSeconds(name: string): string[] {
  return seconds(name, `ray_${name}`)
}

const GENAI_INPUT = [
  'gen_ai.client.inference.usage.input_tokens',
  ...counter('gen_ai_client_inference_usage_input_tokens'),
]
const GENAI_OUTPUT = [
  'gen_ai.client.inference.usage.output_tokens',
  ...counter('gen_ai_client_inference_usage_output_tokens'),
]
const SCRAPED_USAGE = [
  'gen_ai_client_token_usage',
  'gen_ai_client_token_usage_token',
  'gen_ai_client_token_usage_tokens',
]
const KONG_TOKENS = counter('kong_ai_llm_tokens', 'ai_llm_tokens')

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
  // (docs/gen-ai/gen-ai-token-metrics.md), and what a Prometheus exporter makes of their names. Its histograms
  // `….operation.input_tokens` repeat the counters: left out.
  'genai.requests': [
    {
      metric: ['gen_ai.client.inference.duration', ...seconds('gen_ai_client_inference_duration')],
      ...{ value: 'count', attributes: SUCCEEDED },
    },
  ],
  'genai.tokens': [{ metric: [...GENAI_INPUT, ...GENAI_OUTPUT], ...COUNTED }],
  'genai.input-tokens': [{ metric: GENAI_INPUT, ...COUNTED }],
  'genai.output-tokens': [{ metric: GENAI_OUTPUT, ...COUNTED }],
  'genai.time': [
    { metric: 'gen_ai.client.inference.duration', attributes: SUCCEEDED },
    { metric: seconds('gen_ai_client_inference_duration'), attributes: SUCCEEDED, ...SECONDS },
  ],

  // The same until 1.41, https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/. One request records
  // token.usage twice, so its count is no number of requests; other types (`total`, `cached_input`) repeat the two.
  // Agents' and tools' own operations are counted by operation.duration too: where there are any, write a rule that
  // names `gen_ai.operation.name`. Exporters append a unit that has no braces (envoyproxy/ai-gateway,
  // tests/e2e/token_ratelimit_test.go).
  'genai-legacy.requests': [
    {
      metric: ['gen_ai.client.operation.duration', ...seconds('gen_ai_client_operation_duration')],
      ...{ value: 'count', attributes: SUCCEEDED },
    },
  ],
  'genai-legacy.tokens': [
    { metric: 'gen_ai.client.token.usage', attributes: { 'gen_ai.token.type': ['input', 'output'] }, ...COUNTED },
    { metric: SCRAPED_USAGE, attributes: { gen_ai_token_type: ['input', 'output'] }, ...COUNTED },
  ],
  'genai-legacy.input-tokens': [
    { metric: 'gen_ai.client.token.usage', attributes: { 'gen_ai.token.type': 'input' }, ...COUNTED },
    { metric: SCRAPED_USAGE, attributes: { gen_ai_token_type: 'input' }, ...COUNTED },
  ],
  'genai-legacy.output-tokens': [
    { metric: 'gen_ai.client.token.usage', attributes: { 'gen_ai.token.type': 'output' }, ...COUNTED },
    { metric: SCRAPED_USAGE, attributes: { gen_ai_token_type: 'output' }, ...COUNTED },
  ],
  'genai-legacy.time': [
    { metric: 'gen_ai.client.operation.duration', attributes: SUCCEEDED },
    { metric: seconds('gen_ai_client_operation_duration'), attributes: SUCCEEDED, ...SECONDS },
  ],

  // What a model server or gateway records by GenAI's conventions, the same in both generations.
  'genai-server.requests': [
    {
      metric: ['gen_ai.server.request.duration', ...seconds('gen_ai_server_request_duration')],
      ...{ value: 'count', attributes: SUCCEEDED },
    },
  ],
  'genai-server.time': [
    { metric: 'gen_ai.server.request.duration', attributes: SUCCEEDED },
    { metric: seconds('gen_ai_server_request_duration'), attributes: SUCCEEDED, ...SECONDS },
  ],

  // vllm-project/vllm: vllm/v1/metrics/loggers.py, ray_wrappers.py. Requests of every `finished_reason`, `abort`
  // included: to bill fewer, write a rule with that attribute. Each of `n` samples is a request with the whole prompt
  // (https://github.com/vllm-project/vllm/issues/56361). Prompts count with what the prefix cache had of them. Time is
  // that in the RUNNING phase.
  'vllm.requests': [{ metric: served('vllm:request_success'), ...COUNTED }],
  'vllm.tokens': [{ metric: served('vllm:prompt_tokens', 'vllm:generation_tokens'), ...COUNTED }],
  'vllm.input-tokens': [{ metric: served('vllm:prompt_tokens'), ...COUNTED }],
  'vllm.output-tokens': [{ metric: served('vllm:generation_tokens'), ...COUNTED }],
  'vllm.time': [{ metric: servedSeconds('vllm:request_inference_time'), ...SECONDS }],

  // sgl-project/sglang: python/sglang/srt/observability/metrics_collector.py, ray_wrappers.py. `n` samples are `n` + 1
  // requests, one for the prompt (https://github.com/sgl-project/sglang/issues/6140). Time is end to end, queueing
  // included.
  'sglang.requests': [{ metric: servedSeconds('sglang:e2e_request_latency'), value: 'count' }],
  'sglang.tokens': [{ metric: served('sglang:prompt_tokens', 'sglang:generation_tokens'), ...COUNTED }],
  'sglang.input-tokens': [{ metric: served('sglang:prompt_tokens'), ...COUNTED }],
  'sglang.output-tokens': [{ metric: served('sglang:generation_tokens'), ...COUNTED }],
  'sglang.time': [{ metric: servedSeconds('sglang:e2e_request_latency'), ...SECONDS }],

  // https://huggingface.co/docs/text-generation-inference/reference/metrics. Tokens are sums of histograms;
  // those of a prompt are recorded as it is accepted (router/src/validation.rs).
  'tgi.requests': [{ metric: counter('tgi_request_success'), ...COUNTED }],
  'tgi.tokens': [{ metric: prometheus('tgi_request_input_length', 'tgi_request_generated_tokens'), ...COUNTED }],
  'tgi.input-tokens': [{ metric: prometheus('tgi_request_input_length'), ...COUNTED }],
  'tgi.output-tokens': [{ metric: prometheus('tgi_request_generated_tokens'), ...COUNTED }],
  'tgi.time': [{ metric: prometheus('tgi_request_inference_duration'), ...SECONDS }],

  // https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/user_guide/metrics.html. No tokens.
  'triton.requests': [{ metric: counter('nv_inference_request_success'), ...COUNTED }],
  'triton.time': [{ metric: counter('nv_inference_compute_infer_duration_us'), unit: 'us' }],

  // NVIDIA/TensorRT-LLM: tensorrt_llm/metrics/collector.py, with `return_perf_metrics`. Requests of every
  // `finished_reason`; those with an error have a counter of their own. Counted as they end.
  'tensorrt-llm.requests': [{ metric: counter('trtllm:request_success'), ...COUNTED }],
  'tensorrt-llm.tokens': [{ metric: counter('trtllm:prompt_tokens', 'trtllm:generation_tokens'), ...COUNTED }],
  'tensorrt-llm.input-tokens': [{ metric: counter('trtllm:prompt_tokens'), ...COUNTED }],
  'tensorrt-llm.output-tokens': [{ metric: counter('trtllm:generation_tokens'), ...COUNTED }],
  'tensorrt-llm.time': [{ metric: seconds('trtllm:request_inference_time'), ...SECONDS }],

  // https://docs.nvidia.com/nim/large-language-models/latest/observability.html: NIM's own names, without a prefix. One
  // that has `vllm:` in front of them is for the vLLM presets. Failed requests have a counter of their own; their
  // tokens do not. Time is end to end, queueing included.
  'nim.requests': [{ metric: counter('request_success'), ...COUNTED }],
  'nim.tokens': [{ metric: counter('prompt_tokens', 'generation_tokens'), ...COUNTED }],
  'nim.input-tokens': [{ metric: counter('prompt_tokens'), ...COUNTED }],
  'nim.output-tokens': [{ metric: counter('generation_tokens'), ...COUNTED }],
  'nim.time': [{ metric: seconds('e2e_request_latency'), ...SECONDS }],

  // ai-dynamo/dynamo: lib/runtime/src/metrics/prometheus_names.rs, lib/llm/src/http/service/metrics.rs. A prompt counts
  // with the first token of its answer, answers as they come, also of requests that fail later. No time: its histogram
  // does not tell failed requests from others. Dynamo's workers have their engine's metrics too: one of the two.
  'dynamo.requests': [{ metric: counter('dynamo_frontend_requests'), attributes: { status: 'success' }, ...COUNTED }],
  'dynamo.tokens': [
    { metric: ['dynamo_frontend_input_sequence_tokens', ...counter('dynamo_frontend_output_tokens')], ...COUNTED },
  ],
  'dynamo.input-tokens': [{ metric: 'dynamo_frontend_input_sequence_tokens', ...COUNTED }],
  'dynamo.output-tokens': [{ metric: counter('dynamo_frontend_output_tokens'), ...COUNTED }],

  // InternLM/lmdeploy: lmdeploy/metrics/loggers.py, metrics_processor.py. Requests that were finished; tokens also of
  // those that were not. Prompts count with what the prefix cache had of them. Time is that in the RUNNING phase.
  'lmdeploy.requests': [{ metric: counter('lmdeploy:request_success'), ...COUNTED }],
  'lmdeploy.tokens': [{ metric: counter('lmdeploy:prompt_tokens', 'lmdeploy:generation_tokens'), ...COUNTED }],
  'lmdeploy.input-tokens': [{ metric: counter('lmdeploy:prompt_tokens'), ...COUNTED }],
  'lmdeploy.output-tokens': [{ metric: counter('lmdeploy:generation_tokens'), ...COUNTED }],
  'lmdeploy.time': [{ metric: seconds('lmdeploy:request_inference_time'), ...SECONDS }],

  // ggml-org/llama.cpp: tools/server/server-context.cpp, with `--metrics`. Prompts without what its cache had of them,
  // and without those of embeddings. It counts no requests.
  'llamacpp.tokens': [{ metric: counter('llamacpp:prompt_tokens', 'llamacpp:tokens_predicted'), ...COUNTED }],
  'llamacpp.input-tokens': [{ metric: counter('llamacpp:prompt_tokens'), ...COUNTED }],
  'llamacpp.output-tokens': [{ metric: counter('llamacpp:tokens_predicted'), ...COUNTED }],

  // BerriAI/litellm: litellm/integrations/prometheus.py. Of all requests, those with the one status that it gives to a
  // success; failed ones are in the same counter with the status of their error, or `None`. A stream that breaks off
  // and an answer from its cache are successes. Before February 2026 it counted successes twice
  // (https://github.com/BerriAI/litellm/pull/21159). `litellm_total_tokens_metric` repeats the two: left out.
  'litellm.requests': [
    { metric: counter('litellm_proxy_total_requests_metric'), attributes: { status_code: '200' }, ...COUNTED },
  ],
  'litellm.tokens': [{ metric: counter('litellm_input_tokens_metric', 'litellm_output_tokens_metric'), ...COUNTED }],
  'litellm.input-tokens': [{ metric: counter('litellm_input_tokens_metric'), ...COUNTED }],
  'litellm.output-tokens': [{ metric: counter('litellm_output_tokens_metric'), ...COUNTED }],

  // Kong/kong: kong/plugins/prometheus/exporter.lua, with `ai_metrics`. The type `total_tokens` repeats the two. Tokens
  // that its request and response transformers spend count too. No requests: its counter does not tell failed ones.
  'kong.tokens': [
    { metric: KONG_TOKENS, attributes: { token_type: ['prompt_tokens', 'completion_tokens'] }, ...COUNTED },
  ],
  'kong.input-tokens': [{ metric: KONG_TOKENS, attributes: { token_type: 'prompt_tokens' }, ...COUNTED }],
  'kong.output-tokens': [{ metric: KONG_TOKENS, attributes: { token_type: 'completion_tokens' }, ...COUNTED }],

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
