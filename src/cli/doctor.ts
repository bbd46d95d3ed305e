import { Command, Option } from 'commander'
import type { DoctorOptions } from './doctor/run.ts'
import { example, formatOption, ledgerOption } from './options.ts'

export function doctorCommand(): Command {
  return new Command('doctor')
    .description(
      'look whether usage that is recorded here will be billed: Node.js, ledger, region, credentials, clock, AWS',
    )
    .option('--config <file>', "a gateway's configuration, instead of the options below it")
    .addOption(ledgerOption())
    .addOption(
      new Option('--region <region>', 'whose Marketplace endpoint is called; that of AWS_REGION by default').conflicts(
        'config',
      ),
    )
    .addOption(new Option('--product-code <code>', 'of a product without Concurrent Agreements').conflicts('config'))
    .addOption(
      new Option(
        '--product <name>',
        'your name of a product whose customers have licences; beside --product-code while they move',
      ).conflicts('config'),
    )
    .addOption(
      new Option(
        '--dimension <names...>',
        'API names of what is metered; by default those that the ledger knows',
      ).conflicts('config'),
    )
    .option('--endpoint <url>', 'what to ask instead of AWS, such as the simulator')
    .option(
      '--listing <file>',
      "the listing's dimensions: what DescribeEntity of AWS Marketplace Catalog prints, or names",
    )
    .option('--test-customer <id>', 'send records of quantity 0 for this account id or customer identifier; see below')
    .option('--license-arn <arn>', "the test customer's licence")
    .addOption(formatOption('table', 'json'))
    .addHelpText(
      'after',
      `
It prints a line for each thing it looks at: ok, warning or fault, and what to
do. The exit status is 1 for warnings and 2 for faults. It changes nothing in
the ledger, and asks AWS with one request without records, which bills nobody.

AWS takes one quantity for a customer, dimension and hour, and keeps the first.
With --test-customer a record of quantity 0 is sent for each dimension, for the
last hour that the ledger has closed, and only where this customer has no usage
in it: so that no usage is refused because of it. Name a customer of your own
for tests; what other ledgers or tools meter for it is not known here.`,
    )
    .addHelpText('after', example('marketplace-meter doctor --config gateway.yaml'))
    .action(async (options: DoctorOptions, command: Command) => {
      // Only when it is wanted: the other commands start without it.
      const { doctor } = await import('./doctor/run.ts')
      await doctor({ ...options, ledgerNamed: command.getOptionValueSource('ledger') === 'cli' })
    })
}
