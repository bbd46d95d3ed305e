import type { Delivery, Point } from '../otlp.ts'

/** What others do with the same messages. */
export interface Receiver {
  readonly name: string
  /** Whether it is for such points at all. */
  bills(point: Point): boolean
  /** @param begins when metering began, in milliseconds since the epoch */
  receive(deliveries: readonly Delivery[], begins: number): { readonly point: Point; readonly amount: number }[]
}

const DIMENSIONS: Readonly<Record<string, string>> = {
  'inference.tokens': 'tokens',
  inference_tokens_total: 'tokens',
  'inference.duration': 'requests',
  gpu_active: 'gpu',
}

/** What a receiver bills, by customer and dimension; undefined when it is not for what is sent. */
export function billOf(
  receiver: Receiver,
  deliveries: readonly Delivery[],
  begins: number,
): ReadonlyMap<string, number> | undefined {
  if (deliveries.some(({ points }) => points.some(point => !receiver.bills(point)))) return undefined
  const billed = new Map<string, number>()
  for (const { point, amount } of receiver.receive(deliveries, begins)) {
    const customer = point.attributes['customer.account'] ?? point.attributes.customer_account
    if (customer === undefined || amount === 0) continue
    const series = `${customer} ${DIMENSIONS[point.metric.name]}`
    billed.set(series, (billed.get(series) ?? 0) + amount)
  }
  return billed
}
