import { Command, Option } from 'commander'
import type { RecordState } from '../ledger/ledger.ts'
import { json } from '../text/json.ts'
import { customerQuery } from './account.ts'
import { readDimensions } from './dimensions.ts'
import { withLedger } from './open-ledger.ts'
import {
  type CommonOptions,
  formatOption,
  ledgerOption,
  limit,
  nowOf,
  nowOption,
  type OutputFormat,
} from './options.ts'
import { print, screen } from './output.ts'
import { parsePeriod, TIME_HELP } from './period.ts'
import { recordsCsv, recordsJson, recordsTable } from './report/records.ts'

interface Options extends CommonOptions {
  customer?: string
  dimension?: string
  from?: string
  to?: string
  state?: RecordState
  limit: number
  format: OutputFormat
}

export function recordsCommand(): Command {
  return new Command('records')
    .description('usage records, the youngest hour first: state, attempts, last answer, MeteringRecordId')
    .addOption(ledgerOption())
    .option('--customer <id>', 'only this account id, customer identifier, licence or account key')
    .option('--dimension <name>', 'only this dimension')
    .option('--from <time>', `from the beginning of: ${TIME_HELP}`)
    .option('--to <time>', 'to the end of it')
    .addOption(new Option('--state <state>', 'only these').choices(['pending', 'metered', 'held', 'returned']))
    .option('--limit <number>', 'at most so many', limit, 100)
    .addOption(formatOption('table', 'json', 'csv'))
    .addOption(nowOption())
    .addHelpText(
      'after',
      `
pending   waits to be sent, or for a final answer
metered   AWS answered Success
held      a person has to decide; see "marketplace-meter held"
returned  its quantity is back in the balance

A record is in doubt while the answer to one of its attempts is not known: AWS
may have billed it. JSON and CSV have "size" and "amount" in base units,
exactly; JSON has them as strings.`,
    )
    .action(async (options: Options) => {
      const { dimension, state, format } = options
      const query = {
        ...(dimension !== undefined && { dimension }),
        ...(state !== undefined && { state }),
        ...parsePeriod(options.from, options.to, nowOf(options)),
        // One more, to know whether there are more.
        limit: options.limit + 1,
      }
      const [found, dimensions] = await withLedger(options.ledger, 'read', async ledger => [
        await ledger.records({ ...query, ...(await customerQuery(ledger, options.customer)) }),
        await readDimensions(ledger),
      ])
      const records = found.slice(0, options.limit)
      if (format === 'json') print(json(recordsJson(records, dimensions)))
      else if (format === 'csv') print(recordsCsv(records, dimensions))
      else print(recordsTable(records, dimensions, screen()))
      if (found.length > records.length) {
        console.error(`There are more than these ${records.length}: see --limit, or narrow it down.`)
      }
    })
}
