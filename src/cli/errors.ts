import { MarketplaceMeteringError } from '../errors.ts'
import { LedgerError, type LedgerErrorCode } from '../ledger/errors.ts'
import { DAMAGED } from '../text/ledger-advice.ts'
import { oneLine, printable, printableBut } from '../text/printable.ts'

/** The command line is not what it has to be. */
export class CommandLineError extends MarketplaceMeteringError {
  readonly code = 'ERR_COMMAND_LINE'
}

/** What to do about it, where the error itself does not say. */
const ADVICE: Partial<Record<LedgerErrorCode, string>> = {
  ERR_LEDGER_BUSY: 'Run the command again.',
  ERR_LEDGER_CORRUPT: DAMAGED,
}

/** An error on one line, with its code and what to do. One that is not ours comes with its stack. */
export function errorText(error: unknown): string {
  if (!(error instanceof MarketplaceMeteringError)) {
    return `error: ${printableBut('\n', error instanceof Error ? (error.stack ?? error.message) : String(error))}`
  }
  const advice = error instanceof LedgerError ? ADVICE[error.code] : undefined
  const sentence = oneLine(error.message).replace(/([^.!?)])$/, '$1.')
  return `error: ${printable(sentence)}${advice === undefined ? '' : ` ${advice}`} (${error.code})`
}
