import { Command } from 'commander'
import { customerQuery } from './account.ts'
import { readDimensions } from './dimensions.ts'
import type { Entitlements } from './json.ts'
import { withLedger } from './open-ledger.ts'
import { type CommonOptions, example, formatOption, ledgerOption, nowOf, nowOption } from './options.ts'
import { noneSo, printAs, screen } from './output.ts'
import { entitlementsCsv, entitlementsJson, entitlementsTable } from './report/entitlements.ts'

interface Options extends CommonOptions {
  customer?: string
  dimension?: string
}

export function entitlementsCommand(): Command {
  return new Command('entitlements')
    .description("what customers' contracts include, what of it is used, and up to when AWS's answers are known")
    .addOption(ledgerOption())
    .option('--customer <id>', 'only this account id, customer identifier, licence or account key')
    .option('--dimension <name>', 'only this dimension')
    .addOption(formatOption('table', 'json', 'csv'))
    .addOption(nowOption())
    .addHelpText(
      'after',
      `
Included usage is not metered. It counts with the hour that it is closed in, so
that of the present hour none is counted yet. While it is not known what AWS
says after an hour's end, the hour's usage waits in the balance. Where every
customer has the same, who has used nothing of it yet is not listed; "include"
says what one customer has instead.`,
    )
    .addHelpText('after', example('marketplace-meter entitlements --customer 111122223333'))
    .action(async ({ ledger: path, customer, dimension, now: given, ...form }: Options) => {
      const now = nowOf(given === undefined ? {} : { now: given })
      const report = await withLedger(path, 'read', async ledger => {
        const only = dimension !== undefined && { dimension }
        const [included, dimensions] = await Promise.all([ledger.included(), readDimensions(ledger)])
        const whose = await customerQuery(ledger, customer)
        const entitlements = await ledger.entitlements({ ...whose, ...only })
        const known = included.filter(one => dimension === undefined || one.dimension === dimension)
        return { entitlements, included: known, dimensions, now }
      })
      printAs<Entitlements>(form, {
        json: () => entitlementsJson(report),
        csv: () => entitlementsCsv(report),
        text: () =>
          (report.entitlements.length === 0 && noneSo('Nothing is included', 'entitlements', { customer })) ||
          entitlementsTable(report, screen()),
      })
    })
}
