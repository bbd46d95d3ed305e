import { once } from 'node:events'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { pipeline } from 'node:stream'

/** What stands before a service and makes its clock run ahead, as its answers' `Date` tells it. */
export async function clockAhead(endpoint: string, ahead: () => number) {
  const server = createServer((incoming, response) => {
    const { method, url, headers } = incoming
    const passed = request(`${endpoint}${url}`, { method, headers }, answer => {
      // Whoever asked may be gone by now.
      if (response.destroyed) return answer.destroy()
      const date = new Date(Date.parse(answer.headers.date as string) + ahead()).toUTCString()
      response.writeHead(answer.statusCode as number, { ...answer.headers, date })
      pipeline(answer, response, () => {})
    })
    pipeline(incoming, passed, error => error && response.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () => {
      server.close()
      server.closeAllConnections()
    },
  }
}
