import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { inferenceInstruments, LedgerError, SqliteLedger, type UsageBatch, UsageLostError } from '../../src/index.ts'
import {
  ACCOUNT,
  customer,
  exportTo,
  HOUR,
  inferenceCollection,
  M,
  makeGate,
  measure,
  OTHER_ACCOUNT,
  other,
  override,
  recorded,
  SDKS,
  START,
  SUCCESS,
  saidDuring,
  temporaryFolder,
  tokens,
  type WorldOptions,
  world,
} from './support.ts'

const full = () => new LedgerError('ERR_LEDGER_FULL', 'cannot append batch: no space is left')
const REQUESTS = `${ACCOUNT} inference-requests`
const TOKENS = `${ACCOUNT} tokens-processed`

/** A ledger whose appends fail while it is broken: before they commit, or after. */
function faulty({ committed = false } = {}) {
  const tries: UsageBatch[] = []
  const appended = Promise.withResolvers<void>()
  const state = { broken: true, error: full() as unknown, tries, appended: appended.promise }
  const wrap: NonNullable<WorldOptions['wrap']> = ledger =>
    override(ledger, {
      append: async (batch: UsageBatch) => {
        tries.push(structuredClone(batch))
        if (!state.broken || committed) await ledger.append(batch)
        if (state.broken) throw state.error
        appended.resolve()
      },
    })
  return { state, wrap }
}

test('success is called back only when the ledger has the usage', async t => {
  const gate = makeGate()
  const { exporter, ledger } = world(t, { wrap: ledger => override(ledger, { append: gate.before(ledger.append) }) })
  let calledBack = false
  const result = exportTo(exporter, tokens(5)).finally(() => {
    calledBack = true
  })
  await gate.reached
  assert.equal(calledBack, false)
  assert.deepEqual(await recorded(ledger), {})
  gate.open()
  assert.deepEqual(await result, SUCCESS)
  assert.deepEqual(await recorded(ledger), { [TOKENS]: 5n * M })
})

for (const committed of [false, true]) {
  const when = committed ? 'after it committed' : 'before it committed'

  test(`a ledger that fails ${when}: the batch in doubt is repeated verbatim, newer usage comes behind it`, async t => {
    const { state, wrap } = faulty({ committed })
    const { exporter, ledger } = world(t, { wrap })
    for (const amount of [5, 7, 11]) {
      const { code, error } = await exportTo(exporter, tokens(amount))
      assert.equal(code, 1)
      assert.match(String(error), /no space is left/)
    }
    state.broken = false
    assert.deepEqual(await exportTo(exporter, tokens(13)), SUCCESS)
    assert.deepEqual(await recorded(ledger), { [TOKENS]: 36n * M })

    const [first, ...others] = state.tries
    const second = others.pop()
    assert.equal(first?.sequence, 1)
    assert.deepEqual(
      first?.entries.map(({ amount }) => amount),
      [5n * M],
    )
    for (const repeated of others) assert.deepEqual(repeated, first)
    assert.deepEqual([second?.writer, second?.sequence], [first?.writer, 2])
    assert.deepEqual(
      second?.entries.map(({ amount }) => amount),
      [31n * M],
    )
  })

  test(`a ledger that fails ${when} recovers by a flush, and by the exporter's own look at the clock`, async t => {
    for (const recover of ['forceFlush', 'shutdown', 'alone'] as const) {
      const { state, wrap } = faulty({ committed })
      const { exporter, ledger } = world(t, { flushTimeout: 0, wakeInterval: 10, wrap })
      assert.equal((await exportTo(exporter, tokens(5))).code, 1)
      state.broken = false
      if (recover === 'alone') await state.appended
      else await exporter[recover]()
      assert.deepEqual(await recorded(ledger), { [TOKENS]: 5n * M }, recover)
    }
  })
}

