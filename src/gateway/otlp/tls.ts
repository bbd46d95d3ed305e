import type { Server } from 'node:net'
import type { SecureContextOptions, TlsOptions as ServerTls, TLSSocket } from 'node:tls'
import { configurationError } from '../../check.ts'
import type { Receiver, TlsOptions } from './options.ts'
import { checkTls } from './parse-options.ts'
import { TLS } from './refusal.ts'

/** What a server with TLS is made with. */
export function serverTls(tls: TlsOptions, handshakeTimeout: number): ServerTls {
  return { ...tls, requestCert: tls.ca !== undefined, handshakeTimeout }
}

/** A receiver's `renew`, for the server that it was started with. */
export function tlsRenewal(server: Server, started: TlsOptions | undefined): Receiver['renew'] {
  return ({ tls }) => {
    // A server asks for certificates from its start or never.
    if (started === undefined) throw configurationError(['tls: expected none, since there was none at the start'])
    if ((tls.ca === undefined) !== (started.ca === undefined)) {
      throw configurationError([`tls.ca: expected ${started.ca === undefined ? 'none' : 'one'}, as at the start`])
    }
    checkTls(tls)
    const secured = server as Server & { setSecureContext(options: SecureContextOptions): void }
    secured.setSecureContext({ ...tls })
  }
}

/** Tells of handshakes that fail. Who leaves before he has said anything is no sender: so probes look for open ports. */
export function reportHandshakes(server: Server, report: (code: string, message: string) => void): void {
  server.on('tlsClientError', ({ code }: NodeJS.ErrnoException, socket: TLSSocket) => {
    // Of Node's types it is an error, of Node itself the error's code.
    const reason = (socket.authorizationError as string | Error | null) || (code === 'ECONNRESET' ? undefined : code)
    if (reason) report(TLS, `A TLS handshake failed (${reason})`)
    socket.destroy()
  })
}
