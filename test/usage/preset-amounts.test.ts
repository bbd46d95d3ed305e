import assert from 'node:assert/strict'
import { test } from 'node:test'
import { UsageMapper } from '../../src/usage/mapper.ts'
import { PRESETS, type PresetName } from '../../src/usage/presets.ts'

const M = 1_000_000n
const CUSTOMER = { 'marketplace.customer.account_id': '111122223333' }
const INPUT = { 'gen_ai.token.type': 'input' }
const OUTPUT = { 'gen_ai.token.type': 'output' }
const [SUM, COUNT] = [7n, 3n]

/** The metrics of each source, as its own documentation names them, and what the preset makes of a point of each. */
const SOURCES: Record<string, readonly (readonly [metric: string, amount: bigint, attributes?: object])[]> = {
  'marketplace.requests': [['marketplace.inference.requests', SUM * M]],
  'marketplace.tokens': [['marketplace.inference.tokens', SUM * M]],
  'marketplace.input-tokens': [
    ['marketplace.inference.tokens', SUM * M, { 'marketplace.token.type': 'input' }],
    ['marketplace.inference.tokens', 0n, { 'marketplace.token.type': 'output' }],
  ],
  'marketplace.output-tokens': [
    ['marketplace.inference.tokens', SUM * M, { 'marketplace.token.type': 'output' }],
    ['marketplace.inference.tokens', 0n, { 'marketplace.token.type': 'input' }],
  ],
  'marketplace.time': [['marketplace.gpu.time', SUM * M]],
  'genai.requests': [['gen_ai.client.inference.duration', COUNT * M]],
  'genai.input-tokens': [['gen_ai.client.inference.usage.input_tokens', SUM * M]],
  'genai.output-tokens': [['gen_ai.client.inference.usage.output_tokens', SUM * M]],
  'genai.time': [['gen_ai.client.inference.duration', SUM * M]],
  'genai-legacy.requests': [['gen_ai.client.operation.duration', COUNT * M]],
  'genai-legacy.input-tokens': [['gen_ai.client.token.usage', SUM * M, INPUT]],
  'genai-legacy.output-tokens': [['gen_ai.client.token.usage', SUM * M, OUTPUT]],
  'genai-legacy.time': [['gen_ai.client.operation.duration', SUM * M]],
  'genai-server.requests': [['gen_ai.server.request.duration', COUNT * M]],
  'genai-server.time': [['gen_ai.server.request.duration', SUM * M]],
  'vllm.requests': [['vllm:request_success_total', SUM * M]],
  'vllm.input-tokens': [['vllm:prompt_tokens_total', SUM * M]],
  'vllm.output-tokens': [['vllm:generation_tokens_total', SUM * M]],
  'vllm.time': [['vllm:request_inference_time_seconds', SUM * M]],
  'sglang.requests': [['sglang:e2e_request_latency_seconds', COUNT * M]],
  'sglang.input-tokens': [['sglang:prompt_tokens_total', SUM * M]],
  'sglang.output-tokens': [['sglang:generation_tokens_total', SUM * M]],
  'sglang.time': [['sglang:e2e_request_latency_seconds', SUM * M]],
  'tgi.requests': [['tgi_request_success', SUM * M]],
  'tgi.input-tokens': [['tgi_request_input_length', SUM * M]],
  'tgi.output-tokens': [['tgi_request_generated_tokens', SUM * M]],
  'tgi.time': [['tgi_request_inference_duration', SUM * M]],
  'triton.requests': [['nv_inference_request_success', SUM * M]],
  'triton.time': [['nv_inference_compute_infer_duration_us', SUM]],
  'litellm.requests': [
    ['litellm_proxy_total_requests_metric_total', SUM * M, { status_code: '200' }],
    ['litellm_proxy_total_requests_metric_total', 0n, { status_code: '429' }],
  ],
  'litellm.input-tokens': [['litellm_input_tokens_metric_total', SUM * M]],
  'litellm.output-tokens': [['litellm_output_tokens_metric_total', SUM * M]],
  'tensorrt-llm.requests': [['trtllm:request_success_total', SUM * M]],
  'tensorrt-llm.input-tokens': [['trtllm:prompt_tokens_total', SUM * M]],
  'tensorrt-llm.output-tokens': [['trtllm:generation_tokens_total', SUM * M]],
  'tensorrt-llm.time': [['trtllm:request_inference_time_seconds', SUM * M]],
  'nim.requests': [['request_success_total', SUM * M]],
  'nim.input-tokens': [['prompt_tokens_total', SUM * M]],
  'nim.output-tokens': [['generation_tokens_total', SUM * M]],
  'nim.time': [['e2e_request_latency_seconds', SUM * M]],
  'dynamo.requests': [
    ['dynamo_frontend_requests_total', SUM * M, { status: 'success' }],
    ['dynamo_frontend_requests_total', 0n, { status: 'error' }],
  ],
  'dynamo.input-tokens': [['dynamo_frontend_input_sequence_tokens', SUM * M]],
  'dynamo.output-tokens': [['dynamo_frontend_output_tokens_total', SUM * M]],
  'lmdeploy.requests': [['lmdeploy:request_success_total', SUM * M]],
  'lmdeploy.input-tokens': [['lmdeploy:prompt_tokens_total', SUM * M]],
  'lmdeploy.output-tokens': [['lmdeploy:generation_tokens_total', SUM * M]],
  'lmdeploy.time': [['lmdeploy:request_inference_time_seconds', SUM * M]],
  'llamacpp.input-tokens': [['llamacpp:prompt_tokens_total', SUM * M]],
  'llamacpp.output-tokens': [['llamacpp:tokens_predicted_total', SUM * M]],
  'kong.input-tokens': [
    ['kong_ai_llm_tokens_total', SUM * M, { token_type: 'prompt_tokens' }],
    ['kong_ai_llm_tokens_total', 0n, { token_type: 'total_tokens' }],
  ],
  'kong.output-tokens': [['kong_ai_llm_tokens_total', SUM * M, { token_type: 'completion_tokens' }]],
  // Levels: a second of each counts, of percents a hundredth.
  'dcgm.time': [['DCGM_FI_PROF_GR_ENGINE_ACTIVE', SUM * M]],
  'dcgm-utilization.time': [['DCGM_FI_DEV_GPU_UTIL', (SUM * M) / 100n]],
  'kube-state.time': [
    ['kube_pod_container_resource_requests', SUM * M, { resource: 'nvidia_com_gpu' }],
    ['kube_pod_container_resource_requests', 0n, { resource: 'cpu' }],
  ],
}

