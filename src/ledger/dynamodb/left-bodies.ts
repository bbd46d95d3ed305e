import { DAY, WRITERS_KEPT } from '../hours.ts'
import type { Database } from './database.ts'
import { placeOfBatch } from './head.ts'
import { bodiesOf, GIVEN_UP, isGivenUp, keyOf, NOTES_OF_BODIES, noteOfBodies } from './journal.ts'
import { inParallel } from './parallel.ts'
import type { Item, Key } from './table.ts'

/**
 * Bodies are written before the key of their batch, so that a process which dies in between leaves some that nobody
 * needs. They are not told from acknowledged ones by their age: where nobody folds, these wait as long. So each writer
 * that has bodies is noted, once a day, and what is left of one that has been silent since is looked at.
 */

const WRITERS_AT_ONCE = 8

const writerOf = ({ sk }: Key): string => sk.slice(sk.indexOf('#') + 1)

/** Deletes what writers have left that have had no bodies since the day before yesterday. */
export async function deleteLeft(database: Database): Promise<void> {
  const { table, clock } = database
  const notes = await table.list('look for bodies', NOTES_OF_BODIES)
  const yesterday = noteOfBodies(clock.now() - DAY, '').sk
  const old = notes.filter(({ sk }) => sk < yesterday)
  const lately = new Set(notes.filter(({ sk }) => sk >= yesterday).map(writerOf))
  const silent = new Set(old.map(writerOf).filter(writer => !lately.has(writer)))
  const done = await inParallel([...silent], WRITERS_AT_ONCE, async writer => {
    return (await deleteLeftBy(database, writer)) ? [] : [writer]
  })
  const waiting = new Set(done.flat())
  await table.delete(
    'delete bodies that were left',
    old.filter(note => !waiting.has(writerOf(note))),
  )
}

/**
 * First the key says that the batch is given up: its writer, where it only slept, then finds no place for its own, and
 * begins anew. Without a key nothing is acknowledged. Returns whether no body of this writer is there any more.
 */
async function deleteLeftBy({ table, clock }: Database, writer: string): Promise<boolean> {
  const bodies = Map.groupBy(await table.list('look for bodies', bodiesOf(writer)), ({ sk }) =>
    Number(sk.split('#')[0]),
  )
  const batches = [...bodies.keys()].map(sequence => ({ writer, sequence }))
  const keys = new Map((await table.get('look for bodies', batches.map(keyOf))).map(key => [Number(key.sk), key]))
  // Read after the keys: a batch that has one, and no place, is folded.
  const places = batches.flatMap(({ sequence }) => [false, true].map(of => placeOfBatch(writer, sequence, of)))
  const there = new Set((await table.get('look for bodies', places)).map(({ sk }) => Number(sk.split('#').at(-1))))
  let all = true
  for (const batch of batches) {
    const key = keys.get(batch.sequence)
    const folded = key !== undefined && !isGivenUp(key)
    const goes = !there.has(batch.sequence) && (folded || (await giveUp(batch, key)))
    if (goes) await table.delete('delete bodies that were left', bodies.get(batch.sequence) as Item[])
    all &&= goes
  }
  return all

  async function giveUp(batch: { writer: string; sequence: number }, key: Item | undefined): Promise<boolean> {
    const write = { put: keyOf(batch), over: key?.version, data: GIVEN_UP, expires: clock.now() + WRITERS_KEPT }
    return (await table.write('give a batch up', [write])) !== undefined
  }
}
