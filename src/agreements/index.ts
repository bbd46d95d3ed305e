/**
 * Customers' agreements: AWS's events of them, and buyers who register, become what the ledger knows. To read a queue it
 * needs the package `@aws-sdk/client-sqs`.
 */

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
export type * from '../marketplace/registration.ts'
export {
  type AgreementReport,
  type EventReport,
  type FollowOptions,
  followAgreementEvents,
} from './follow-events.ts'
export { type HandledEvent, handleAgreementEvent } from './handle-event.ts'
export type { AgreementsOptions } from './options.ts'
export type { QueueClient, QueueMessage } from './queue/client.ts'
export type { AgreementConsumer, ConsumerCounts } from './queue/consumer.ts'
export type { QueueAddress } from './queue/queue-address.ts'
export type { QueueReport } from './queue/reports.ts'
export {
  OtherProductError,
  RegistrationAnswerError,
  type RegistrationOptions,
  registerCustomer,
} from './register-customer.ts'
