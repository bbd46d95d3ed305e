import type { Composition, Transport, Writer } from './composition.ts'

const DIRECT: Transport = { consumers: 1, parts: 1, again: 0, gateways: 1, restarts: [] }

const found = (seed: number, writer: Writer, transport: Partial<Transport>): Composition => ({
  ...{ seed, writers: [writer], transports: [DIRECT, { ...DIRECT, ...transport }] },
})

/** What the properties have found, each as short as it can be: they are tried first, whatever the seed. */
export const FOUND: readonly Composition[] = [
  // An earlier first point comes before the others of its collection, and of its start nothing comes any more.
  found(
    15,
    { kind: 'old-application', sdk: 'process', late: 64, restart: 93, renamed: { from: 76, flaps: true } },
    { outage: { from: 16, length: 698 }, parts: 2, gateways: 2, restarts: [71, 43] },
  ),
  // Several writers, each point of which was overtaken by a higher one.
  found(
    866_935,
    { kind: 'forked', sdk: 'series', late: 82, restart: 75 },
    { consumers: 10, outage: { from: 19, length: 682 }, parts: 2, again: 0.3, restarts: [22] },
  ),
  // A fall that is told by two more scrapes.
  found(
    11,
    { kind: 'target', sdk: 'series', late: 80, restart: 92 },
    { outage: { from: 16, length: 218 }, parts: 2, restarts: [48] },
  ),
]
