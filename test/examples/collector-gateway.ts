import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gatewayOptions } from '../../src/cli/serve/gateway-options.ts'
import { GatewayConfigFile } from '../../src/gateway/config.ts'
import { TemporaryFolder } from '../ledger/sqlite-under-test.ts'

/** Where the examples' files have tokens. */
export const TOKENS = '/run/secrets/metering'

const ENV = { AWS_REGION: 'us-east-1', MARKETPLACE_LEDGER: 'ledger.sqlite' }

/** What the gateway makes of an example's text, where each sender's token is in its place. */
export function readGateway(text: string) {
  using folder = new TemporaryFolder()
  const tokens = folder.file('tokens')
  mkdirSync(tokens)
  for (const [, name = ''] of text.matchAll(/\$\{file:\/run\/secrets\/metering\/([\w-]+)\}/g)) {
    writeFileSync(join(tokens, name), `a-token-of-${name}\n`)
  }
  const path = folder.file('gateway.yaml')
  writeFileSync(path, text.replaceAll(TOKENS, tokens))
  const file = GatewayConfigFile.read(path, ENV)
  return gatewayOptions(file.config, file.readReferences(ENV))
}

export const textOfExample = (name: string): string =>
  readFileSync(new URL(`../../examples/collector/${name}`, import.meta.url), 'utf8')
