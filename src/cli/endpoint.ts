import { Command } from 'commander'
import {
  decideEndpoint,
  Endpoints,
  endpointText,
  isAws,
  isRegion,
  readEndpoint,
  refusedText,
} from '../metering/endpoints.ts'
import { printable } from '../text/printable.ts'
import { iso, shortTime } from '../text/time.ts'
import { CommandLineError } from './errors.ts'
import type { Endpoints as Shown } from './json.ts'
import { withLedger } from './open-ledger.ts'
import { example, ledgerOption, type NoteOptions, noteOf, nowOf, nowOption, whoOption, whyOption } from './options.ts'
import { printAs } from './output.ts'
import { endpointsJson, sentTo } from './report/status.ts'

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
take some of the records, and they would count as metered: it records usage, but
freezes and sends nothing. It needs a ledger of its own, or the other endpoint.
All hosts of AWS are one, VPC endpoints too, and so are all ports of a machine.

What was sent before stays as it is. Decide for AWS only where what the ledger
has not sent yet is to be billed, and for what is not AWS only where nobody is
to be billed any more.`,
    )
    .addHelpText('after', example('marketplace-meter endpoint aws --region us-east-1 --why "production"'))
    .action(async (endpoint: string | undefined, options: Options) => {
      if (endpoint === undefined) return await show(options)
      const { region, why } = options
      if (why === undefined) throw new CommandLineError('Expected --why: it is for the audit trail.')
      if (region !== undefined && !isRegion(region))
        throw new CommandLineError(`Expected --region to be one such as us-east-1, got ${JSON.stringify(region)}.`)
      const name = readEndpoint(endpoint)
      if (name === undefined)
        throw new CommandLineError(`Expected aws, localhost, a host or a URL, got ${JSON.stringify(endpoint)}.`)
      await withLedger(options.ledger, 'write', async ledger => {
        const endpoints = await new Endpoints(ledger).read()
        const before = region === undefined ? endpoints.all() : [endpoints.of(region) ?? []].flat()
        const by = noteOf({ ...options, why })
        await decideEndpoint(ledger, name, region, by)
        const others = new Set(before.flatMap(one => (one.endpoint === name ? [] : endpointText(one.endpoint))))
        const after = await new Endpoints(ledger).read()
        printAs<Shown>(options, {
          json: () => shownJson(after, by.now),
          text: () =>
            [
              `Records${region === undefined ? '' : ` of ${region}`} go to ${endpointText(name)} from now on.`,
              '  Processes that send there begin within minutes; others stop with what they',
              '  would send next.',
              ...[...others].map(other => `  What was sent to ${other} stays as it is.`),
              ...(others.size === 0 ? [] : [isAws(name) ? TO_AWS : FROM_AWS]),
            ].join('\n'),
        })
      })
    })
}

const TO_AWS = '  What is not sent yet is billed now: "marketplace-meter statement" shows it.'
const ONLY_TO_AWS = ['  Only where what this ledger has not sent yet is to be billed:']
const ONLY_FROM_AWS = [
  '  Only where it is AWS under another name, such as a proxy, or nobody is to be',
  '  billed by this ledger any more:',
]
const FROM_AWS = '  Nobody is billed for what is sent now, unless AWS is behind it.'

async function show(options: Options): Promise<void> {
  const now = nowOf(options)
  const endpoints = await withLedger(options.ledger, 'read', ledger => new Endpoints(ledger).read())
  printAs<Shown>(options, { json: () => shownJson(endpoints, now), text: () => shownText(endpoints, now) })
}

function shownJson(endpoints: Endpoints, now: number): Shown {
  return {
    endpoints: endpointsJson(endpoints.all()),
    refused: endpoints.refused(now).map(({ region, endpoint, expected, at, systemUser }) => ({
      ...{ region, endpoint, expected, at: iso(at), process: systemUser || null },
    })),
  }
}

function shownText(endpoints: Endpoints, now: number): string {
  const all = endpoints.all()
  const refused = endpoints.refused(now)
  const lines =
    all.length === 0
      ? ['Nothing was sent yet: where the first record goes, all others do.']
      : all.map(one => `${sentTo(one)}, since ${shortTime(one.at - (one.at % 1000))} (${printable(one.who)})`)
  const advice = [
    '  Give it a ledger of its own, or the endpoint that is meant.',
    ...refused.flatMap(({ region, endpoint }) => [
      ...(isAws(endpoint) ? ONLY_TO_AWS : ONLY_FROM_AWS),
      `    marketplace-meter endpoint ${printable(endpoint)} --region ${printable(region)} --why "…"`,
    ]),
  ]
  return [...lines, ...refused.map(one => `${refusedText(one)}.`), ...(refused.length > 0 ? advice : [])].join('\n')
}
