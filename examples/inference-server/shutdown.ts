import { once } from 'node:events'
import type { Server, ServerResponse } from 'node:http'

/**
 * Returns a function that stops the server: it takes no more connections, and gives the requests it has until the
 * deadline. When it resolves, every request is over and its usage is recorded.
 */
export function gracefulStop(server: Server): (deadline: number) => Promise<void> {
  const unfinished = new Set<ServerResponse>()
  server.on('request', (_request, response: ServerResponse) => {
    unfinished.add(response)
    response.once('close', () => unfinished.delete(response))
  })
  return async deadline => {
    const closed = once(server, 'close')
    server.close()
    const timer = setTimeout(() => server.closeAllConnections(), deadline)
    await closed
    clearTimeout(timer)
    // A server calls itself closed a moment before its last responses do.
    await Promise.all([...unfinished].map(response => once(response, 'close')))
  }
}
