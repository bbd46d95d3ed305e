import { Command } from 'commander'
import { AWS, endpointName } from '../marketplace/endpoint.ts'
import { REGION, REGION_EXPECTED } from '../marketplace/region.ts'
import { decideEndpoint, Endpoints, endpointText, refusedText } from '../metering/endpoints.ts'
import { printable } from '../text/printable.ts'
import { shortTime } from '../text/time.ts'
import { CommandLineError } from './errors.ts'
import { withLedger } from './open-ledger.ts'
import { ledgerOption, type NoteOptions, noteOf, nowOption, whoOption, whyOption } from './options.ts'
import { print } from './output.ts'
import { sentTo } from './report/status.ts'

interface Options extends Omit<NoteOptions, 'why'> {
  readonly region?: string
  readonly why?: string
}

export function endpointCommand(): Command {
  return new Command('endpoint')
    .description(
      "where the ledger's records are sent, and where from now on; a process that sends elsewhere is refused",
    )
    .argument('[endpoint]', 'aws, localhost (any port of this machine), a host with its port, or a URL')
    .option('--region <region>', 'only of this one')
    .addOption(ledgerOption())
    .addOption(whoOption())
    .addOption(whyOption().makeOptionMandatory(false))
    .addOption(nowOption())
    .addHelpText(
      'after',
      `
The ledger remembers where its first record was sent. A process that sends
elsewhere (a laptop whose client is a simulator, a deployment for tests) would
take half of the records, and they would count as metered: it records usage, but
freezes and sends nothing. It needs a ledger of its own, or the other endpoint. All
hosts of AWS are one, VPC endpoints too, and so are all ports of this machine.

What was sent before stays as it is. Decide for AWS only where what the ledger has
not sent yet is to be billed, and against it only where nobody is billed any more.`,
    )
    .action(async (endpoint: string | undefined, options: Options) => {
      if (endpoint === undefined) return await show(options)
      const { region, why } = options
      if (why === undefined) throw new CommandLineError('Expected --why: it is for the audit trail.')
      if (region !== undefined && !REGION.test(region))
        throw new CommandLineError(`Expected --region to be ${REGION_EXPECTED}, got ${JSON.stringify(region)}.`)
      const name = endpointName(/^(aws$|https?:)/.test(endpoint) ? endpoint : `https://${endpoint}`)
      await withLedger(options.ledger, 'write', async ledger => {
        const before = (await new Endpoints(ledger).read()).of(region)?.endpoint
        await decideEndpoint(ledger, name, region, noteOf({ ...options, why }))
        print(
          [
            `Records${region === undefined ? '' : ` of ${region}`} go to ${endpointText(name)} from now on.`,
            '  Processes that send there begin within a minute or two, and those that send elsewhere',
            '  stop when they next have something to send.',
            ...(before === undefined || before === name ? [] : changed(before, name)),
          ].join('\n'),
        )
      })
    })
}

/** What becomes of what was sent before. */
function changed(before: string, now: string): string[] {
  if (now === AWS) {
    return [
      `  What the ledger has as metered, ${endpointText(before)} took: is that not AWS, nobody is billed for it.`,
      '  What is not sent yet goes to AWS: "marketplace-meter statement" shows it.',
    ]
  }
  return before === AWS ? [`  If ${endpointText(now)} is not before AWS, nobody is billed for what is sent there.`] : []
}

async function show({ ledger: address, ...options }: Options): Promise<void> {
  const { now } = noteOf({ ledger: address, ...options, why: '' })
  const endpoints = await withLedger(address, 'read', ledger => new Endpoints(ledger).read())
  const all = endpoints.all()
  const refused = endpoints.refused(now)
  const lines =
    all.length === 0
      ? ['Nothing was sent yet: where the first record goes, all others do.']
      : all.map(one => `${sentTo(one)}, since ${shortTime(one.at - (one.at % 1000))} (${printable(one.who)})`)
  const advice = [
    '  Give it a ledger of its own, or the endpoint that is meant. Only where its endpoint is the right one:',
    ...refused.map(({ endpoint }) => `  marketplace-meter endpoint ${printable(endpoint)} --why "…"`),
  ]
  print([...lines, ...refused.map(one => `${refusedText(one)}.`), ...(refused.length > 0 ? advice : [])].join('\n'))
}
