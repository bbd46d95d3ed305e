import { once } from 'node:events'
import type { ServerResponse } from 'node:http'

/** Server-sent events, as fast as the client reads them. */
export class EventStream {
  readonly #response: ServerResponse
  readonly #gone = new AbortController()

  constructor(response: ServerResponse) {
    this.#response = response
    response.once('close', () => this.#gone.abort())
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' })
  }

  /** Resolves to whether the client is still there. */
  async send(data: unknown): Promise<boolean> {
    const text = typeof data === 'string' ? data : JSON.stringify(data)
    if (this.#gone.signal.aborted) return false
    if (this.#response.write(`data: ${text}\n\n`)) return true
    await once(this.#response, 'drain', { signal: this.#gone.signal }).catch(() => {})
    return !this.#gone.signal.aborted
  }

  end(): void {
    this.#response.end('data: [DONE]\n\n')
  }
}
