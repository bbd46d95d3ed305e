/**
 * The shapes of AWS Marketplace Metering, under AWS's own names, as a caller in this process uses them: a `Timestamp`
 * is a `Date` here and seconds since the epoch on the wire.
 */

export interface Tag {
  Key?: string | undefined
  Value?: string | undefined
}

export interface UsageAllocation {
  AllocatedUsageQuantity?: number | undefined
  Tags?: Tag[] | undefined
}

export interface UsageRecord {
  Timestamp?: Date | undefined
  Dimension?: string | undefined
  /** 0 if it is missing. */
  Quantity?: number | undefined
  CustomerAWSAccountId?: string | undefined
  CustomerIdentifier?: string | undefined
  LicenseArn?: string | undefined
  UsageAllocations?: UsageAllocation[] | undefined
}

/** A record that has what every record must have. */
export type CheckedRecord = UsageRecord & { Timestamp: Date; Dimension: string }

export interface BatchMeterUsageRequest {
  ProductCode?: string | undefined
  UsageRecords?: UsageRecord[] | undefined
}

export type RecordStatus = 'Success' | 'CustomerNotSubscribed' | 'DuplicateRecord'

export interface UsageRecordResult {
  UsageRecord: UsageRecord
  /** Only with `Success`. */
  MeteringRecordId?: string
  Status: RecordStatus
}

export interface BatchMeterUsageResult {
  Results: UsageRecordResult[]
  UnprocessedRecords: UsageRecord[]
}

export interface ResolveCustomerRequest {
  RegistrationToken?: string | undefined
}

export interface ResolveCustomerResult {
  CustomerIdentifier?: string | null
  CustomerAWSAccountId?: string
  ProductCode?: string
  LicenseArn?: string
}

/** The operations that the simulator answers, with what they take and give. */
export interface Operations {
  BatchMeterUsage: { request: BatchMeterUsageRequest; result: BatchMeterUsageResult }
  ResolveCustomer: { request: ResolveCustomerRequest; result: ResolveCustomerResult }
}

export type Operation = keyof Operations
