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

export interface Orders {
  readonly role: Role
  readonly place: Place
  readonly marketplace: string
  /** The real time at which the virtual one began. */
  readonly began: number
  /** By how much the replica's clock is wrong, in virtual milliseconds. */
  readonly skew: number
  readonly seed: number
  /** Whose requests an application counts. With none it only meters what others have measured. */
  readonly customers: readonly string[]
}

/** Whole units by customer and dimension: `account dimension`. */
export type Amounts = Record<string, number>

export function addAll(sums: Amounts, amounts: Amounts): void {
  for (const [series, amount] of Object.entries(amounts)) sums[series] = (sums[series] ?? 0) + amount
}

export type Told =
  /** Of an application's export before it is made: whether it comes into the ledger may never be known. */
  | { readonly about: number; readonly amounts: Amounts }
  /** The exporter has said that it is durable. */
  | { readonly durable: number }
  | { readonly failed: number; readonly message: string }
  /** It has started; and where a gateway takes OTLP over HTTP, host:port. */
  | { readonly ready: true; readonly address?: string }
