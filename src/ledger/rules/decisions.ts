import { LedgerError } from '../errors.ts'
import type { RecordState } from '../ledger.ts'

/** What a person may decide, in one place for every engine. */

interface Judged {
  readonly id: string
  readonly state: RecordState
  readonly reason?: string | null | undefined
}

export function checkReleasable(record: Judged): void {
  checkHeld(record)
  if (record.reason !== 'in-doubt') return
  throw new LedgerError(
    'ERR_LEDGER_STATE',
    `Record ${record.id} is in doubt: AWS may have billed it, and releasing it could bill it twice. Look in ` +
      'CloudTrail whether it was taken, and settle it as billed or as not billed.',
  )
}

export function checkDoubtful(record: Judged): void {
  checkHeld(record)
  if (record.reason === 'in-doubt' || record.reason === 'conflict') return
  throw new LedgerError(
    'ERR_LEDGER_STATE',
    `Record ${record.id} is held as ${record.reason}: AWS has not billed it. Release it when the hindrance is over.`,
  )
}

function checkHeld({ id, state }: Judged): void {
  if (state === 'held') return
  throw new LedgerError('ERR_LEDGER_STATE', `Record ${id} is ${state}; expected one that is held.`)
}

export function noSuchRecord(id: string): LedgerError {
  return new LedgerError('ERR_LEDGER_NOT_FOUND', `There is no record ${id}.`)
}

export function noSuchUsage(accountKey: string, dimension: string): LedgerError {
  return new LedgerError('ERR_LEDGER_NOT_FOUND', `There is no usage of ${dimension} by the account "${accountKey}".`)
}

export function otherKind(accountKey: string, expected: string): LedgerError {
  return new LedgerError('ERR_LEDGER_STATE', `Expected an account that is ${expected}, got "${accountKey}".`)
}

export function balanceEmpty(accountKey: string, dimension: string): LedgerError {
  return new LedgerError('ERR_LEDGER_STATE', `The balance of ${dimension} of the account "${accountKey}" is empty.`)
}
