import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import { isForgotten } from '../../src/ledger/clients/lost-batches.ts'
import { HOUR, MINUTE } from '../../src/ledger/hours.ts'
import type { Ledger } from '../../src/ledger/ledger.ts'
import { PostgresqlLedger } from '../../src/ledger/postgresql/ledger.ts'
import { reconciledRegions } from '../../src/reconcile/notes.ts'
import { customerAccount } from '../../src/usage/account.ts'
import { taggedAccount } from '../../src/usage/tagged-account.ts'
import { run } from '../cli/support.ts'
import { code } from '../ledger/conformance/scenario.ts'
import { PostgresqlLedgers } from '../ledger/postgresql/under-test.ts'
import {
  ALICE,
  BOB,
  BY,
  closeOptions,
  closing,
  DIMENSIONS,
  DORA,
  entry,
  GPU,
  hour,
  METERED,
  NOBODY,
  observing,
  REQUESTS,
  sendSome,
  sources,
  TOKENS,
  UNIT,
} from '../ledger/scene.ts'

/** The example's roles, with just its grants, on a real server: what each does, and what it may not. */

const FILE = new URL('../../examples/collector/postgresql-roles.sql', import.meta.url)
const SCHEMA = 'marketplace_ledger'

const ledgers = await PostgresqlLedgers.shared()
after(() => ledgers[Symbol.asyncDispose]())

const opened: Ledger[] = []
after(async () => {
  for (const ledger of opened) await ledger.close()
})

/** Whoever logs in with a role. */
const login = (role: string) => ledgers.connectionString.replace('postgres@', `${role}_login@`)

async function as(role: string): Promise<PostgresqlLedger> {
  const ledger = await ledgers.open(SCHEMA, { connectionString: login(role) })
  opened.push(ledger)
  return ledger
}

/** What the server refuses to a role, beside the ledger. */
async function refused(role: string, sql: string): Promise<void> {
  const client = await ledgers.pool.connect()
  try {
    await client.query(`BEGIN; SET LOCAL ROLE ${role}; SET LOCAL search_path TO ${SCHEMA}`)
    await assert.rejects(client.query(sql), { code: '42501' }, `${role}: ${sql}`)
  } finally {
    await client.query('ROLLBACK')
    client.release()
  }
}

/** The same AWS account by a licence. */
const OTHER_BOB = customerAccount({ product: 'label', accountId: BOB.accountId, licenseArn: `${DORA.licenseArn}2` })

const TAMPERING = [
  "UPDATE audit SET who = 'nobody'",
  'DELETE FROM audit',
  'TRUNCATE audit',
  'DELETE FROM audit_chain',
  'DELETE FROM ledger',
  'DROP TABLE audit',
  'CREATE TABLE other (id integer)',
]

