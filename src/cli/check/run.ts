import { GatewayConfigError } from '../../gateway/config/errors.ts'
import { GatewayConfigFile } from '../../gateway/config.ts'
import { UsageMapper } from '../../usage/mapper.ts'
import type { Check } from '../json.ts'
import { nowOf } from '../options.ts'
import { type FormatOptions, isJson, printAs, printError, screen } from '../output.ts'
import { parseTime } from '../period.ts'
import { configJson, configText } from './config-report.ts'
import { findingsOf } from './findings.ts'
import { findingsJson, findingsText } from './findings-report.ts'
import { readPayload } from './payload.ts'

export interface CheckOptions extends FormatOptions {
  readonly payload?: string
  readonly since?: string
}

/** Checks a configuration file, says what it comes to, and what it would make of a payload. */
export async function check(path: string, { payload, since, ...form }: CheckOptions): Promise<void> {
  const { env } = process
  const file = GatewayConfigFile.read(path, env)
  const { config } = file
  const missing = missingOf(file, env)
  const mapper = new UsageMapper(config.usage, { gauges: true })
  const dimensions = new Map(mapper.dimensions.map(dimension => [dimension.name, dimension]))
  const from = since === undefined ? undefined : parseTime(since, nowOf({}))
  const findings = payload === undefined ? undefined : findingsOf(mapper, await readPayload(payload), from)
  const found = findings && findingsJson(findings, dimensions)
  printAs<Check>(form, {
    json: () => ({ file: path, ...configJson(config), missing, ...(found && { payload: found }) }),
    text: () =>
      findings === undefined
        ? `${path} is right.\n\n${configText(config)}`
        : findingsText(findings, dimensions, screen()),
  })
  if (missing.length > 0 && !isJson(form)) printError(`Here it could not start yet:\n${missing.join('\n')}`)
}

/** What the file refers to and is not here. Elsewhere it may be: it is no mistake in the file. */
function missingOf(file: GatewayConfigFile, env: NodeJS.ProcessEnv): string[] {
  try {
    file.readReferences(env)
    return []
  } catch (error) {
    if (error instanceof GatewayConfigError) return error.message.split('\n')
    throw error
  }
}
