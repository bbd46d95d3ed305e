/** What a look at one thing that metering needs has found. */
export interface Finding {
  /** What was looked at, in a word. */
  readonly name: string
  /** A fault keeps usage from being billed; a warning may. */
  readonly state: FindingState
  /** What was found, in whole sentences. */
  readonly message: string
  /** What to do about it. */
  readonly advice?: string
}

export type FindingState = 'ok' | 'warning' | 'fault'

const GRAVITY: readonly FindingState[] = ['ok', 'warning', 'fault']

/** How grave the gravest is: 0 where all is well, 1 for warnings, 2 for faults. */
export function gravity(findings: readonly Pick<Finding, 'state'>[]): number {
  return Math.max(0, ...findings.map(({ state }) => GRAVITY.indexOf(state)))
}

/** What others say, in one line that ends as a sentence does. */
export const sentence = (text: string): string => text.replace(/\s+/g, ' ').replace(/([^.!?)])$/, '$1.')
