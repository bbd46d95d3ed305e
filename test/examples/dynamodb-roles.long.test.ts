import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, describe, test } from 'node:test'
import { DynamoDBLedger } from '../../src/ledger/dynamodb/ledger.ts'
import { HOUR, MINUTE } from '../../src/ledger/hours.ts'
import type { Ledger } from '../../src/ledger/ledger.ts'
import { reconciledRegions } from '../../src/reconcile/notes.ts'
import { customerAccount } from '../../src/usage/account.ts'
import { code } from '../ledger/conformance/scenario.ts'
import { micros, point } from '../ledger/dynamodb/life.ts'
import { DynamoDBLocal, withoutJava } from '../ledger/dynamodb/server.ts'
import {
  ALICE,
  BOB,
  BY,
  closeOptions,
  closing,
  DIMENSIONS,
  entry,
  hour,
  METERED,
  NOBODY,
  observing,
  REQUESTS,
  sources,
  TOKENS,
  UNIT,
} from '../ledger/scene.ts'
import { type Access, actionsOf, allows, isLike, obey, patternsOf, policiesOf } from './iam-policies.ts'

/** The example's policies: what each role does is asked of them request by request, and what it may not is refused. */

const policies = policiesOf(
  readFileSync(new URL('../../examples/collector/dynamodb-roles.yaml', import.meta.url), 'utf8'),
)
const policy = (role: string) => policies.get(role) ?? []
const ROLES = ['Append', 'Send', 'Decide', 'Read']
const WRITES = ['BatchWriteItem', 'DeleteItem', 'PutItem', 'UpdateItem'].map(name => `dynamodb:${name}`)

const mayWrite = (role: string, partition: string) =>
  WRITES.filter(action => allows(policy(role), { action, partitions: [partition] }))

test('each policy is about one table, and about actions that are named', () => {
  for (const statements of policies.values()) {
    for (const statement of statements) {
      assert.match(String(statement.Resource), /:table\/\$\{TableName\}\}$|^\$\{KeyArn\}$/)
      assert.ok(!actionsOf(statement).some(action => action.includes('*')))
    }
  }
})

test('the audit trail is added to, and by nobody changed in place or deleted from', () => {
  for (const partition of ['audit', 'audit#settle', 'chain']) {
    for (const role of ['Send', 'Decide']) assert.deepEqual(mayWrite(role, partition), ['dynamodb:PutItem'])
    assert.deepEqual(mayWrite('Read', partition), [])
    // With everything else that may be granted.
    const everything = { Effect: 'Allow', Action: WRITES, Resource: '*' } as const
    const left = WRITES.filter(action => allows([everything, ...policy('Trail')], { action, partitions: [partition] }))
    assert.deepEqual(left, ['dynamodb:PutItem'])
  }
  for (const partitions of [
    ['journal', 'audit'],
    ['audit#fed', 'due'],
  ]) {
    assert.ok(!allows(policy('Send'), { action: 'dynamodb:BatchWriteItem', partitions }))
  }
  const decided = ['settle', 'release', 'write-off', 'attribute', 'restore', 'prune', 'finalize', 'register']
  for (const action of [...decided, 'endpoint']) assert.deepEqual(mayWrite('Append', `audit#${action}`), [])
})

test('the roles are parted where partitions part them', () => {
  for (const partition of ['ledger', 'customers#0', 'unattributed#0', 'due', 'held', 'states#', 'products', 'turns']) {
    assert.deepEqual(mayWrite('Append', partition), [], partition)
  }
  for (const partition of ['journal', 'bodies#ab', 'customers#0', 'unattributed#0', 'due', 'held']) {
    assert.ok(!allows(policy('Append'), { action: 'dynamodb:Query', partitions: [partition] }), partition)
  }
  for (const partition of ['writer#ab', 'turns', 'fed#plant']) assert.deepEqual(mayWrite('Decide', partition), [])
  for (const action of ['dynamodb:Scan', 'dynamodb:PartiQLUpdate', 'dynamodb:DeleteTable']) {
    for (const role of ROLES) assert.ok(!allows(policy(role), { action, partitions: ['journal'] }))
  }
})

