import { MINUTE } from '../../src/ledger/hours.ts'
import { shuffled } from '../../src/simulator/random.ts'
import type { Delivery, Message, Point } from './otlp.ts'
import type { Stage } from './stage.ts'

/** An outage of what is between a sender and its gateway, in minutes since metering began. */
export type Outage = readonly [from: number, to: number]

export interface QueueOptions {
  readonly consumers?: number
  readonly outages?: readonly Outage[]
  /** Before that nothing is overtaken, in minutes since metering began. */
  readonly calmUntil?: number
}

/** How far apart the requests of a queue that empties are, in milliseconds. */
const DRAINING = 40

export const direct = (stage: Stage, messages: readonly Message[]): Delivery[] => queue(stage, messages, {})

/**
 * A Collector's sending queue. With one consumer it keeps the order. With ten it does not: in calm times a request that
 * is tried again is overtaken, and after an outage everything comes in any order.
 */
export function queue(
  stage: Stage,
  messages: readonly Message[],
  { consumers = 1, outages = [], calmUntil = Number.NEGATIVE_INFINITY }: QueueOptions,
): Delivery[] {
  const waiting = new Map<Outage, Message[]>()
  const deliveries: Delivery[] = []
  for (const message of messages) {
    const outage = outages.find(([from, to]) => message.at >= stage.at(from) && message.at < stage.at(to))
    if (outage !== undefined) waiting.set(outage, [...(waiting.get(outage) ?? []), message])
    else {
      const overtaken = consumers > 1 && message.at >= stage.at(calmUntil) && stage.random() < 0.15
      const late = overtaken ? stage.integer(1000, 4 * MINUTE) : stage.integer(20, 300)
      deliveries.push({ ...message, at: message.at + late, gateway: 0 })
    }
  }
  for (const [[, to], all] of waiting) {
    const ordered = consumers > 1 ? shuffled(all, stage.random) : all
    for (const [index, message] of ordered.entries()) {
      deliveries.push({ ...message, at: stage.at(to) + index * DRAINING, gateway: 0 })
    }
  }
  return inOrder(deliveries)
}

/** Some come again, up to `within` minutes later. */
export function repeated(stage: Stage, deliveries: readonly Delivery[], share: number, within: number): Delivery[] {
  const again = deliveries
    .filter(() => stage.random() < share)
    .map(one => ({ ...one, at: one.at + stage.integer(100, within * MINUTE) }))
  return inOrder([...deliveries, ...again])
}

/** Each request is cut into parts by a batch's maximal size, and they come in any order within some seconds. */
export function split(stage: Stage, deliveries: readonly Delivery[], parts: number): Delivery[] {
  return inOrder(
    deliveries.flatMap(delivery => {
      const cut: Point[][] = Array.from({ length: parts }, () => [])
      for (const [index, point] of shuffled(delivery.points, stage.random).entries()) cut[index % parts]?.push(point)
      return cut
        .filter(points => points.length > 0)
        .map(points => ({ ...delivery, points, at: delivery.at + stage.integer(0, 4000) }))
    }),
  )
}

/** Each request goes to any of several gateways that share a ledger. */
export function spread(stage: Stage, deliveries: readonly Delivery[], gateways: number): Delivery[] {
  return deliveries.map(one => ({ ...one, gateway: stage.integer(0, gateways - 1) }))
}

/** Requests that arrive nowhere. */
export function without(deliveries: readonly Delivery[], lost: (delivery: Delivery, index: number) => boolean) {
  return deliveries.filter((one, index) => !lost(one, index))
}

export function together(...all: readonly (readonly Delivery[])[]): Delivery[] {
  return inOrder(all.flat())
}

export function inOrder(deliveries: readonly Delivery[]): Delivery[] {
  return [...deliveries].sort((a, b) => a.at - b.at)
}
