import { resourceFromAttributes } from '@opentelemetry/resources'
import { AggregationTemporality, DataPointType, type ResourceMetrics } from '@opentelemetry/sdk-metrics'
import { ACCOUNT_ID_ATTRIBUTE, TOKEN_TYPE_ATTRIBUTE, TOKENS_METRIC } from '../../src/usage/instruments.ts'

/** What a reader hands to its exporter: a counter of tokens, a data point for each customer, four attributes each. */
export function tokensOf(customers: number): ResourceMetrics {
  const endTime: [number, number] = [Math.floor(Date.now() / 1000), 0]
  const startTime: [number, number] = [endTime[0] - 60, 0]
  return {
    resource: resourceFromAttributes({ 'service.name': 'inference', 'service.version': '1.0.0' }),
    scopeMetrics: [
      {
        scope: { name: 'inference', version: '1.0.0' },
        metrics: [
          {
            descriptor: {
              name: TOKENS_METRIC,
              description: 'Tokens read and generated.',
              unit: '{token}',
              valueType: 0,
            },
            aggregationTemporality: AggregationTemporality.DELTA,
            dataPointType: DataPointType.SUM,
            isMonotonic: true,
            dataPoints: Array.from({ length: customers }, (_, number) => ({
              startTime,
              endTime,
              attributes: {
                [ACCOUNT_ID_ATTRIBUTE]: String(100_000_000_000 + number * 7_919),
                [TOKEN_TYPE_ATTRIBUTE]: number % 2 === 0 ? 'input' : 'output',
                'gen_ai.request.model': 'llama-3.3-70b-instruct',
                'server.address': 'inference-1.example.com',
              },
              value: 1 + ((number * 37) % 4_000),
            })),
          },
        ],
      },
    ],
  }
}
