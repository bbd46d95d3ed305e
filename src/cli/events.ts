import { Command, Option } from 'commander'
import { ledgerOption } from './options.ts'
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
configuration says "events".`,
    )
    .action(async (options: FollowOptions) => {
      // Only when it is wanted: the other commands start without it.
      const { follow } = await import('./serve/follow.ts')
      await follow(options)
    })
}
