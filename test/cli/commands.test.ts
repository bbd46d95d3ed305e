import assert from 'node:assert/strict'
import { type StdioOptions, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { text } from 'node:stream/consumers'
import { describe, type TestContext, test } from 'node:test'
import { spooled } from '../../src/ledger/clients/spool.ts'
import { HOUR } from '../../src/ledger/hours.ts'
import type { AuditBreak, AuditEntry, Lane, MeteringRecord, Outcome } from '../../src/ledger/ledger.ts'
import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import { EndpointGuard } from '../../src/metering/endpoints.ts'
import { shortTime } from '../../src/text/time.ts'
import { customerAccount } from '../../src/usage/account.ts'
import type { Dimension } from '../../src/usage/dimension.ts'
import { ACME, BOLT, folder, GPU, LATEST, MAIN, MILLION, NOW, REQUESTS, run, seededLedger, TOKENS } from './support.ts'

const AT = ['--now', '2026-11-21T09:40Z']

async function seeded(t: TestContext) {
  const directory = folder(t)
  const path = await seededLedger(join(directory, 'ledger.sqlite'))
  return { directory, path, command: (...args: string[]) => run([...args, '--ledger', path]) }
}

/** The youngest audit entry, and what its ledger says of all time. */
async function afterwards(path: string) {
  const ledger = new SqliteLedger({ path, readOnly: true })
  const [entry] = await ledger.audit({ limit: 1 })
  const records = await ledger.records()
  const lines = await ledger.statement()
  await ledger.close()
  return {
    entry,
    state: (id: string) => records.find(record => record.id === id)?.state,
    line: (customer: string, dimension: string) =>
      lines.find(line => line.account.key === customer && line.dimension.name === dimension),
  }
}

describe('commands that look', () => {
  test('say it where nobody can read them, in one sentence', { skip: !existsSync('/dev/full') }, async t => {
    const { path } = await seeded(t)
    const full = openSync('/dev/full', 'w')
    t.after(() => closeSync(full))
    const into = async (stdio: StdioOptions, args: string[]) => {
      const child = spawn(process.execPath, [MAIN, ...args], { stdio })
      const said = child.stderr === null ? '' : text(child.stderr)
      const [status] = await once(child, 'close')
      return { status, said: await said }
    }
    for (const args of [
      ['--help'],
      ['records', '--ledger', path],
      ['statement', '--ledger', path, '--format', 'json'],
    ]) {
      assert.deepEqual(await into(['ignore', full, 'pipe'], args), {
        status: 2,
        said: 'error: The output cannot be written: ENOSPC: no space left on device, write. What the command was to do is done.\n',
      })
    }
    assert.equal((await into(['ignore', full, full], ['status', '--ledger', path])).status, 2)
    assert.equal((await into(['ignore', 'ignore', full], ['records', '--ledger', 'nowhere'])).status, 2)
  })

  test('read a ledger that an exporter has open, and leave it as it is', async t => {
    const { path } = await seeded(t)
    const exporter = new SqliteLedger({ path })
    t.after(() => exporter.close())
    const env = { MARKETPLACE_LEDGER: path }
    const [status, statement, records, held, audit, verify] = await Promise.all([
      run(['status', ...AT], env),
      run(['statement', '--format', 'json', '--from', '2026-11', '--to', '2026-11', ...AT], env),
      run(['records', '--state', 'held', '--limit', '3'], env),
      run(['held'], env),
      run(['audit'], env),
      run(['verify', '--format', 'json'], env),
    ])
    for (const { status: code } of [status, statement, records, held, audit, verify]) assert.equal(code, 0)
    assert.match(
      status.stdout,
      /Oldest pending {2}2026-11-21T08Z .*Look first at:\n {2}1 record is in doubt.*\n {2}3 records are held/s,
    )
    assert.match(status.stdout, /^Last answers {4}prod in us-east-1: ThrottlingException: Rate exceeded, 30 min ago$/m)
    const { from, to, lines, equationHolds } = JSON.parse(statement.stdout)
    assert.deepEqual(
      [from, to, lines.length, equationHolds],
      [...['2026-11-01T00:00:00.000Z', '2026-12-01T00:00:00.000Z', 7, true]],
    )
    assert.equal(records.stdout.trim().split('\n').length, 4)
    assert.match(records.stderr, /^There are more than these 3/)
    assert.match(held.stdout, /^in-doubt: 1 record/)
    // Nobody is told that there is nothing, who has asked for what there is none of.
    const misspelt = ['--customer', '111122223334']
    for (const [none, ...args] of [
      ['Nothing is held', 'held', ...misspelt],
      ['Nothing is held', 'held', '--reason', 'refused'],
      ['No records', 'records', ...misspelt],
      ['No usage', 'statement', ...misspelt],
      ['No entries', 'audit', '--action', 'settle'],
      ['No agreement is known', 'agreements', ...misspelt],
      ['No senders', 'senders', ...misspelt],
      ['Nothing is included', 'entitlements', ...misspelt],
    ] as [string, string, ...string[]][]) {
      const [said] = (await run(args, env)).stdout.split('\n')
      assert.equal(said, `${none} so. "marketplace-meter ${args[0]}" shows all.`)
    }
    assert.match(audit.stdout, /^No entries/)
    const { audit: verdict, ...equation } = JSON.parse(verify.stdout)
    const reconciled = [{ region: 'us-east-1', until: null, hours: [], open: {}, leftOut: 0 }]
    assert.deepEqual(equation, { series: 7, equationHolds: true, breaches: [], reconciled })
    assert.deepEqual([verdict.entries, verdict.breaks], [0, []])
    // Nothing but a terminal gets colours.
    for (const { stdout } of [status, records, held]) assert.ok(!stdout.includes('\u001b'))
  })

  test('tell that a customer uses more in an hour than a record takes, and for how many hours that lasts', async t => {
    const path = join(folder(t), 'ledger.sqlite')
    const ledger = new SqliteLedger({ path })
    await ledger.register([REQUESTS, TOKENS])
    const most = 2_147_483_647n
    const used = ([account, { name: dimension, size }, quantity]: readonly [typeof ACME, Dimension, bigint]) => {
      return { account, dimension, hour: LATEST, amount: quantity * size }
    }
    const all = [
      [ACME, TOKENS, 9n * most + 1n] as const,
      [BOLT, TOKENS, 5n * most] as const,
      [BOLT, REQUESTS, 7n] as const,
    ]
    await ledger.append({ writer: 'a'.repeat(32), sequence: 1, entries: all.map(used) })
    const now = NOW
    await ledger.closeHours({ now, region: 'us-east-1', closeDelay: 0, deadlineMargin: 0 })
    await ledger.close()
    const [status, check, json] = await Promise.all(
      [[], ['--check'], ['--format', 'json']].map(more => run(['status', '--ledger', path, ...AT, ...more])),
    )
    const said =
      'More of tokens-processed is used than AWS takes: a record has 2,147,483,647 units at most, and one customer has one ' +
      'record an hour. 2 customers are behind; of the furthest 17,179,869,177 × 1,000 tokens wait for the next 9 hours, and what ' +
      'is used meanwhile comes on top; with that much in every hour it never ends: Sell a larger unit, under a new dimension ' +
      'with a larger "per"'
    assert.deepEqual([check?.status, check?.stdout], [1, `WARNING: ${said}\n`])
    assert.match(status?.stdout ?? '', /^More than fits {2}tokens-processed: 2 customers, for up to 9 hours$/m)
    assert.ok(status?.stdout.endsWith(`Look first at:\n  ${said}\n`), status?.stdout)
    const { overflows, problems } = JSON.parse(json?.stdout ?? '')
    assert.deepEqual(overflows, [
      { dimension: 'tokens-processed', customers: 2, hours: 9, amount: '17179869177000', baseUnit: '1' },
    ])
    assert.equal(problems[0].level, 'WARNING')
  })

  test('tell where records go, of a process that was refused, and what a person decides about it', async t => {
    const { path, command } = await seeded(t)
    const client = (endpoint: string) => ({ endpoint, batchMeterUsage: async () => ({}) })
    const aws = client('https://metering.marketplace.us-east-1.amazonaws.com')
    const simulator = client('http://127.0.0.1:8480')
    const ledger = new SqliteLedger({ path })
    t.after(() => ledger.close())
    const guard = new EndpointGuard(ledger, () => NOW)
    const before = await command('endpoint', ...AT)
    assert.equal(before.stdout, 'Nothing was sent yet: where the first record goes, all others do.\n')
    await guard.look('us-east-1', aws, true)
    await guard.look('us-east-1', simulator, true)
    const [status, json, shown, without, wrong] = await Promise.all([
      command('status', '--check', ...AT),
      command('status', '--format', 'json', ...AT),
      command('endpoint', ...AT),
      command('endpoint', 'localhost'),
      command('endpoint', 'localhost', '--region', 'mars', '--why', 'x'),
    ])
    const refused =
      /A process of \S+@\S+ would send records of us-east-1 to localhost, and the ledger's go to AWS: it freezes and sends none/
    assert.match(status.stdout, new RegExp(`^WARNING: ${refused.source}: marketplace-meter endpoint$`, 'm'))
    const { endpoints } = JSON.parse(json.stdout)
    assert.deepEqual(endpoints, [{ region: null, endpoint: 'aws', since: '2026-11-21T09:40:00.000Z', who: 'metering' }])
    assert.match(shown.stdout, /^AWS, since 2026-11-21T09:40Z \(metering\)\n/)
    assert.match(shown.stdout, refused)
    assert.match(
      shown.stdout,
      /^ {2}Only where it is AWS under .* nobody is to be\n {2}billed .*:\n {4}marketplace-meter endpoint localhost --region us-east-1 --why "…"$/m,
    )
    assert.deepEqual([without.status, wrong.status], [2, 2])
    assert.match(wrong.stderr, /Expected --region to be one such as us-east-1/)
    const strange = await command('endpoint', 'a b', '--why', 'x')
    assert.match(strange.stderr, /Expected aws, localhost, a host or a URL, got "a b"\./)
    const because = ['--why', 'a rehearsal', '--who', 'pat', ...AT]
    const decided = await command('endpoint', 'http://localhost:9', '--region', 'us-east-1', ...because)
    assert.match(decided.stdout, /^Records of us-east-1 go to localhost from now on\.\n/)
    assert.match(
      decided.stdout,
      /^ {2}What was sent to AWS stays as it is\.\n {2}Nobody is billed for what is sent now, /m,
    )
    const { entry } = await afterwards(path)
    assert.deepEqual([entry?.action, entry?.who, entry?.detail], ['endpoint', 'pat', 'us-east-1 localhost decided'])
    assert.equal(await guard.look('us-east-1', simulator, true), undefined)
    const table = await command('status', ...AT)
    assert.match(table.stdout, /^Sent to {9}AWS\n {16}us-east-1: localhost\n/m)
    assert.doesNotMatch(table.stdout, /would send/)
    const back = await command('endpoint', 'aws', ...because)
    assert.match(back.stdout, /^ {2}What is not sent yet is billed now: "marketplace-meter statement" shows it\.$/m)
    assert.equal(await guard.look('us-east-1', aws, false), undefined)
    for (const { stdout } of [shown, decided, back, await command('endpoint', '--help')]) {
      const long = stdout.split('\n').filter(line => line.length > 80)
      assert.deepEqual(
        long.filter(line => !line.startsWith('A process of')),
        [],
      )
    }
  })

  test('tell cron by their exit status what needs a person', async t => {
    const { directory, command } = await seeded(t)
    const fine = new SqliteLedger({ path: join(directory, 'fine.sqlite') })
    const alert = { action: 'above-alert', who: 'metering', why: 'more than 9', detail: 'record 1: 10 of x' } as const
    await fine.closeHours({ now: NOW, region: 'us-east-1', closeDelay: 0, deadlineMargin: 0 })
    await fine.close()
    const [now, later, json, good, none, ahead] = await Promise.all([
      command('status', '--check', ...AT),
      command('status', '--check', '--now', '2026-11-21T20:00Z'),
      command('status', '--check', '--format', 'json', ...AT),
      run(['status', '--check', '--ledger', fine.path, ...AT]),
      run(['status', '--check', '--ledger', join(directory, 'none.sqlite')]),
      run(['status', '--check', '--ledger', fine.path, '--now', '2026-11-21T07:59Z']),
    ])
    const told = new SqliteLedger({ path: join(directory, 'fine.sqlite') })
    await told.note({ ...alert, now: NOW - 60_000 })
    await told.close()
    assert.match(
      (await run(['status', '--check', '--ledger', fine.path, ...AT])).stdout,
      /^WARNING: More is billed in an hour than is usual\. record 1: 10 of x, 1 min ago: more than 9\. Find .*above-alert\n$/,
    )
    assert.deepEqual(
      [now, later, json, good, none, ahead].map(({ status }) => status),
      [1, 2, 1, 0, 2, 1],
    )
    assert.match(
      ahead.stdout,
      /^WARNING: The last closed hour, 2026-11-21T08Z, is to come: a clock is or was wrong: look at /,
    )
    assert.equal(
      now.stdout,
      `WARNING: 1 record is in doubt, AWS may have billed it: marketplace-meter held
WARNING: 3 records are held: marketplace-meter held
WARNING: Usage is unattributed, nobody is billed for it: marketplace-meter statement, then attribute or write-off
`,
    )
    assert.match(
      later.stdout,
      /^CRITICAL: Usage of 2026-11-21T08Z is still pending; .*prod in us-east-1: ThrottlingException: Rate exceeded, 11 h ago: m.*\nCRITICAL: No hour was closed since 2026-11-21T08Z: is an exporter or gateway running\? Start it with this ledger, never with a new one\nWARNING: 1 /,
    )
    const { exitStatus, problems, answers } = JSON.parse(json.stdout)
    assert.deepEqual(
      [exitStatus, problems.length, problems[0].level, answers[0].answer],
      [1, 3, 'WARNING', 'ThrottlingException: Rate exceeded'],
    )
    assert.equal(good.stdout, 'OK: nothing to do at 2026-11-21T09:40Z, closed through 2026-11-21T08Z\n')
    assert.match(none.stderr, /^error: There is no ledger at .*\(ERR_LEDGER_NOT_FOUND\)\n$/)
    const loop = join(directory, 'loop.sqlite')
    symlinkSync(loop, loop)
    const lost = await run(['status', '--check', '--ledger', loop])
    assert.match(lost.stderr, /^error: cannot open the ledger \S+: the system says ELOOP of \S+\. \(ERR_LEDGER_IO\)\n$/)
    assert.match(
      (await run(['doctor', '--ledger', loop])).stdout,
      /cannot open the ledger \S+:\s+the system says ELOOP/,
    )
  })

  test('tell cron that the disk is full', async t => {
    const { directory, path } = await seeded(t)
    const mount = 'mount -t tmpfs -o size=4m none "$0" && cp "$1" "$0" && shift && exec "$@"'
    const small = join(directory, 'small')
    mkdirSync(small)
    const inSmallDisk = (...command: string[]) => {
      const args = ['--map-root-user', '--mount', 'sh', '-c', mount, small, path, ...command]
      return spawnSync('unshare', args, { encoding: 'utf8' })
    }
    const disk = join(small, 'ledger.sqlite')
    if (inSmallDisk('true').status !== 0) return t.skip('this machine does not let us mount a small disk')
    const { status, stdout } = inSmallDisk(process.execPath, MAIN, 'status', '--check', '--ledger', disk, ...AT)
    assert.equal(status, 2)
    assert.match(
      stdout,
      /^CRITICAL: \d MB free of the 32 MB that the ledger's disk is to have: make room; once it is full, what is measured waits in memory\n/,
    )
  })

  test('fail loudly when the ledger does not add up', async t => {
    const { path, command } = await seeded(t)
    const database = new DatabaseSync(path)
    database.exec("UPDATE series SET metered = '1000000' WHERE id = 1")
    database.close()
    const [table, json, verify] = await Promise.all([
      command('statement'),
      command('statement', '--format', 'json'),
      command('verify'),
    ])
    assert.deepEqual([table.status, json.status, verify.status], [2, 2, 2])
    assert.match(table.stdout, /THE EQUATION DOES NOT HOLD for 1 of 7 series/)
    assert.equal(JSON.parse(json.stdout).equationHolds, false)
    assert.match(json.stderr, /THE EQUATION DOES NOT HOLD/)
    assert.match(
      verify.stdout,
      /111122223333, tokens-processed: off by 3000999 token\nThe ledger is damaged\. Stop all that writes/,
    )
  })

  test('end quietly when their reader does', async t => {
    const { path } = await seeded(t)
    const child = spawn(process.execPath, [MAIN, 'records', '--format', 'csv', '--ledger', path], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    child.stdout.destroy()
    let stderr = ''
    child.stderr.on('data', chunk => {
      stderr += chunk
    })
    const [status] = await once(child, 'close')
    assert.deepEqual([status, stderr], [0, ''])
  })
})

describe('commands that decide', () => {
  test('release', async t => {
    const { path, command } = await seeded(t)
    const mistyped = await command('release', '7', '99', '--why', 'real usage')
    assert.equal(mistyped.status, 2)
    assert.match(mistyped.stderr, /^error: No record "99" is held; nothing was changed.*\(ERR_LEDGER_NOT_FOUND\)\n$/)
    assert.equal((await afterwards(path)).entry, undefined)
    const { status, stdout } = await command('release', '7', '4', '--why', 'real usage', '--who', 'ann', ...AT)
    assert.equal(status, 0)
    assert.match(stdout, /^Released record 7: 60,000 request of inference-requests of 444455556666, 2026-11-21T08Z\n/)
    assert.match(stdout, /goes out with the next hour that is closed\.\n {2}This much may pass the maximum once\.\n/)
    const { entry, state } = await afterwards(path)
    assert.deepEqual([state('7'), state('4')], ['returned', 'returned'])
    assert.deepEqual(
      [entry?.action, entry?.who, entry?.why, entry?.at, entry?.recordId],
      [...['release', 'ann', 'real usage', NOW, '4']],
    )
    const inDoubt = await command('release', '1', '--why', 'x')
    assert.deepEqual([inDoubt.status, inDoubt.stdout], [2, ''])
    assert.match(inDoubt.stderr, /is in doubt: .*\(ERR_LEDGER_STATE\)\n$/)
  })

  test('release all of a customer and some hours, after a look at what that is', async t => {
    const path = join(folder(t), 'ledger.sqlite')
    const ledger = new SqliteLedger({ path })
    await ledger.register([REQUESTS, GPU])
    const [other, close] = [
      { ...ACME, key: 'prod,2', accountId: '222233334444' },
      { closeDelay: 0, deadlineMargin: 0 },
    ]
    for (const [n, hour] of [LATEST - 2 * HOUR, LATEST - HOUR, LATEST].entries()) {
      const now = hour + HOUR
      const entry = { dimension: REQUESTS.name, hour, amount: 5n * MILLION }
      const entries = [
        { ...entry, account: ACME },
        { ...entry, account: other },
        { ...entry, account: ACME, dimension: GPU.name, amount: 3600n * MILLION },
      ]
      await ledger.append({ writer: 'a'.repeat(32), sequence: n + 1, entries })
      await ledger.closeHours({ now, region: 'us-east-1', ...close })
      const [lane] = (await ledger.due(now)).lanes
      const records = await ledger.claim(lane as Lane, { now, limit: 25, claimedUntil: now })
      const outcomeOf = ({ dimension }: MeteringRecord): Outcome => ({
        type: dimension === GPU.name ? 'refused' : 'not-subscribed',
      })
      await ledger.settle(
        records.map(record => ({ record, outcome: outcomeOf(record), answer: '' })),
        now,
      )
    }
    await ledger.close()
    const command = (...args: string[]) =>
      run(['release', ...args, '--why', 'renewed on time', '--ledger', path, ...AT])
    const chosen = ['--customer', '111122223333', '--reason', 'not-subscribed', '--from', '2026-11-21T07']
    const listed = await command(...chosen, '--dry-run')
    const names = listed.stdout.match(/^Would release record \d+: 5 request of .*, 2026-11-21T0[78]Z$/gm)
    assert.deepEqual([listed.status, names?.length], [0, 2])
    assert.equal((await afterwards(path)).entry, undefined)
    const { status, stdout } = await command(...chosen)
    assert.equal(status, 0)
    const [, said = '', group] =
      /^(.*\n)Take it back, .*: marketplace-meter undo ([0-9a-f]{10}) --why "…"\n$/s.exec(stdout) ?? []
    const looked = listed.stdout.replace('Nothing was changed. To do it, leave out --dry-run.\n', '')
    assert.equal(said, looked.replaceAll('Would release', 'Released'))
    assert.match(stdout, /Z\n {2}It is in the balance .*\n {2}It is billed to the agreement that is in force then/)
    const { entry, line } = await afterwards(path)
    assert.deepEqual([entry?.action, entry?.why, entry?.number], ['release', 'renewed on time', 2])
    const held = (customer: string, { name }: Dimension) => (line(customer, name)?.held ?? 0n) / MILLION
    assert.deepEqual([held(ACME.key, REQUESTS), held(ACME.key, GPU), held(other.key, REQUESTS)], [5n, 10_800n, 15n])
    assert.equal((await command(...chosen)).stdout, 'Nothing is held so.\n')
    const mistakes = [
      [],
      ['1', ...chosen],
      ['1', '--reason', 'refused'],
      ['--customer', '111122223333'],
      ['1', '--all'],
    ]
    const mistaken = await Promise.all(mistakes.map(wrong => command(...wrong)))
    assert.deepEqual(
      mistaken.map(({ status }) => status),
      [2, 2, 2, 2, 2],
    )
    const undo = (...args: string[]) => run(['undo', ...args, '--why', 'too early', '--ledger', path, ...AT])
    assert.match(
      (await undo(group as string, '--dry-run')).stdout,
      /^Would undo, where as much is still in the balance:\n.*\n111122223333 +inference-requests +2 +10\nIn all 2: 10 request of /,
    )
    assert.match(
      (await undo('2')).stdout,
      /^Undone:\n.*\nIn all 1: 5 request of inference-requests\nIts records are held again, .*\n$/s,
    )
    const rest = await undo(group as string)
    assert.match(
      rest.stdout,
      /^1 of the group [0-9a-f]{10} is undone already\.\nUndone:\n.*In all 1: 5 request.*\nIts records are held again, /s,
    )
    assert.equal((await afterwards(path)).line(ACME.key, REQUESTS.name)?.held, 15n * MILLION)
    assert.match((await undo('99')).stderr, /There is no decision "99" in the audit trail.*\(ERR_LEDGER_NOT_FOUND\)/)
    const seen = JSON.parse((await run(['audit', '--format', 'json', '--ledger', path])).stdout)
    const { number } = seen.find(({ action }: AuditEntry) => action === 'undo')
    assert.match((await undo(String(number))).stderr, /Entry \d+ is no decision \(undo\): there is nothing to undo/)
    const audit = await run(['audit', '--group', group as string, '--format', 'json', '--ledger', path])
    assert.deepEqual(
      JSON.parse(audit.stdout).map(({ action, detail }: AuditEntry) => [action, detail]),
      Array(2).fill(['release', `not-subscribed; group ${group}`]),
    )
  })

  test('settle', async t => {
    const { path, command } = await seeded(t)
    for (const flags of [[], ['--billed', '--not-billed']]) {
      const { status, stderr } = await command('settle', '1', ...flags, '--why', 'x')
      assert.equal(status, 2)
      assert.match(stderr, /Expected one of --billed or --not-billed/)
    }
    const billed = await command('settle', '1', '--billed', '--why', 'CloudTrail 77', ...AT)
    assert.match(
      billed.stdout,
      /^Settled as billed record 1: 12 × 1,000 token .*\n {2}It is metered, and never sent again/,
    )
    const notBilled = await command('settle', '3', '--not-billed', '--why', 'another tool', ...AT)
    assert.match(notBilled.stdout, /^Settled as not billed record 3: .*\n {2}It is in the balance again/)
    const { entry, state } = await afterwards(path)
    assert.deepEqual([state('1'), state('3')], ['metered', 'returned'])
    assert.deepEqual([entry?.action, entry?.why, entry?.detail], ['settle', 'another tool', entry?.detail])
    assert.match(entry?.detail ?? '', /^not billed; group [0-9a-f]{10}$/)
    assert.ok(entry?.who)
  })

  test('finalize freezes the open hour of a customer whose agreement has ended', async t => {
    const { path, command } = await seeded(t)
    const ledger = new SqliteLedger({ path })
    t.after(() => ledger.close())
    const entry = { account: ACME, dimension: REQUESTS.name, hour: LATEST + HOUR, amount: 7n * MILLION }
    await ledger.append({ writer: 'f'.repeat(32), sequence: 1, entries: [entry] })
    const finalize = (...args: string[]) => command('finalize', ...args, '--region', 'us-east-1', ...AT)
    const done = await finalize('111122223333', '--ended-at', '2026-11-21T09:35Z')
    assert.match(done.stdout, /^Froze 1 record of 111122223333\n {2}The exporter .* sends what is not held/)
    const [record] = await ledger.records({ customer: ACME.key, dimension: REQUESTS.name, state: 'pending' })
    assert.deepEqual([record?.quantity, record?.timestamp], [7, Date.parse('2026-11-21T09:34:59Z')])
    assert.match((await finalize('111122223333')).stdout, /owes nothing that is not frozen already/)
    assert.match(
      (await finalize('111122223333', '--ended-at', '2026-01')).stderr,
      /--ended-at to be now or in the last/,
    )
    assert.match((await finalize('nobody')).stderr, /There is no account "nobody"/)
    await ledger.note({ action: 'lost', who: 'ledger', why: 'a failover', detail: 'writer f misses batches', now: NOW })
    assert.match(
      (await finalize('444455556666')).stdout,
      /^Noted\. Nothing of 444455556666 is frozen.*declare-restored/s,
    )
  })

  test("a licence is named by its ARN, as AWS's events write it, or by what tables show", async t => {
    const { path, command } = await seeded(t)
    const id = `l-${'0123456789abcdef'.repeat(2)}`
    const name = `aws:license-manager::294406891311:license:${id}`
    const licensed = customerAccount({ product: 'prod', accountId: ACME.accountId, licenseArn: `arn:${name}` })
    const ledger = new SqliteLedger({ path })
    const entry = { account: licensed, dimension: REQUESTS.name, hour: LATEST + HOUR, amount: 7n * MILLION }
    await ledger.append({ writer: 'f'.repeat(32), sequence: 1, entries: [entry] })
    await ledger.noteSender('edge', [licensed], NOW)
    await ledger.close()
    const done = await command('finalize', id, '--region', 'us-east-1', ...AT)
    assert.match(done.stdout, /^Froze 1 record of 111122223333 \(licence l-0123456789abcdef/)
    const lines = async (...args: string[]) => {
      const { stdout, stderr } = await command(...args, '--format', 'csv')
      return stderr === '' ? stdout.trim().split('\n').slice(1) : assert.fail(stderr)
    }
    for (const customer of [name, id]) {
      const [record, ...others] = await lines('records', '--customer', customer, ...AT)
      assert.ok(record?.includes(`arn:${name}`) && others.length === 0, customer)
    }
    assert.equal((await lines('statement', '--customer', id, ...AT)).length, 1)
    assert.equal((await lines('senders', '--customer', name)).length, 1)
    assert.equal((await lines('audit', '--customer', id, '--action', 'fed')).length, 1)
    assert.match((await command('held', '--customer', id)).stdout, /Nothing is held/)
  })

  test('finalize and prune say who and why', async t => {
    const { path, command } = await seeded(t)
    const by = ['--who', 'ceo@example.com', '--why', 'cancelled']
    await command('finalize', '111122223333', '--region', 'us-east-1', ...by, ...AT)
    const { entry } = await afterwards(path)
    assert.deepEqual([entry?.action, entry?.who, entry?.why], ['finalize', 'ceo@example.com', 'cancelled'])
    await command('prune', '--before', '2026-11-21T05:00Z', ...AT)
    const audit = await command('audit')
    const [title, ...lines] = audit.stdout.split('\n')
    // Whoever says to be somebody else, or that it is another time, is seen.
    assert.match(title as string, /^NUMBER +AT +WHO +ACTION .* WHY +WRITTEN +SYSTEM USER$/)
    const { systemUser, writtenAt } = entry as AuditEntry
    assert.ok(lines.every(line => line === '' || line.includes(shortTime(writtenAt as number).slice(0, 10))))
    assert.match(lines.join('\n'), new RegExp(`ceo@example.com +finalize .* ${systemUser}$`, 'm'))
    const one = await command('audit', '--action', 'finalize', '--customer', '111122223333', '--format', 'json')
    assert.equal(JSON.parse(one.stdout)[0].systemUser, systemUser)
    assert.equal((await command('audit', '--who', 'nobody', '--format', 'json')).stdout, '[]\n')
    assert.match((await command('audit', '--action', 'finalise')).stderr, /Allowed choices are release/)
  })

  test('an attribution of another licence that is undone tells what becomes of what was held', async t => {
    const { command } = await seeded(t)
    const licence = ['--license-arn', `arn:aws:license-manager::294406891311:license:l-${'0'.repeat(32)}`]
    const to = ['--account-id', BOLT.accountId as string, ...licence]
    const { stdout, stderr } = await command('attribute', '444455556666', REQUESTS.name, ...to, '--why', 'x', ...AT)
    assert.match(stdout, /With it went what was held/, stderr)
    const undone = await command('undo', /undo ([0-9a-f]{10})/.exec(stdout)?.[1] as string, '--why', 'x', ...AT)
    assert.match(
      undone.stdout,
      /^Undone:\n.*\nWhat of it was held is not held again: it is in the balance and goes out with the\nnext hour that is closed, or: marketplace-meter write-off\n$/s,
    )
  })

  test('attribute and write-off', async t => {
    const { path, command } = await seeded(t)
    const give = (...args: string[]) => command('attribute', 'u-fc273356', 'tokens-processed', '--why', 'acme', ...args)
    assert.equal((await give()).status, 2)
    assert.equal((await give('--account-id', '1111')).status, 2)
    const given = await give('--account-id', '777788889999', ...AT)
    assert.match(given.stdout, /^Attributed 2\.5 × 1,000 token of tokens-processed of u-fc273356 to 777788889999\n/)
    assert.match(given.stdout, /777788889999 is new to this ledger/)
    const first = await afterwards(path)
    assert.equal(first.line('prod,777788889999', 'tokens-processed')?.balance, 2_500_000_000n)
    assert.equal(first.entry?.action, 'attribute')
    assert.match(first.entry?.detail ?? '', /^prod,777788889999; group [0-9a-f]{10}$/)

    const written = await command('write-off', '111122223333', 'gpu-hours', '--why', 'last fraction', ...AT)
    assert.match(written.stdout, /^Wrote off ~0\.389 h of gpu-hours of 111122223333\n {2}Nobody is billed for it/)
    const second = await afterwards(path)
    assert.equal(second.line('prod,111122223333', 'gpu-hours')?.balance, 0n)
    assert.deepEqual([second.entry?.action, second.entry?.amount], ['write-off', 1_400_000_000n])
    const again = await command('write-off', '111122223333', 'gpu-hours', '--why', 'x')
    assert.match(again.stderr, /is empty\. \(ERR_LEDGER_STATE\)/)

    const audit = await command('audit', '--format', 'csv')
    assert.match(
      audit.stdout,
      /^at,who,action,.*\r\n2026-11-21T09:40:00\.000Z,.*,write-off,,"prod,111122223333",gpu-hours,1400,s,group [0-9a-f]{10},last fraction,\d,2\d{3}-[^,]*,[^,]+@[^,]+,[0-9a-f]{64}\r\n/,
    )
  })
})

test("adjust writes AWS's request once for what was billed too much, and never for more than that", async t => {
  const { directory, path, command } = await seeded(t)
  const ledger = new SqliteLedger({ path })
  t.after(() => ledger.close())
  const listing = join(directory, 'listing.json')
  const rateCard = [TOKENS, REQUESTS].map(({ name }, n) => ({ dimension: name, price: ['0.00002', '0.5'][n] }))
  writeFileSync(listing, JSON.stringify({ pricing: { currency: 'USD', rateCard } }))
  const given = ['--rate-card', listing, '--invoice', 'INV-1', '--why', 'counted twice', '--now', '2026-12-04']
  const adjust = (...args: string[]) => command('adjust', ...given, ...args)
  const asked = async (...args: string[]) => {
    const { stdout, stderr, status } = await adjust(...args)
    assert.equal(status, 0, stderr)
    const { billingAdjustmentRequestEntries: entries } = JSON.parse(stdout)
    for (const { clientToken, adjustmentAmount } of entries) {
      assert.match(clientToken, /^[A-Za-z0-9-]{1,64}$/)
      assert.match(adjustmentAmount, /^\d+\.\d{2,8}$/)
    }
    return { entries, stderr, token: entries[0].clientToken as string }
  }
  const noted = async () => (await ledger.audit({ actions: ['adjust'] })).length
  const november = ['--customer', '111122223333', '--from', '2026-11', '--to', '2026-11']
  assert.match((await adjust(...november)).stderr, /Expected --agreement, since the ledger does not know/)
  const agreement = { what: 'active', at: LATEST - 48 * HOUR, agreementId: 'agmt-1' } as const
  const terms = { now: NOW, region: 'us-east-1', closeDelay: 300_000, deadlineMargin: 300_000 }
  await ledger.noteAgreement(ACME, agreement, terms)

  // All of a month: what is metered, and nothing of what is held or pending.
  const dry = await asked(...november, '--dry-run')
  assert.match(dry.stderr, /Nothing was noted/)
  assert.equal(await noted(), 0)
  const { entries } = await asked(...november)
  assert.deepEqual(entries, dry.entries)
  assert.deepEqual(
    entries.map(({ clientToken: _, ...entry }: Record<string, string>) => entry),
    ['45.00', '0.06002'].map(adjustmentAmount => ({
      ...{ agreementId: 'agmt-1', originalInvoiceId: 'INV-1', adjustmentAmount, currencyCode: 'USD' },
      adjustmentReasonCode: 'INCORRECT_METERING',
    })),
  )
  const [entry] = await ledger.audit({ actions: ['adjust'] })
  assert.deepEqual([entry?.why, JSON.parse(entry?.detail ?? '').quantity], ['counted twice', '3001'])

  // The same again is the same, for AWS and for the audit trail.
  const again = await asked(...november, '--why', 'again')
  assert.deepEqual([again.entries, await noted()], [entries, 2])
  assert.match(again.stderr, /; noted before, at 2026-12-04T00Z\)\nIt is noted, and not sent\./)
  assert.match(again.stderr, /^ {2}aws marketplace-agreement batch-create-billing-adjustment-request \\$/m)
  // A part of it is another request for money that was asked for.
  const part = await adjust('5')
  assert.deepEqual([part.status, part.stdout], [2, ''])
  assert.match(part.stderr, /tokens-processed of 111122223333 were adjusted before: adj-\S+ \(3001, 0\.06002 USD, by /)
  const [requests, tokens] = entries.map(({ clientToken }: { clientToken: string }) => clientToken)
  assert.match(
    (await adjust('5', '--besides', tokens)).stderr,
    /at most the 3001 .* got 3001 of .* beside 3001 of before/,
  )
  assert.match((await adjust('5', '--instead', 'adj-0')).stderr, /has no adjustment "adj-0"/)
  // It has failed at AWS: what takes its place is another request, up to what was billed.
  const instead = await asked('5', '--quantity', '3000', '--instead', tokens)
  assert.deepEqual([instead.entries[0].adjustmentAmount, instead.token === tokens], ['0.06', false])
  assert.equal((await asked('5', '--quantity', '3000', '--instead', tokens)).token, instead.token)
  // What something took the place of is not sent any more.
  assert.match((await adjust(...november, '--dimension', TOKENS.name)).stderr, /were adjusted before: adj-\S+ \(3000, /)
  const rest = ['5', '--quantity', '1', '--besides', instead.token]
  assert.equal((await asked(...rest)).entries[0].adjustmentAmount, '0.00002')
  assert.equal(await noted(), 4)
  const last = (await asked(...rest)).token
  const most = await adjust('5', '--quantity', '1', '--besides', instead.token, '--besides', last)
  assert.match(most.stderr, /at most the 3001 that AWS has billed, got 1 of .* beside 3001 of before/)
  assert.match((await adjust('2', '--besides', requests, '--quantity', '91')).stderr, /at most the 90 .*, got 91 of/)

  for (const [args, message] of [
    [['1'], /No record "1" is metered/],
    [['2', '5', '--quantity', '1'], /Expected --quantity of one dimension/],
    [['--customer', '444455556666', '--from', '2026-11', '--to', '2026-11'], /Nothing is metered there/],
    [['5', ...AT], /Expected a month that is over, got 2026-11/],
    [['5', '--besides', tokens, '--description', 'x'.repeat(501)], /Expected 1 to 500 characters/],
  ] as [string[], RegExp][]) {
    const { status, stdout, stderr } = await adjust(...args)
    assert.match(stderr, message)
    assert.ok(status !== 0 && stdout === '', args.join(' '))
  }
  assert.equal(await noted(), 4)
})

test('usage without a customer is attributed by rules, by hours, and written off by what it is', async t => {
  const { directory, path, command } = await seeded(t)
  const rules = join(directory, 'rules.json')
  const rule = (...names: [string, string, string][]) => {
    writeFileSync(
      rules,
      JSON.stringify(names.map(([attribute, value, accountId]) => ({ attribute, value, accountId }))),
    )
  }
  const attribute = (...args: string[]) =>
    command('attribute', '--rules', rules, '--why', 'their tenants', ...AT, ...args)
  rule(['tenant', 'acme', '1111'])
  assert.match((await attribute()).stderr, /Nothing was changed\. entry 1: Expected --account-id of 12 digits/)
  rule(['tenant', 'acme', '777788889999'], ['tenant', 'acme', '111122223333'])
  assert.match((await attribute()).stderr, /Expected one customer for u-fc273356, got 777788889999 and 111122223333/)
  rule(['tenant', 'other', '777788889999'])
  assert.equal((await attribute()).stdout, 'There is nothing to attribute so.\n')
  rule(['tenant', 'acme', '777788889999'], ['tenant', 'other', '777788889999'])
  const dry = await attribute('--dry-run')
  assert.match(
    dry.stdout,
    /^Would attribute 2\.5 × 1,000 token of tokens-processed of u-fc273356 to 777788889999\nNoth/,
  )
  // As a spreadsheet keeps what is to stay text.
  writeFileSync(rules, "attribute;value;account_id\r\ntenant;acme;'777788889999\r\n")
  assert.equal((await attribute('--dry-run')).stdout, dry.stdout)
  // Of hours in which nothing was recorded.
  assert.equal((await attribute('--from', '2026-11-21')).stdout, 'There is nothing to attribute so.\n')
  assert.match((await attribute('--to', '2026-11-20', '--dry-run')).stdout, /^Would attribute at most 2\.5 × /)
  const { stdout } = await attribute('--to', '2026-11-20')
  assert.match(stdout, /^Attributed 2\.5 × .*\n {2}777788889999 is new to this ledger/)
  assert.equal((await afterwards(path)).line('prod,777788889999', TOKENS.name)?.balance, 2_500n * MILLION)
  assert.equal((await attribute()).stdout, 'There is nothing to attribute so.\n')
  const group = /undo ([0-9a-f]{10})/.exec(stdout)?.[1] as string
  assert.match((await command('undo', group, '--why', 'x', ...AT)).stdout, /^Undone:\n/)
  const writeOff = (...args: string[]) => command('write-off', ...args, '--why', 'gone', ...AT)
  for (const wrong of [
    [],
    ['u-fc273356'],
    ['--unattributed', '--held'],
    ['u-fc273356', '--reason', 'refused'],
    ['--held'],
  ]) {
    assert.equal((await writeOff(...wrong)).status, 2, wrong.join(' '))
  }
  assert.match((await writeOff('--unattributed', '--dry-run')).stdout, /^Would write off 2\.5 × .* of u-fc273356\nNoth/)
  assert.equal((await writeOff('--unattributed', '--dimension', 'gpu-hours')).stdout, 'There is no such balance.\n')
  assert.match((await writeOff('--unattributed')).stdout, /^Wrote off 2\.5 × 1,000 token .* of u-fc273356\n/)
  const held = await writeOff('--held', '--all')
  assert.match(
    held.stdout,
    /^Wrote off record 4: 5 request of .*\nWrote off record 7: 60,000 .*neither recorded nor held/s,
  )
  assert.match((await writeOff('--held', '1')).stderr, /is in doubt: .*settle it as billed or as not billed; what was/)
  assert.equal((await afterwards(path)).line(BOLT.key, REQUESTS.name)?.recorded, 0n)
})

test('senders tells which customers a token has touched, and since when', async t => {
  const { path, command } = await seeded(t)
  assert.match((await command('senders')).stdout, /^No senders/)
  const ledger = new SqliteLedger({ path })
  await ledger.noteSender('plant-b', [ACME], LATEST)
  await ledger.noteSender(
    'plant-a',
    [ACME, { ...ACME, key: 'prod,999900001111', accountId: '999900001111' }],
    LATEST + HOUR,
  )
  await ledger.close()
  assert.deepEqual((await command('senders')).stdout.trimEnd().split(/ *\n/), [
    'SENDER   CUSTOMER      LICENCE  PRODUCT  SINCE',
    `plant-a  111122223333  -        prod     ${shortTime(LATEST + HOUR)}`,
    `plant-a  999900001111  -        prod     ${shortTime(LATEST + HOUR)}`,
    `plant-b  111122223333  -        prod     ${shortTime(LATEST)}`,
  ])
  const json = JSON.parse((await command('senders', '--sender', 'plant-b', '--format', 'json')).stdout)
  assert.deepEqual(
    json.map(({ writtenAt, ...feed }: { writtenAt: string }) => feed),
    [{ sender: 'plant-b', customer: ACME, since: new Date(LATEST).toISOString() }],
  )
  const csv = await command('senders', '--customer', '999900001111', '--format', 'csv')
  assert.match(csv.stdout, /^sender,customer,since,written_at\r\nplant-a,"prod,999900001111",[^\r]*\r\n$/)
})

test('verify tells where the audit trail was changed', async t => {
  const { path, command } = await seeded(t)
  await command('write-off', '111122223333', 'gpu-hours', '--why', 'last fraction', ...AT)
  const ledger = new SqliteLedger({ path })
  for (const detail of ['1', '2', '3'])
    await ledger.note({ action: 'set-aside', who: 'writer', why: 'refused', detail })
  const { hash } = await ledger.verifyAudit()
  await ledger.close()
  const before = await command('verify')
  assert.match(before.stdout, new RegExp(`^The audit trail holds: all 4 entries are as written\\. .*${hash}$`, 'm'))
  const kept = await command('verify', '--hash', (hash as string).toUpperCase())
  assert.match(kept.stdout, /^The audit trail holds: .* The hash that was kept is of entry 4\. /m)
  const other = await command('verify', '--hash', '7'.repeat(64))
  assert.match(other.stdout, /^ {2}No entry has the hash that was kept/m)
  const wrong = await command('verify', '--hash', '7')
  assert.deepEqual([kept.status, other.status, wrong.status], [0, 1, 2])
  const database = new DatabaseSync(path)
  database.exec("UPDATE audit SET who = 'somebody else' WHERE number = 1; DELETE FROM audit WHERE number = 3")
  database.close()
  const [text, json] = await Promise.all([command('verify'), command('verify', '--format', 'json')])
  assert.deepEqual([text.status, json.status], [1, 1])
  assert.match(text.stdout, /^The equation holds/)
  assert.match(text.stdout, /^ {2}Entry 1, of 2026-11-21T09:40Z, was changed/m)
  assert.match(text.stdout, /^ {2}Entry 3 is missing\.$/m)
  assert.deepEqual(
    JSON.parse(json.stdout).audit.breaks.map(({ kind, number }: AuditBreak) => [kind, number]),
    [
      ['changed', 1],
      ['missing', 3],
    ],
  )
  const end = new DatabaseSync(path)
  end.exec('DELETE FROM audit_chain')
  end.close()
  const { status, stderr } = await command('verify')
  assert.deepEqual([status, /^error: [^\n]* \(ERR_LEDGER_CORRUPT\)\n$/.test(stderr)], [2, true], stderr)
})

test('backup, restore and prune', async t => {
  const { directory, path, command } = await seeded(t)
  const copy = join(directory, 'copy.sqlite')
  const restored = join(directory, 'restored.sqlite')
  const backup = await command('backup', copy)
  assert.deepEqual([backup.status, backup.stderr], [0, ''])
  assert.match((await command('backup', copy)).stderr, /There is a file at /)
  const restore = await run(['restore', copy, restored, '--why', 'disk died', '--who', 'ann', ...AT])
  assert.match(
    restore.stdout,
    /^Restored .*\n {2}Held: 6 .*\n.* held --ledger .*\n {2}Pending: 1 .*\n(.*\n) {2}Start .* again with this ledger: .* waits\.\n {2}Never start it with a new one, /,
  )
  assert.equal((await afterwards(restored)).entry?.action, 'restore')
  assert.equal((await run(['restore', copy, path, '--why', 'x'])).status, 2)
  writeFileSync(join(directory, 'other.sqlite-wal'), '')
  const beside = await run(['restore', copy, join(directory, 'other.sqlite'), '--why', 'x'])
  assert.match(
    beside.stderr,
    /There is \S+other\.sqlite-wal of another ledger, .* move all of its files .*, together; delete none/,
  )
  const prune = await command('prune', '--before', '2026-11-21', ...AT)
  assert.equal(prune.stdout, 'Deleted 1 settled record of hours before 2026-11-21T00Z\n')
  assert.equal((await command('prune', '--before', '2027', ...AT)).status, 2)
  const declared = await command('declare-restored', '--why', 'a snapshot', ...AT)
  assert.match(
    declared.stdout,
    /^The ledger is declared restored\. Held until you settle it: 6 records\n {4}marketplace-meter held\n {2}Exporters and /,
  )
  assert.equal((await command('verify')).status, 0)
})

test('a damaged file is neither backed up nor restored, and "verify" says so, whichever index it is', async t => {
  const { directory, path, command } = await seeded(t)
  const [copy, restored] = [join(directory, 'copy.sqlite'), join(directory, 'restored.sqlite')]
  const sound = readFileSync(path)
  const database = new DatabaseSync(path)
  const indices = database
    .prepare(
      "SELECT name, rootpage FROM sqlite_schema WHERE type = 'index' AND tbl_name IN ('record', 'writer', 'usage')",
    )
    .all() as { name: string; rootpage: number }[]
  database.close()
  assert.ok(indices.length > 3)
  // Of an index without any rows nothing shows, where only some of SQLite's checks are run.
  const blank = Buffer.alloc(4096)
  blank.set([10, 0, 0, 0, 0, 0x10])
  for (const page of [Buffer.alloc(4096, 0xa5), blank]) {
    for (const { name, rootpage } of indices) {
      const damaged = Buffer.from(sound)
      page.copy(damaged, (rootpage - 1) * 4096)
      writeFileSync(path, damaged)
      const backup = await command('backup', copy)
      assert.equal(backup.status, 2, `${name}: ${backup.stdout}`)
      assert.match(
        backup.stderr,
        /^error: Nothing is backed up: the copy was not kept; the backups before are\. The ledger \S+ is damaged\. SQLite says: .*\(ERR_LEDGER_CORRUPT\)\n$/,
      )
      const restore = await run(['restore', path, restored, '--why', 'disk died', ...AT])
      assert.deepEqual([restore.status, restore.stdout], [2, ''], name)
      assert.match(
        restore.stderr,
        /^error: The backup \S+ is damaged: take an earlier one\. The ledger \S+ is damaged\. SQLite says: [^\n]*\(ERR_LEDGER_CORRUPT\)\n$/,
      )
      assert.deepEqual(
        readdirSync(directory).filter(file => /^(copy|restored)/.test(file)),
        [],
      )
      const [verify, json] = [await command('verify'), await command('verify', '--format', 'json')]
      assert.deepEqual([verify.status, verify.stdout, json.status], [2, '', 2], name)
      assert.match(
        verify.stderr,
        /^error: The ledger \S+ is damaged\. SQLite says: .*restore --help.*\(ERR_LEDGER_CORRUPT\)\n$/,
      )
      assert.ok(verify.stderr.length < 1000, verify.stderr)
      assert.match(json.stderr, /ERR_LEDGER_CORRUPT/)
      if (page === blank) continue
      // Whatever is read first: an error of the ledger's, in one line.
      for (const args of [
        ['declare-restored', '--why', 'x', ...AT],
        ['prune', '--before', '2026-11-21', ...AT],
        ['held'],
      ]) {
        const { status, stderr } = await command(...args)
        assert.match(stderr, status === 0 ? /^$/ : /^error: [^\n]* \(ERR_LEDGER_CORRUPT\)\n$/, `${args[0]}, ${name}`)
      }
      for (const end of ['-wal', '-shm']) rmSync(`${path}${end}`, { force: true })
    }
  }
  writeFileSync(path, sound)
  assert.equal((await command('backup', copy)).status, 0)
})

test('a ledger that has lost commits is the first thing in "status", and a spool tells what was refused', async t => {
  const { directory, path, command } = await seeded(t)
  const ledger = new SqliteLedger({ path })
  const now = LATEST + HOUR
  await ledger.note({
    action: 'lost',
    who: 'ledger',
    why: 'gone',
    detail: 'writer a misses its batches from 3 on',
    now,
  })
  const check = await command('status', '--check', '--now', new Date(now).toISOString())
  assert.match(
    check.stdout,
    /^WARNING: The ledger has lost .* from 3 on\. AWS takes the oldest of it until .*declare-restored --why "…"\n/,
  )
  assert.equal(check.status, 1)

  const file = join(directory, 'spool.sqlite')
  const spool = spooled(ledger, { path: file })
  const entry = { account: ACME, hour: LATEST, amount: 7n * MILLION }
  await spool.append({ writer: 'b'.repeat(32), sequence: 1, entries: [{ ...entry, dimension: 'misspelt' }] })
  await spool.close()
  const look = await run(['spool', file])
  assert.match(
    look.stdout,
    /^Waiting: 0\nRefused by the ledger: 1\n {2}batch 1 of writer b+ \(7 of misspelt\)\n {4}Expected a registered .*\n {2}It is not billed while it is there\. .* then:\n {4}marketplace-meter spool \S+spool\.sqlite --retry\n$/,
  )
  assert.equal(look.status, 1)
  assert.match(
    (await run(['spool', file, '--retry'])).stdout,
    /^Waiting: 1\nGoes to the ledger once more: 1\n(.*\n){2} {2}Whoever has the spool open, .* Look again then\.\n$/,
  )
  assert.equal((await run(['spool', join(directory, 'none')])).status, 2)
  const mistaken = await run(['spool', path])
  assert.deepEqual([mistaken.status, mistaken.stdout], [2, ''])
  assert.match(mistaken.stderr, /is no spool, but a ledger .*It was left as it is.*\(ERR_LEDGER_FOREIGN\)/)
  assert.equal((await run(['verify', '--ledger', path])).status, 0)
})

test('after a restore "held" says what to compare with, and a part can be settled', async t => {
  const directory = folder(t)
  const [path, copy, restored] = ['ledger', 'copy', 'restored'].map(name => join(directory, `${name}.sqlite`)) as [
    ...[string, string, string],
  ]
  const ledger = new SqliteLedger({ path })
  await ledger.register([GPU])
  const entries = [{ account: ACME, dimension: GPU.name, hour: LATEST, amount: 9000n * MILLION }]
  await ledger.append({ writer: 'a'.repeat(32), sequence: 1, entries })
  await ledger.backup(copy)
  await ledger.close()
  const command = (...args: string[]) => run([...args, '--ledger', restored])
  assert.equal((await run(['restore', copy, restored, '--why', 'disk died', ...AT])).status, 0)
  const held = await command('held')
  assert.match(held.stdout, /^restored: 1 record\n.*since the backup.*settle 1 --billed --quantity <units>.* 2\.5 /s)
  assert.doesNotMatch(held.stdout, /the answer never came/)
  const release = await command('release', '1', '--why', 'x', ...AT)
  assert.match(release.stderr, /AWS may have billed it.*\(ERR_LEDGER_STATE\)\n$/)
  for (const wrong of [
    ['--not-billed', '--quantity', '1'],
    ['--billed', '--quantity', '0'],
    ['2', '--billed', '--quantity', '1'],
  ]) {
    assert.equal((await command('settle', '1', ...wrong, '--why', 'x', ...AT)).status, 2, wrong.join(' '))
  }
  const settled = await command('settle', '1', '--billed', '--quantity', '2', '--why', 'usage report', ...AT)
  assert.match(
    settled.stdout,
    /^Settled as billed, up to a quantity of 2, record 1: 2\.5 h .*\n.*\n {2}The rest, if any, is in/,
  )
  const { entry, state, line } = await afterwards(restored)
  assert.deepEqual(
    [entry?.action, entry?.detail?.split(';')[0], state('1')],
    ['settle', 'billed: 7200 of 9000', 'metered'],
  )
  const { metered, balance } = line(ACME.key, GPU.name) ?? {}
  assert.deepEqual([metered, balance], [7200n * MILLION, 1800n * MILLION])
  assert.equal((await command('verify')).status, 0)
})

test('thousands of held records are decided by one command, or by a file that a person fills in', async t => {
  const directory = folder(t)
  const [path, copy, restored, file] = ['ledger', 'copy', 'restored', 'decisions'].map(name =>
    join(directory, name),
  ) as [...[string, string, string, string]]
  const ledger = new SqliteLedger({ path })
  await ledger.register([REQUESTS])
  const customers = Array.from({ length: 130 }, (_, n) =>
    customerAccount({ product: 'prod', accountId: String(100_000_000_000 + n) }),
  )
  const entries = customers.map(account => ({ account, dimension: REQUESTS.name, hour: LATEST, amount: 5n * MILLION }))
  await ledger.append({ writer: 'a'.repeat(32), sequence: 1, entries })
  await ledger.backup(copy)
  await ledger.close()
  const command = (...args: string[]) => run([...args, '--ledger', restored, ...(args[0] === 'audit' ? [] : AT)])
  assert.equal((await run(['restore', copy, restored, '--why', 'disk died', ...AT])).status, 0)
  const held = await command('held')
  for (const line of held.stdout.split('\n').slice(0, 24)) assert.ok(line.length <= 88, line)
  const advised = /settle --reason restored --billed --why "…" --dry-run/.exec(held.stdout)?.[0]
  assert.ok(advised !== undefined, held.stdout)

  const csv = (await command('held', '--reason', 'restored', '--format', 'csv')).stdout
  const [header = '', ...rows] = csv.trimEnd().split('\r\n')
  assert.match(header, /^id,decision,billed_quantity,why,reason,/)
  const filled = (decide: (row: string, index: number) => string) =>
    writeFileSync(file, [header, ...rows.map(decide)].join('\n'))
  // A part of the first, a decision of its own for the second, and none for the third.
  const some = (row: string, index: number) => {
    if (index === 0) return row.replace(',,,,', ',billed,2,,')
    if (index === 1) return row.replace(',,,,', ',not-billed,,"usage report, page 3",')
    return index === 2 ? row : row.replace(',,,,', ',Not billed,,,')
  }
  filled(row => row)
  const none = await command('decide', file, '--why', 'usage report')
  assert.deepEqual([none.status, none.stdout.split(':')[0]], [0, 'Nothing was decided'])
  const decide = (...args: string[]) => command('decide', file, '--why', 'usage report', ...args)
  // Ids of a ledger in DynamoDB look like dates to a spreadsheet, and "held" marks them.
  writeFileSync(file, "id,decision\r\n'493032-7-0,release\r\n")
  assert.match((await decide()).stderr, /^error: There is no record "493032-7-0"; nothing was changed\./)
  // Columns that were sorted without the others, or another ledger's file: the ids are of other records.
  filled((_, index) =>
    some((rows[index] as string).replace(/^\d+/, /^\d+/.exec(rows.at(-1 - index) as string)?.[0] as string), index),
  )
  assert.match(
    (await decide('--confirm', '129')).stderr,
    /^error: Nothing was changed\. line 2: Record \d+ is of account_id /,
  )
  filled((row, index) => (index === 5 ? row.replace(',,,,', ',perhaps,,,') : some(row, index)))
  const wrong = await decide()
  assert.deepEqual([wrong.status, wrong.stdout], [2, ''])
  assert.match(wrong.stderr, /Nothing was changed\. line 7: Expected billed, not-billed, release, .*, got "perhaps"/)
  filled((row, index) => (index === 6 ? row.replace(',,,,', ',release,,,') : some(row, index)))
  assert.match((await decide('--confirm', '200')).stderr, /is of before a restore.*\(ERR_LEDGER_STATE\)/)
  filled(some)
  assert.match((await decide()).stderr, /Expected --confirm 129, since so many records would be decided\. Look at them/)
  const looked = await decide('--dry-run')
  assert.match(looked.stdout, /^Would settle as billed, up to a quantity of 2, record \d+: 5 request of /)
  assert.match(looked.stdout, /Would settle as not billed 128 records:\n.*and 78 more customers\n.*: 640 request of /s)
  assert.match(looked.stdout, /To do it, leave out --dry-run, and add --confirm 129\.\n$/)
  assert.equal((await command('audit', '--action', 'settle', '--format', 'json')).stdout, '[]\n')

  const done = await decide('--confirm', '129')
  assert.deepEqual([done.status, done.stderr], [0, ''])
  assert.match(done.stdout, /\nSettled as not billed 128 records:\n/)
  const group = /undo ([0-9a-f]{10})/.exec(done.stdout)?.[1] as string
  const audit = JSON.parse((await command('audit', '--group', group, '--limit', '500', '--format', 'json')).stdout)
  assert.equal(audit.length, 129)
  assert.equal(new Set(audit.map(({ why }: AuditEntry) => why)).size, 2)
  const again = await decide()
  assert.match(again.stdout, /^Of what the file says 129 records are decided already\.\n$/)

  // All but the one that is metered is held again, and then settled by what was advised.
  const undone = await command('undo', group, '--why', 'x', '--confirm', '129')
  assert.match(undone.stdout, /In all 128: 640 request.*\nNot undone: 1\. Entry \d+ settled a record as billed/s)
  const settle = (...args: string[]) =>
    command('settle', '--reason', 'restored', '--billed', '--why', 'as CloudTrail', ...args)
  assert.equal((await settle('--confirm', '128')).status, 2)
  assert.match((await settle('--confirm', '129')).stdout, /^Settled as billed 129 records:\n.* never sent again\.\n$/s)
  const { line } = await afterwards(restored)
  assert.deepEqual(
    customers.map(({ key }) => line(key, REQUESTS.name)).map(one => [one?.held, one?.balance, one?.metered]),
    customers.map(({ key }) => {
      const part = line(key, REQUESTS.name)?.balance !== 0n
      return part ? [0n, 3n * MILLION, 2n * MILLION] : [0n, 0n, 5n * MILLION]
    }),
  )
  assert.equal((await run(['verify', '--ledger', restored])).status, 0)
})

test('a ledger in a database is backed up by its own means', async () => {
  for (const address of ['postgresql://ledger:secret@nowhere/db', 'dynamodb://my-ledger?region=us-east-1']) {
    const { status, stdout, stderr } = await run(['backup', 'copy.sqlite', '--ledger', address])
    assert.deepEqual([status, stdout], [2, ''])
    assert.match(
      stderr,
      /is no file\. Back it up by its database's own means.*pg_dump.*create-backup.*\(ERR_COMMAND_LINE\)\n$/,
    )
    assert.doesNotMatch(stderr, /secret/)
  }
})

test('what is interrupted halfway says what it has done', async t => {
  const { command } = await seeded(t)
  // It has nothing of the second.
  const names = ['u-fc273356', TOKENS.name, GPU.name]
  const { stdout, stderr, status } = await command('write-off', ...names, '--why', 'x', '--json', ...AT)
  assert.equal(status, 2, stderr)
  assert.deepEqual([JSON.parse(stdout).writtenOff.length, JSON.parse(stderr).code], [1, 'ERR_LEDGER_NOT_FOUND'])
  const undone = await command('undo', JSON.parse(stdout).group, '--why', 'x', ...AT)
  assert.match(undone.stdout, /^Undone:/)
  const told = await command('write-off', ...names, '--why', 'x', ...AT)
  assert.match(told.stdout, /^Wrote off 2\.5 × 1,000 token .*\n(.*\n)+Take it back, .* undo [0-9a-f]{10} /)
  assert.match(told.stderr, /^error: .* \(ERR_LEDGER_NOT_FOUND\)\n$/)
})

test('a ledger that is not there is an error, and is never made', async t => {
  const directory = folder(t)
  const path = join(directory, 'typo.sqlite')
  writeFileSync(join(directory, 'empty.sqlite'), '')
  writeFileSync(join(directory, 'text.sqlite'), 'not a database, but long enough to look at')
  const [reading, writing, empty, foreign] = await Promise.all([
    run(['statement', '--ledger', path]),
    run(['release', '1', '--why', 'x', '--ledger', path]),
    run(['prune', '--before', '1d', '--ledger', join(directory, 'empty.sqlite')]),
    run(['status', '--ledger', join(directory, 'text.sqlite')]),
  ])
  for (const { status, stdout, stderr } of [reading, writing]) {
    assert.deepEqual([status, stdout], [2, ''])
    assert.match(
      stderr,
      /^error: There is no ledger at .*typo\.sqlite\. Name its file with .* \(ERR_LEDGER_NOT_FOUND\)\n$/,
    )
  }
  assert.match(empty.stderr, /empty\.sqlite is empty, not a ledger/)
  assert.match(foreign.stderr, /^error: .*text\.sqlite.* \(ERR_LEDGER_FOREIGN\)\n$/)
  assert.deepEqual(readdirSync(directory).sort(), ['empty.sqlite', 'text.sqlite'])
  assert.ok(!existsSync(path))
})

test('mistakes in the command line exit with 2, and help is there', async t => {
  const { command } = await seeded(t)
  const [none, unknown, noWhy, blankWhy, period, format, help, version] = await Promise.all([
    run([]),
    run(['statment']),
    command('release', '1'),
    command('release', '1', '--why', ' '),
    command('statement', '--from', 'yesterday'),
    command('audit', '--format', 'xml'),
    run(['statement', '--help']),
    run(['--version']),
  ])
  assert.deepEqual(
    [none, unknown, noWhy, blankWhy, period, format, help, version].map(({ status }) => status),
    [2, 2, 2, 2, 2, 2, 0, 0],
  )
  assert.match(unknown.stderr, /Did you mean statement\?/)
  assert.match(noWhy.stderr, /required option '--why <text>' not specified/)
  assert.match(period.stderr, /Expected a time such as 2026-11, .*got "yesterday"\. \(ERR_COMMAND_LINE\)\n$/)
  for (const line of help.stdout.split('\n')) assert.ok(line.length <= 82, line)
  assert.match(version.stdout, /^\d+\.\d+\.\d+/)
})
