import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { PostgresqlLedger } from '../../../src/ledger/postgresql/ledger.ts'
import { ALICE, BOB, closeOptions, closing, DIMENSIONS, entry, REQUESTS, sendSome, TOKENS } from '../scene.ts'

/** What tests have another process do with a ledger: `node worker.ts <job> <connection string> <schema> <number>`. */
const JOBS: Record<string, (ledger: PostgresqlLedger, number: string) => Promise<unknown>> = {
  /** Appends, closes and sends beside others. Tells how many records it has sent. */
  live: async (ledger, number) => {
    const writer = number.padStart(32, 'a')
    let sent = 0
    for (let sequence = 1; sequence <= 60; sequence += 1) {
      const n = Math.floor(sequence / 6)
      await ledger.append({
        writer,
        sequence,
        entries: [entry(ALICE, REQUESTS, n, sequence), entry(BOB, TOKENS, n, 700)],
      })
      if (sequence % 6 !== 5) continue
      const now = closing(n)
      await ledger.closeHours(closeOptions(now))
      sent += await sendSome(ledger, now)
    }
    return sent
  },

  /** Appends and closes until it is killed, and tells the sequence of each batch that was acknowledged. */
  endless: async ledger => {
    for (let sequence = 1; ; sequence += 1) {
      await ledger.append({ writer: 'd'.repeat(32), sequence, entries: [entry(ALICE, REQUESTS, sequence, 1)] })
      process.send?.(sequence)
      await ledger.closeHours(closeOptions(closing(sequence)))
    }
  },
}

/** Runs a job in another process. What it tells comes as messages, its result last. */
export function startJob(job: string, connectionString: string, schema: string, number = '1') {
  const child = fork(fileURLToPath(import.meta.url), [job, connectionString, schema, number])
  const messages: unknown[] = []
  child.on('message', message => messages.push(message))
  return { child, messages, ended: once(child, 'exit').then(() => messages) }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [, , job = '', connectionString = '', schema = '', number = ''] = process.argv
  const ledger = await PostgresqlLedger.open({ connectionString, schema })
  await ledger.register(DIMENSIONS)
  process.send?.(await JOBS[job]?.(ledger, number))
  await ledger.close()
  process.disconnect?.()
}