test('a ledger that is found damaged: the log says what to do first, and never to copy a backup into place', async t => {
  const { exporter, ledger, clock } = world(t)
  await exportTo(exporter, tokens(5))
  const other = new DatabaseSync(ledger.path)
  other.exec('UPDATE series SET approved = 9223372036854775807')
  other.close()
  clock.now += 2 * HOUR
  const said = await saidDuring(async () => {
    await exportTo(exporter, tokens(7))
    await exporter.forceFlush().catch(() => {})
  })
  const line = said.find(line => line.includes('Usage is kept in memory until the ledger takes it'))
  assert.match(
    line ?? said.join('\n'),
    /: cannot close the hour .* The ledger is damaged\. Stop all that writes to it, keep it as it is/,
  )
})

test('what an outage keeps in memory is bounded by the number of series, months apart', async t => {
  const { state, wrap } = faulty()
  const { exporter, ledger, clock } = world(t, { wrap })
  // The first batch is in doubt; what follows is behind it.
  await exportTo(exporter, tokens(1))
  for (let hour = 0; hour < 24 * 40; hour++) {
    clock.now += HOUR
    await exportTo(exporter, inferenceCollection({ requests: 1, tokens: 10, attributes: hour % 2 ? customer : other }))
  }
  state.broken = false
  await exporter.forceFlush()
  // A batch for each month.
  const behind = state.tries.slice(-2).flatMap(({ entries }) => entries)
  const months = new Set(behind.map(({ hour }) => new Date(hour).getUTCMonth()))
  assert.deepEqual([behind.length, months.size], [2 * 2 * 2, 2])
  // Each with the last hour in which it was measured, so that it is billed in its month and never before it was used.
  const last = (account: string, month: number) =>
    behind.find(entry => entry.account.key.includes(account) && new Date(entry.hour).getUTCMonth() === month)?.hour
  assert.equal(new Date(last(OTHER_ACCOUNT, 5) ?? 0).toISOString(), '2026-06-30T23:00:00.000Z')
  assert.deepEqual(await recorded(ledger), {
    [`${ACCOUNT} inference-requests`]: 480n * M,
    [`${OTHER_ACCOUNT} inference-requests`]: 480n * M,
    [TOKENS]: 4801n * M,
    [`${OTHER_ACCOUNT} tokens-processed`]: 4800n * M,
  })
})

test('overlapping exports are serialized, and each calls back once', async t => {
  const gate = makeGate()
  let underWay = 0
  const { exporter, ledger } = world(t, {
    wrap: ledger =>
      override(ledger, {
        append: async (batch: UsageBatch) => {
          assert.equal(++underWay, 1)
          await gate.before(ledger.append).call(ledger, batch)
          underWay--
        },
      }),
  })
  const callbacks = Array.from({ length: 5 }, () => 0)
  const exports = callbacks.map(
    (_, index) =>
      new Promise<void>(resolve => {
        exporter.export(tokens(1), result => {
          assert.deepEqual(result, SUCCESS)
          callbacks[index] = (callbacks[index] ?? 0) + 1
          resolve()
        })
      }),
  )
  await gate.reached
  assert.deepEqual(callbacks, [0, 0, 0, 0, 0])
  gate.open()
  await Promise.all(exports)
  await exporter.shutdown()
  assert.deepEqual(callbacks, [1, 1, 1, 1, 1])
  assert.deepEqual(await recorded(ledger), { [TOKENS]: 5n * M })
})

test('shutdown names what a ledger that never recovers loses, and leaves no timer', async t => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const { state, wrap } = faulty()
  const { exporter, ledger } = world(t, { wrap, flushTimeout: 0 })
  await exportTo(exporter, tokens(5))
  await exportTo(exporter, inferenceCollection({ requests: 2, tokens: 8, attributes: other }))
  await exportTo(exporter, tokens(3))
  await assert.rejects(exporter.forceFlush(), { code: 'ERR_LEDGER_FULL' })
  for (const shutdown of [exporter.shutdown(), exporter.shutdown()]) {
    await assert.rejects(shutdown, error => {
      assert.ok(error instanceof UsageLostError)
      assert.equal(error.code, 'ERR_USAGE_LOST')
      assert.match(error.message, /16 token of tokens-processed, 2 request of inference-requests/)
      assert.match(error.message, /2 request of inference-requests/)
      assert.match(error.message, /usage of 3 series/)
      assert.equal((error.cause as LedgerError).code, 'ERR_LEDGER_FULL')
      return true
    })
  }
  await exporter.forceFlush()
  assert.equal((await exportTo(exporter, tokens(1))).code, 1)
  state.broken = false
  const { length } = state.tries
  t.mock.timers.tick(24 * HOUR)
  await new Promise(setImmediate)
  assert.equal(state.tries.length, length)
  assert.deepEqual(await recorded(ledger), {})
})

