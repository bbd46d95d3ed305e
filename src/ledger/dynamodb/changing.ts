import type { Engine } from './engine.ts'
import { Shard } from './shard.ts'
import { pause, type Write } from './table.ts'

/** A shard, and the hours of its records that matter. */
export interface Part {
  readonly shard: number
  readonly hours?: readonly number[]
}

/** What came of looking at shards: they are changed in place. */
export interface Change<Result> {
  readonly result: Result
  /** What is written together with them. */
  readonly also?: readonly Write[]
}

/** Changes shards together, over what was read of them: where somebody else was faster, it looks again. */
export async function change<Result>(
  { table }: Engine,
  doing: string,
  parts: readonly Part[],
  work: (...shards: Shard[]) => Change<Result>,
): Promise<Result> {
  for (let failures = 1; ; failures += 1) {
    const shards = await Promise.all(parts.map(({ shard, hours }) => Shard.read(table, shard, hours)))
    const { result, also = [] } = work(...shards)
    const writes = [...shards.flatMap(shard => shard.writes), ...also]
    if (writes.length === 0 || (await table.write(doing, writes)) !== undefined) return result
    await pause(failures)
  }
}
