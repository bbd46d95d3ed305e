import { Command } from 'commander'
import { SECOND } from '../ledger/hours.ts'
import { example } from './options.ts'
import type { FormatOptions } from './output.ts'

/** Less than the 30 seconds after which Kubernetes kills what it stops. */
const STOP_LIMIT = 25 * SECOND

export function serveCommand(): Command {
  return new Command('serve')
    .description('the gateway: take OTLP metrics from any language, and meter them')
    .option('--config <file>', 'its configuration', 'gateway.yaml')
    .addHelpText(
      'after',
      `
It stands beside an OpenTelemetry Collector, or in its place. Try a
configuration with "marketplace-meter check" first. SIGTERM and SIGINT stop it:
it answers what it has accepted, and sends what is due, for ${STOP_LIMIT / SECOND} seconds at
most. A second signal ends it at once; what it has accepted is in the ledger.
With --json it prints one line when it takes OTLP, where; and its log, which is
on standard error, is JSON lines on a terminal, too.`,
    )
    .addHelpText('after', example('marketplace-meter serve --config gateway.yaml'))
    .action(async ({ config, ...form }: FormatOptions & { config: string }) => {
      // Only when it is wanted: the other commands start without it.
      const { serve } = await import('./serve/run.ts')
      await serve(config, process.env, STOP_LIMIT, form)
    })
}
