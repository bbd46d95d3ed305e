import { Command } from 'commander'
import { hourOf } from '../ledger/hours.ts'
import { iso, shortTime } from '../text/time.ts'
import { CommandLineError } from './errors.ts'
import type { Pruned } from './json.ts'
import { withLedger } from './open-ledger.ts'
import { example, ledgerOption, type NoteOptions, noteOf, nowOption, whoOption, whyOption } from './options.ts'
import { printAs } from './output.ts'
import { parseTime, TIME_HELP } from './period.ts'

interface Options extends NoteOptions {
  before: string
}

export function pruneCommand(): Command {
  return new Command('prune')
    .description('delete old records that are settled; totals stay, and so does the audit trail')
    .addOption(ledgerOption())
    .requiredOption('--before <time>', `of hours before ${TIME_HELP}`)
    .addOption(whoOption())
    .addOption(whyOption('they are old'))
    .addOption(nowOption())
    .addHelpText('after', '\nA statement for a period no longer shows what was pruned; one without a\nperiod does.')
    .addHelpText('after', example('marketplace-meter prune --before 2026-11'))
    .action(async (options: Options) => {
      const by = noteOf(options)
      const { now } = by
      const before = hourOf(parseTime(options.before, now))
      if (before > now) throw new CommandLineError(`Expected --before to be in the past, got ${shortTime(before)}.`)
      const deleted = await withLedger(options.ledger, 'write', ledger => ledger.prune(before, by))
      printAs<Pruned>(options, {
        json: () => ({ before: iso(before), deleted }),
        text: () =>
          `Deleted ${deleted} settled ${deleted === 1 ? 'record' : 'records'} of hours before ${shortTime(before)}`,
      })
    })
}
