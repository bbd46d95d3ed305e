import type { IncomingMessage } from 'node:http'

/** The token that a request presents: as a bearer, or as the password for which a browser asked its user. */
export function presentedToken(request: IncomingMessage): string | undefined {
  const [, scheme = '', value = ''] = /^(\w+) +(\S+)$/.exec(request.headers.authorization ?? '') ?? []
  if (scheme.toLowerCase() === 'bearer') return value
  if (scheme.toLowerCase() !== 'basic') return undefined
  const credentials = Buffer.from(value, 'base64').toString()
  const colon = credentials.indexOf(':')
  return colon === -1 ? undefined : credentials.slice(colon + 1)
}

const LOOPBACK = /^(localhost|.+\.localhost|127(\.\d+){3}|\[::1\])$/

/**
 * Whether a request calls this machine by a name that no web site can have. Otherwise a site whose name resolves to
 * 127.0.0.1 could read, in the browser of somebody who looks at it, what is served here without a token.
 */
export function namesLoopback(request: IncomingMessage): boolean {
  return LOOPBACK.test(URL.parse(`http://${request.headers.host}`)?.hostname ?? '')
}
