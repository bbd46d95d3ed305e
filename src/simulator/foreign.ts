import type { IncomingHttpHeaders } from 'node:http'
import { isIP } from 'node:net'

/**
 * Why a request to the control API may be a web site's, in the browser of whoever runs the simulator, if it may be: any
 * site can have requests sent to this machine, and have its own name resolve to it. A browser says where a page is from,
 * and names the host that it believes to be asking.
 *
 * @param listening the host that the simulator was told to listen on
 */
export function foreign(headers: IncomingHttpHeaders, hasBody: boolean, listening: string): string | undefined {
  const { host = '', origin, 'sec-fetch-site': site = 'none', 'content-type': type = '' } = headers
  if (origin !== undefined && origin !== `http://${host}`) return 'it is from a page of another origin'
  if (site !== 'none' && site !== 'same-origin') return 'it is from a page of another site'
  const name = URL.parse(`http://${host}`)?.hostname ?? ''
  // A web site's name has dots.
  const own = !name.includes('.') || name.endsWith('.localhost') || isIP(name) !== 0 || name === listening.toLowerCase()
  if (name === '' || !own) {
    return 'its header host names neither this machine nor an address: use localhost, an IP address or a name without dots'
  }
  if (hasBody && type.split(';')[0]?.trim().toLowerCase() !== 'application/json') {
    return 'its body is not said to be JSON: set content-type: application/json'
  }
  return undefined
}
