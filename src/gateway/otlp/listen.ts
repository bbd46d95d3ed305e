import type { AddressInfo, Server } from 'node:net'
import { ListenError } from './errors.ts'

/** Starts to listen. What goes wrong with connections later is reported, and does not end the process. */
export async function listen(
  server: Server,
  host: string,
  port: number,
  onError: (error: Error) => void,
): Promise<AddressInfo> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', cause => {
      reject(new ListenError(`Cannot listen on ${host}, port ${port}: ${cause.message}`, { cause }))
    })
    server.listen(port, host, resolve)
  })
  server.removeAllListeners('error').on('error', onError)
  return server.address() as AddressInfo
}
