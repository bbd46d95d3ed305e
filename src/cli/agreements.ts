import { Command } from 'commander'
import { json } from '../text/json.ts'
import { customerQuery } from './account.ts'
import { withLedger } from './open-ledger.ts'
import { type CommonOptions, formatOption, ledgerOption, type OutputFormat } from './options.ts'
import { print, screen } from './output.ts'
import { agreementsCsv, agreementsJson, agreementsTable } from './report/agreements.ts'

interface Options extends CommonOptions {
  customer?: string
  tenant?: string
  format: OutputFormat
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
registered  the buyer came with a token of AWS's; no licence was told of yet
active      AWS has told so (License Updated)
ended       AWS has told so (License Deprovisioned), or a person (finalize)

An agreement is known by AWS's events, by registration, or by
"import-agreements". Usage inside it waits for AWS to take it, usage outside is
held. Of a customer who is not listed nothing is known but what AWS answers.`,
    )
    .action(async ({ ledger: path, customer, tenant, format }: Options) => {
      const agreements = await withLedger(path, 'read', async ledger => {
        const whose = { ...(await customerQuery(ledger, customer)), ...(tenant !== undefined && { tenant }) }
        return await ledger.agreements(whose)
      })
      if (format === 'json') print(json(agreementsJson(agreements)))
      else if (format === 'csv') print(agreementsCsv(agreements))
      else print(agreementsTable(agreements, screen()))
    })
}
