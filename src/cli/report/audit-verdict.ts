import type { AuditBreak, AuditVerdict } from '../../ledger/ledger.ts'
import { type Paint, plain } from '../../text/paint.ts'
import { iso, shortTime } from '../../text/time.ts'
import type { Verification } from '../json.ts'

/** Whether the audit trail is as it was written, in words. */
export function verdictText({ entries, hash, keptAt, breaks }: AuditVerdict, paint: Paint = plain): string {
  if (breaks.length === 0) {
    if (hash === undefined || entries === 0) return 'The audit trail has no entry that is chained yet.'
    const chained = entries === 1 ? 'its one entry is' : `all ${entries} entries are`
    const kept =
      keptAt === undefined ? '' : ` The hash that was kept is ${keptAt === 0 ? 'its beginning' : `of entry ${keptAt}`}.`
    return paint('green', `The audit trail holds: ${chained} as written.${kept} Keep the last hash elsewhere: ${hash}`)
  }
  return [
    paint(['bold', 'red'], `THE AUDIT TRAIL IS NOT AS IT WAS WRITTEN (${entries} entries):`),
    ...breaks.map(one => `  ${breakText(one)}`),
    'Somebody, or a version of this package before the chain, has written past the ledger. Keep the ledger as it is, compare',
    'the trail with a backup or what was copied of it ("audit --json"), and find out who may write to it. What is',
    'billed does not depend on the trail: go on metering.',
  ].join('\n')
}

function breakText({ kind, number, from, at }: AuditBreak): string {
  const when = at === undefined ? '' : `, of ${shortTime(at)},`
  switch (kind) {
    case 'changed':
      return `Entry ${number}${when} was changed, or the one before it was and hashed anew.`
    case 'missing':
      return from === number ? `Entry ${number} is missing.` : `Entries ${from} to ${number} are missing.`
    case 'inserted':
      return `An entry${number === undefined ? '' : ` numbered ${number}`}${when} was put in.`
    case 'changed-before':
      return 'One of the entries from before the trail was chained was changed, removed or put in.'
    case 'replaced':
      return `The entries up to the last one, ${number}, are not those that the ledger has counted.`
    case 'hidden':
      return `Entry ${number}${when} is not found by its action: "senders" and "audit --action" do not show it.`
    case 'not-kept':
      return 'No entry has the hash that was kept: the trail was cut off before it or made anew, or it is another one.'
  }
}

/** The same for a program. */
export function verdictJson({ entries, hash, keptAt, breaks }: AuditVerdict): Verification['audit'] {
  return {
    entries,
    hash: hash ?? null,
    ...(keptAt !== undefined && { keptAt }),
    breaks: breaks.map(({ at, ...one }) => ({ ...one, ...(at !== undefined && { at: iso(at) }) })),
  }
}
