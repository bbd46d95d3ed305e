import { Command, Option } from 'commander'
import type { RecordState } from '../ledger/ledger.ts'
import { customerQuery } from './account.ts'
import { readDimensions } from './dimensions.ts'
import type { UsageRecord } from './json.ts'
import { withLedger } from './open-ledger.ts'
import { type CommonOptions, example, formatOption, ledgerOption, limit, nowOf, nowOption } from './options.ts'
import { noneSo, printAs, printError, screen } from './output.ts'
import { parsePeriod, TIME_HELP } from './period.ts'
import { recordsCsv, recordsJson, recordsTable } from './report/records.ts'

interface Options extends CommonOptions {
  customer?: string
  dimension?: string
  from?: string
  to?: string
  state?: RecordState
  limit: number
}

export function recordsCommand(): Command {
  return new Command('records')
    .description('usage records, the newest hour first: state, attempts, last answer, MeteringRecordId')
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
    .addHelpText('after', example('marketplace-meter records --state metered --from 2026-11-20 --to 2026-11-21'))
    .action(async (options: Options) => {
      const { customer, dimension, state, from, to } = options
      const chosen = { customer, dimension, state, from, to }
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
      printAs<UsageRecord[]>(options, {
        json: () => recordsJson(records, dimensions),
        csv: () => recordsCsv(records, dimensions),
        text: () =>
          (records.length === 0 && noneSo('No records', 'records', chosen)) ||
          recordsTable(records, dimensions, screen()),
      })
      if (found.length > records.length) {
        printError(`There are more than these ${records.length}: see --limit, or narrow it down.`)
      }
    })
}