for (const name of Object.keys(PRESETS) as PresetName[]) {
  test(`the preset ${name} counts what its source documents`, () => {
    const family = name.slice(0, name.indexOf('.'))
    // All tokens are those of both kinds, where the source tells them apart.
    const sources = SOURCES[name] ?? [
      ...(SOURCES[`${family}.input-tokens`] ?? []),
      ...(SOURCES[`${family}.output-tokens`] ?? []),
    ]
    assert.ok(sources.length > 0)
    const unit = name.endsWith('.time') ? 's' : '{thing}'
    const mapper = new UsageMapper({ productCode: 'p', dimensions: { d: { unit, from: name } } }, { gauges: true })
    for (const [metric, amount, attributes] of sources) {
      let counted = 0n
      const mapping = mapper.begin({}, (_, __, amount) => {
        counted += amount
      })
      const level = metric.startsWith('DCGM') || metric.startsWith('kube')
      // Only OpenTelemetry's own metrics bring their units.
      const own = name.endsWith('.time') && /^(marketplace|gen_ai)\./.test(metric) ? 's' : ''
      const asked = mapping.metric('scope', metric, own, undefined, level ? 'gauge' : 'delta')
      if (asked) mapping.point({ ...CUSTOMER, ...attributes }, SUM, COUNT)
      assert.deepEqual([asked, counted], [true, amount], metric)
    }
  })
}
