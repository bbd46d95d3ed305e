import type { Agreement } from '../ledger/ledger.ts'
import { shortTime } from './time.ts'

/** What is known of an agreement, for a cell of a table: `active since 2026-11-05 10:20`. */
export function agreementText({ state, since, until }: Pick<Agreement, 'state' | 'since' | 'until'>): string {
  if (until === undefined) return since === undefined ? state : `${state} since ${shortTime(since)}`
  return since === undefined ? `ended ${shortTime(until)}` : `${shortTime(since)} to ${shortTime(until)}`
}
