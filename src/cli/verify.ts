import { Command } from 'commander'
import { breaches } from '../ledger/rules/equation.ts'
import { json } from '../text/json.ts'
import { withLedger } from './open-ledger.ts'
import { type CommonOptions, formatOption, ledgerOption, type OutputFormat } from './options.ts'
import { print, screen } from './output.ts'
import { equationText } from './report/equation-text.ts'
import { breachesJson } from './report/statement-json.ts'

interface Options extends CommonOptions {
  format: OutputFormat
}

export function verifyCommand(): Command {
  return new Command('verify')
    .description('check that the equation holds for each customer and dimension; exit status 1 if not')
    .addOption(ledgerOption())
    .addOption(formatOption('table', 'json'))
    .action(async ({ ledger: path, format }: Options) => {
      const lines = await withLedger(path, 'read', ledger => ledger.statement())
      const broken = breaches(lines)
      const result = { series: lines.length, equationHolds: broken.length === 0, breaches: breachesJson(lines) }
      print(format === 'json' ? json(result) : equationText(lines, screen().paint))
      if (broken.length > 0) process.exitCode = 1
    })
}
