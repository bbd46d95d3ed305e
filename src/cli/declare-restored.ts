import { Command } from 'commander'
import { ledgerName } from '../ledger/open.ts'
import { counted } from './decide-records.ts'
import type { Restored } from './json.ts'
import { withLedger } from './open-ledger.ts'
import { example, ledgerOption, type NoteOptions, noteOf, nowOption, whoOption, whyOption } from './options.ts'
import { printAs } from './output.ts'

export function declareRestoredCommand(): Command {
  return new Command('declare-restored')
    .description("say that a shared ledger was restored by its database's own means")
    .addOption(ledgerOption())
    .addOption(whoOption())
    .addOption(whyOption())
    .addOption(nowOption())
    .addHelpText(
      'after',
      `
Stop every exporter and gateway first, restore the database (pg_restore, a
snapshot, point-in-time recovery), and say so before one of them starts. What
was not billed then may have been billed since: every balance is held until you
settle it, and what was pending is sent again identically. A ledger in a file is
restored with "restore", which does this by itself.`,
    )
    .addHelpText('after', example('marketplace-meter declare-restored --why "back to the snapshot of 02:00"'))
    .action(async (options: NoteOptions) => {
      await withLedger(options.ledger, 'write', async ledger => {
        await ledger.declareRestored(noteOf(options))
        const { held, pending } = await ledger.status()
        const restored = held.reduce((sum, { records }) => sum + records, 0)
        const unsettled = pending.reduce((sum, { records }) => sum + records, 0)
        printAs<Restored>(options, {
          json: () => ({ ledger: ledgerName(options.ledger), held: restored, pending: unsettled }),
          text: () =>
            [
              `The ledger is declared restored. Held until you settle it: ${counted(restored)}`,
              '    marketplace-meter held',
              '  Exporters and gateways may be started: what is held waits.',
            ].join('\n'),
        })
      })
    })
}
