import { Command, Option } from 'commander'
import { example, ledgerOption } from './options.ts'
import type { FormatOptions } from './output.ts'
import type { FollowOptions } from './serve/follow.ts'

export function eventsCommand(): Command {
  return new Command('events')
    .description("beside an exporter: take in AWS's agreement events from a queue")
    .requiredOption('--queue <url>', 'of SQS: sqs://sqs.us-east-1.amazonaws.com/123456789012/name')
    .requiredOption('--product-code <code>', "AWS's code of the product: events of others are ignored")
    .option('--product <name>', "the exporter's label of it, where its customers have licences")
    .addOption(new Option('--region <region>', 'that usage is metered in').env('AWS_REGION').makeOptionMandatory())
    .addOption(ledgerOption())
    .addHelpText(
      'after',
      `
A customer whose licence has begun is known then, and one whose licence has
ended is finalized as of the event. The exporter that runs on the ledger sends
what was frozen. It reads until SIGTERM or SIGINT. Several may read one queue,
which needs a dead-letter queue; a gateway reads by itself where its
configuration says "events". With --json it prints one line when it reads; its
log, on standard error, is JSON lines where that is no terminal.`,
    )
    .addHelpText(
      'after',
      example(
        'marketplace-meter events --product-code samplecode01 --region us-east-1 \\\n' +
          '    --queue sqs://sqs.us-east-1.amazonaws.com/123456789012/marketplace-events',
      ),
    )
    .action(async ({ json, ...options }: FollowOptions & FormatOptions) => {
      // Only when it is wanted: the other commands start without it.
      const { follow } = await import('./serve/follow.ts')
      await follow(options, json === undefined ? {} : { json })
    })
}
