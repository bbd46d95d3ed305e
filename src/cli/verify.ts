import { Command, InvalidArgumentError } from 'commander'
import { breaches } from '../ledger/rules/equation.ts'
import { reconciledRegions } from '../reconcile/notes.ts'
import { reconciledJson, reconciledLines } from '../reconcile/reconciled-text.ts'
import { json } from '../text/json.ts'
import { withLedger } from './open-ledger.ts'
import { type CommonOptions, formatOption, ledgerOption, type OutputFormat } from './options.ts'
import { print, screen } from './output.ts'
import { verdictJson, verdictText } from './report/audit-verdict.ts'
import { equationText } from './report/equation-text.ts'
import { breachesJson } from './report/statement-json.ts'

interface Options extends CommonOptions {
  format: OutputFormat
  hash?: string
}

export function verifyCommand(): Command {
  return new Command('verify')
    .description(
      'check that the equation holds for each customer and dimension, and that the audit trail is as it was written; ' +
        'exit status 1 if not; and say up to when it was reconciled with AWS',
    )
    .addOption(ledgerOption())
    .addOption(formatOption('table', 'json'))
    .option('--hash <hash>', 'one that an earlier "verify" printed, kept elsewhere: is it still in the trail?', hashOf)
    .action(async ({ ledger: path, format, hash }: Options) => {
      const [lines, audit, reconciled] = await withLedger(path, 'read', async ledger => [
        await ledger.statement(),
        await ledger.verifyAudit(hash),
        await reconciledRegions(ledger),
      ])
      const broken = breaches(lines)
      const equation = { series: lines.length, equationHolds: broken.length === 0, breaches: breachesJson(lines) }
      const { paint } = screen()
      print(
        format === 'json'
          ? json({ ...equation, audit: verdictJson(audit), reconciled: reconciledJson(reconciled) })
          : [equationText(lines, paint), verdictText(audit, paint), ...reconciledLines(reconciled)].join('\n'),
      )
      if (broken.length > 0 || audit.breaks.length > 0) process.exitCode = 1
    })
}

function hashOf(text: string): string {
  if (/^[0-9a-f]{64}$/i.test(text)) return text.toLowerCase()
  throw new InvalidArgumentError('Expected the 64 hexadecimal digits that "verify" printed.')
}
