import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Gateway } from '../../../src/gateway/gateway.ts'
import { Activity } from '../../../src/gateway/operations/activity.ts'
import { diskCheck, ledgerCheck, passCheck } from '../../../src/gateway/operations/checks.ts'
import { isReady, Readiness, type ReadinessCheck, readinessText } from '../../../src/gateway/operations/readiness.ts'
import { spooled } from '../../../src/ledger/clients/spool.ts'
import type { Ledger } from '../../../src/ledger/ledger.ts'
import { SqliteLedger } from '../../../src/ledger/sqlite/ledger.ts'
import { TemporaryFolder } from '../../ledger/sqlite-under-test.ts'

const clock = { now: 1_700_000_000_000 }
const now = () => clock.now

test('each check says by its name what is wrong, and an advisory one turns no usage away', async () => {
  const readiness = new Readiness(
    [
      { name: 'ledger', check: () => {} },
      { name: 'credentials', advisory: true, check: async () => Promise.reject(new Error('the role has\nexpired')) },
    ],
    { now },
  )
  const results = await readiness.results()
  assert.equal(isReady(results), true)
  assert.equal(readinessText(results, true), '[+]ledger ok\n[!]credentials warning: the role has expired\nready\n')
  assert.equal(readinessText(results, false), '[+]ledger ok\n[!]credentials warning: reason withheld\nready\n')

  const failing = new Readiness([{ name: 'disk', check: () => Promise.reject(new Error('full')) }], { now })
  assert.equal(isReady(await failing.results()), false)
  assert.equal(readinessText(await failing.results(), true), '[-]disk failed: full\nnot ready\n')
})

test('a check that hangs ends with its time limit, and is not begun again while it hangs', async () => {
  let begun = 0
  let end = () => {}
  let signal: AbortSignal | undefined
  const hanging: ReadinessCheck = {
    name: 'ledger',
    check: given => {
      begun += 1
      signal ??= given
      return new Promise(resolve => {
        end = resolve
      })
    },
  }
  const readiness = new Readiness([hanging], { now, timeLimit: 20 })
  for (let round = 0; round < 3; round++) {
    assert.equal(
      readinessText(await readiness.results(), true),
      '[-]ledger failed: no answer within 20 ms\nnot ready\n',
    )
    clock.now += 60_000
  }
  assert.equal(begun, 1)
  assert.equal(signal?.aborted, true)
  end()
  const again = readiness.results()
  end()
  assert.equal(isReady(await again), true)
})

test('a check that is slow to fail is soon tried again', async () => {
  let runs = 0
  const check = async () => {
    runs += 1
    await new Promise(resolve => setTimeout(resolve, 60))
    throw new Error('no')
  }
  const readiness = new Readiness([{ name: 'ledger', check }], { now })
  await readiness.results()
  clock.now += 1000
  await readiness.results()
  assert.equal(runs, 2)
})

test('a gateway whose disk is full is not ready', async t => {
  const folder = new TemporaryFolder()
  const file = new SqliteLedger({ path: folder.file() })
  const elsewhere = new SqliteLedger({ path: ':memory:' })
  const spool = spooled(elsewhere, { path: folder.file('spool.db') })
  t.after(async () => {
    await file.close()
    await spool.close()
    folder[Symbol.dispose]()
  })
  const readyz = async (ledger: Ledger, minFreeBytes?: number) => {
    const gateway = await Gateway.start({
      ...{ productCode: 'prod', region: 'us-east-1', ledger, http: { port: 0 }, dryRun: true },
      ...(minFreeBytes !== undefined && { minFreeBytes }),
    })
    try {
      const response = await fetch(`http://${gateway.addresses.http}/readyz`)
      return `${response.status} ${await response.text()}`
    } finally {
      await gateway.close()
    }
  }
  assert.equal(await readyz(file, 1), '200 [+]ledger ok\n[+]disk ok\n[+]metering-pass ok\nready\n')
  assert.match(await readyz(file, 1e18), /^503 \[\+\]ledger ok\n\[-\]disk failed: expected 1000000000000 MB free .*\n/)
  assert.equal(await readyz(elsewhere, 1e18), '200 [+]ledger ok\n[+]metering-pass ok\nready\n')
  assert.match(await readyz(spool, 1e18), /^503 \[\+\]ledger ok\n\[-\]disk failed/)
})

test('however often it is asked, checks run once a second', async () => {
  let runs = 0
  const readiness = new Readiness([{ name: 'ledger', check: () => void runs++ }], { now })
  for (let asked = 0; asked < 1000; asked++) await readiness.results()
  assert.equal(runs, 1)
  clock.now += 1000
  await readiness.results()
  assert.equal(runs, 2)
})

test('the ledger, the disk and the metering passes are checked', async () => {
  const run = async (check: ReadinessCheck) => {
    const [result] = await new Readiness([check], { now }).results()
    return `${result?.state} ${result?.message ?? ''}`.trim()
  }
  const ledger = new SqliteLedger({ path: ':memory:' })
  assert.equal(await run(ledgerCheck(ledger)), 'ok')
  await ledger.close()
  assert.match(await run(ledgerCheck(ledger)), /^failed .*closed/)

  assert.equal(await run(diskCheck(import.meta.dirname, 1)), 'ok')
  assert.match(await run(diskCheck(import.meta.dirname, 1e18)), /^failed expected 1000000000000 MB free for the ledger/)
  assert.match(await run(diskCheck('/nowhere', 1)), /^failed ENOENT/)

  const activity = new Activity(now)
  assert.equal(await run(passCheck(activity, 60_000)), 'ok')
  clock.now += 61_000
  assert.equal(await run(passCheck(activity, 60_000)), 'warning no metering pass has succeeded for 1 minutes')
  activity.passed(clock.now - 5, new Error('database is locked'))
  assert.match(await run(passCheck(activity, 60_000)), /for 1 minutes: Error: database is locked$/)
  activity.passed(clock.now)
  assert.equal(await run(passCheck(activity, 60_000)), 'ok')
})
