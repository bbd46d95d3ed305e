import fc from 'fast-check'
import type { Delivery, Message } from './otlp.ts'
import { Collector, Pod, Target } from './scraping.ts'
import { Application, CPP_OLD, GO, JAVASCRIPT, merged, PYTHON_OLD, type Sdk, TOKENS } from './sdk.ts'
import type { Restart, Stage } from './stage.ts'
import { queue, repeated, split, spread } from './transports.ts'

/** Who counts in a random situation. The messages of the first kinds prove what was used; those of the last do not. */
export interface Writer {
  readonly kind:
    | 'application'
    | 'old-application'
    | 'replicas'
    | 'delta'
    | 'target'
    | 'created'
    | 'forked'
    | 'balanced'
    | 'moving'
  readonly sdk: 'process' | 'series'
  /** When a second customer comes, in minutes since metering began. */
  readonly late: number
  /** When its process is followed by another, if it is. */
  readonly restart?: number | undefined
  /** From when on its resource has more attributes, and whether they vanish now and then. */
  readonly renamed?: { readonly from: number; readonly flaps: boolean } | undefined
}

export interface Transport {
  readonly consumers: number
  readonly outage?: { readonly from: number; readonly length: number } | undefined
  readonly parts: number
  /** Of requests, how many come again. */
  readonly again: number
  readonly gateways: number
  readonly restarts: readonly number[]
}

export interface Composition {
  readonly seed: number
  readonly writers: readonly Writer[]
  readonly transports: readonly [Transport, Transport]
}

const END = 120
const EVERY = 10
const UNPROVEN: ReadonlySet<Writer['kind']> = new Set(['forked', 'balanced', 'moving'])

export const isProven = ({ kind }: Writer): boolean => !UNPROVEN.has(kind)
/** The two customers of a writer. */
export const customersOf = (index: number): [string, string] => [`30000000000${index}`, `30000000001${index}`]

export function messagesOf(stage: Stage, writer: Writer, index: number): Message[] {
  const { kind, restart } = writer
  const late = provenLate(writer)
  const [first, second] = customersOf(index)
  const serve = <Process extends Application | Pod>(process: Process, from: number, to: number): Process => {
    process.serve(first, { from, to })
    // A successor does not come as high as what it succeeds: without a start nothing would tell.
    if (late < to) process.serve(second, { from: Math.max(late, from), to, heap: late > from ? 2000 : 3 })
    return process
  }
  switch (kind) {
    case 'target':
    case 'created':
    case 'balanced': {
      const pods = [-500, -400].slice(0, kind === 'balanced' ? 2 : 1).map((started, n) => {
        const pod = new Pod(stage, { started, ended: restart ?? END * 2 })
        pod.serve(first, { from: started, to: -2, heap: 50_000 * n + 100_000, rate: 0.1 })
        return serve(pod, 2, (restart ?? END) - 1)
      })
      if (restart !== undefined) pods.push(serve(new Pod(stage, { started: restart + 1 }), restart + 1.2, END))
      const answering = kind === 'balanced' ? 'any' : 'youngest'
      const target = new Target({ pods, answering, instance: `inference-${index}:8000` })
      const collector = new Collector(stage, { starts: kind === 'created' ? 'created' : 'none' })
      // Two more scrapes tell of a fall.
      return collector.scrapes(target, { from: 1, to: END + 20, every: EVERY })
    }
    case 'forked': {
      const options = { ...common(writer, index), sdk: PYTHON_OLD, started: 1 }
      const parent = serve(new Application(stage, options), 2, END)
      const child = serve(new Application(stage, { ...options, forkedFrom: parent }), 2, END)
      // Else the two could look like one.
      child.serve(first, { from: 3, to: END, heap: 1000 })
      return merged(parent.exports({ every: EVERY, to: END }), child.exports({ every: EVERY, from: 12, to: END }))
    }
    default:
      return exportsOf(stage, writer, index, serve)
  }
}

/** A customer who comes together with a restart cannot be told from one who was there before. */
function provenLate({ kind, late, restart }: Writer): number {
  const near = kind === 'target' && restart !== undefined && late > restart - 12 && late < restart + 25
  return near ? restart + 25 : late
}

