import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { suite, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { type MainJobOptions, type MainJobResult, runMainJob } from '../examples/main-job/main-job.ts'

const SMALL: MainJobOptions = { hours: 1, customers: 3, seed: 1, faults: true, kills: 0, progress: () => {} }
const MAIN = fileURLToPath(new URL('../examples/main-job/main.ts', import.meta.url))
/** Doubles, which add up GPU seconds, are exact to less than that. */
const CLOSE = 1e-6

/** What holds of every run, whatever happened in it. */
function assertSettled({ lines, requests, visitors: { arrived, left } }: MainJobResult): void {
  assert.ok(requests > 0)
  // Three from the beginning, and who arrived; of who left nothing whole is left to bill.
  assert.equal(lines.length, 4 * 3)
  assert.ok(arrived !== undefined && left !== undefined)
  for (const { customer, dimension, balance } of lines) {
    if (customer === left.customer && dimension !== 'gpu-hours') assert.equal(balance, 0)
  }
  assert.ok((left.lastBilledAt ?? 0) > left.at, 'what was used in the hour of the end was billed after it')
  assert.ok((left.lastBilledAt ?? 0) < left.at + 3_600_000)
  for (const line of lines) {
    const { recorded, metered, pending, held, balance, billed } = line
    assert.equal(metered, billed, JSON.stringify(line))
    assert.ok(Math.abs(recorded - (metered + pending + held + balance)) < CLOSE, JSON.stringify(line))
    assert.deepEqual([pending, held], [0, 0])
    // An hour may be too short for a whole GPU hour.
    assert.ok(billed > 0 || line.dimension === 'gpu-hours')
  }
}

// Each run waits for its processes most of the time.
suite('the main job', { concurrency: true }, () => {
  test('bills what was measured, while AWS fails now and then', async () => {
    const result = await runMainJob(SMALL)
    assertSettled(result)
    assert.equal(result.difference, 0)
    assert.ok(Object.values(result.faults).reduce((sum, count) => sum + count, 0) > 0)
    const { measured, billed } = result.busiestHour
    const [request = 0, minute = 0, replica = 0, ours] = Object.values(billed)
    assert.ok(0 < request && request <= minute && minute < replica && replica < measured)
    assert.equal(ours, measured)
    const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
    for (const way of Object.keys(billed))
      assert.match(readme, new RegExp(`^${way} +[█▏▎▍▌▋▊▉]+ +[\\d,]+ +[\\d.]+ %$`, 'm'))
    assert.deepEqual(
      result.models.map(({ model }) => model),
      ['markov-1', 'markov-1-small'],
    )
    for (const { measured, metered, billed } of result.models) assert.deepEqual([metered, billed], [measured, measured])
  })

  test('killed again and again, it bills all that the ledger acknowledged, once', async () => {
    const result = await runMainJob({ ...SMALL, kills: 5, seed: 2 })
    assertSettled(result)
    assert.equal(result.kills, 5)
    for (const [index, { customer, dimension, measured, recorded }] of result.lines.entries()) {
      const unacknowledged = result.unacknowledged[index]
      assert.deepEqual([unacknowledged?.customer, unacknowledged?.dimension], [customer, dimension])
      const missing = measured - recorded
      assert.ok(missing > -CLOSE, `${customer} ${dimension}: more was recorded than measured`)
      assert.ok(missing <= (unacknowledged?.amount ?? 0) + CLOSE, `${customer} ${dimension}: ${missing} are missing`)
    }
  })

  test('the command says where nobody can read what it prints', { skip: !existsSync('/dev/full') }, async t => {
    const full = openSync('/dev/full', 'w')
    t.after(() => closeSync(full))
    const into = async (stdout: 'pipe' | number, ...args: string[]) => {
      const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', stdout, 'pipe'] })
      // Whoever reads stops at once.
      child.stdout?.destroy()
      const [said, [status]] = await Promise.all([text(child.stderr as Readable), once(child, 'close')])
      return { status, said: said.replaceAll(/^(virtual time|- Starting) .*\n/gm, '') }
    }
    const failed = {
      status: 2,
      said: 'error: The output cannot be written: ENOSPC: no space left on device, write. What the command was to do is done.\n',
    }
    const small = ['--hours', '1', '--customers', '1', '--no-faults']
    const [help, table, pipe] = await Promise.all([into(full, '--help'), into(full, ...small), into('pipe', '--help')])
    assert.deepEqual([help, table, pipe], [failed, failed, { status: 0, said: '' }])
  })

  test('the command prints one JSON object', async () => {
    // Rejects for any exit status but 0.
    const { stdout } = await promisify(execFile)(process.execPath, [MAIN, '--json', '--hours', '1', '--customers', '2'])
    const result = JSON.parse(stdout)
    assert.equal(result.difference, 0)
    const figures = ['measured', 'recorded', 'metered', 'pending', 'held', 'balance', 'billed']
    assert.ok(result.lines.length > 0)
    const units: Record<string, string> = {
      'gpu-hours': 's',
      'inference-requests': 'request',
      'tokens-processed': 'token',
    }
    for (const line of result.lines) {
      assert.deepEqual(Object.keys(line), ['customer', 'dimension', 'unit', ...figures])
      assert.equal(line.unit, units[line.dimension])
    }
  })
})
