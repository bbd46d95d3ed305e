/** What the parent and its replicas tell each other. */

/** Where a ledger is, as a replica's argument. */
export type Place =
  | { readonly engine: 'sqlite'; readonly path: string }
  | { readonly engine: 'postgresql'; readonly connectionString: string }
  | { readonly engine: 'dynamodb'; readonly tableName: string; readonly endpoint: string }

export interface Orders {
  readonly place: Place
  readonly marketplace: string
  /** The real time at which the virtual one began. */
  readonly began: number
  /** By how much the replica's clock is wrong, in virtual milliseconds. */
  readonly skew: number
  readonly seed: number
  readonly customers: number
  /** Whether it measures nothing, and only meters what others have measured. */
  readonly idle: boolean
}

/** Whole units by customer and dimension: `account dimension`. */
export type Amounts = Record<string, number>

export type Told =
  /** Of an export before it is made: whether it comes into the ledger may never be known. */
  | { readonly about: number; readonly amounts: Amounts }
  /** The exporter has said that it is durable. */
  | { readonly durable: number }
  | { readonly failed: number; readonly message: string }
