/**
 * The part of AWS Marketplace Metering that this package calls, under AWS's own names. The AWS SDK's aggregated
 * `MarketplaceMetering` fits {@link MeteringClient} as it is; so does anything else that answers as AWS does.
 */

/** One quantity of one dimension for one customer in one hour. `Timestamp` is whole seconds. */
export interface UsageRecord {
  Timestamp: Date
  Dimension: string
  /** 0 to 2147483647. */
  Quantity: number
  /** 12 digits. */
  CustomerAWSAccountId?: string
  /** Concurrent Agreements; then the request has no `ProductCode`. */
  LicenseArn?: string
  /** The older identity of products with a `ProductCode`; never beside `CustomerAWSAccountId`. */
  CustomerIdentifier?: string
  /** What the quantity is for: 1 to 2,500, which sum to it. */
  UsageAllocations?: UsageAllocation[]
}

/** How much of a record is for a set of tags, which no other allocation of the record has; without tags, for none. */
export interface UsageAllocation {
  AllocatedUsageQuantity: number
  /** 1 to 5. */
  Tags?: Tag[]
}

export interface Tag {
  /** 1 to 100 of letters, digits, space and `+ - = . _ : / @`. */
  Key: string
  /** 1 to 256 of the same. */
  Value: string
}

export interface BatchMeterUsageRequest {
  /** Only for products without Concurrent Agreements. */
  ProductCode?: string
  /** At most 25, all of one product. */
  UsageRecords: UsageRecord[]
}

/** A record as an answer repeats it, without its allocations, which tell no record from another. */
export type AnsweredRecord = {
  [Member in keyof Omit<UsageRecord, 'UsageAllocations'>]?: UsageRecord[Member] | undefined
}

/** What AWS says of one record. Every member may be missing in an answer that makes no sense. */
export interface UsageRecordResult {
  UsageRecord?: AnsweredRecord | undefined
  MeteringRecordId?: string | undefined
  /** `Success`, `CustomerNotSubscribed` or `DuplicateRecord`. */
  Status?: string | undefined
}

export interface BatchMeterUsageResult {
  Results?: UsageRecordResult[] | undefined
  UnprocessedRecords?: AnsweredRecord[] | undefined
  /** The AWS SDK says here how many attempts of its own an answer took, and what AWS calls the request. */
  $metadata?:
    | { attempts?: number | undefined; httpStatusCode?: number | undefined; requestId?: string | undefined }
    | undefined
}

/** Sends usage records. A refusal of the whole request rejects with an error whose `name` is AWS's, as the AWS SDK's do. */
export interface MeteringClient {
  /**
   * How far this machine's clock was ahead of AWS's at the last answer, in milliseconds; negative where it was behind.
   * Only the clients of this package know it.
   */
  readonly clockSkew?: number | undefined
  /**
   * Where its requests go, a URL. The clients of this package and of the AWS SDK tell; of another one without it they
   * are taken to go to AWS.
   */
  readonly endpoint?: string | (() => Promise<string>) | undefined
  batchMeterUsage(
    request: BatchMeterUsageRequest,
    options?: { abortSignal?: AbortSignal },
  ): Promise<BatchMeterUsageResult>
}

/** The most usage records in one request. */
export const MAX_RECORDS = 25
/** A request is under 1 MB: its body, in bytes, where a megabyte is a million, to be sure. */
export const MAX_REQUEST_BYTES = 1_000_000
