/** The newest release of the older generation: it has what the oldest that is supported has not. */
export * from 'sdk-metrics-2-newest'
