import type { IncomingMessage } from 'node:http'

/** Whether a request may see what names customers: `unknown` is who has no good token, `forbidden` who has but may not. */
export type Access = 'granted' | 'unknown' | 'forbidden'

/** The token that a request presents: as a bearer, or as the password for which a browser asked its user. */
export function presentedToken(request: IncomingMessage): string | undefined {
  const [, scheme = '', value = ''] = /^(\w+) +(\S+)$/.exec(request.headers.authorization ?? '') ?? []
  if (scheme.toLowerCase() === 'bearer') return value
  if (scheme.toLowerCase() !== 'basic') return undefined
  const credentials = Buffer.from(value, 'base64').toString()
  const colon = credentials.indexOf(':')
  return colon === -1 ? undefined : credentials.slice(colon + 1)
}

const LOOPBACK_PEER = /^(127\.|::1$|::ffff:127\.)/i
const LOOPBACK = /^(localhost|.+\.localhost|127(\.\d+){3}|\[::1\])$/

/**
 * Whether a request is of somebody at this machine, and calls it by a name that no web site can have. Otherwise a site
 * whose name resolves to 127.0.0.1 could read, in the browser of somebody who looks at it, what is served here without a
 * token. A proxy on this machine that says so asks for others.
 */
export function isLocal(request: IncomingMessage): boolean {
  const { headers, socket } = request
  if (!LOOPBACK_PEER.test(socket.remoteAddress ?? '')) return false
  if (headers.forwarded !== undefined || headers['x-forwarded-for'] !== undefined) return false
  return LOOPBACK.test(URL.parse(`http://${headers.host}`)?.hostname ?? '')
}
