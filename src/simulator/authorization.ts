import { SimulatedServiceError } from './errors.ts'

/** What a SigV4 `Authorization` header says: all that is needed to tell who signed, for where, and to check it. */
export interface Authorization {
  accessKeyId: string
  /** YYYYMMDD. */
  date: string
  region: string
  service: string
  signedHeaders: string[]
  /** 64 hexadecimal digits. */
  signature: string
}

const CREDENTIAL = /^([^/]+)\/(\d{8})\/([^/]+)\/([^/]+)\/aws4_request$/

/**
 * Reads the `Authorization` header. The signature itself is checked in `signature.ts`.
 *
 * @param expected the service that the request has to be signed for
 * @throws {SimulatedServiceError} with AWS's name
 */
export function readAuthorization(header: string | undefined, expected = 'aws-marketplace'): Authorization {
  if (header === undefined) {
    throw new SimulatedServiceError('MissingAuthenticationTokenException', 'Missing Authentication Token')
  }
  const [algorithm, ...rest] = header.split(/\s+/)
  const parts = new Map(
    rest
      .join('')
      .split(',')
      .map(part => [part.slice(0, part.indexOf('=')), part.slice(part.indexOf('=') + 1)]),
  )
  const credential = CREDENTIAL.exec(parts.get('Credential') ?? '')
  const signedHeaders = parts.get('SignedHeaders')
  const signature = parts.get('Signature')
  if (algorithm !== 'AWS4-HMAC-SHA256' || credential === null || !signedHeaders || !signature) {
    throw new SimulatedServiceError(
      'IncompleteSignatureException',
      'Authorization header requires AWS4-HMAC-SHA256 with Credential, SignedHeaders and Signature',
    )
  }
  const [, accessKeyId = '', date = '', region = '', service = ''] = credential
  if (service !== expected) {
    throw new SimulatedServiceError(
      'InvalidSignatureException',
      `Credential should be scoped to correct service: '${expected}'.`,
    )
  }
  return { accessKeyId, date, region, service, signedHeaders: signedHeaders.split(';'), signature }
}
