import type { Random } from '../../../src/simulator/random.ts'
import type { Phase } from './telling.ts'

/** When a process is to be killed. */
export type Instant =
  /** So many milliseconds after it began something for the first time. */
  | { readonly type: 'time'; readonly phase: Phase; readonly after: number }
  /** When AWS has taken the records of the `times`-th request, and before it answers. */
  | { readonly type: 'taken'; readonly times: number }
  /** So many milliseconds after it answered. */
  | { readonly type: 'answered'; readonly times: number; readonly after: number }
  /** By itself, right after the `statement`-th statement of a phase that has so many. */
  | { readonly type: 'statement'; readonly phase: Phase; readonly statement: number }

/** About how many statements there are in each phase. */
const STATEMENTS: Partial<Record<Phase, number>> = { open: 9, append: 15, closeHours: 120, claim: 8, settle: 40 }

export function drawInstant(random: Random, fresh: boolean): Instant {
  const upTo = (most: number) => 1 + Math.floor(random() * most)
  const draw = random()
  // The first that happens to a new file is that it is not finished, twice.
  if (fresh && draw < 0.5) return { type: 'time', phase: 'open', after: random() * 12 }
  if (fresh) return { type: 'statement', phase: 'open', statement: upTo(9) }
  if (draw < 0.25) return { type: 'taken', times: upTo(4) }
  if (draw < 0.35) return { type: 'answered', times: upTo(4), after: random() * 4 }
  if (draw < 0.5) return { type: 'time', phase: 'append', after: random() * 600 }
  if (draw < 0.55) return { type: 'time', phase: 'backup', after: random() * 8 }
  const phases = ['open', 'append', 'closeHours', 'closeHours', 'claim', 'settle', 'settle'] as const
  const phase = phases[Math.floor(random() * phases.length)] as Phase
  return { type: 'statement', phase, statement: upTo(STATEMENTS[phase] ?? 1) }
}
