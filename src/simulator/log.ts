import type { EntitlementFaultKind, Fault, FaultKind } from './faults.ts'
import type { Operation, RecordStatus } from './wire.ts'

/** One request, as the log keeps it. */
export interface LoggedRequest {
  /** Milliseconds since the epoch, by the simulator's clock. */
  at: number
  /** What was asked for, even if there is no such operation. */
  operation: Operation | (string & {})
  region: string
  accessKeyId: string
  /** How many usage records it had. */
  records: number
  /** `ok`, the name of AWS's error, or the fault that hid the answer. */
  outcome: string
  faults: (FaultKind | EntitlementFaultKind)[]
}

export interface Counters {
  /** All requests, of every outcome. */
  requests: number
  /** Refused by the quota; those that a fault throttled are in `faults`. */
  throttled: number
  /** How often each fault was injected. */
  faults: Partial<Record<Fault['kind'], number>>
  /** Requests refused by a rule, by the name of AWS's error. */
  refused: Record<string, number>
  /** Records by what became of them; a record sent again counts again. */
  records: Record<RecordStatus | 'unprocessed', number>
  /** Records that were sent again with the same quantity and other allocations, or with or without any, unlike before. */
  resplits: number
}

const noCounts = (): Counters => ({
  requests: 0,
  throttled: 0,
  faults: {},
  refused: {},
  records: { Success: 0, DuplicateRecord: 0, CustomerNotSubscribed: 0, unprocessed: 0 },
  resplits: 0,
})

/** Counts requests and keeps the latest of them. */
export class RequestLog {
  readonly #size: number
  /** A ring: once full, the oldest is overwritten. */
  readonly #ring: LoggedRequest[] = []
  #counters = noCounts()

  constructor(size: number) {
    this.#size = size
  }

  get counters(): Counters {
    return structuredClone(this.#counters)
  }

  /** The latest requests, oldest first. */
  latest(): LoggedRequest[] {
    const oldest = this.#ring.length < this.#size ? 0 : this.#counters.requests % this.#size
    return [...this.#ring.slice(oldest), ...this.#ring.slice(0, oldest)]
  }

  request(entry: LoggedRequest): void {
    if (this.#size > 0) this.#ring[this.#counters.requests % this.#size] = entry
    this.#counters.requests++
  }

  throttled(): void {
    this.#counters.throttled++
  }

  fault(kind: Fault['kind']): void {
    this.#counters.faults[kind] = (this.#counters.faults[kind] ?? 0) + 1
  }

  refused(name: string): void {
    this.#counters.refused[name] = (this.#counters.refused[name] ?? 0) + 1
  }

  resplit(): void {
    this.#counters.resplits++
  }

  record(outcome: RecordStatus | 'unprocessed'): void {
    this.#counters.records[outcome]++
  }
}
