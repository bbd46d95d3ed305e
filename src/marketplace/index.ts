/** A client for AWS Marketplace Metering without the AWS SDK. It needs the package `aws4fetch`. */

export { ConfigurationError } from '../errors.ts'
export type * from './client.ts'
export type { Credentials, CredentialsProvider, Fetch } from './credentials.ts'
export {
  type AnswerMetadata,
  CredentialsError,
  MeteringAbortError,
  MeteringAnswerError,
  MeteringConnectionError,
  MeteringServiceError,
  MeteringTimeoutError,
} from './errors.ts'
export { HttpMeteringClient, type HttpMeteringClientOptions } from './http-client.ts'
export type * from './registration.ts'
