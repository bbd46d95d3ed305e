import { Command } from 'commander'
import { json } from '../text/json.ts'
import type { CheckOptions } from './check/run.ts'
import { example, formatOption } from './options.ts'
import { print } from './output.ts'
import { TIME_HELP } from './period.ts'

export function checkCommand(): Command {
  return new Command('check')
    .description("look for mistakes in a gateway's configuration, and try a payload with it")
    .argument('[file]', 'the configuration', 'gateway.yaml')
    .option('--payload <file>', 'say of each point in this OTLP payload what would be billed; - is standard input')
    .option('--since <time>', `as if metering had begun at: ${TIME_HELP}`)
    .addOption(formatOption('table', 'json'))
    .option('--schema', "print the configuration's JSON schema, for editors")
    .addHelpText(
      'after',
      `
A payload is what was sent to /v1/metrics, in protobuf or JSON, or what the
Collector's file exporter wrote, packed with gzip or zstd or not at all. Without
--since metering begins with its first point, as it does where a new gateway is
started: what counters had counted before is not billed. The exit status is 2
for a mistake in the file. Secrets that it refers to may be missing here.`,
    )
    .addHelpText('after', example('marketplace-meter check gateway.yaml --payload captured.json'))
    .action(async (file: string, { schema, ...options }: CheckOptions & { schema?: true }) => {
      // Only when it is wanted: the other commands start without it.
      if (schema) print(json((await import('../gateway/config/json-schema.ts')).jsonSchema()))
      else await (await import('./check/run.ts')).check(file, options)
    })
}
