/** What the parent and its replicas tell each other. */

/** With which a replica ends that found its engine away when it started: it is to be started again. */
export const NO_ENGINE = 75

/** Where a ledger is, as a replica's argument. */
export type Place =
  | { readonly engine: 'sqlite'; readonly path: string }
  | { readonly engine: 'postgresql'; readonly connectionString: string }
  | { readonly engine: 'dynamodb'; readonly tableName: string; readonly endpoint: string }

/** An application counts, and meters by its exporter; a gateway meters what senders have counted. */
export type Role = 'application' | 'gateway'

/** What a replica does when it may be stopped in the middle of it. */
export type Work = 'append' | 'close' | 'claim' | 'send' | 'settle' | 'expire'

/** Of one replica; a process has one or several. */
export interface Orders {
  readonly role: Role
  readonly place: Place
  readonly marketplace: string
  /** The real time at which the virtual one began. */
  readonly began: number
  /** By how much the replica's clock is wrong, in virtual milliseconds. */
  readonly skew: number
  readonly seed: number
  /** How often it exports and looks at the clock, in virtual milliseconds. */
  readonly interval: number
  /** Whose requests an application counts. With none it only meters what others have measured. */
  readonly customers: readonly string[]
}

/** Whole units by customer and dimension: `account dimension`. */
export type Amounts = Record<string, number>

export function addAll(sums: Amounts, amounts: Amounts): void {
  for (const [series, amount] of Object.entries(amounts)) sums[series] = (sums[series] ?? 0) + amount
}

/** What a process is told later. */
export type Order =
  /** To say goodbye. */
  | 'end'
  /** To tell when it is in the middle of one of these, and to wait there until it may go on. */
  | { readonly tellOf: readonly Work[] }
  | { readonly goOn: number }

/** What a process tells: of what one of its replicas counts, and of itself. */
export type Told = (ReplicaTold & { readonly replica: number }) | ProcessTold

export type ReplicaTold =
  /** Of an application's export before it is made: whether it comes into the ledger may never be known. */
  | { readonly about: number; readonly amounts: Amounts }
  /** The exporter has said that it is durable. */
  | { readonly durable: number }
  | { readonly failed: number; readonly message: string }

export type ProcessTold =
  /** All its replicas have started; and where its gateways take OTLP over HTTP, host:port. */
  | { readonly ready: true; readonly addresses: readonly string[] }
  /** How often it has asked the ledger's engine for something so far. */
  | { readonly asked: number }
  /** It is in the middle of something, and waits. */
  | { readonly in: Work; readonly where: string; readonly waits: number }
