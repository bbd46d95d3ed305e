import { writeSync } from 'node:fs'

/** What the process does, in lines of JSON on a pipe: each written before the process goes on. */

export const PIPE = 3

/** What it may be killed in the middle of. */
export const PHASES = [
  'open',
  'register',
  'append',
  'closeHours',
  'expire',
  'claim',
  'request',
  'settle',
  'backup',
] as const
export type Phase = (typeof PHASES)[number]

export type Told =
  | { readonly begin: Phase; readonly id: number; readonly usage?: readonly SeriesUsage[] }
  | { readonly end: number; readonly error?: string }
  | { readonly fault: string }

/** An account, a dimension and an amount in millionths. */
export type SeriesUsage = readonly [account: string, dimension: string, amount: string]

export function tell(told: Told): void {
  const line = Buffer.from(`${JSON.stringify(told)}\n`)
  for (let written = 0; written < line.length; ) written += writeSync(PIPE, line, written)
}
