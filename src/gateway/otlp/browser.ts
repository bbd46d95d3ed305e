import type { IncomingHttpHeaders } from 'node:http'
import { PERMISSION_DENIED, Refusal } from './refusal.ts'

/**
 * Web pages send no usage. A browser says of each request that a page makes where the page is from, and a page cannot
 * take that away: neither one of another site, nor one whose name has been made to resolve to this machine.
 *
 * https://fetch.spec.whatwg.org/#origin-header, https://www.w3.org/TR/fetch-metadata/
 *
 * @throws {Refusal} for what a browser sends
 */
export function refuseBrowsers(headers: IncomingHttpHeaders): void {
  if (headers.origin === undefined && headers['sec-fetch-site'] === undefined) return
  throw new Refusal(
    PERMISSION_DENIED,
    'Expected a sender of usage, got a web page (the header origin or sec-fetch-site)',
  )
}