for (const [generation, sdk] of Object.entries(SDKS)) {
  test(`provider.shutdown() says what is about to be lost (${generation})`, async t => {
    const { exporter } = world(t, { wrap: faulty().wrap, flushTimeout: 0 })
    const { meter, provider } = measure(t, sdk, exporter)
    inferenceInstruments(meter).tokens.add(123, customer)
    await assert.rejects(provider.shutdown(), {
      code: 'ERR_LEDGER_FULL',
      message: /^usage of 1 series \(123 token of tokens-processed\) is only in this process's memory, and lost/,
    })
  })
}

for (const [generation, module] of [
  ['sdk-metrics 3', '@opentelemetry/sdk-metrics'],
  ['sdk-metrics 2.7', import.meta.resolve('../sdk-metrics-2/sdk.ts')],
]) {
  test(`a process that ends after provider.shutdown() was rejected tries once more, and closes the ledger (${generation})`, async t => {
    const path = join(temporaryFolder(t), 'ledger.sqlite')
    const script = `
      import { DatabaseSync } from 'node:sqlite'
      import { MeterProvider, PeriodicExportingMetricReader } from '${module}'
      import { AWSMarketplaceMetricExporter } from '${import.meta.resolve('../../src/index.ts')}'
      const [, path, recovers] = process.argv
      const client = { batchMeterUsage: () => Promise.reject(new Error('unreachable')) }
      const product = { region: 'us-east-1', productCode: 'p', client }
      const exporter = new AWSMarketplaceMetricExporter({ ...product, ledger: path, flushTimeout: 300 })
      const provider = new MeterProvider({ readers: [new PeriodicExportingMetricReader({ exporter })] })
      const counter = provider.getMeter('m').createCounter('marketplace.inference.tokens')
      counter.add(123, { 'marketplace.customer.account_id': '${ACCOUNT}' })
      const lock = new DatabaseSync(path)
      lock.exec('BEGIN IMMEDIATE')
      await provider.shutdown().catch(error => console.log(error.code + ': ' + error.message))
      if (recovers) lock.exec('ROLLBACK')
      process.once('exit', () => lock.close())`
    const run = (...more: string[]) =>
      spawnSync(process.execPath, ['--input-type=module', '-e', script, path, ...more], { encoding: 'utf8' })
    const { stdout, stderr } = run('recovers')
    assert.match(
      stdout,
      /^ERR_LEDGER_BUSY: usage of 1 series \(123 token of tokens-processed\) is only in this process's memory/,
    )
    assert.doesNotMatch(stderr, /LOST/)
    assert.deepEqual(readdirSync(dirname(path)), ['ledger.sqlite'])
    const ledger = new SqliteLedger({ path })
    assert.deepEqual(await recorded(ledger), { [TOKENS]: 123n * M })
    await ledger.close()
    const lost = run()
    assert.match(
      lost.stderr,
      /LOST, as far as is known here: usage of 1 series \(123 token of tokens-processed\)\. .*\n$/,
    )
    assert.equal(lost.status, 0)
  })
}

test('the last line of a process is what it has lost, whoever swallowed the error', async t => {
  const script = `
    import { exportTo, tokens, world } from '${import.meta.resolve('./support.ts')}'
    import { LedgerError } from '${import.meta.resolve('../../src/index.ts')}'
    const full = () => Promise.reject(new LedgerError('ERR_LEDGER_FULL', 'no space is left'))
    const afterwards = { after: () => {} }
    const wrap = ledger => new Proxy(ledger, { get: (of, name) => (name === 'append' ? full : of[name]?.bind?.(of) ?? of[name]) })
    for (const amount of [5, 7]) {
      const { exporter } = world(afterwards, { wrap, flushTimeout: 0 })
      await exportTo(exporter, tokens(amount))
      await exporter.forceFlush().catch(() => {})
    }
    process.exit(0)`
  const { stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
    env: { ...process.env, TMPDIR: temporaryFolder(t) },
  })
  const lines = stderr.trim().split('\n').slice(-2)
  for (const [index, amount] of [5, 7].entries()) {
    assert.match(
      lines[index] ?? '',
      new RegExp(`LOST, as far as is known here: usage of 1 series \\(${amount} token of tokens`),
    )
  }
})

