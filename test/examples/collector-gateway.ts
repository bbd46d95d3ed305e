import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { parse, stringify } from 'yaml'
import { gatewayOptions } from '../../src/cli/serve/gateway-options.ts'
import { GatewayConfigFile } from '../../src/gateway/config.ts'
import { TemporaryFolder } from '../ledger/sqlite-under-test.ts'

/** Where the examples' files have tokens. */
export const TOKENS = '/run/secrets/metering'

const ENV = { AWS_REGION: 'us-east-1', MARKETPLACE_LEDGER: 'ledger.sqlite' }

/**
 * What the gateway makes of an example's text, where each sender's token and the certificate are in their places.
 *
 * @param change what a reader changes in it
 */
// biome-ignore lint/suspicious/noExplicitAny: others' files are looked at, not typed
export function readGateway(text: string, change: (written: any) => void = () => {}) {
  using folder = new TemporaryFolder()
  const written = parse(text)
  change(written)
  const [tokens, tls] = [folder.file('tokens'), folder.file('tls')]
  cpSync(new URL('../gateway/config', import.meta.url), tls, { recursive: true })
  mkdirSync(tokens)
  for (const { token } of written.listen.tokens) {
    const name = token.slice(`\${file:${TOKENS}/`.length, -1)
    writeFileSync(`${tokens}/${name}`, `a-token-of-${name}\n`)
  }
  const path = folder.file('gateway.yaml')
  writeFileSync(path, stringify(written).replaceAll(`${TOKENS}/`, `${tokens}/`).replaceAll(`${TOKENS}-tls/`, `${tls}/`))
  const file = GatewayConfigFile.read(path, ENV)
  return gatewayOptions(file.config, file.readReferences(ENV))
}

export const textOfExample = (name: string): string =>
  readFileSync(new URL(`../../examples/collector/${name}`, import.meta.url), 'utf8')
