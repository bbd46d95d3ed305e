import { Command } from 'commander'
import type { Ledger, RecordsQuery } from '../ledger/ledger.ts'
import { customerQuery } from './account.ts'
import { readDimensions } from './dimensions.ts'
import type { Allocations } from './json.ts'
import { withLedger } from './open-ledger.ts'
import { type CommonOptions, example, formatOption, ledgerOption, nowOf, nowOption } from './options.ts'
import { printAs, screen } from './output.ts'
import { type Period, parsePeriod, TIME_HELP } from './period.ts'
import {
  Allocated,
  type AllocationsReport,
  allocationsCsv,
  allocationsJson,
  allocationsTable,
} from './report/allocations.ts'

interface Options extends CommonOptions {
  customer?: string
  dimension?: string
  from?: string
  to?: string
  by?: string
}

export function allocationsCommand(): Command {
  return new Command('allocations')
    .description("how much of a customer's quantities is for which model, team or other tag")
    .addOption(ledgerOption())
    .option('--customer <id>', 'only this account id, customer identifier, licence or account key')
    .option('--dimension <name>', 'only this dimension')
    .option('--from <time>', `from the beginning of: ${TIME_HELP}`)
    .option('--to <time>', 'to the end of it: --from 2026-11 --to 2026-11 is all of November')
    .option('--by <tag>', 'by this tag only, whatever the others are')
    .addOption(formatOption('table', 'json', 'csv'))
    .addOption(nowOption())
    .addHelpText(
      'after',
      `
Quantities are what AWS gets, in units of the dimension: those of a customer and
dimension sum to the quantities of "statement --by", and the metered ones to the
customer's bill, which has the tags as aws:marketplace:isv:<tag>. What has no
tags, or more than a record takes, is the line without any. What "prune" deleted
is not shown.`,
    )
    .addHelpText('after', example('marketplace-meter allocations --by team --from 2026-11 --to 2026-11'))
    .action(async (options: Options) => {
      const now = nowOf(options)
      const period = parsePeriod(options.from, options.to, now)
      const report = await withLedger(options.ledger, 'read', ledger =>
        readAllocations(ledger, { ...options, period, now }),
      )
      printAs<Allocations>(options, {
        json: () => allocationsJson(report),
        csv: () => allocationsCsv(report),
        text: () => allocationsTable(report, screen()),
      })
    })
}

/** Asks a ledger for it, day by day: a year's records with all their allocations are more than memory takes. */
export async function readAllocations(
  ledger: Ledger,
  query: { customer?: string; dimension?: string; period: Period; by?: string; now: number },
): Promise<AllocationsReport> {
  const { dimension, period, by, now } = query
  const whose: RecordsQuery = {
    ...(await customerQuery(ledger, query.customer)),
    ...(dimension !== undefined && { dimension }),
  }
  const days = (await ledger.statement({ ...whose, ...period, by: 'day' })).flatMap(({ span }) => span ?? [])
  const dimensions = await readDimensions(ledger)
  const allocated = new Allocated(by)
  for (const { from, to } of new Map(days.map(day => [day.from, day])).values()) {
    const records = await ledger.records({ ...whose, from, to, limit: Number.MAX_SAFE_INTEGER })
    for (const record of records) allocated.add(record)
  }
  return { now, period, ...(by !== undefined && { by }), keys: allocated.keys, lines: allocated.lines(), dimensions }
}
