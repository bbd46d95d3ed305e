import { notice } from '../../notice.ts'
import { LedgerError } from '../errors.ts'
import type { Ledger, UsageBatch } from '../ledger.ts'

/** Whether a ledger refuses a batch, whole, since it does not have those of the same writer that it acknowledged before. */
export const isMissingBatches = (error: unknown): error is LedgerError =>
  error instanceof LedgerError && error.code === 'ERR_LEDGER_BATCH_MISSING'

/** Says that such a batch goes under another key, where a person sees it and in the audit trail. */
export async function tellMissingBatches(ledger: Ledger, batch: UsageBatch, refusal: LedgerError): Promise<void> {
  notice('error', `The ledger has lost usage that it had acknowledged; declare it restored. ${refusal.message}`)
  const why = 'the ledger has lost what this writer had brought in before: declare it restored'
  try {
    await ledger.note({
      action: 'set-aside',
      who: 'ledger',
      why,
      detail: `batch ${batch.sequence} of writer ${batch.writer} goes under another key`,
    })
  } catch (error) {
    notice('warn', `That is not in the audit trail: ${(error as Error).message}`)
  }
}
