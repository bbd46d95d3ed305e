import { Command } from 'commander'
import { customerQuery } from './account.ts'
import type { Agreement } from './json.ts'
import { withLedger } from './open-ledger.ts'
import { type CommonOptions, example, formatOption, ledgerOption } from './options.ts'
import { noneSo, printAs, screen } from './output.ts'
import { agreementsCsv, agreementsJson, agreementsTable } from './report/agreements.ts'

const NO_AGREEMENT = 'No agreement is known: neither by an event of AWS, nor by registration or import.'
const CONSOLE = "AWS's console has them all: AWS Marketplace Management Portal, Agreements."

interface Options extends CommonOptions {
  customer?: string
  tenant?: string
}

export function agreementsCommand(): Command {
  return new Command('agreements')
    .description("what is known of customers' agreements: their state, since and until when")
    .addOption(ledgerOption())
    .option('--customer <id>', 'only this account id, customer identifier, licence or account key')
    .option('--tenant <name>', 'only who is called so by you')
    .addOption(formatOption('table', 'json', 'csv'))
    .addHelpText(
      'after',
      `
registered  the customer came with a token of AWS's; no licence was told of yet
active      AWS has told so (License Updated)
ended       AWS has told so (License Deprovisioned), or a person (finalize)

An agreement is known by AWS's events, by registration, or by
"import-agreements". Usage inside it waits for AWS to take it, usage outside is
held. Of a customer who is not listed nothing is known but what AWS answers.`,
    )
    .addHelpText('after', example('marketplace-meter agreements --customer 111122223333'))
    .action(async ({ ledger: path, customer, tenant, ...form }: Options) => {
      const agreements = await withLedger(path, 'read', async ledger => {
        const whose = { ...(await customerQuery(ledger, customer)), ...(tenant !== undefined && { tenant }) }
        return await ledger.agreements(whose)
      })
      printAs<Agreement[]>(form, {
        json: () => agreementsJson(agreements),
        csv: () => agreementsCsv(agreements),
        text: () =>
          agreements.length > 0
            ? agreementsTable(agreements, screen())
            : `${noneSo('No agreement is known', 'agreements', { customer, tenant }) ?? NO_AGREEMENT}\n${CONSOLE}`,
      })
    })
}