type Serve = (process: Application, from: number, to: number) => Application

function exportsOf(stage: Stage, writer: Writer, index: number, serve: Serve): Message[] {
  const { kind, restart } = writer
  const old = kind === 'old-application'
  const run = (started: number, to: number) => {
    const application = new Application(stage, { ...common(writer, index), started })
    if (started < 0) application.serve(customersOf(index)[0], { from: started, to: -2, heap: 300_000, rate: 0.1 })
    serve(application, Math.max(2, started + 1), to - 2)
    return application.exports({ every: EVERY, from: started < 0 ? 1 : started + EVERY, to })
  }
  if (kind === 'replicas') return merged(...[1, 3, 20].map(started => run(started, END)))
  const runs =
    restart === undefined ? [run(old ? -300 : 1, END)] : [run(old ? -300 : 1, restart), run(restart + 1, END)]
  return merged(...runs)
}

function common({ kind, sdk, renamed, late }: Writer, index: number) {
  // Nor can one who comes to an old process together with another name.
  const from = kind === 'old-application' && Math.abs((renamed?.from ?? 0) - late) < 25 ? late + 25 : renamed?.from
  const flaps = renamed?.flaps === true && kind !== 'old-application'
  const starts: Sdk = sdk === 'process' ? GO : JAVASCRIPT
  return {
    sdk: kind === 'moving' ? CPP_OLD : starts,
    service: `service-${index}`,
    ...(kind === 'delta' && { metric: { ...TOKENS, temporality: 'delta' } as const }),
    resource: (minute: number) => {
      if (from === undefined || minute < from) return {}
      const hidden = flaps && Math.floor(minute / EVERY) % 2 === 0
      return hidden ? ({} as Record<string, string>) : { 'k8s.pod.name': `pod-${index}`, 'k8s.node.name': 'node-1' }
    },
  }
}

export function deliveriesOf(
  stage: Stage,
  messages: readonly Message[],
  { consumers, outage, parts, again, gateways }: Transport,
): Delivery[] {
  const outages = outage === undefined ? [] : ([[outage.from, outage.from + outage.length]] as const)
  const queued = queue(stage, messages, { consumers, outages })
  return spread(stage, repeated(stage, split(stage, queued, parts), again, 600), gateways)
}

export function restartsOf(stage: Stage, { restarts }: Transport): Restart[] {
  return restarts.map(minute => ({ at: stage.at(minute), gateway: 0, killed: minute % 2 === 0 }))
}

const minute = (least: number) => fc.integer({ min: least, max: END - 25 })

const writer: fc.Arbitrary<Writer> = fc.record({
  kind: fc.constantFrom<Writer['kind']>(
    ...(['application', 'old-application', 'replicas', 'delta', 'target', 'created'] as const),
    ...(['forked', 'balanced', 'moving'] as const),
  ),
  sdk: fc.constantFrom('process', 'series'),
  late: minute(25),
  restart: fc.option(minute(40), { nil: undefined }),
  renamed: fc.option(fc.record({ from: minute(15), flaps: fc.boolean() }), { nil: undefined }),
})

const transport: fc.Arbitrary<Transport> = fc.record({
  consumers: fc.constantFrom(1, 10),
  // Not before the first collection of each has come: one that looks like a later one is another matter.
  outage: fc.option(fc.record({ from: minute(15), length: fc.integer({ min: 5, max: 700 }) }), { nil: undefined }),
  parts: fc.integer({ min: 1, max: 3 }),
  again: fc.constantFrom(0, 0.3, 1),
  gateways: fc.integer({ min: 1, max: 2 }),
  restarts: fc.array(minute(5), { maxLength: 2 }),
})

/** Whose starts move has to be recognized by them: under one name, and not by a customer's last two points. */
const recognizable = (writer: Writer): Writer =>
  writer.kind === 'moving'
    ? { ...writer, late: Math.min(writer.late, 60), restart: undefined, renamed: undefined }
    : writer

export const composition: fc.Arbitrary<Composition> = fc.record({
  seed: fc.nat(1_000_000),
  writers: fc.array(writer.map(recognizable), { minLength: 1, maxLength: 3 }),
  transports: fc.tuple(transport, transport),
})
