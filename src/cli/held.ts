import { resolve } from 'node:path'
import { Command } from 'commander'
import { shellWord } from '../gateway/operations/command.ts'
import type { HeldReason } from '../ledger/ledger.ts'
import { ledgerFile } from '../ledger/open.ts'
import { HELD_ADVICE } from '../text/held-advice.ts'
import { json } from '../text/json.ts'
import { addChoice, type ChoiceOptions, choiceText, chosenRecords } from './choice.ts'
import { readDimensions } from './dimensions.ts'
import { withLedger } from './open-ledger.ts'
import { type CommonOptions, formatOption, ledgerOption, nowOption, type OutputFormat } from './options.ts'
import { print, screen } from './output.ts'
import { heldCsv, heldText } from './report/held.ts'
import { recordsJson } from './report/records.ts'

interface Options extends CommonOptions, ChoiceOptions {
  now?: string
  format: OutputFormat
}

/** How the commands that are shown find a ledger's file that only this command line names. */
function ledgerNote(command: Command): string | undefined {
  const path = ledgerFile(command.opts<Options>().ledger)
  if (path === undefined || command.getOptionValueSource('ledger') !== 'cli') return undefined
  return `\nSo that these commands find this ledger:\n  export MARKETPLACE_LEDGER=${shellWord(resolve(path))}`
}

export function heldCommand(): Command {
  const reasons = Object.keys(HELD_ADVICE) as HeldReason[]
  const command = new Command('held').description('what a person has to decide, and how').addOption(ledgerOption())
  return addChoice(command, reasons)
    .addOption(formatOption('table', 'json', 'csv'))
    .addOption(nowOption())
    .addHelpText('after', '\nCSV has a column "decision" to be filled in, for "marketplace-meter decide".')
    .action(async (options: Options, command: Command) => {
      const { format } = options
      const [records, dimensions] = await withLedger(options.ledger, 'read', async ledger => [
        (await chosenRecords(ledger, options, reasons)).reverse(),
        await readDimensions(ledger),
      ])
      if (format === 'json') print(json(recordsJson(records, dimensions)))
      else if (format === 'csv') print(heldCsv(records, dimensions))
      else {
        print(heldText(records, dimensions, screen(), choiceText(options)))
        const note = ledgerNote(command)
        if (records.length > 0 && note !== undefined) print(note)
      }
    })
}
