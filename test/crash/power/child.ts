import { openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { MINUTE } from '../../../src/ledger/hours.ts'
import { SqliteLedger } from '../../../src/ledger/sqlite/ledger.ts'
import { MARKS } from './log.ts'
import { batch, closeOptions, closingOf, DIMENSIONS, endsHour } from './usage.ts'

/**
 * The process whose writes are recorded: `node child.ts <folder> <from> <to>` appends those batches, closes their
 * hours, and claims and settles what is due. It marks what the ledger has acknowledged the moment it knows, closes the
 * ledger and opens it again on the way, backs it up, restores the backup beside it, and ends without closing it, as a killed one.
 */
export type Mark =
  | { readonly appended: number }
  | { readonly claimed: readonly string[] }
  | { readonly metered: readonly string[] }

const [folder = '', from = '', to = ''] = process.argv.slice(2)
const path = join(folder, 'ledger.sqlite')
const marks = openSync(join(folder, MARKS), 'a')
const mark = (said: Mark) => writeSync(marks, JSON.stringify(said))
const middle = Math.floor((Number(from) + Number(to)) / 2)

let ledger = new SqliteLedger({ path })
await ledger.register(DIMENSIONS)
for (let n = Number(from); n <= Number(to); n += 1) {
  await ledger.append(batch(n))
  mark({ appended: n })
  if (endsHour(n)) await meter(closingOf(n))
  if (n !== middle) continue
  const backup = join(folder, `backup-${n}.sqlite`)
  await ledger.backup(backup)
  const by = { who: 'a person', why: 'to see', now: closingOf(n) }
  await (await SqliteLedger.restore({ from: backup, to: join(folder, `restored-${n}.sqlite`), ...by })).close()
  await ledger.close()
  ledger = new SqliteLedger({ path })
}
process.kill(process.pid, 'SIGKILL')

async function meter(now: number): Promise<void> {
  await ledger.closeHours(closeOptions(now))
  for (const lane of (await ledger.due(now)).lanes) {
    for (;;) {
      const records = await ledger.claim(lane, { now, limit: 25, claimedUntil: now + MINUTE })
      if (records.length === 0) break
      mark({ claimed: records.map(({ id }) => id) })
      // The last of each batch gets no answer.
      const answered = records.slice(0, -1)
      await ledger.settle(
        answered.map(record => ({
          record,
          outcome: { type: 'metered', meteringRecordId: record.id },
          answer: 'Success',
        })),
        now,
      )
      mark({ metered: answered.map(({ id }) => id) })
    }
  }
}
