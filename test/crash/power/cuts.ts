import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { SqliteLedger } from '../../../src/ledger/sqlite/ledger.ts'
import { type Random, seeded } from '../../../src/simulator/random.ts'
import type { Mutation } from '../mutation.ts'
import type { Mark } from './child.ts'
import { Disk } from './disk.ts'
import type { LogEntry } from './log.ts'
import { buildRecorder, recordWrites } from './recorder.ts'
import { batch, batchesIn, closeOptions, closingOf, DIMENSIONS, recordedAfter } from './usage.ts'

export interface CutsOptions {
  readonly cuts: number
  readonly batches: number
  readonly seed: number
}

export interface CutsResult {
  readonly cuts: number
  /** Batches that were acknowledged before the cuts, all cuts together. */
  readonly acknowledged: number
  /** How many of them were not there afterwards. */
  readonly lost: number
  /** Cuts after which acknowledged batches were missing. */
  readonly cutsWithLoss: number
  /** Cuts after which an attempt or an answer that the ledger had written down was missing. */
  readonly cutsWithForgottenFacts: number
  /** What else was wrong: a ledger that does not open, an equation that does not hold. */
  readonly faults: string[]
}

/** In memory where there is some to be had: what counts is which syncs are asked for, not how long a disk takes. */
const SCRATCH = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()

/** What SQLite would do if the ledger did not ask for more. */
export const NORMAL: Mutation = ['ledger/sqlite/file.ts', 'PRAGMA synchronous = FULL', 'PRAGMA synchronous = NORMAL']

/** Records a ledger's life, cuts the power at random instants of it, and looks at what is left. */
export async function cutPower(options: CutsOptions, mutation?: Mutation): Promise<CutsResult> {
  const folder = mkdtempSync(join(SCRATCH, 'power-cuts-'))
  try {
    const random = seeded(options.seed)
    const recorded = join(folder, 'recorded')
    const entries = await recordWrites(buildRecorder(folder), recorded, options.batches, mutation)
    const disk = new Disk(recorded)
    const known = new Known()
    const result = {
      cuts: 0,
      acknowledged: 0,
      lost: 0,
      cutsWithLoss: 0,
      cutsWithForgottenFacts: 0,
      faults: [] as string[],
    }
    let done = 0
    for (const instant of instants(entries, options.cuts, random)) {
      for (; done < instant; done += 1) {
        const entry = entries[done] as LogEntry
        if (entry.type === 'mark') known.add(entry.said as Mark)
        else disk.apply(entry)
      }
      const left = join(folder, 'left')
      mkdirSync(left)
      for (const [name, content] of disk.afterCut(random)) writeFileSync(join(left, name), content)
      const found = await judge(left, known)
      rmSync(left, { recursive: true })
      result.cuts += 1
      result.acknowledged += known.appended
      result.lost += found.lost
      if (found.lost > 0) result.cutsWithLoss += 1
      if (found.forgotten > 0) result.cutsWithForgottenFacts += 1
      result.faults.push(...found.faults.map(fault => `cut before entry ${instant}: ${fault}`))
    }
    return result
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Some while the file is new, the others half anywhere and half right after something was acknowledged: in order. */
function instants(entries: readonly LogEntry[], count: number, random: Random): number[] {
  const marks = entries.flatMap((entry, index) => (entry.type === 'mark' ? [index + 1] : []))
  const upTo = (most: number) => Math.floor(random() * (most + 1))
  return Array.from({ length: count }, (_, index) => {
    if (index % 10 === 0) return upTo(marks[0] ?? 0)
    return index % 2 === 0 ? upTo(entries.length) : (marks[upTo(marks.length - 1)] as number)
  }).sort((a, b) => a - b)
}

/** What the ledger had acknowledged before the cut. */
class Known {
  appended = 0
  readonly attempts = new Map<string, number>()
  readonly metered = new Set<string>()

  add(mark: Mark): void {
    if ('appended' in mark) this.appended = mark.appended
    else if ('metered' in mark) for (const id of mark.metered) this.metered.add(id)
    else for (const id of mark.claimed) this.attempts.set(id, (this.attempts.get(id) ?? 0) + 1)
  }
}

interface Found {
  lost: number
  forgotten: number
  readonly faults: string[]
}

async function judge(folder: string, known: Known): Promise<Found> {
  const found: Found = { lost: 0, forgotten: 0, faults: [] }
  const path = join(folder, 'ledger.sqlite')
  let ledger: SqliteLedger | undefined
  try {
    ledger = new SqliteLedger({ path })
    const recorded = await recordedIn(ledger, found)
    const batches = batchesIn(recorded)
    found.lost = Math.max(known.appended - batches, 0)
    if (batches > known.appended + 1) found.faults.push(`${batches} batches, but ${known.appended} were appended`)
    for (const [series, amount] of recordedAfter(batches)) {
      if (recorded.get(series) !== amount) found.faults.push(`${series}: ${recorded.get(series)} of ${amount}`)
    }
    const records = new Map((await ledger.records({ limit: 1_000_000 })).map(record => [record.id, record]))
    for (const [id, attempts] of known.attempts) if ((records.get(id)?.attempts ?? 0) < attempts) found.forgotten += 1
    for (const id of known.metered) if (records.get(id)?.state !== 'metered') found.forgotten += 1
    await checkCopies(folder, batches, found)
    await goOn(ledger, batches, found)
    await ledger.close()
    checkWhole(path, found)
  } catch (error) {
    found.faults.push(String(error))
    found.lost = known.appended
    await ledger?.close()
  }
  return found
}

/** What is recorded of each series; notes where the equation does not hold. */
async function recordedIn(ledger: SqliteLedger, found: Found): Promise<Map<string, bigint>> {
  const all = new Map<string, bigint>()
  for (const { account, dimension, recorded, metered, pending, held, balance } of await ledger.statement()) {
    const series = `${account.key} ${dimension.name}`
    if (recorded !== metered + pending + held + balance) found.faults.push(`the equation of ${series} does not hold`)
    all.set(series, recorded)
  }
  return all
}

/** A copy that has its name is whole: a backup, and a restored ledger, which may not bill what the backup had open. */
async function checkCopies(folder: string, batches: number, found: Found): Promise<void> {
  for (const name of readdirSync(folder).filter(name => /^(backup|restored)-\d+\.sqlite$/.test(name))) {
    const copy = new SqliteLedger({ path: join(folder, name), readOnly: true })
    const has = batchesIn(await recordedIn(copy, found))
    const open = (await copy.statement()).filter(line => line.balance !== 0n)
    await copy.close()
    if (has === 0 || has > batches) found.faults.push(`${name} has ${has} batches of ${batches}`)
    if (name.startsWith('restored') && open.length > 0) found.faults.push(`${name} bills what it had open`)
  }
}

/** The next batch comes, and its hour is closed. */
async function goOn(ledger: SqliteLedger, batches: number, found: Found): Promise<void> {
  // A ledger from before its dimensions were known is registered anew by whoever opens it.
  await ledger.register(DIMENSIONS)
  await ledger.append(batch(batches + 1))
  await ledger.closeHours(closeOptions(closingOf(batches + 1)))
  const after = batchesIn(await recordedIn(ledger, found))
  if (after !== batches + 1) found.faults.push(`${after} batches of ${batches + 1} after it went on`)
}

function checkWhole(path: string, found: Found): void {
  const database = new DatabaseSync(path, { readOnly: true })
  const { integrity_check: said } = database.prepare('PRAGMA integrity_check').get() as { integrity_check: string }
  database.close()
  if (said !== 'ok') found.faults.push(`SQLite says: ${said}`)
}
