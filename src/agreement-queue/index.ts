/** AWS's agreement events from a queue of SQS. It needs the package `@aws-sdk/client-sqs`. */

export { ConfigurationError } from '../errors.ts'
export {
  type AdvisoryEvent,
  type AgreementEvent,
  AgreementEventError,
  type Delivery,
  type EntitlementEvent,
  type LicenceEvent,
  type PurchaseAgreementEvent,
  readAgreementEvent,
  type SpendThresholdEvent,
  type SubscriptionEvent,
  type UnknownEvent,
} from '../marketplace/agreement-events.ts'
export type { QueueClient, QueueMessage } from './client.ts'
export {
  type AgreementConsumer,
  type AgreementConsumerOptions,
  type ConsumerCounts,
  consumeAgreementEvents,
} from './consumer.ts'
export { type QueueAddress, readQueueAddress } from './queue-address.ts'
export type { QueueReport } from './reports.ts'
