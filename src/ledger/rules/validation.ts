import { MAX_AMOUNT } from '../../usage/amount.ts'
import type { Dimension } from '../../usage/dimension.ts'
import { LedgerError, MissingBatchesError } from '../errors.ts'
import { HOUR } from '../hours.ts'
import type { UsageBatch, UsageEntry } from '../ledger.ts'

/** What ledgers refuse to take, in one place for every engine. */

/** The last that a Date can hold. */
export const LAST_INSTANT = 8.64e15

/**
 * A Date passes for a number where it is compared, and becomes a text where it is added to; a fraction fits no column.
 *
 * @param name what it is called where it was given
 */
export function checkTime(name: string, time: number): void {
  if (Number.isInteger(time) && Math.abs(time) <= LAST_INSTANT) return
  const got =
    (time as unknown) instanceof Date ? 'a Date (use its getTime())' : `${typeof time} ${String(time).slice(0, 40)}`
  throw new LedgerError('ERR_LEDGER_INVALID', `${name}: expected whole milliseconds since the epoch, got ${got}.`)
}

export function checkKey({ writer, sequence }: UsageBatch): void {
  if (/^[0-9a-f]{32}$/.test(writer) && Number.isSafeInteger(sequence) && sequence > 0) return
  throw new LedgerError(
    'ERR_LEDGER_INVALID',
    `Expected a key of 32 hexadecimal digits and a sequence from 1, got "${writer}" and ${sequence}.`,
  )
}

export function checkEntry({ hour, amount }: UsageEntry): void {
  if (!(hour >= 0 && hour <= LAST_INSTANT && hour % HOUR === 0)) {
    throw new LedgerError('ERR_LEDGER_INVALID', `Expected an hour's first millisecond, got ${hour}.`)
  }
  if (typeof amount !== 'bigint' || amount <= 0n || amount > MAX_AMOUNT) {
    throw new LedgerError(
      'ERR_LEDGER_INVALID',
      `Expected an amount above 0 and up to 2^120 as a bigint, got ${amount}.`,
    )
  }
}

/** @param known what the ledger has of the same name */
export function checkDimension(dimension: Dimension, known: Pick<Dimension, 'baseUnit'> | undefined): void {
  const { name, unit, baseUnit, size } = dimension
  if (size <= 0n) {
    throw new LedgerError('ERR_LEDGER_INVALID', `Expected a size of dimension ${name} above 0, got ${size}.`)
  }
  if (known === undefined || known.baseUnit === baseUnit) return
  throw new LedgerError(
    'ERR_LEDGER_INVALID',
    `Dimension ${name} is recorded in the base unit "${known.baseUnit}" in this ledger; expected the same, got ` +
      `"${baseUnit}" (unit "${unit}"). Sell it under the name of a new dimension.`,
  )
}

export function notRegistered(dimension: string): LedgerError {
  return new LedgerError('ERR_LEDGER_NOT_FOUND', `Expected a registered dimension, got "${dimension}".`)
}

/** @param next the sequence that the writer's next batch has */
export function batchMissing({ writer, sequence }: UsageBatch, next: number): LedgerError {
  const what = `Expected batch ${next} of writer ${writer}, got ${sequence}: what is between is missing.`
  return new MissingBatchesError(what, next)
}

export function keyReused({ writer, sequence }: UsageBatch): LedgerError {
  return new LedgerError(
    'ERR_LEDGER_KEY_REUSED',
    `Batch ${sequence} of writer ${writer} was acknowledged before, with other entries.`,
  )
}
