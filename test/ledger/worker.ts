import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { rmSync, writeSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { fileURLToPath } from 'node:url'
import { LedgerError } from '../../src/ledger/errors.ts'
import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import { findLedger } from '../../src/metering/preflight/ledger.ts'
import type { CustomerAccount } from '../../src/usage/account.ts'
import { ALICE, BOB, closeOptions, closing, DIMENSIONS, entry, REQUESTS, sendSome, TOKENS } from './scene.ts'

/** What tests have another process do with a ledger: `node worker.ts <job> <path> …`. It prints what came of it. */
const JOBS: Record<string, (path: string, ...given: string[]) => Promise<unknown>> = {
  /** Opens it as a user that is not root, and appends. */
  'as-nobody': async path => {
    beNobody()
    return await append(path, 1)
  },

  /** The same, to look only. */
  'look-as-nobody': async path => {
    beNobody()
    return await look(path)
  },

  look,

  /** What "doctor" finds of it, as a user that is not root. */
  'doctor-as-nobody': async path => {
    beNobody()
    const { findings, ledger } = await findLedger(path)
    await ledger?.close()
    return { found: findings.find(({ name }) => name === 'ledger')?.message }
  },

  append: async path => await append(path, 1),

  /** Appends until the disk is full, makes room and appends the same again. */
  fill: async (path, filler = '') => {
    const ledger = new SqliteLedger({ path })
    await ledger.register(DIMENSIONS)
    const writer = 'f'.repeat(32)
    const customers = Array.from({ length: 200 }, (_, n): CustomerAccount => ({ ...ALICE, key: `prod-1,${n}` }))
    let failed = ''
    for (let sequence = 1; sequence <= 400; sequence += 1) {
      const batch = { writer, sequence, entries: customers.map(one => entry(one, REQUESTS, sequence, 1)) }
      await ledger.append(batch).catch(async (error: LedgerError) => {
        failed = error.code
        await ledger.append(batch).catch(() => {})
        if (filler === '') throw error
        rmSync(filler, { force: true })
        await ledger.append(batch)
      })
      if (failed !== '') return { failed, appended: sequence * 200, recorded: await recorded(ledger) }
    }
    return { failed }
  },

  /** Holds the write lock until standard input ends. */
  lock: async path => {
    const database = new DatabaseSync(path)
    database.exec('BEGIN IMMEDIATE')
    process.stdout.write('locked\n')
    for await (const _ of process.stdin);
    database.exec('COMMIT')
    return { released: true }
  },

  /** Appends and closes until it is killed, and prints the sequence of each batch that was acknowledged. */
  endless: async path => {
    const ledger = new SqliteLedger({ path })
    await ledger.register(DIMENSIONS)
    for (let sequence = 1; ; sequence += 1) {
      await ledger.append({ writer: 'd'.repeat(32), sequence, entries: [entry(ALICE, REQUESTS, sequence, 1)] })
      writeSync(1, `${sequence}\n`)
      await ledger.closeHours(closeOptions(closing(sequence)))
    }
  },

  /** Appends, closes and sends beside others. */
  live: async (path, from = '0') => {
    const ledger = new SqliteLedger({ path, busyTimeout: 30_000 })
    await ledger.register(DIMENSIONS)
    const writer = from.padStart(32, 'a')
    const batches = 60
    let sent = 0
    for (let sequence = 1; sequence <= batches; sequence += 1) {
      const n = Math.floor(sequence / 6)
      const entries = [entry(ALICE, REQUESTS, n, sequence), entry(BOB, TOKENS, n, 700)]
      await ledger.append({ writer, sequence, entries })
      if (sequence % 6 !== 5) continue
      await ledger.closeHours(closeOptions(closing(n)))
      // The same for all: to one that is an hour ahead, the claims of another would be over.
      const now = closing(10)
      sent += await sendSome(ledger, now)
    }
    await ledger.close()
    return { sent }
  },
}

function beNobody(): void {
  if (process.getuid?.() === 0) process.setuid?.(65534)
}

async function look(path: string): Promise<unknown> {
  const ledger = new SqliteLedger({ path, readOnly: true })
  const { length } = await ledger.statement()
  await ledger.close()
  return { series: length }
}

async function append(path: string, amount: number): Promise<unknown> {
  const ledger = new SqliteLedger({ path })
  await ledger.append({ writer: 'e'.repeat(32), sequence: 1, entries: [entry(ALICE, REQUESTS, 0, amount)] })
  return { appended: amount }
}

async function recorded(ledger: SqliteLedger): Promise<number> {
  return Number((await ledger.statement()).reduce((total, line) => total + line.recorded, 0n) / 1_000_000n)
}

/** Runs a job in another process, by a command that gets it as its last arguments. */
export function startJob(job: string, given: string[], command: string[] = []) {
  const [program = '', ...rest] = [...command, process.execPath, fileURLToPath(import.meta.url), job, ...given]
  const child = spawn(program, rest, { stdio: ['pipe', 'pipe', 'inherit'] })
  child.stdout.setEncoding('utf8')
  let output = ''
  child.stdout.on('data', text => {
    output += text
  })
  const closed = once(child, 'close')
  return {
    child,
    result: closed.then(() => JSON.parse(output.trim().split('\n').at(-1) || '{}') as Record<string, unknown>),
  }
}

export async function runJob(job: string, given: string[], command?: string[]): Promise<Record<string, unknown>> {
  return await startJob(job, given, command).result
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [, , job = '', path = '', ...given] = process.argv
  try {
    console.log(JSON.stringify(await JOBS[job]?.(path, ...given)))
  } catch (error) {
    if (!(error instanceof LedgerError)) throw error
    console.log(JSON.stringify({ code: error.code, message: error.message }))
  }
}