describe('the roles of a ledger on DynamoDB', { skip: withoutJava }, async () => {
  if (withoutJava) return
  const server = await DynamoDBLocal.shared()
  const tableName = await server.table(server.client())
  const opened: Ledger[] = []
  after(async () => {
    for (const ledger of opened) await ledger.close()
    await server[Symbol.asyncDispose]()
  })
  const used = new Map<string, Access[][]>()

  async function as(role: string): Promise<Ledger> {
    const client = server.client()
    used.set(role, [...(used.get(role) ?? []), obey(client, [...policy(role), ...policy('Trail')])])
    const ledger = await DynamoDBLedger.open({ tableName, client })
    opened.push(ledger)
    return ledger
  }

  const denied = code('ERR_LEDGER_IO')
  const licensed = customerAccount({ product: 'label', accountId: '111111111111', licenseArn: 'arn:aws:license:l-1' })
  const known = [...DIMENSIONS.filter(({ name }) => name !== TOKENS.name), { ...TOKENS, size: 500n * UNIT }]

  test('who sends registers, records, closes, sends, prunes, forgets and finalizes', async () => {
    const ledger = await as('Send')
    await ledger.register(DIMENSIONS, sources(ALICE.product, hour(0)))
    await ledger.register([{ ...TOKENS, size: 500n * UNIT }], sources(ALICE.product, hour(0)))
    await observing('ab'.repeat(16))(ledger, 5, 7, 'cumulative')
    await observing('ac'.repeat(16))(ledger, 6, 7, 'delta')
    // One that says its start in whole seconds, as scrapes do.
    const scraped = point('scraped', 7, 3, { kind: 'scraped', start: micros(0) })
    await ledger.append({ writer: 'af'.repeat(16), sequence: 1, entries: [], observations: [scraped] })
    const many = Array.from({ length: 300 }, (_, n) => entry({ ...BOB, key: `${BOB.key}-${n}` }, REQUESTS, 0, n + 1))
    const some = [entry(ALICE, REQUESTS, 0, 5), entry(NOBODY, REQUESTS, 0, 2), entry(BOB, REQUESTS, 0, 5)]
    await ledger.append({ writer: 'ad'.repeat(16), sequence: 1, entries: [...some, ...many] })
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
    await observing('ae'.repeat(16))(ledger, 45 * 60, 9, 'delta')
    await ledger.closeHours(closeOptions(closing(60)))
    // What AWS has billed lately is what pruning goes by.
    const later = { now: closing(60), limit: 25, claimedUntil: closing(60) + MINUTE }
    for (const one of (await ledger.due(closing(60))).lanes) {
      const records = await ledger.claim(one, later)
      await ledger.settle(
        records.map(billed => ({ record: billed, outcome: METERED, answer: 'Success' })),
        closing(60),
      )
    }
    assert.ok((await ledger.prune(hour(10), { who: 'retention', why: 'old', now: closing(60) })) > 0)
    await ledger.forget(hour(24 * 100))
    await ledger.noteAgreement(licensed, { what: 'active', at: hour(60), tenant: 'acme' }, closeOptions(closing(60)))
    await ledger.noteSender('plant', [ALICE, BOB], hour(0))
    await ledger.note({ action: 'set-aside', who: 'writer', why: 'refused', detail: 'batch 1' })
    await ledger.status()
    assert.deepEqual((await ledger.verifyAudit()).breaks, [])
  })

  test('who only records brings usage in, says whose it is, and sees and changes nothing else', async () => {
    const ledger = await as('Append')
    await ledger.register(known, sources(ALICE.product, hour(1)))
    const many = Array.from({ length: 100 }, (_, n) =>
      entry({ ...ALICE, key: `${ALICE.key}-${n}` }, REQUESTS, 61, n + 1),
    )
    // One of them by both identities, which lie apart.
    const both = [ALICE, licensed].map(one => entry(one, REQUESTS, 61, 1))
    await ledger.append({ writer: 'ba'.repeat(16), sequence: 1, entries: both })
    await ledger.append({ writer: 'ba'.repeat(16), sequence: 2, entries: many })
    await ledger.append({ writer: 'ba'.repeat(16), sequence: 2, entries: many })
    await observing('bb'.repeat(16))(ledger, 7, 9, 'cumulative')
    await ledger.ping()
    await ledger.clock.now(Date.now())
    await ledger.noteSender('plant-2', [ALICE, BOB], hour(1))
    await ledger.note({ action: 'set-aside', who: 'writer', why: 'refused', detail: 'batch 3' })
    assert.deepEqual((await ledger.verifyAudit()).breaks, [])
    await assert.rejects(ledger.register(DIMENSIONS), denied)
    await assert.rejects(ledger.statement(), denied)
    await assert.rejects(ledger.records(), denied)
    await assert.rejects(ledger.status(), denied)
    await assert.rejects(ledger.closeHours(closeOptions(closing(61))), denied)
    await assert.rejects(ledger.writeOff(ALICE.key, REQUESTS.name, BY), denied)
    await assert.rejects(ledger.finalize(ALICE, { ...closeOptions(closing(61)), endedAt: closing(61) }), denied)
    await assert.rejects(ledger.declareRestored(BY), denied)
    await assert.rejects(ledger.clock.takeTurns('us-east-1', 1, 100, closing(61)), denied)
  })

  test('who reads sees all that needs no fold, and changes nothing', async () => {
    const ledger = await as('Read')
    const missing = { code: 'ERR_LEDGER_READ_ONLY', message: /would be missing.*ask again when/ }
    // Counters wait; what people did and whom senders feed is in the trail all the same.
    await assert.rejects(ledger.statement(), missing)
    await assert.rejects(ledger.audit(), missing)
    assert.equal((await ledger.audit({ actions: ['fed'] })).length, 4)
    assert.equal((await ledger.audit({ actions: ['prune', 'finalize'] })).length, 2)
    assert.ok((await ledger.records()).length > 0)
    await ledger.status()
    await (await as('Send')).statement()
    assert.ok((await ledger.statement()).length > 0)
    assert.ok((await ledger.audit()).length > 4)
    await ledger.dimensions()
    assert.equal((await ledger.agreements({ tenant: 'acme' })).length, 1)
    assert.equal((await reconciledRegions(ledger)).length, 1)
    await assert.rejects(ledger.note({ action: 'reconcile', who: 'reader', why: 'asked', detail: '{}' }), denied)
    assert.deepEqual((await ledger.verifyAudit()).breaks, [])
    const batch = { writer: 'ca'.repeat(16), sequence: 1, entries: [entry(ALICE, REQUESTS, 61, 1)] }
    await assert.rejects(ledger.append(batch), denied)
    await assert.rejects(ledger.noteSender('plant-3', [ALICE], hour(1)), denied)
    await assert.rejects(ledger.writeOff(ALICE.key, REQUESTS.name, BY), denied)
  })

  test('who decides does so, and brings no usage in', async () => {
    await observing('bc'.repeat(16))(await as('Append'), 47 * 60, 12, 'delta')
    const ledger = await as('Decide')
    await ledger.attribute(NOBODY.key, REQUESTS.name, { ...BOB, key: 'new' }, { ...BY, now: hour(61) })
    await ledger.writeOff('new', REQUESTS.name, { ...BY, now: hour(61) })
    const [undone] = await ledger.undo(await ledger.audit({ actions: ['write-off'], limit: 1 }), {
      ...BY,
      now: hour(61),
    })
    assert.ok(undone?.amount)
    const cancelled = { ...closeOptions(closing(61)), endedAt: closing(61), who: 'ops', why: 'cancelled' }
    assert.equal((await ledger.finalize(ALICE, cancelled)).records, 1)
    const registered = { what: 'registered', at: hour(61), tenant: 'globex' } as const
    await ledger.noteAgreement(ALICE, registered, closeOptions(closing(61)))
    await ledger.prune(hour(30), BY)
    await ledger.declareRestored({ ...BY, now: closing(61) })
    const held = await ledger.records({ state: 'held', limit: 1000 })
    assert.ok(held.length > 0)
    for (const { id } of held) await ledger.decide(id, 'not-billed', { ...BY, now: closing(61) })
    await ledger.note({ action: 'reconcile', who: 'ops', why: 'asked', detail: '{}' })
    assert.equal((await reconciledRegions(ledger)).length, 1)
    assert.deepEqual((await ledger.verifyAudit()).breaks, [])
    const batch = { writer: 'da'.repeat(16), sequence: 1, entries: [entry(ALICE, REQUESTS, 61, 1)] }
    await assert.rejects(ledger.append(batch), denied)
    await assert.rejects(ledger.clock.takeTurns('us-east-1', 1, 100, closing(61)), denied)
    await assert.rejects(ledger.noteSender('plant-3', [ALICE], hour(1)), denied)
  })

  test('no policy names an action that its role does not use, nor a partition that the ledger does not have', () => {
    const all = [...used.values()].flat(2)
    const partitions = new Set(all.flatMap(access => access.partitions))
    for (const role of ROLES) {
      const actions = new Set(
        used
          .get(role)
          ?.flat()
          .map(({ action }) => action),
      )
      for (const statement of policy(role)) {
        for (const action of actionsOf(statement)) assert.ok(actions.has(action), `${role}: ${action}`)
        for (const pattern of patternsOf(statement)) {
          assert.ok(
            [...partitions].some(partition => isLike(pattern, partition)),
            `${role}: ${pattern}`,
          )
        }
      }
    }
  })
})
