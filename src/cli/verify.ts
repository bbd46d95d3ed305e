import { Command, InvalidArgumentError } from 'commander'
import { breaches } from '../ledger/rules/equation.ts'
import { SqliteLedger } from '../ledger/sqlite/ledger.ts'
import { reconciledRegions } from '../reconcile/notes.ts'
import { reconciledJson, reconciledLines } from '../reconcile/reconciled-text.ts'
import { FAILED, TO_DECIDE } from './exit-status.ts'
import type { Verification } from './json.ts'
import { withLedger } from './open-ledger.ts'
import { type CommonOptions, example, formatOption, ledgerOption } from './options.ts'
import { printAs, screen } from './output.ts'
import { verdictJson, verdictText } from './report/audit-verdict.ts'
import { equationText } from './report/equation-text.ts'
import { breachesJson } from './report/statement-json.ts'

interface Options extends CommonOptions {
  hash?: string
}

export function verifyCommand(): Command {
  return new Command('verify')
    .description(
      'check that the file is whole, that the equation holds for each customer and dimension, and that the audit trail ' +
        'is as it was written; and say up to when it was reconciled with AWS',
    )
    .addOption(ledgerOption())
    .addOption(formatOption('table', 'json'))
    .option('--hash <hash>', 'one that an earlier "verify" printed, kept elsewhere: is it still in the trail?', hashOf)
    .addHelpText(
      'after',
      `
The exit status is 2 where the ledger is damaged: SQLite finds a fault in the
file, or the equation does not hold. It is 1 where the audit trail was changed:
what is billed does not depend on it.`,
    )
    .addHelpText('after', example('marketplace-meter verify'))
    .action(async ({ ledger: path, hash, ...form }: Options) => {
      const [lines, audit, reconciled] = await withLedger(path, 'read', async ledger => {
        // What is damaged may not be read right. A database looks after its own.
        if (ledger instanceof SqliteLedger) await ledger.checkWhole()
        return [await ledger.statement(), await ledger.verifyAudit(hash), await reconciledRegions(ledger)] as const
      })
      const broken = breaches(lines)
      const equation = { series: lines.length, equationHolds: broken.length === 0, breaches: breachesJson(lines) }
      const { paint } = screen()
      printAs<Verification>(form, {
        json: () => ({ ...equation, audit: verdictJson(audit), reconciled: reconciledJson(reconciled) }),
        text: () => [equationText(lines, paint), verdictText(audit, paint), ...reconciledLines(reconciled)].join('\n'),
      })
      if (broken.length > 0) process.exitCode = FAILED
      else if (audit.breaks.length > 0) process.exitCode = TO_DECIDE
    })
}

function hashOf(text: string): string {
  if (/^[0-9a-f]{64}$/i.test(text)) return text.toLowerCase()
  throw new InvalidArgumentError('Expected the 64 hexadecimal digits that "verify" printed.')
}
