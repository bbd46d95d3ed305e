/**
 * Why events settle nothing of a record that is held in doubt, in conflict, or of before a restore:
 * - `callers`: nobody has said whose calls are this ledger's; `caller`: a call is not surely by one of those that are named;
 * - `own`: another quantity was not surely sent by somebody else; `conflict`, `two-senders`: no event tells whose usage it was;
 * - `gap`: events may be missing; `left-out`: CloudTrail has left out records; `missing`: what AWS has taken is in no event;
 * - `unclear`: AWS failed; `duplicate`: it had something already; `unknown`: the ledger does not know all that became of it;
 * - `absence`: nothing but that there is no event; `less`: the same of a part of what a restore holds;
 * - of a restore: `held-before` the backup; `no-backup` that is known; hours are looked at that begin too late (`start`),
 *   end too early (`end`), are not searched yet (`restore`), or were `pruned`; and what speaks against its sum: `lost-before`,
 *   `other-calls`, `resized`, `sibling`, `balances`.
 */
export type Lack =
  | ('callers' | 'caller' | 'own' | 'conflict' | 'two-senders')
  | ('gap' | 'left-out' | 'missing' | 'unclear' | 'duplicate' | 'unknown' | 'absence' | 'less')
  | ('held-before' | 'no-backup' | 'start' | 'end' | 'restore' | 'pruned')
  | ('lost-before' | 'other-calls' | 'resized' | 'sibling' | 'balances')
