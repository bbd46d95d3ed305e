import { notice } from '../../notice.ts'
import { DAY, WRITERS_KEPT } from '../hours.ts'
import type { Ledger, UsageBatch } from '../ledger.ts'

/** Batches of a writer that a ledger has acknowledged and does not have any more. */
export interface LostBatches {
  readonly writer: string
  /** The first and the last of them. */
  readonly from: number
  readonly to: number
  /** How many of them are still here, to be brought in again. */
  readonly kept: number
}

/** The first batch of a writer that a ledger misses, up to the last that it had acknowledged. */
export async function firstMissing(
  ledger: Pick<Ledger, 'lastOf'>,
  { writer, sequence }: UsageBatch,
): Promise<number | undefined> {
  const there = await ledger.lastOf(writer)
  return there < sequence ? there + 1 : undefined
}

/**
 * Whether a ledger that misses all batches of a writer has only forgotten it, since it brought in nothing for so long. The
 * hours that the ledger has closed tell: one that has lost commits has closed none that is so much later.
 *
 * @param from the first batch that is missed
 * @param last the last that it had
 */
export async function isForgotten(
  ledger: Pick<Ledger, 'status'>,
  from: number,
  last: UsageBatch | undefined,
): Promise<boolean> {
  if (from > 1 || last === undefined) return false
  const { entries, observations = [] } = last
  const times = [...entries.map(({ hour }) => hour), ...observations.map(({ receivedAt }) => receivedAt)]
  const first = times.reduce((one, other) => Math.min(one, other), Number.POSITIVE_INFINITY)
  // Whose role only records may not read it: then it is told as lost, which is the safe side.
  const { closedThrough = 0 } = (await ledger.status().catch(() => undefined)) ?? {}
  return closedThrough - first > WRITERS_KEPT - DAY
}

/** How many notes of losses are looked through for the same one: as many as processes may see one failover. */
const MOST_NOTES = 1000

/**
 * Notes in the audit trail that a ledger has lost batches, once for each loss; from then on nobody freezes or sends (see
 * `openLoss`). It has to be there before anything else is done about them.
 */
export async function noteLoss(ledger: Pick<Ledger, 'audit' | 'note'>, lost: LostBatches): Promise<void> {
  const { writer, from, to, kept } = lost
  const what = `writer ${writer} misses its batches from ${from} on`
  const noted = await ledger.audit({ actions: ['lost'], limit: MOST_NOTES })
  if (noted.some(({ detail }) => detail?.startsWith(what))) return
  const detail = `${what}, ${to - from + 1} in all; ${kept} of them were kept and are brought in again`
  await ledger.note({ action: 'lost', who: 'ledger', why: WHY, detail })
  notice('error', `The ledger has lost usage that it had acknowledged: ${detail}. ${STOPPED}`)
}

/**
 * Notes that they were brought in again: what was declared restored meanwhile is to be declared so once more, since the lost
 * ledger may have billed them.
 */
export async function noteHealed(ledger: Pick<Ledger, 'note'>, { writer, kept, from, to }: LostBatches): Promise<void> {
  const detail = `writer ${writer} has brought in again ${kept} of the ${to - from + 1} batches that it missed from ${from} on`
  await ledger.note({ action: 'lost', who: 'ledger', why: WHY, detail })
}

const WHY = 'it does not have what it had acknowledged: a failover, or an old copy, has taken it back'

const STOPPED =
  'Nothing is frozen or sent until it is declared restored, or it could be billed twice: marketplace-meter ' +
  'declare-restored --why "…"'
