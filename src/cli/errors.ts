import { CommanderError } from 'commander'
import { ConfigurationError, MarketplaceMeteringError } from '../errors.ts'
import { GatewayConfigError } from '../gateway/config/errors.ts'
import { DamagedBackupError, LedgerError, type LedgerErrorCode } from '../ledger/errors.ts'
import { DAMAGED } from '../text/ledger-advice.ts'
import { oneLine, printable, printableBut } from '../text/printable.ts'
import type { Failure } from './json.ts'

/** The command line is not what it has to be. */
export class CommandLineError extends MarketplaceMeteringError {
  readonly code = 'ERR_COMMAND_LINE'
}

/** What to do about it, where the error itself does not say. */
const ADVICE: Partial<Record<LedgerErrorCode, string>> = {
  ERR_LEDGER_BUSY: 'Run the command again.',
  ERR_LEDGER_CORRUPT: DAMAGED,
}

function adviceOf(error: unknown): string | undefined {
  // It is the backup, and says what to do.
  return error instanceof LedgerError && !(error instanceof DamagedBackupError) ? ADVICE[error.code] : undefined
}

/**
 * An error on one line, with its code and what to do. What is wrong with a configuration is told as compilers do: a line for
 * each problem. An error that is not ours comes with its stack.
 */
export function errorText(error: unknown): string {
  if (error instanceof GatewayConfigError) return error.message
  if (!(error instanceof MarketplaceMeteringError)) {
    return `error: ${printableBut('\n', error instanceof Error ? (error.stack ?? error.message) : String(error))}`
  }
  const advice = adviceOf(error)
  return `error: ${printable(sentence(error.message))}${advice === undefined ? '' : ` ${advice}`} (${error.code})`
}

const sentence = (message: string) => oneLine(message).replace(/([^.!?)])$/, '$1.')

/** The same for a program. */
export function failureJson(error: unknown): Failure {
  const { code, name, message, cause, stack } =
    error instanceof Error ? (error as NodeJS.ErrnoException) : notAnError(error)
  const isOurs = error instanceof MarketplaceMeteringError
  if (error instanceof CommanderError) return failureJson(new CommandLineError(message.replace(/^error: /, '')))
  return {
    code: code ?? name,
    message: isOurs ? sentence(message) : message,
    advice: adviceOf(error) ?? null,
    cause: cause === undefined ? null : cause instanceof Error ? cause.message : String(cause),
    problems: problemsOf(error),
    ...(!isOurs && stack !== undefined && { stack }),
  }
}

const notAnError = (thrown: unknown): NodeJS.ErrnoException => ({ name: 'Error', message: String(thrown) })

function problemsOf(error: unknown): Failure['problems'] {
  if (error instanceof GatewayConfigError) {
    return error.problems.map(({ line, column, message }) => ({ line, column, message }))
  }
  return error instanceof ConfigurationError ? error.problems.map(message => ({ message })) : []
}
