import { HOUR, hourOf, MINUTE } from '../../src/ledger/hours.ts'
import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import { answerWith, collectGarbage } from './child.ts'
import { temporaryFolder } from './folder.ts'
import { NOW, use } from './metering.ts'

/** The longest time in which the event loop turned to nothing else, in milliseconds, during each of these. */
export interface Turns {
  readonly closing: number
  readonly idle: number
  readonly expire: number
  readonly restore: number
}

answerWith<number, Turns>(async series => {
  const ledger = new SqliteLedger({ path: `${temporaryFolder()}/ledger.sqlite` })
  try {
    const start = hourOf(NOW)
    await use(ledger, series, 'prod-bench', NOW)
    const close = (hours: number) =>
      ledger.closeHours({
        ...{ now: start + hours * HOUR + 6 * MINUTE, region: 'us-east-1', zeroQuantityRecords: true },
        ...{ closeDelay: 5 * MINUTE, deadlineMargin: 5 * MINUTE },
      })
    const closing = await longestTurn(() => close(1))
    const idle = await longestTurn(() => close(3))
    const restore = await longestTurn(() => ledger.declareRestored({ who: 'x', why: 'y', now: start + 4 * HOUR }))
    const expire = await longestTurn(() => ledger.expire(start + 25 * HOUR))
    return { closing, idle, expire, restore }
  } finally {
    await ledger.close()
  }
})

async function longestTurn(work: () => Promise<unknown>): Promise<number> {
  collectGarbage()
  let [last, longest, done] = [performance.now(), 0, false]
  const turn = () => {
    const now = performance.now()
    longest = Math.max(longest, now - last)
    last = now
    if (!done) setImmediate(turn)
  }
  setImmediate(turn)
  await work()
  done = true
  await new Promise(resolve => setImmediate(resolve))
  return longest
}
