/** Customers' agreements: AWS's events of them, and buyers who register, become what the ledger knows. */

export { ConfigurationError } from '../errors.ts'
export type * from '../marketplace/agreement-events.ts'
export { AgreementEventError, readAgreementEvent } from '../marketplace/agreement-events.ts'
export type * from '../marketplace/registration.ts'
export { type HandledEvent, handleAgreementEvent } from './handle-event.ts'
export type { AgreementsOptions } from './options.ts'
export {
  OtherProductError,
  RegistrationAnswerError,
  type RegistrationOptions,
  registerCustomer,
} from './register-customer.ts'
