import { detectResources, envDetector, type Resource, resourceFromAttributes } from '@opentelemetry/resources'
import { type MetricReader, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics'

/**
 * Where the gateway's own metrics go: to the endpoint that is configured, or that OpenTelemetry's variables name.
 * Nowhere where there is neither: OTLP's default would be the gateway itself.
 */
export async function ownMetrics(endpoint: string | undefined, env: NodeJS.ProcessEnv): Promise<MetricReader[]> {
  const named = env.OTEL_EXPORTER_OTLP_METRICS_ENDPOINT || env.OTEL_EXPORTER_OTLP_ENDPOINT
  if (endpoint === undefined && !named) return []
  const { OTLPMetricExporter } = await import('@opentelemetry/exporter-metrics-otlp-proto')
  // It reads the variables by itself, OTEL_EXPORTER_OTLP_HEADERS and the certificates' too.
  const exporter = new OTLPMetricExporter(
    endpoint === undefined ? {} : { url: `${endpoint.replace(/\/$/, '')}/v1/metrics` },
  )
  const interval = Number(env.OTEL_METRIC_EXPORT_INTERVAL)
  return [new PeriodicExportingMetricReader({ exporter, ...(interval > 0 && { exportIntervalMillis: interval }) })]
}

/** What they are of: what OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say. */
export function ownResource(): Resource {
  const own = resourceFromAttributes({ 'service.name': 'marketplace-meter' })
  return own.merge(detectResources({ detectors: [envDetector] }))
}
