import { Command } from 'commander'
import { hourOf } from '../ledger/hours.ts'
import { shortTime } from '../text/time.ts'
import { CommandLineError } from './errors.ts'
import { withLedger } from './open-ledger.ts'
import { ledgerOption, type NoteOptions, noteOf, nowOption, whoOption, whyOption } from './options.ts'
import { print } from './output.ts'
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
    .action(async (options: Options) => {
      const by = noteOf(options)
      const { now } = by
      const before = hourOf(parseTime(options.before, now))
      if (before > now) throw new CommandLineError(`Expected --before to be in the past, got ${shortTime(before)}.`)
      const count = await withLedger(options.ledger, 'write', ledger => ledger.prune(before, by))
      print(`Deleted ${count} settled ${count === 1 ? 'record' : 'records'} of hours before ${shortTime(before)}`)
    })
}
