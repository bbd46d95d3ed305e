import type { Decision, HeldReason, RecordDecision, RecordEntry } from '../../ledger/ledger.ts'
import { amountOf } from '../../ledger/rules/decisions.ts'
import { HELD_ADVICE } from '../../text/held-advice.ts'
import { indented, type TableOptions } from '../../text/table.ts'
import { iso } from '../../text/time.ts'
import { formatAmount } from '../../usage/amount.ts'
import type { Dimension } from '../../usage/dimension.ts'
import type { Decisions } from '../json.ts'
import { recordName } from './record-name.ts'
import { sumsText } from './sums.ts'

/** A held record, and what is to become of it. */
export interface Planned {
  readonly record: RecordEntry
  readonly decision: RecordDecision
}

/** So many are named one by one. */
const NAMED = 20

const DONE = {
  billed: 'Settled as billed',
  'not-billed': 'Settled as not billed',
  release: 'Released',
  'write-off': 'Wrote off',
} as const satisfies Record<Decision, string>

const TO_DO = {
  billed: 'Would settle as billed',
  'not-billed': 'Would settle as not billed',
  release: 'Would release',
  'write-off': 'Would write off',
} as const satisfies Record<Decision, string>

/** What was decided, or would be: by what becomes of it, the sums by customer and dimension where there are many. */
export function decisionsText(
  planned: readonly Planned[],
  dimensions: ReadonlyMap<string, Dimension>,
  dryRun: boolean,
  options: TableOptions = {},
): string {
  const groups = Map.groupBy(planned, one => `${one.decision.decision} ${outcomeOf(one)}`)
  return [...groups.values()].map(group => groupText(group, dimensions, dryRun, options)).join('\n')
}

/** The same for a program. */
export function decisionsJson(
  planned: readonly Planned[],
  dimensions: ReadonlyMap<string, Dimension>,
): Decisions['decided'] {
  return planned.map(({ record, decision: { decision, quantity } }) => ({
    ...{ record: record.id, decision, account: record.account, hour: iso(record.hour), dimension: record.dimension },
    ...{ amount: formatAmount(amountOf(record)), baseUnit: dimensions.get(record.dimension)?.baseUnit ?? null },
    ...(quantity !== undefined && { billedQuantity: quantity }),
  }))
}

function groupText(
  group: readonly Planned[],
  dimensions: ReadonlyMap<string, Dimension>,
  dryRun: boolean,
  options: TableOptions,
): string {
  const [first] = group as [Planned]
  const verb = (dryRun ? TO_DO : DONE)[first.decision.decision]
  const outcome = indented(outcomeOf(first))
  if (group.length <= NAMED) {
    const names = group.map(({ record, decision: { quantity } }) => {
      const part = quantity === undefined ? '' : `, up to a quantity of ${quantity},`
      return `${verb}${part} ${recordName(record, dimensions)}`
    })
    return [...names, outcome].join('\n')
  }
  const sums = sumsText(
    group.map(({ record }) => ({ ...record, amount: amountOf(record) })),
    { dimensions, counted: 'RECORDS', options },
  )
  return [`${verb} ${group.length.toLocaleString('en-US')} records:`, indented(sums), outcome].join('\n')
}

function outcomeOf({ record, decision: { decision, quantity } }: Planned): string {
  if (decision === 'release') return HELD_ADVICE[record.reason as HeldReason].released
  if (decision === 'not-billed') return HELD_ADVICE['in-doubt'].released
  if (decision === 'write-off') {
    return 'Nobody is billed for it: it is neither recorded nor held any more, only in the\naudit trail.'
  }
  if (quantity === undefined) return 'It is metered, and never sent again.'
  return 'So much is metered, and never sent again.\nThe rest, if any, is in the balance again and goes out with the next hour that\nis closed.'
}
