import { randomUUID } from 'node:crypto'

/** CloudTrail's events of `BatchMeterUsage`, as AWS writes them. */

export const SELLER = '999900001111'
export const METER = `arn:aws:iam::${SELLER}:role/meter`
export const LICENCE = 'arn:aws:license-manager::294406891311:license:l-00112233445566778899aabbccddeeff'

/** A record as it was sent, and what AWS answered; nothing where the call failed. */
export interface Metered {
  readonly accountId?: string
  readonly customerIdentifier?: string
  readonly licenseArn?: string
  readonly dimension: string
  readonly quantity: number
  /** Milliseconds since the epoch. */
  readonly timestamp: number
  readonly said?: string
  readonly meteringRecordId?: string
}

export interface Call {
  /** Milliseconds since the epoch. */
  readonly at: number
  readonly region?: string
  readonly role?: string
  readonly session?: string
  readonly address?: string
  readonly userAgent?: string
  readonly product?: string
  readonly errorCode?: string
  readonly eventID?: string
  readonly requestID?: string
  readonly leftOut?: readonly ('requestParameters' | 'responseElements')[]
  readonly records: readonly Metered[]
}

/** `Nov 3, 2026 10:59:59 AM` */
export function inWords(time: number): string {
  const text = new Intl.DateTimeFormat('en-US', {
    ...({ timeZone: 'UTC', month: 'short', day: 'numeric', year: 'numeric' } as const),
    ...({ hour: 'numeric', minute: '2-digit', second: '2-digit', hour12: true } as const),
  }).format(time)
  return text.replace(/(\d{4}),/, '$1').replace('\u202f', ' ')
}

/** An event as a trail's file has it. */
export function eventOf(call: Call): Record<string, unknown> {
  const { at, region = 'us-east-1', role = 'meter', session = 'm1', product, errorCode, records, leftOut = [] } = call
  const usageRecords = records.map(record => ({
    timestamp: inWords(record.timestamp),
    dimension: record.dimension,
    quantity: record.quantity,
    ...(record.customerIdentifier !== undefined && { customerIdentifier: record.customerIdentifier }),
    ...(record.accountId !== undefined && { customerAWSAccountID: record.accountId }),
    ...(record.licenseArn !== undefined && { licenseArn: record.licenseArn }),
  }))
  const answered = records.map((record, index) => ({ ...record, usageRecord: usageRecords[index] }))
  const response = {
    results: answered
      .filter(({ said }) => said !== undefined && said !== 'unprocessed')
      .map(({ usageRecord, meteringRecordId, said }) => ({
        usageRecord,
        ...(meteringRecordId !== undefined && { meteringRecordId }),
        status: said,
      })),
    unprocessedRecords: answered.filter(({ said }) => said === 'unprocessed').map(({ usageRecord }) => usageRecord),
  }
  const given = (name: 'requestParameters' | 'responseElements', value: object) =>
    leftOut.includes(name) ? null : value
  return {
    eventVersion: '1.11',
    userIdentity: {
      type: 'AssumedRole',
      arn: `arn:aws:sts::${SELLER}:assumed-role/${role}/${session}`,
      accountId: SELLER,
      sessionContext: { sessionIssuer: { type: 'Role', arn: `arn:aws:iam::${SELLER}:role/${role}` } },
    },
    eventTime: new Date(at).toISOString().replace(/\.\d+Z/, 'Z'),
    eventSource: 'metering-marketplace.amazonaws.com',
    eventName: 'BatchMeterUsage',
    awsRegion: region,
    sourceIPAddress: call.address ?? '192.0.2.7',
    userAgent: call.userAgent ?? 'opentelemetry-exporter-aws-marketplace/0.1.0',
    ...(errorCode !== undefined && { errorCode, errorMessage: 'No.' }),
    requestParameters: given('requestParameters', {
      ...(product !== undefined && { productCode: product }),
      usageRecords,
    }),
    responseElements: errorCode === undefined ? given('responseElements', response) : null,
    requestID: call.requestID ?? randomUUID(),
    eventID: call.eventID ?? randomUUID(),
    ...{ readOnly: false, eventType: 'AwsApiCall', recipientAccountId: SELLER },
  }
}

/** An event of another service: all that it tells is that events of its time are there. */
export function otherEvent(at: number, region = 'us-east-1'): Record<string, unknown> {
  return {
    ...{ eventVersion: '1.11', eventTime: new Date(at).toISOString(), eventSource: 'sts.amazonaws.com' },
    ...{ eventName: 'AssumeRole', awsRegion: region, eventID: randomUUID(), userIdentity: { type: 'AWSService' } },
  }
}

/** As `aws cloudtrail lookup-events` prints them. */
export function lookupOutput(events: readonly Record<string, unknown>[]): string {
  return JSON.stringify(
    {
      Events: events.map(event => ({
        ...{ EventId: event.eventID, EventName: event.eventName, ReadOnly: 'false', EventTime: event.eventTime },
        CloudTrailEvent: JSON.stringify(event),
      })),
      NextToken: 'AAAA"}]',
    },
    null,
    4,
  )
}
