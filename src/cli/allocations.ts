import { Command } from 'commander'
import type { Ledger, RecordsQuery } from '../ledger/ledger.ts'
import { json } from '../text/json.ts'
import { customerQuery } from './account.ts'
import { readDimensions } from './dimensions.ts'
import { withLedger } from './open-ledger.ts'
import { type CommonOptions, formatOption, ledgerOption, nowOf, nowOption, type OutputFormat } from './options.ts'
import { print, screen } from './output.ts'
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
  format: OutputFormat
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
buyer's bill, which has the tags as aws:marketplace:isv:<tag>. What has no tags,
or more than a record takes, is the line without any. JSON has quantities as
strings. What "prune" deleted is not shown.`,
    )
    .action(async (options: Options) => {
      const now = nowOf(options)
      const period = parsePeriod(options.from, options.to, now)
      const report = await withLedger(options.ledger, 'read', ledger =>
        readAllocations(ledger, { ...options, period, now }),
      )
      if (options.format === 'json') print(json(allocationsJson(report)))
      else if (options.format === 'csv') print(allocationsCsv(report))
      else print(allocationsTable(report, screen()))
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
