import type { Observation } from '../ledger.ts'

/** How the values of a counter or gauge may follow each other. Batches in ledgers name them by their places here. */
export const OBSERVATION_KINDS = ['cumulative', 'scraped', 'delta', 'gauge'] as const satisfies Observation['kind'][]
