import type { OtlpRequest } from './metrics.ts'
import type { Sender } from './senders.ts'
import type { Acceptance, MetricsSink } from './sink.ts'

export type Decode<Body> = (body: Body, wanted: (metricName: string) => boolean) => OtlpRequest

const NOTHING_TO_SAY: Acceptance = { rejectedDataPoints: 0, message: '' }

/** Decodes a request and hands it to the sink, if there is anything in it that the sink wants. */
export async function takeIn<Body>(
  sink: MetricsSink,
  sender: Sender,
  body: Body,
  decode: Decode<Body>,
): Promise<Acceptance> {
  let fault: { readonly error: unknown } | undefined
  // What the sink throws is not the sender's fault. What decoding throws is.
  const request = decode(body, name => {
    try {
      return sink.wants(name)
    } catch (error) {
      fault = { error }
      return false
    }
  })
  if (fault !== undefined) throw fault.error
  return request.resourceMetrics.length === 0 ? NOTHING_TO_SAY : sink.accept(request, sender)
}