describe('the roles of a ledger on PostgreSQL', () => {
  before(async () => {
    await ledgers.pool.query(PostgresqlLedger.migration({ schema: SCHEMA }))
    const grants = readFileSync(FILE, 'utf8')
    await ledgers.pool.query(grants)
    // As it is done after a migration.
    await ledgers.pool.query(grants)
    for (const role of ['append', 'send', 'decide', 'read'].map(name => `marketplace_${name}`)) {
      await ledgers.pool.query(`CREATE ROLE ${role}_login LOGIN; GRANT ${role} TO ${role}_login`)
    }
  })

  test('who sends registers, records, closes, sends, prunes, finalizes and takes in what is told of agreements', async () => {
    const ledger = await as('marketplace_send')
    await ledger.register(DIMENSIONS, sources(ALICE.product, hour(0)))
    await ledger.register([{ ...TOKENS, size: 500n * UNIT }], sources(ALICE.product, hour(0)))
    await observing('ab'.repeat(16))(ledger, 5, 7, 'cumulative')
    await observing('ac'.repeat(16))(ledger, 6, 7, 'delta')
    await ledger.append({
      ...{ writer: 'ad'.repeat(16), sequence: 1 },
      entries: [entry(ALICE, REQUESTS, 0, 5), entry(NOBODY, REQUESTS, 0, 2), entry(BOB, REQUESTS, 0, 5)],
    })
    await ledger.closeHours({ ...closeOptions(closing(0)), zeroQuantityRecords: true })
    assert.ok(((await ledger.clock.takeTurns('us-east-1', 1, 100, closing(0))) ?? 0) > 0)
    const [lane] = (await ledger.due(closing(0))).lanes
    assert.ok(lane)
    const claim = { now: closing(0), limit: 1, claimedUntil: closing(0) + MINUTE }
    const [record] = await ledger.claim(lane, claim)
    assert.ok(record)
    await ledger.settle([{ record, outcome: METERED, answer: 'Success' }], closing(0))
    await ledger.expire(closing(0) + 40 * 24 * HOUR)
    await ledger.finalize(BOB, { ...closeOptions(closing(0)), endedAt: closing(0) })
    const terms = { ...closeOptions(closing(0)), zeroQuantityRecords: true, dimensions: [REQUESTS.name] }
    await ledger.noteAgreement(DORA, { what: 'active', at: hour(0), tenant: 'acme' }, terms)
    await ledger.append({ writer: 'ad'.repeat(16), sequence: 2, entries: [entry(ALICE, REQUESTS, 60, 1)] })
    await ledger.closeHours(closeOptions(closing(60)))
    assert.ok((await sendSome(ledger, closing(60))) > 0)
    assert.ok((await ledger.prune(hour(10), { who: 'retention', why: 'old', now: closing(60) })) > 0)
    const unknown = { after: HOUR, outcome: 'hold' } as const
    const included = { [GPU.name]: { per: 'term', quantity: 1, unknown } } as const
    await ledger.registerIncluded(ALICE.product, included, BY)
    await ledger.entitlements()
    await ledger.noteSender('plant', [ALICE], hour(0))
    await ledger.note({ action: 'set-aside', who: 'writer', why: 'refused', detail: 'batch 1' })
    await ledger.status()
    for (const sql of TAMPERING) await refused('marketplace_send', sql)
  })

  test('who only records brings usage in, says whose it is, and sees and changes nothing else', async () => {
    const ledger = await as('marketplace_append')
    const known = [...DIMENSIONS.filter(({ name }) => name !== TOKENS.name), { ...TOKENS, size: 500n * UNIT }]
    await ledger.register(known, sources(ALICE.product, hour(1)))
    await ledger.append({ writer: 'ba'.repeat(16), sequence: 1, entries: [entry(ALICE, REQUESTS, 61, 1)] })
    const tagged = taggedAccount(ALICE, [['model', 'small']])
    await ledger.append({ writer: 'ba'.repeat(16), sequence: 2, entries: [entry(tagged, REQUESTS, 61, 1)] })
    assert.equal((await ledger.included()).length, 1)
    await observing('bb'.repeat(16))(ledger, 7, 9, 'cumulative')
    await ledger.ping()
    await ledger.clock.now(Date.now())
    await ledger.noteSender('plant-2', [ALICE, BOB], hour(1))
    await ledger.note({ action: 'set-aside', who: 'writer', why: 'refused', detail: 'batch 2' })
    // What is lost it tells without reading more.
    const last = { writer: 'bc'.repeat(16), sequence: 1, entries: [entry(ALICE, REQUESTS, 61, 1)] }
    assert.equal(await isForgotten(ledger, 1, last), false)
    assert.deepEqual((await ledger.verifyAudit()).breaks, [])
    const denied = code('ERR_LEDGER_READ_ONLY')
    await assert.rejects(ledger.register(DIMENSIONS), denied)
    await assert.rejects(ledger.statement(), denied)
    await assert.rejects(ledger.records(), denied)
    await assert.rejects(ledger.closeHours(closeOptions(closing(61))), denied)
    await assert.rejects(ledger.writeOff(ALICE.key, REQUESTS.name, BY), denied)
    await assert.rejects(ledger.finalize(ALICE, { ...closeOptions(closing(61)), endedAt: closing(61) }), denied)
    await assert.rejects(ledger.noteAgreement(DORA, { what: 'active', at: hour(1) }, closeOptions(closing(61))), denied)
    await assert.rejects(ledger.agreements(), denied)
    await assert.rejects(ledger.declareRestored(BY), denied)
    const others = [
      'SELECT FROM account',
      'SELECT body FROM journal',
      'DELETE FROM batch',
      'UPDATE dimension SET size = 1',
    ]
    for (const sql of [...TAMPERING, ...others, 'UPDATE ledger SET closed_through = 0']) {
      await refused('marketplace_append', sql)
    }
  })

  test('who reads sees all that is folded, and changes nothing', async () => {
    const ledger = await as('marketplace_read')
    // What waits would be missing; what people did and whom senders feed is in the trail all the same.
    const missing = { code: 'ERR_LEDGER_READ_ONLY', message: /would be missing.*ask again when/ }
    await assert.rejects(ledger.statement(), missing)
    await assert.rejects(ledger.audit(), missing)
    await assert.rejects(ledger.status(), missing)
    assert.equal((await ledger.audit({ actions: ['fed'] })).length, 3)
    assert.equal((await ledger.audit({ actions: ['prune', 'finalize'] })).length, 2)
    assert.ok((await ledger.records()).length > 0)
    assert.deepEqual(
      (await ledger.agreements({ tenant: 'acme' })).map(({ account, state }) => [account, state]),
      [[DORA, 'active']],
    )
    await (await as('marketplace_send')).statement()
    assert.ok((await ledger.statement()).length > 0)
    assert.ok((await ledger.audit()).length > 3)
    await ledger.status()
    await ledger.dimensions()
    assert.equal((await reconciledRegions(ledger)).length, 1)
    const note = { action: 'reconcile', who: 'reader', why: 'asked', detail: '{}' } as const
    await assert.rejects(ledger.note(note), code('ERR_LEDGER_READ_ONLY'))
    assert.deepEqual((await ledger.verifyAudit()).breaks, [])
    const batch = { writer: 'ca'.repeat(16), sequence: 1, entries: [entry(ALICE, REQUESTS, 61, 1)] }
    await assert.rejects(ledger.append(batch), code('ERR_LEDGER_READ_ONLY'))
    await assert.rejects(ledger.noteSender('plant-3', [ALICE], hour(1)), code('ERR_LEDGER_READ_ONLY'))
    await assert.rejects(ledger.writeOff(ALICE.key, REQUESTS.name, BY), code('ERR_LEDGER_READ_ONLY'))
    await assert.rejects(
      ledger.noteAgreement(DORA, { what: 'ended', at: hour(1) }, closeOptions(closing(61))),
      code('ERR_LEDGER_READ_ONLY'),
    )
    for (const sql of [...TAMPERING, 'UPDATE series SET metered = 0']) await refused('marketplace_read', sql)
    // While usage waits in the journal, balances are not known to this role, and all else is.
    const sender = await as('marketplace_send')
    await sender.append({ writer: 'cb'.repeat(16), sequence: 1, entries: [entry(ALICE, REQUESTS, 61, 1)] })
    const shown = await run(['status', '--ledger', login('marketplace_read')])
    assert.match(shown.stdout, /^More than fits {2}not known: usage waits to be folded, and this role may only read$/m)
    assert.deepEqual([shown.status, shown.stderr], [0, ''])
    await sender.statement()
  })

  test('who decides does so, and brings no usage in', async () => {
    const ledger = await as('marketplace_decide')
    await ledger.attribute(NOBODY.key, REQUESTS.name, BOB, { ...BY, now: hour(61) })
    await ledger.attribute(BOB.key, REQUESTS.name, OTHER_BOB, { ...BY, now: hour(61) })
    await ledger.writeOff(OTHER_BOB.key, REQUESTS.name, { ...BY, now: hour(61) })
    const [undone] = await ledger.undo(await ledger.audit({ actions: ['write-off'], limit: 1 }), {
      ...BY,
      now: hour(61),
    })
    assert.ok(undone?.amount)
    await ledger.finalize(ALICE, { ...closeOptions(closing(61)), endedAt: closing(61), who: 'ops', why: 'cancelled' })
    await ledger.noteAgreement(ALICE, { what: 'active', at: closing(61) }, closeOptions(closing(61)))
    await ledger.prune(hour(1), BY)
    await ledger.declareRestored({ ...BY, now: closing(61) })
    const [held] = await ledger.records({ state: 'held' })
    if (held !== undefined) await ledger.decide(held.id, 'not-billed', { ...BY, now: closing(61) })
    await ledger.note({ action: 'reconcile', who: 'ops', why: 'asked', detail: '{}' })
    assert.equal((await reconciledRegions(ledger)).length, 1)
    assert.deepEqual((await ledger.verifyAudit()).breaks, [])
    const batch = { writer: 'da'.repeat(16), sequence: 1, entries: [entry(ALICE, REQUESTS, 61, 1)] }
    await assert.rejects(ledger.append(batch), code('ERR_LEDGER_READ_ONLY'))
    await assert.rejects(ledger.clock.takeTurns('us-east-1', 1, 100, closing(61)), code('ERR_LEDGER_READ_ONLY'))
    for (const sql of TAMPERING) await refused('marketplace_decide', sql)
  })
})
