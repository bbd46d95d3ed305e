import { FURTHEST_TURN, LONGEST_WAIT } from '../rules/quota.ts'
import type { Transaction } from './database.ts'

/** The next turns of a region's quota, in one statement; null where too many wait. See `firstTurn`. */
export async function takeTurns(
  transaction: Transaction,
  region: string,
  turns: number,
  spacing: number,
  now: number,
): Promise<number | null> {
  const row = await transaction.get(
    `INSERT INTO quota (region, next_turn) VALUES ($1, $2::float8 + $3::float8)
     ON CONFLICT (region) DO UPDATE SET next_turn = $3::float8 + CASE
       WHEN quota.next_turn > $2 AND quota.next_turn <= $2 + ${LONGEST_WAIT} THEN quota.next_turn ELSE $2
     END
     WHERE quota.next_turn <= $2 + ${LONGEST_WAIT} OR quota.next_turn > $2 + ${FURTHEST_TURN}
     RETURNING greatest(next_turn - $3, $2) AS first`,
    ...[region, now, turns * spacing],
  )
  return (row?.first as number | undefined) ?? null
}
