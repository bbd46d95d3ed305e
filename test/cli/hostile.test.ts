import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type TestContext, test } from 'node:test'
import { handleOf } from '../../src/text/account.ts'
import { eventOf } from '../reconcile/trail.ts'
import { folder, NOW, run, STRAY, seededLedger } from './support.ts'

/** Names, ids and details of others must not steer the terminal of who looks at them, nor hide what they say. */

const HOSTILE =
  '\u001b[2K\u001b]0;title\u0007\u009b31m\u007f\u202egnp\u2066\u200e\u200f\u061c\u200b\u200d\u2060\ufeff\u00ad\u3164\u180e' +
  '\ufff9\ufe0f\u{e0041}\u{e0101}\u2028\u2029FAKE'

/** All that is neither seen nor a line's end. */
const NOT_PRINTABLE = /[^\n\P{C}]|[\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u

/** A ledger in which every text that anybody may give is hostile. */
async function hostileLedger(t: TestContext): Promise<string> {
  const path = await seededLedger(join(folder(t), 'ledger.db'))
  const database = new DatabaseSync(path, { enableForeignKeyConstraints: false })
  const more = (column: string) => `${column} = ${column} || ?`
  for (const [table, columns] of [
    ['account', ['key', 'product', 'account_id', 'customer_identifier', 'license_arn', 'evidence']],
    ['dimension', ['name', 'unit']],
    ['record', ['answer', 'metering_record_id']],
    ['lane', ['region']],
  ] as const) {
    database.prepare(`UPDATE ${table} SET ${columns.map(more).join(', ')}`).run(...columns.map(() => HOSTILE))
  }
  database.prepare('INSERT INTO not_counted (verdict, points) VALUES (?, 5)').run(HOSTILE)
  database
    .prepare(
      'INSERT INTO audit (at, who, why, action, detail, dimension, amount) VALUES (?, ?, ?, ?, ?, (SELECT name FROM dimension), 5)',
    )
    .run(NOW, ...Array(4).fill(HOSTILE))
  database.close()
  return path
}

async function says(args: string[], expected: RegExp): Promise<void> {
  const { stdout, stderr } = await run(args)
  const text = args.includes('csv') ? stdout.replaceAll('\r\n', '\n') : stdout
  const found = NOT_PRINTABLE.exec(text + stderr)
  assert.equal(
    found && `U+${found[0].codePointAt(0)?.toString(16)} after ${(text + stderr).slice(0, found.index)}`,
    null,
  )
  assert.match(stdout + stderr, expected, args.join(' '))
}

test('commands that look', async t => {
  const ledger = ['--ledger', await hostileLedger(t)]
  for (const command of ['status', 'statement', 'allocations', 'records', 'held', 'audit', 'verify'])
    await says([command, ...ledger], /FAKE|holds/)
  for (const command of ['status', 'statement', 'allocations', 'records', 'held', 'audit', 'verify']) {
    await says([command, ...ledger, '--format', 'json'], /\\u001b\[2K.*\\udb40\\udc41.*FAKE|"equationHolds": true/)
  }
  for (const command of ['statement', 'allocations', 'records', 'audit'])
    await says([command, ...ledger, '--format', 'csv'], /\\u001b\[2K/)
})

test('reconcile, of which all is others’ text', async t => {
  const directory = folder(t)
  const file = join(directory, 'events.json')
  const record = { accountId: '1', dimension: HOSTILE, quantity: 5, timestamp: NOW - 3_600_000, said: 'Success' }
  const event = eventOf({
    at: NOW,
    role: HOSTILE,
    address: HOSTILE,
    userAgent: HOSTILE,
    product: HOSTILE,
    records: [record],
  })
  const names = { awsRegion: `here${HOSTILE}`, eventID: HOSTILE }
  writeFileSync(
    file,
    JSON.stringify({
      Records: [
        { ...event, ...names },
        { eventName: HOSTILE, awsRegion: 7 },
      ],
    }),
  )
  const ledger = ['--ledger', await hostileLedger(t), '--now', '2026-11-21T09:40Z']
  await says(['reconcile', file, ...ledger], /not by this ledger.*FAKE/s)
  await says(['reconcile', file, ...ledger, '--format', 'json'], /\\u001b\[2K.*FAKE/)
  await says(['reconcile', file, ...ledger, '--format', 'csv'], /foreign,.*FAKE/)
  await says(['reconcile', join(directory, HOSTILE), ...ledger], /^error: There is no file or folder/)
  const report = join(directory, 'report.csv')
  const quoted = `"${HOSTILE.replaceAll('"', '""')}"`
  const [header, times] = ['usage_feed_id,valid_from,update_date,delete_date,usage_date', '2026-11-22T00:00:00Z']
  const rows = [quoted, 'tokens-processed'].map((dimension, id) => {
    return `${id},${times},${times},,2026-11-21,${quoted},${quoted},${quoted},${dimension},5`
  })
  const columns = `${header},product_id,end_user_account_id,region,dimension_key,usage_quantity`
  writeFileSync(report, [columns, ...rows, `7,${quoted},${times},,,,,,,`].join('\n'))
  const comparing = ['reconcile', '--usage-report', report, '--from', '2026-11-20', ...ledger]
  await says(comparing, /FAKE.*FAKE/s)
  await says([...comparing, '--format', 'json'], /\\u001b\[2K.*FAKE/)
  await says([...comparing, '--format', 'csv'], /^(more|incomplete|less),.*FAKE/m)
  writeFileSync(report, `${quoted},usage_feed_id\n`)
  await says(comparing, /^error: Expected a column .*fake/)
})

test('commands that decide', async t => {
  const ledger = ['--ledger', await hostileLedger(t), '--why', 'why', '--now', '2026-11-21T09:40Z']
  const stray = handleOf({ ...STRAY, key: `${STRAY.key}${HOSTILE}` })
  await says(['release', '7', ...ledger], /^Released record 7: .*FAKE/)
  await says(['settle', '1', '--billed', ...ledger], /^Settled as billed record 1: .*FAKE/)
  await says(['settle', '4', '--billed', ...ledger], /^error: /)
  await says(['attribute', stray, 'no such', '--account-id', '777788889999', ...ledger], /^error: /)
  await says(
    ['attribute', stray, `tokens-processed${HOSTILE}`, '--account-id', '777788889999', '--product', 'prod', ...ledger],
    /^Attributed .*FAKE/,
  )
  await says(
    ['write-off', `prod,444455556666${HOSTILE}`, `tokens-processed${HOSTILE}`, ...ledger],
    /^(Wrote|error).*FAKE/,
  )
  await says(['write-off', HOSTILE, HOSTILE, ...ledger], /^error: .*FAKE/)
  await says(['audit', ...ledger.slice(0, 2)], /Released|release/)
})

test('check', async t => {
  const path = folder(t)
  const [config, payload] = [join(path, 'gateway.yaml'), join(path, 'payload.json')]
  const name = JSON.stringify(`my.tokens${HOSTILE}`)
  writeFileSync(
    config,
    `{ "productCode": "prod", "region": "us-east-1", "ledger": ${JSON.stringify(`${path}/ledger${HOSTILE}`)}, "dimensions": {
      "tokens-1k": { "unit": ${JSON.stringify(`{token${HOSTILE.replaceAll(/[^\u0021-\uffff]|[{}]/gu, '')}}`)},
        "from": { "metric": ${name}, "unit": "1", "attributes": { ${JSON.stringify(HOSTILE)}: ${JSON.stringify(HOSTILE)} } } } },
      "customer": { "accountId": ${JSON.stringify(HOSTILE)} } }`,
  )
  const point = {
    attributes: [{ key: HOSTILE, value: { stringValue: HOSTILE } }],
    ...{ startTimeUnixNano: '1763715600000000000', timeUnixNano: '1763715660000000000', asInt: '5' },
  }
  const metric = (name: string, unit: string) => {
    return { name, unit, sum: { aggregationTemporality: 1, isMonotonic: true, dataPoints: [point] } }
  }
  const metrics = [metric(`my.tokens${HOSTILE}`, '1'), metric(`my.tokens${HOSTILE}`, HOSTILE), metric(HOSTILE, HOSTILE)]
  const scopeMetrics = ['a', HOSTILE].map(name => ({ scope: { name }, metrics }))
  writeFileSync(payload, JSON.stringify({ resourceMetrics: [{ resource: { attributes: [] }, scopeMetrics }] }))
  await says(['check', config], /FAKE/)
  await says(['check', config, '--format', 'json'], /FAKE/)
  await says(['check', config, '--payload', payload], /FAKE/)
  await says(['check', config, '--payload', payload, '--format', 'json'], /FAKE/)
  writeFileSync(config, `{ ${JSON.stringify(HOSTILE)}: 5 }`)
  await says(['check', config], /FAKE/)
})

test('a mistake in the command line', async () => {
  await says([HOSTILE], /^error: unknown command/)
  await says(['status', `--${HOSTILE}`], /^error: unknown option/)
  await says(['status', '--format', HOSTILE], /^error: option/)
  await says(['status', '--ledger', `./${HOSTILE}`], /^error: There is no ledger at .*FAKE/)
})

test('a mistake in the command line shows no password', async () => {
  const address = 'postgresql://meter:hunter2@db/x'
  for (const args of [
    [address],
    ['status', address],
    ['status', `--ledgr=${address}`],
    ['status', '--ledger', `${address}?foo=1`],
    ['status', '--ledger', 'host=db password=hunter2'],
    ['status', '--format', address],
    ['check', address],
    ['restore', 'a', address, '--why', 'x'],
    ['restore', 'meter:hunter2@db', 'b', '--why', 'x'],
    ['backup', 'meter:hunter2@db', '--ledger', 'meter:hunter2@db'],
  ]) {
    const { stdout, stderr, status } = await run(args)
    assert.ok(stdout === '' && stderr !== '' && status !== 0, args.join(' '))
    assert.doesNotMatch(stderr, /hunter2/)
  }
})
