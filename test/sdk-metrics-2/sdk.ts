/** The older generation of the SDK that is supported, from this folder's own install. */
export * from '@opentelemetry/sdk-metrics'
