import type { IncomingMessage } from 'node:http'
import { RegistrationError } from './registration-error.ts'

const MAX_BYTES = 16 * 1024

/** The fields of a form that a browser has posted, which has so many milliseconds for it. */
export async function readForm(request: IncomingMessage, timeout: number): Promise<URLSearchParams> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(new RegistrationError('slow')), timeout)
  try {
    return await Promise.race([fieldsOf(request), late.promise])
  } finally {
    clearTimeout(timer)
  }
}

function fieldsOf(request: IncomingMessage): Promise<URLSearchParams> {
  return new Promise((resolve, reject) => {
    const type = request.headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase()
    if (type !== 'application/x-www-form-urlencoded') return reject(new RegistrationError('form'))
    const chunks: Buffer[] = []
    let size = 0
    // The rest of what is too large is let go by, so that the browser gets to read the answer.
    request.on('data', (chunk: Buffer) => {
      size += chunk.length
      if (size <= MAX_BYTES) chunks.push(chunk)
      else reject(new RegistrationError('large'))
    })
    request.on('end', () => resolve(new URLSearchParams(Buffer.concat(chunks).toString('utf8'))))
    request.on('error', reject)
  })
}