test('a process that is ended while the ledger has not answered says what it may have lost', t => {
  const script = `
    import { tokens, world } from '${import.meta.resolve('./support.ts')}'
    const answers = process.argv[1] === 'answers'
    const append = ledger => async batch => { await (answers || new Promise(() => {})); await ledger.append(batch) }
    const wrap = ledger => new Proxy(ledger, { get: (of, name) => (name === 'append' ? append(of) : of[name]?.bind?.(of) ?? of[name]) })
    const { exporter } = world({ after: () => {} }, { wrap })
    exporter.export(tokens(5), () => {})
    setImmediate(() => process.exit(0))`
  const run = (ledger: string) =>
    spawnSync(process.execPath, ['--input-type=module', '-e', script, ledger], {
      encoding: 'utf8',
      env: { ...process.env, TMPDIR: temporaryFolder(t) },
    })
  assert.match(run('is silent').stderr, /LOST, as far as is known here: usage of 1 series \(5 token of tokens/)
  assert.equal(run('answers').stderr, '')
})

test('shutdown of a ledger that cannot be reached loses nothing where nothing was measured', async t => {
  const busy = new LedgerError('ERR_LEDGER_BUSY', 'another process holds its lock')
  const { exporter } = world(t, {
    flushTimeout: 0,
    wrap: ledger => override(ledger, { register: async () => Promise.reject(busy) }),
  })
  await assert.rejects(exporter.shutdown(), { code: 'ERR_LEDGER_BUSY' })
})

for (const code of ['ERR_LEDGER_BUSY', 'ERR_LEDGER_FULL', 'ERR_LEDGER_IO'] as const) {
  test(`a flush waits for a ledger that says ${code}`, async t => {
    t.mock.timers.enable({ apis: ['setTimeout'] })
    const { state, wrap } = faulty()
    state.error = new LedgerError(code, 'not now')
    const { exporter, ledger } = world(t, { wrap })
    await exportTo(exporter, tokens(5))
    const flushed = exporter.forceFlush()
    while (state.tries.length < 2 && !t.signal.aborted) await new Promise(setImmediate)
    state.broken = false
    while (state.tries.length < 3 && !t.signal.aborted) {
      t.mock.timers.tick(1000)
      await new Promise(setImmediate)
    }
    await flushed
    assert.deepEqual(await recorded(ledger), { [TOKENS]: 5n * M })
  })
}

test('a ledger that hangs holds neither flush nor shutdown beyond the deadline', async t => {
  const gate = makeGate()
  const { exporter, ledger } = world(t, {
    flushTimeout: 20,
    wrap: ledger => override(ledger, { append: gate.before(ledger.append) }),
  })
  const exported = exportTo(exporter, tokens(5))
  await assert.rejects(exporter.forceFlush(), { code: 'ERR_LEDGER_BUSY' })
  await assert.rejects(exporter.shutdown(), UsageLostError)
  gate.open()
  assert.deepEqual(await exported, SUCCESS)
  assert.deepEqual(await recorded(ledger), { [TOKENS]: 5n * M })
})

test('a ledger that rejects with nothing at all is a failure like another', async t => {
  const { state, wrap } = faulty()
  state.error = undefined
  const { exporter, ledger } = world(t, { wrap, flushTimeout: 0 })
  const result = await exportTo(exporter, tokens(5))
  assert.equal(result.code, 1)
  assert.ok(result.error instanceof Error)
  state.broken = false
  await exporter.shutdown()
  assert.deepEqual(await recorded(ledger), { [TOKENS]: 5n * M })
})

test('a callback that throws takes nothing with it', async t => {
  const { exporter, ledger } = world(t)
  const thrown = Promise.withResolvers<void>()
  exporter.export(tokens(5), () => {
    thrown.resolve()
    throw new Error('of the callback')
  })
  await thrown.promise
  assert.deepEqual(await exportTo(exporter, tokens(6)), SUCCESS)
  assert.deepEqual(await recorded(ledger), { [TOKENS]: 11n * M })
})

test('a dimension that the ledger has in another base unit is refused at once where the ledger can say so', async t => {
  const first = world(t)
  await exportTo(first.exporter, tokens(5))
  await first.exporter.shutdown()
  // Sold by the token until now, by the second from now on, under the same name.
  const dimensions = { 'tokens-processed': { unit: 's', from: 'marketplace.time' } } as const
  assert.throws(() => world(t, { wrap: () => first.ledger, dimensions }), {
    code: 'ERR_CONFIGURATION',
    message:
      /dimensions\.tokens-processed\.unit: expected one that converts to "1", in which the ledger has its usage, got "s"/,
  })
})

test('else it waits by itself: the others are recorded, and records that are due go out', async t => {
  const first = world(t)
  await exportTo(first.exporter, tokens(5))
  await first.exporter.shutdown()
  first.clock.now += HOUR
  // As one on another machine.
  const remote = new Proxy(first.ledger, {
    get: (target, name) => {
      const member = target[name as keyof typeof target] as unknown
      return typeof member === 'function' ? member.bind(target) : member
    },
    getPrototypeOf: () => Object.prototype,
  })
  const second = world(t, {
    now: () => first.clock.now,
    client: first.client,
    wrap: () => remote,
    dimensions: {
      'tokens-processed': { unit: 's', from: 'marketplace.time' },
      'inference-requests': { unit: '{request}', from: 'marketplace.requests' },
    },
  })
  const results = await saidDuring(async () => {
    const usage = inferenceCollection({ seconds: 3, requests: 2, attributes: customer })
    const { code, error } = await exportTo(second.exporter, usage)
    assert.equal(code, 1)
    assert.match(String(error), /tokens-processed is recorded in the base unit "1".*got "s".*new dimension/)
  })
  assert.match(results.join('\n'), /error: Usage is kept in memory .*base unit/)
  assert.deepEqual(await recorded(first.ledger), { [TOKENS]: 5n * M, [REQUESTS]: 2n * M })
  // What waits across the turn of a month was made a batch of before.
  first.clock.now = Date.UTC(2026, 6, 1)
  const more = inferenceCollection({ seconds: 1, requests: 1, attributes: customer })
  assert.equal((await exportTo(second.exporter, more)).code, 1)
  assert.deepEqual(await recorded(first.ledger), { [TOKENS]: 5n * M, [REQUESTS]: 3n * M })
  await assert.rejects(second.exporter.forceFlush(), { code: 'ERR_LEDGER_INVALID' })
  await assert.rejects(second.exporter.shutdown(), /\(4 s of tokens-processed\)/)
})

test('the clock jumping back and ahead by a day bills each unit once', async t => {
  const { exporter, clock, billed, ledger, simulator } = world(t)
  const steps = [HOUR, -2 * HOUR, HOUR, 24 * HOUR, -24 * HOUR, 5 * HOUR, 30 * HOUR, 3 * HOUR]
  for (const step of steps) {
    assert.deepEqual(await exportTo(exporter, tokens(10)), SUCCESS)
    clock.now += step
    await exporter.forceFlush()
  }
  assert.ok(clock.now > START)
  const [line] = await ledger.statement()
  assert.ok(line)
  assert.equal(line.recorded, 80n * M)
  assert.equal(line.recorded, line.metered + line.pending + line.held + line.balance)
  assert.equal(line.metered, BigInt(billed()[TOKENS] ?? 0) * M)
  assert.equal(line.held, 0n)
  // What was measured while the clock was a day ahead is billed when that day has come.
  clock.now += 26 * HOUR
  await exporter.forceFlush()
  assert.deepEqual(billed(), { [TOKENS]: 80 })
  assert.equal(new Set(simulator.billed().map(({ hour }) => hour)).size, simulator.billed().length)
})
