import type { AttributeValue, TransactWriteItem } from '@aws-sdk/client-dynamodb'
import { LedgerError } from '../errors.ts'

/**
 * What DynamoDB takes at once, and how work is divided by it: what goes into a transaction is counted when it is put
 * together, whatever it is of; https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html.
 */

/** How many actions a transaction may have, and how many bytes its items; its limit is 4 MB. */
const MOST_ACTIONS = 100
const LARGEST_TRANSACTION = 4_000_000

/** What does not fit one transaction: it is done in smaller parts, see `inTransactions`. */
export class TooLargeError extends LedgerError {
  constructor(doing: string, what: string) {
    super('ERR_LEDGER_INVALID', `cannot ${doing}: ${what} are more than one transaction of DynamoDB takes`)
  }
}

/** @throws TooLargeError */
export function checkFits(doing: string, actions: readonly TransactWriteItem[]): void {
  if (actions.length > MOST_ACTIONS) throw new TooLargeError(doing, `${actions.length} actions`)
  const bytes = actions.reduce((sum, { Put, Delete }) => sum + sizeOf(Put?.Item ?? Delete?.Key ?? {}), 0)
  if (bytes > LARGEST_TRANSACTION) throw new TooLargeError(doing, `${bytes} bytes`)
}

/** The size of an item, as DynamoDB counts it: names and values. */
export function sizeOf(item: Record<string, AttributeValue>): number {
  return Object.entries(item).reduce((sum, [name, { S = '', N = '', B }]) => {
    return sum + Buffer.byteLength(name) + Buffer.byteLength(S) + N.length + (B?.length ?? 0)
  }, 0)
}

/**
 * Does something with each, one part after the other: in one transaction all that fits, half of it where it does not,
 * and so on. Each part is right by itself.
 */
export async function inTransactions<One, Result>(
  all: readonly One[],
  work: (some: readonly One[]) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = []
  for (let [done, most] = [0, all.length]; done < all.length; ) {
    const some = all.slice(done, done + most)
    try {
      results.push(await work(some))
      done += some.length
    } catch (error) {
      most = fewer(error, some.length)
    }
  }
  return results
}

/**
 * How many to do at once, where it was too much.
 *
 * @throws what was thrown for another reason, or for one alone
 */
export function fewer(error: unknown, most: number): number {
  if (!(error instanceof TooLargeError) || most <= 1) throw error
  return Math.ceil(most / 2)
}
