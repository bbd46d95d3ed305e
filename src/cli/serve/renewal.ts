import { unwatchFile, watchFile } from 'node:fs'
import { diag } from '@opentelemetry/api'
import { type GatewayConfig, GatewayConfigFile } from '../../gateway/config.ts'
import type { Gateway } from '../../gateway/gateway.ts'
import { SECOND } from '../../ledger/hours.ts'

/** Secrets that are mounted change by way of links, which only their content shows: so they are looked at. */
const LOOKED_AT = 5 * SECOND

/** Has a gateway take tokens, certificates and keys anew when their files change, and at SIGHUP. Returns its end. */
export function renewing(gateway: Gateway, file: GatewayConfigFile, env: NodeJS.ProcessEnv): () => void {
  let files: readonly string[] = []
  const changed = () => renew('A file of tokens or certificates has changed')
  const hangUp = () => renew('SIGHUP')
  const watch = (others: readonly string[]) => {
    for (const path of files) unwatchFile(path, changed)
    files = others
    for (const path of files) watchFile(path, { interval: LOOKED_AT, persistent: false }, changed)
  }
  const renew = (why: string) => {
    try {
      const fresh = GatewayConfigFile.read(file.path, env)
      const { senders, tls } = fresh.readReferences(env)
      gateway.renew({ senders, tls })
      watch(fresh.renewable)
      const names = senders === undefined ? 'no tokens' : `the tokens of ${senders.map(({ name }) => name).join(', ')}`
      diag.info(
        `${why}: from now on ${names} are good${tls === undefined ? '' : ', and the certificate is the new one'}.`,
      )
      if (rest(fresh.config) !== rest(file.config)) {
        diag.warn(`${file.path} says more that is new: only tokens and certificates change without a restart.`)
      }
    } catch (error) {
      diag.error(`${why}: tokens and certificates stay as they were. ${(error as Error).message}`)
    }
  }
  process.on('SIGHUP', hangUp)
  watch(file.renewable)
  return () => {
    watch([])
    process.off('SIGHUP', hangUp)
  }
}

/** What takes a restart. */
function rest({ listen: { tokens, tls, ...listen }, ...config }: GatewayConfig): string {
  return JSON.stringify({ ...config, listen })
}
