import type { Receiver } from './receiver.ts'

/** Every value that comes is taken for a delta, as by an endpoint that knows nothing of temporality. */
export const adding: Receiver = {
  name: 'adding up what comes',
  bills: ({ metric: { type } }) => type !== 'gauge',
  receive: deliveries =>
    deliveries.flatMap(({ points }) =>
      points.filter(({ stale }) => !stale).map(point => ({ point, amount: point.value })),
    ),
}
