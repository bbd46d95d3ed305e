import type { NewEntry } from '../rules/audit.ts'
import { auditWrites } from './audit.ts'
import { type Database, nameOf } from './database.ts'
import { type Series, Shard } from './shard.ts'
import { pause, type Write } from './table.ts'
import { inTransactions } from './transaction.ts'

/** A shard, and the hours of its records that matter. */
export interface Part {
  readonly shard: number
  readonly hours?: readonly number[]
}

/** The result of a change, beside the shards, which it changes in place. */
export interface Change<Result> {
  readonly result: Result
  /** What is written together with them. */
  readonly also?: readonly Write[]
  /** What is said of it in the audit trail. */
  readonly audit?: readonly NewEntry[]
  /** Whether it may still be, by what the trail says now; what is added to that meanwhile is a conflict. */
  readonly check?: () => Promise<boolean>
}

/** Changes shards together, over what was read of them: where somebody else was faster, it looks again. */
export async function change<Result>(
  database: Database,
  doing: string,
  parts: readonly Part[],
  work: (...shards: Shard[]) => Change<Result> | Promise<Change<Result>>,
): Promise<Result> {
  const { table } = database
  for (let failures = 1; ; failures += 1) {
    const shards = await Promise.all(parts.map(({ shard, hours }) => Shard.read(table, shard, hours)))
    const { result, also = [], audit = [], check } = await work(...shards)
    const writes = [...shards.flatMap(shard => shard.writes(series => nameOf(database, series))), ...also]
    const said = await auditWrites(database, audit, check)
    if (said !== undefined) {
      writes.push(...said)
      if (writes.length === 0 || (await table.write(doing, writes)) !== undefined) return result
    }
    await pause(failures)
  }
}

/** How many hours' usage may be open of what is decided about: it goes into the totals with the decision. */
const HOURS_LEFT = 20

/** Brings open usage of series into their totals, the oldest hours first, until the rest fits one transaction. */
export async function takeLateUsage(
  database: Database,
  number: number,
  wanted: (series: Series) => boolean = () => true,
  latest = Number.POSITIVE_INFINITY,
): Promise<void> {
  const [read] = await Shard.readSeries(database.table, [number])
  const open = new Set([...(read?.series.values() ?? [])].filter(wanted).flatMap(({ open }) => [...open.keys()]))
  const oldest = [...open].filter(hour => hour <= latest).sort((a, b) => a - b)
  await inTransactions(oldest.slice(0, -HOURS_LEFT), hours =>
    change(database, 'take late usage', [{ shard: number }], (shard: Shard) => {
      const series = [...shard.series.values()].filter(wanted)
      for (const hour of hours) for (const one of series) shard.takeOpenUsage(one, hour)
      return { result: undefined }
    }),
  )
}
