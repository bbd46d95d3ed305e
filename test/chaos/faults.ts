import type { Fault } from '../../src/simulator/index.ts'

/** What can be the matter with AWS for hours. */
export type Condition = 'outage' | 'overload' | 'credentials' | 'brownout'

/** An ordinary day. */
const ORDINARY: readonly Fault[] = [
  { kind: 'throttling', rate: 0.03 },
  { kind: 'internal-error', rate: 0.02 },
  { kind: 'internal-error-after', rate: 0.02 },
  { kind: 'reset', rate: 0.01 },
  { kind: 'reset-after', rate: 0.02 },
  { kind: 'html', rate: 0.005 },
  { kind: 'html-after', rate: 0.01 },
  { kind: 'truncated', rate: 0.01 },
  { kind: 'empty', rate: 0.005 },
  { kind: 'unprocessed', rate: 0.05 },
  { kind: 'missing', rate: 0.03 },
  { kind: 'shuffled', rate: 0.2 },
  { kind: 'entitlements-stale', rate: 0.1, milliseconds: 600_000 },
]

const FAULTS: Record<Condition, readonly Fault[]> = {
  // Nothing gets an answer; a little of it is taken all the same.
  outage: [
    { kind: 'internal-error-after', rate: 0.02 },
    { kind: 'reset', rate: 0.5 },
    { kind: 'internal-error', rate: 1 },
  ],
  // Nothing is taken and said so, but for a little of which nothing is said.
  overload: [
    { kind: 'empty', rate: 0.05 },
    { kind: 'html-after', rate: 0.02 },
    { kind: 'throttling', rate: 1 },
  ],
  credentials: [{ kind: 'expired-credentials', rate: 1 }],
  brownout: [
    { kind: 'throttling', rate: 0.2 },
    { kind: 'internal-error', rate: 0.15 },
    { kind: 'internal-error-after', rate: 0.15 },
    { kind: 'reset-after', rate: 0.1 },
    { kind: 'truncated', rate: 0.1 },
    { kind: 'unprocessed', rate: 0.3, share: 0.3 },
    { kind: 'missing', rate: 0.2, share: 0.3 },
  ],
}

/** The faults while these conditions hold: those of the worst. */
export function faultsOf(conditions: ReadonlySet<Condition>): readonly Fault[] {
  for (const condition of ['outage', 'overload', 'credentials', 'brownout'] as const) {
    if (conditions.has(condition)) return FAULTS[condition]
  }
  return ORDINARY
}
