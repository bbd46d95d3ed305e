import type { IncomingMessage } from 'node:http'
import { ApiError } from './api-error.ts'

/** The JSON object in a request's body. */
export async function readJson(request: IncomingMessage, maxBytes: number): Promise<Record<string, unknown>> {
  const type = request.headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase()
  if (type !== 'application/json') {
    throw new ApiError(415, `Unsupported Content-Type: expected application/json, got ${type ?? 'none'}.`)
  }
  const encoding = request.headers['content-encoding'] ?? 'identity'
  if (encoding !== 'identity') throw new ApiError(415, `Unsupported Content-Encoding: ${encoding}.`)

  const bytes = await readBytes(request, maxBytes)
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw new ApiError(400, 'We could not parse the JSON body of your request.', { cause })
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new ApiError(400, 'Expected the body of your request to be a JSON object.')
  }
  return value as Record<string, unknown>
}

// With listeners rather than `for await`, which closes the connection when it is left early: the rest of a body that is
// too large is let go by, so that the client gets to read the answer.
function readBytes(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const tooLarge = () => reject(new ApiError(413, `Request body too large: at most ${maxBytes} bytes.`))
    if (Number(request.headers['content-length']) > maxBytes) return tooLarge()
    const chunks: Buffer[] = []
    let size = 0
    request.on('data', (chunk: Buffer) => {
      size += chunk.length
      if (size <= maxBytes) chunks.push(chunk)
      else {
        chunks.length = 0
        tooLarge()
      }
    })
    request.on('end', () => resolve(Buffer.concat(chunks)))
    request.on('error', reject)
  })
}
