/** A client for AWS Marketplace Metering without the AWS SDK. It needs the package `aws4fetch`. */
export type * from './marketplace/client.ts'
export type { Credentials, CredentialsProvider, Fetch } from './marketplace/credentials.ts'
export {
  type AnswerMetadata,
  CredentialsError,
  MeteringAbortError,
  MeteringAnswerError,
  MeteringConnectionError,
  MeteringServiceError,
  MeteringTimeoutError,
} from './marketplace/errors.ts'
export { HttpMeteringClient, type HttpMeteringClientOptions } from './marketplace/http-client.ts'
export type * from './marketplace/registration.ts'
export { ConfigurationError } from './usage/errors.ts'
