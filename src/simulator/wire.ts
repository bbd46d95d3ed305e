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

/** One of them is there. */
export interface EntitlementValue {
  IntegerValue?: number | undefined
  DoubleValue?: number | undefined
  BooleanValue?: boolean | undefined
  StringValue?: string | undefined
}

/** `ExpirationDate` is seconds since the epoch on the wire. */
export interface Entitlement {
  ProductCode?: string
  Dimension?: string
  CustomerIdentifier?: string
  CustomerAWSAccountId?: string
  LicenseArn?: string
  Value?: EntitlementValue
  ExpirationDate?: Date
}

export interface GetEntitlementsRequest {
  ProductCode?: string | undefined
  /** Any of a key's values, and all keys. */
  Filter?:
    | {
        CUSTOMER_AWS_ACCOUNT_ID?: string[] | undefined
        CUSTOMER_IDENTIFIER?: string[] | undefined
        LICENSE_ARN?: string[] | undefined
        DIMENSION?: string[] | undefined
      }
    | undefined
  MaxResults?: number | undefined
  NextToken?: string | undefined
}

export interface GetEntitlementsResult {
  Entitlements: Entitlement[]
  NextToken?: string
}

/** The operations that the simulator answers, with what they take and give. */
export interface Operations {
  BatchMeterUsage: { request: BatchMeterUsageRequest; result: BatchMeterUsageResult }
  ResolveCustomer: { request: ResolveCustomerRequest; result: ResolveCustomerResult }
  GetEntitlements: { request: GetEntitlementsRequest; result: GetEntitlementsResult }
}

export type Operation = keyof Operations

export const OPERATIONS = [
  'BatchMeterUsage',
  'ResolveCustomer',
  'GetEntitlements',
] as const satisfies readonly Operation[]
