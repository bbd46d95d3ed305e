import { existsSync } from 'node:fs'
import { Command } from 'commander'
import { shellWord } from '../gateway/operations/command.ts'
import { describe } from '../ledger/clients/spool.ts'
import { SpoolFile } from '../ledger/clients/spool-file.ts'
import { printable } from '../text/printable.ts'
import { CommandLineError } from './errors.ts'
import { TO_DECIDE } from './exit-status.ts'
import type { Spool } from './json.ts'
import { example } from './options.ts'
import { type FormatOptions, printAs } from './output.ts'

export function spoolCommand(): Command {
  return new Command('spool')
    .description('what waits in a spool, and what the ledger has refused of it')
    .argument('<file>', "the spool's")
    .option('--retry', 'bring what was refused into the ledger once more, when the cause is mended')
    .addHelpText(
      'after',
      `
What a ledger refuses for good is set aside in the spool's file, so that the
rest goes on: it was acknowledged, and is not billed while it is there. Whoever
has the spool open, or opens it next, tries it again after --retry. The exit
status is 1 while something is set aside.`,
    )
    .addHelpText('after', example('marketplace-meter spool spool.sqlite'))
    .action((path: string, { retry = false, ...form }: FormatOptions & { retry?: boolean }) => {
      if (!existsSync(path)) throw new CommandLineError(`There is no spool ${path}.`)
      const file = new SpoolFile(path)
      try {
        const refused = file.refused().map(({ batch, refusal }) => ({ batch: describe(batch), refusal }))
        const lines = refused.map(one => `  ${printable(one.batch, 400)}\n    ${printable(one.refusal, 400)}`)
        if (retry) file.retry()
        const waiting = file.waiting()
        const what = retry ? 'Goes to the ledger once more' : 'Refused by the ledger'
        printAs<Spool>(form, {
          json: () => ({ file: path, waiting, refused, retried: retry }),
          text: () =>
            [
              `Waiting: ${waiting}`,
              `${what}: ${refused.length}`,
              ...lines,
              ...(refused.length === 0 ? [] : retry ? [TRIED] : [NOT_BILLED, `    ${again(path)}`]),
            ].join('\n'),
        })
        if (refused.length > 0 && !retry) process.exitCode = TO_DECIDE
      } finally {
        file.close()
      }
    })
}

const NOT_BILLED = '  It is not billed while it is there. Mend what the ledger says, then:'
const TRIED = '  Whoever has the spool open, or opens it next, brings it in. Look again then.'
const again = (path: string) => `marketplace-meter spool ${shellWord(path)} --retry`
