import { resolve } from 'node:path'
import { Command } from 'commander'
import { shellWord } from '../gateway/operations/command.ts'
import type { HeldReason } from '../ledger/ledger.ts'
import { ledgerFile } from '../ledger/open.ts'
import { HELD_ADVICE } from '../text/held-advice.ts'
import { addChoice, type ChoiceOptions, choiceText, chosenRecords } from './choice.ts'
import { readDimensions } from './dimensions.ts'
import type { UsageRecord } from './json.ts'
import { withLedger } from './open-ledger.ts'
import { type CommonOptions, example, formatOption, ledgerOption, nowOption } from './options.ts'
import { noneSo, printAs, screen } from './output.ts'
import { heldCsv, heldText } from './report/held.ts'
import { recordsJson } from './report/records.ts'

interface Options extends CommonOptions, ChoiceOptions {
  now?: string
}

/** How the commands that are shown find a ledger's file that only this command line names. */
function ledgerNote(command: Command): string {
  const path = ledgerFile(command.opts<Options>().ledger)
  if (path === undefined || command.getOptionValueSource('ledger') !== 'cli') return ''
  return `\n\nSo that these commands find this ledger:\n  export MARKETPLACE_LEDGER=${shellWord(resolve(path))}`
}

export function heldCommand(): Command {
  const reasons = Object.keys(HELD_ADVICE) as HeldReason[]
  const command = new Command('held').description('what a person has to decide, and how').addOption(ledgerOption())
  return addChoice(command, reasons)
    .addOption(formatOption('table', 'json', 'csv'))
    .addOption(nowOption())
    .addHelpText('after', '\nCSV has a column "decision" to be filled in, for "marketplace-meter decide".')
    .addHelpText('after', example('marketplace-meter held --customer 111122223333'))
    .action(async (options: Options, command: Command) => {
      const { reason, customer, dimension, from, to } = options
      const [records, dimensions] = await withLedger(options.ledger, 'read', async ledger => [
        (await chosenRecords(ledger, options, reasons)).reverse(),
        await readDimensions(ledger),
      ])
      const note = records.length === 0 ? '' : ledgerNote(command)
      printAs<UsageRecord[]>(options, {
        json: () => recordsJson(records, dimensions),
        csv: () => heldCsv(records, dimensions),
        text: () =>
          (records.length === 0 && noneSo('Nothing is held', 'held', { reason, customer, dimension, from, to })) ||
          heldText(records, dimensions, screen(), choiceText(options)) + note,
      })
    })
}
