import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { HOUR } from '../../src/ledger/hours.ts'
import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import { customerAccount } from '../../src/usage/account.ts'
import { folder, MILLION, REQUESTS, run, TOKENS } from './support.ts'

const NOW = ['--now', '2026-11-21T09:40Z']
const arn = (n: number) => `arn:aws:license-manager::294406891311:license:l-${String(n).repeat(32)}`
const licensed = (n: number) => customerAccount({ product: 'chat', accountId: '111122223333', licenseArn: arn(n) })

test('agreements that exist are taken in from a file, and stand beside the usage', async t => {
  const directory = folder(t)
  const path = join(directory, 'ledger.sqlite')
  const ledger = new SqliteLedger({ path })
  await ledger.register([TOKENS])
  const hour = Date.parse('2026-11-21T08:00Z')
  const usage = { account: licensed(1), dimension: TOKENS.name, hour, amount: 5000n * MILLION }
  await ledger.append({ writer: 'a'.repeat(32), sequence: 1, entries: [usage] })
  await ledger.close()
  const command = (...args: string[]) => run([...args, '--ledger', path])

  for (const whose of [[], ['--customer', '111122223333']]) {
    assert.match(
      (await command('agreements', ...whose)).stdout,
      /^No agreement is known.*\nAWS's console has them all: /,
    )
  }
  const file = join(directory, 'agreements.csv')
  const header = 'product,account_id,license_arn,product_code,tenant,agreement_since,agreement_until,notes'
  const [first, second] = [1, 2].map(n => `chat,111122223333,${arn(n)},code-1`) as [string, string]
  writeFileSync(
    file,
    `\ufeff${header}\r\n${first},"Acme, Inc.",2026-11-01,,x\r\n,111,${arn(3)},,,,,\r\n${second},,soon,,\r\n`,
  )
  const take = (...args: string[]) => command('import-agreements', file, '--region', 'us-east-1', ...NOW, ...args)
  const wrong = await take()
  assert.equal(wrong.status, 2)
  assert.match(wrong.stderr, /Nothing was taken in\. line 3: Expected product to be .* line 4: Expected a time/)
  const good = `${header}\n${first},"Acme, Inc.",2026-11-01,,\n${second},,2026-11-01,2026-11-20T10:30Z,\n${second},,2026-11-20T12:00Z,2027-11-20,\n`
  writeFileSync(file, good)
  assert.match((await take('--dry-run')).stdout, /^3 agreements would be taken in/)
  assert.match((await take()).stdout, /^Took in 3 of 3 agreements.*\n {2}Ends that are to come \(1\) are not/)
  assert.match((await take()).stdout, /^Took in 0 of 3 agreements/)

  const table = (await command('agreements')).stdout
  assert.match(table, /Acme, Inc\. {2}active since 2026-11-01/)
  assert.match(table, /active since 2026-11-20T12Z/)
  const [one] = JSON.parse((await command('agreements', '--tenant', 'Acme, Inc.', '--format', 'json')).stdout)
  assert.deepEqual(one, {
    ...{ account: { ...licensed(1) }, state: 'active', tenant: 'Acme, Inc.', productCode: 'code-1' },
    since: '2026-11-01T00:00:00.000Z',
  })
  // A licence whose column is misspelt, or that is left out, would have usage sent with the label as a product code.
  writeFileSync(file, good.replace('license_arn', 'licence_arn'))
  assert.match((await take('--dry-run')).stderr, /Expected the column license_arn, got "licence_arn"/)
  writeFileSync(file, 'product,account_id,agreement_since\nchat,444455556666,2026-11-01\n')
  assert.match((await take('--dry-run')).stderr, /line 2: Expected license_arn, since "chat" is the label/)
  writeFileSync(file, 'product;account_id;agreement_since\nchat;444455556666;2026-11-01\n')
  assert.match((await take('--dry-run')).stderr, /Expected a column product in the header, with commas/)
  writeFileSync(file, 'product,account_id,tenant,agreement_since\ncode-1,444455556666,"Acme, Inc.",2026-11-01\n')
  assert.match(
    (await take('--dry-run')).stdout,
    /^1 agreement would .*\n {2}Metered by the product code code-1, without a licence: 1\n {2}WARNING: the tenant "Acme, Inc\." .*444455556666, 111122223333/,
  )
  const none = await command('import-agreements', join(directory, 'none.csv'), '--region', 'us-east-1')
  assert.match(none.stderr, /^error: Expected a CSV file that can be read: ENOENT[^\n]*\n$/)

  // What it writes it takes in again, and in a spreadsheet ids and tenants are the texts that they are.
  const written = (await command('agreements', '--format', 'csv')).stdout
  assert.match(written, /,'111122223333,/)
  writeFileSync(file, written)
  assert.match((await take()).stdout, /^Took in 0 of 2 agreements; the others were known\./)
  const anew = written.replaceAll(arn(1), arn(3)).replaceAll("'111122223333", "'012345678901")
  writeFileSync(file, anew.replace('"Acme, Inc."', "'0042").replace(',code-1,,', ',code-1,Müller,'))
  assert.match((await take()).stdout, /^Took in 2 of 2 agreements\./)
  const [known] = JSON.parse((await command('agreements', '--tenant', '0042', '--format', 'json')).stdout)
  assert.equal(known.account.accountId, '012345678901')
  assert.match(
    (await command('agreements', '--tenant', 'Müller', '--format', 'csv')).stdout,
    /^\ufeffaccount,.*Müller,/s,
  )

  assert.match((await command('statement', ...NOW)).stdout, /AGREEMENT.*\n.*active since 2026-11-01/)
  const json = JSON.parse((await command('statement', '--format', 'json', ...NOW)).stdout)
  assert.equal(json.lines[0].agreement.state, 'active')
  assert.match(
    (await command('statement', '--format', 'csv', ...NOW)).stdout,
    /,active,2026-11-01T00:00:00\.000Z,,\r\n/,
  )

  // The customer has got another licence: what the first has goes there.
  const to = ['--account-id', '111122223333', '--license-arn', arn(2), '--why', 'renewed', ...NOW]
  const moved = await command('attribute', `l-${'1'.repeat(32)}`, TOKENS.name, ...to)
  assert.match(moved.stdout, /^Attributed 5 .*\n.* next hour that is closed\.\n {2}With it went what was held/)
  const other = ['--account-id', '999900001111', '--why', 'a mistake', ...NOW]
  const refused = await command('attribute', `l-${'2'.repeat(32)}`, TOKENS.name, ...other)
  assert.equal(refused.status, 2)
  assert.match(refused.stderr, /Expected an account that is unattributed, or of the same AWS account/)
  const again = new SqliteLedger({ path, readOnly: true })
  const lines = await again.statement({ from: hour, to: hour + 2 * HOUR })
  assert.deepEqual(
    lines.map(({ account, recorded }) => [account.key, recorded]),
    [[licensed(2).key, 5000n * MILLION]],
  )
  await again.close()
})

test('what contracts include is shown, and said of one customer', async t => {
  const path = join(folder(t), 'ledger.sqlite')
  const ledger = new SqliteLedger({ path })
  await ledger.register([TOKENS, REQUESTS])
  const [first, hour] = [Date.parse('2026-11-21T07:00Z'), Date.parse('2026-11-21T08:00Z')]
  const by = { who: 'metering', why: 'options', now: first }
  const unknown = { after: 6 * HOUR, outcome: 'hold' } as const
  const included = {
    [TOKENS.name]: { per: 'term', entitlement: 'committed', unknown },
    [REQUESTS.name]: { per: 'month', quantity: 100, unknown },
  } as const
  await ledger.registerIncluded('chat', included, by)
  const usage = (n: number, { name }: typeof TOKENS, amount: bigint) => {
    return { account: licensed(n), dimension: name, hour: first, amount: amount * MILLION }
  }
  const entries = [usage(1, TOKENS, 4500n), usage(1, REQUESTS, 130n), usage(2, REQUESTS, 30n)]
  await ledger.append({ writer: 'a'.repeat(32), sequence: 1, entries })
  const until = Date.parse('2027-03-01T00:00Z')
  const entitlement = { account: licensed(1), dimension: TOKENS.name, amount: 10_000n * MILLION, until }
  const news = { at: hour + 120_000, dimensions: [TOKENS.name], entitlements: [entitlement], complete: true }
  await ledger.noteEntitlements('chat', news, by)
  const close = { region: 'us-east-1', closeDelay: 0, deadlineMargin: 0 }
  await ledger.closeHours({ ...close, now: hour + 300_000 })
  const command = (...args: string[]) => run([...args, '--ledger', path, ...NOW])

  assert.deepEqual(
    (await command('entitlements')).stdout
      .trimEnd()
      .split('\n')
      .map(line => line.trimEnd()),
    [
      'CUSTOMER      LICENCE                             DIMENSION           UNIT         FROM  UNTIL           INCLUDED  USED  LEFT',
      `111122223333  l-${'1'.repeat(32)}  tokens-processed    1,000 token  -     2027-03-01T00Z        10     4     6`,
      `111122223333  l-${'1'.repeat(32)}  inference-requests  request      -     -                    100   100     0`,
      `111122223333  l-${'2'.repeat(32)}  inference-requests  request      -     -                    100    30    70`,
      '',
      '  inference-requests of chat: 100 request a month for all others',
      '  tokens-processed of chat: committed, a term; as AWS said at 2026-11-21T08:02Z, 98 min ago',
    ],
  )
  const { entitlements: all, included: known } = JSON.parse((await command('entitlements', '--format', 'json')).stdout)
  assert.deepEqual([all.length, known.length], [3, 2])
  assert.deepEqual(all[0], {
    ...{
      account: { ...licensed(1) },
      dimension: TOKENS.name,
      per: 'term',
      state: 'in force',
      baseUnit: '1',
      size: '1000',
    },
    ...{ until: '2027-03-01T00:00:00.000Z', included: '10000', used: '4000', left: '6000' },
  })
  const rows = (await command('entitlements', '--dimension', REQUESTS.name, '--format', 'csv')).stdout
    .trim()
    .split('\r\n')
  assert.equal(rows.length, 3)
  assert.match(rows[1] ?? '', /,inference-requests,1,1,month,in force,,,100,100,0,2026-11-01T00:00:00\.000Z$/)
  assert.match((await command('statement')).stdout, /RECORDED +INCLUDED +METERED/)
  assert.match((await command('status')).stdout, /Nothing to do|Look first at:/)

  const why = ['--who', 'ann', '--why', 'order form 7']
  const say = (...args: string[]) => command('include', ...args, ...why)
  const id = `l-${'2'.repeat(32)}`
  assert.match(
    (await say(id, REQUESTS.name, '500', '--until', '2027-01-01')).stdout,
    /^Noted: the contract of .* includes 500 request of inference-requests a month until 2027-01-01T00Z\.$/m,
  )
  assert.match((await say(id, TOKENS.name, '5')).stderr, /is what AWS says of committed, and is read anew each hour/)
  assert.match(
    (await say('999999999999', REQUESTS.name, '5')).stderr,
    /^error: There is no account "999999999999" in this ledger\. .* "import-agreements" takes in a customer that has used nothing yet\./,
  )
  assert.match(
    (await say(id, 'gpu-hours', '5')).stderr,
    /Contracts of chat include nothing of gpu-hours: give the dimension/,
  )
  assert.match(
    (await command('include', id, REQUESTS.name, '5')).stderr,
    /required option '--why <text>' not specified/,
  )
  assert.match((await say(id, REQUESTS.name, '5.5')).stderr, /Expected a whole number of 0 or more/)
  assert.match((await command('entitlements', '--customer', id)).stdout, / 500 +30 +470\n/)
  const [entry] = await ledger.audit({ actions: ['entitlement'], limit: 1 })
  assert.deepEqual([entry?.who, entry?.why], ['ann', 'order form 7'])
  await ledger.append({ writer: 'a'.repeat(32), sequence: 2, entries: [{ ...usage(2, REQUESTS, 600n), hour }] })
  await ledger.closeHours({ ...close, now: hour + HOUR + 300_000 })
  const [line] = await ledger.statement({ customer: licensed(2).key, dimension: REQUESTS.name })
  // What was used of it before counts.
  assert.deepEqual([line?.included, line?.pending], [500n * MILLION, 130n * MILLION])
  // AWS was not asked since.
  const status = () => run(['status', '--ledger', path, '--now', '2026-11-21T13:00Z'])
  assert.match(
    (await status()).stdout,
    /What contracts of chat include of tokens-processed is not known since 2026-11-21T08:02Z: usage waits, and from 2026-11-21T14:02Z on it is held: marketplace-meter doctor/,
  )
  // What a clock that was a month ahead has read says nothing of today: as before it was ever read.
  const ahead = hour + 30 * 24 * HOUR
  await ledger.noteEntitlements('chat', { ...news, at: ahead }, { ...by, now: ahead })
  assert.match(
    (await status()).stdout,
    /is not known since 2026-11-21T07Z: usage waits; since 2026-11-21T13Z it is held/,
  )
  await ledger.close()
})
