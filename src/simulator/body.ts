import type { IncomingMessage } from 'node:http'

/** The whole body as text, or nothing if it is `limit` bytes or longer. It is read to its end in any case, so that an answer can be sent. */
export async function readBody(message: IncomingMessage, limit: number): Promise<string | undefined> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of message as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size < limit) chunks.push(chunk)
  }
  return size < limit ? Buffer.concat(chunks).toString('utf8') : undefined
}
