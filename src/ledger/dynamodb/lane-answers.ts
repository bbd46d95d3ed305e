import type { LaneAnswer } from '../ledger.ts'
import type { Database } from './database.ts'
import { parseLane } from './lanes.ts'
import { pack } from './packed-json.ts'
import { inParallel } from './parallel.ts'
import { END } from './table.ts'

/** What AWS, or the way to it, has answered last: beside the turns of its quota, which the same processes take. */

const PARTITION = 'turns'
const PLACE = 'answer#'

const WRITES_AT_ONCE = 8

/** Over what was there, whoever wrote it: the last one tells. */
export async function noteAnswers(
  { table }: Database,
  answers: ReadonlyMap<string, string>,
  now: number,
): Promise<void> {
  await inParallel([...answers], WRITES_AT_ONCE, async ([lane, answer]) => {
    await table.update(
      'note what AWS has answered',
      { pk: PARTITION, sk: `${PLACE}${lane}` },
      {
        UpdateExpression: 'SET #data = :data',
        ExpressionAttributeNames: { '#data': 'data' },
        ExpressionAttributeValues: { ':data': { B: pack([answer, now]) } },
      },
    )
  })
}

export async function laneAnswers({ table }: Database): Promise<LaneAnswer[]> {
  const items = await table.list('read the last answers', PARTITION, { from: PLACE, to: `${PLACE}${END}` })
  const answers = items.map(({ sk, data }) => {
    const { product, identity, region } = parseLane(sk.slice(PLACE.length))
    const [answer, at] = data as [string, number]
    return { product, identity, region, answer, at }
  })
  const keyOf = ({ product, region, identity }: LaneAnswer) => [product, region, identity].join('\n')
  return answers.sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1))
}
