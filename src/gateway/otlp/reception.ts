import { discard } from './body.ts'
import type { OtlpRequest } from './metrics.ts'
import type { Sender } from './senders.ts'
import type { Acceptance, MetricsSink } from './sink.ts'

export type Decode = (body: Buffer, wanted: (metricName: string) => boolean) => OtlpRequest

const NOTHING_TO_SAY: Acceptance = { rejectedDataPoints: 0, message: '' }

/** Decodes a request and hands it to the sink, if there is anything in it that the sink wants. The body is gone then. */
export async function takeIn(sink: MetricsSink, sender: Sender, body: Buffer, decode: Decode): Promise<Acceptance> {
  let fault: { readonly error: unknown } | undefined
  // What the sink throws is not the sender's fault. What decoding throws is.
  const wanted = (name: string) => {
    try {
      return sink.wants(name)
    } catch (error) {
      fault = { error }
      return false
    }
  }
  const request = decoded(body, wanted, decode)
  if (fault !== undefined) throw fault.error
  return request.resourceMetrics.length === 0 ? NOTHING_TO_SAY : sink.accept(request, sender)
}

function decoded(body: Buffer, wanted: (metricName: string) => boolean, decode: Decode): OtlpRequest {
  try {
    return decode(body, wanted)
  } finally {
    discard(body)
  }
}
