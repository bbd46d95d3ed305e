import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import type { MeteringClient } from '../../src/marketplace/client.ts'
import type { Credentials } from '../../src/marketplace/credentials.ts'
import type { RegistrationClient } from '../../src/marketplace/registration.ts'

/** What both clients do. */
export type Client = MeteringClient & RegistrationClient

export interface ClientOptions {
  readonly endpoint: string
  readonly region?: string
  readonly credentials?: Credentials
  /** Milliseconds. */
  readonly timeout?: number
}

export const CREDENTIALS = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY' }

/** A server that answers as a test wants it to, cut off at its end. */
export async function serverThat(test: TestContext, answers: RequestListener): Promise<string> {
  const server = createServer((request, response) => {
    // An answer that comes before the request is read would be a reset on some machines.
    request.resume().on('end', () => answers(request, response))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  test.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

export async function errorOf(promise: Promise<unknown>): Promise<Error & Record<string, unknown>> {
  try {
    await promise
  } catch (error) {
    return error as Error & Record<string, unknown>
  }
  throw new Error('Expected a rejection')
}

/** Sets variables until the end of the test. Those of AWS that are not named are unset. */
export function environment(test: TestContext, variables: Record<string, string>): void {
  const before = Object.entries(process.env)
  const set = (names: readonly (readonly [string, string | undefined])[]) => {
    for (const name of Object.keys(process.env)) if (name.startsWith('AWS_')) delete process.env[name]
    for (const [name, value] of names) process.env[name] = value
  }
  set(Object.entries(variables))
  test.after(() => set(before))
}
