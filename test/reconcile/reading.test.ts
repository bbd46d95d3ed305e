import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { type TestContext, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { HOUR } from '../../src/ledger/hours.ts'
import { readEvent, type TrailEvent } from '../../src/reconcile/event.ts'
import { eventFiles, readEventFile } from '../../src/reconcile/event-files.ts'
import { eventTime } from '../../src/reconcile/event-time.ts'
import { type Call, eventOf, inWords, LICENCE, lookupOutput, METER, otherEvent } from './trail.ts'

const TEN = Date.parse('2026-11-03T10:00:00Z')
const RECORD = { accountId: '111122223333', dimension: 'tokens', quantity: 400, timestamp: TEN + HOUR - 1000 }
const CALL: Call = {
  at: Date.parse('2026-11-03T11:05:02Z'),
  region: 'eu-central-1',
  records: [{ ...RECORD, licenseArn: LICENCE, said: 'Success', meteringRecordId: '5a1b0c9d-sample' }],
}

async function read(t: TestContext, files: Record<string, string | Buffer>, paths?: string[], input?: Buffer[]) {
  const folder = mkdtempSync(join(tmpdir(), 'trail-'))
  t.after(() => rmSync(folder, { recursive: true }))
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), content)
  }
  const found = eventFiles(
    paths?.map(path => (path === '-' ? path : join(folder, path))) ?? [folder],
    Readable.from(input ?? []),
  )
  const [events, problems]: [TrailEvent[], string[]] = [[], []]
  for (const file of found.files)
    await readEventFile(
      file,
      event => events.push(event),
      text => problems.push(text),
    )
  const inside = (text: string) => text.replaceAll(`${folder}/`, '')
  return {
    events,
    problems: problems.map(inside),
    others: found.others.map(inside),
    ids: events.map(({ call }) => call?.eventId),
  }
}

test('the real record of the facts is read', () => {
  const real = `{"eventVersion":"1.11","userIdentity":{"type":"AssumedRole","arn":"arn:aws:sts::999900001111:assumed-role/meter/m1","accountId":"999900001111","sessionContext":{"sessionIssuer":{"type":"Role","arn":"arn:aws:iam::999900001111:role/meter"}}},"eventTime":"2026-11-03T11:05:02Z","eventSource":"metering-marketplace.amazonaws.com","eventName":"BatchMeterUsage","awsRegion":"eu-central-1","sourceIPAddress":"192.0.2.7","requestParameters":{"usageRecords":[{"timestamp":"Nov 3, 2026 10:59:59 AM","dimension":"tokens","quantity":400,"customerAWSAccountID":"111122223333","licenseArn":"arn:aws:license-manager::294406891311:license:l-00112233445566778899aabbccddeeff"}]},"responseElements":{"results":[{"usageRecord":{"timestamp":"Nov 3, 2026 10:59:59 AM","dimension":"tokens","quantity":400,"customerAWSAccountID":"111122223333","licenseArn":"arn:aws:license-manager::294406891311:license:l-00112233445566778899aabbccddeeff"},"meteringRecordId":"5a1b0c9d-sample","status":"Success"}],"unprocessedRecords":[]},"requestID":"0c0ffee0-sample","eventID":"c0ffee11-sample","readOnly":false,"eventType":"AwsApiCall","recipientAccountId":"999900001111"}`
  const expected = {
    time: CALL.at,
    region: 'eu-central-1',
    call: {
      eventId: 'c0ffee11-sample',
      requestId: '0c0ffee0-sample',
      caller: {
        principal: METER,
        arn: 'arn:aws:sts::999900001111:assumed-role/meter/m1',
        address: '192.0.2.7',
        userAgent: 'unknown',
      },
      sightings: [
        {
          series: {
            region: 'eu-central-1',
            licence: 'l-00112233445566778899aabbccddeeff',
            accountId: '111122223333',
            dimension: 'tokens',
          },
          hour: TEN,
          quantity: 400,
          outcome: 'success',
          meteringRecordId: '5a1b0c9d-sample',
        },
      ],
      leftOut: false,
    },
  }
  assert.deepEqual(readEvent(real), expected)
  // AWS's own texts do not agree on names, and write ARNs in two ways.
  const other = real
    .replaceAll('customerAWSAccountID', 'CustomerAWSAccountId')
    .replaceAll('"timestamp"', '"Timestamp"')
    .replaceAll('arn:aws:license-manager::294406891311', 'aws:license-manager:us-east-1:294406891311')
  assert.deepEqual(readEvent(other), expected)
  assert.deepEqual(readEvent(JSON.stringify({ EventId: 'x', CloudTrailEvent: real })), expected)
})

test('a time is what AWS writes, or may write', () => {
  const at = Date.parse('2026-11-03T10:20:00Z')
  for (const value of [
    ...[
      'Nov 3, 2026 10:20:00 AM',
      'Nov 3, 2026, 10:20:00 AM',
      'Nov 3, 2026, 10:20:00\u202fAM',
      'nov 3, 2026 10:20:00 am',
    ],
    ...['2026-11-03T10:20:00Z', '2026-11-03T10:20:00', '2026-11-03T10:20:00.000+00:00', '2026-11-03T11:20:00+01:00'],
    ...[at / 1000, at, String(at / 1000), inWords(at)],
  ]) {
    assert.equal(eventTime(value), at, String(value))
  }
  assert.equal(eventTime('Nov 3, 2026 12:00:00 AM'), Date.parse('2026-11-03'))
  assert.equal(eventTime('Nov 3, 2026 12:00:00 PM'), Date.parse('2026-11-03T12:00Z'))
  for (const value of [
    ...[
      '',
      'yesterday',
      'Nov 31, 2026 10:20:00 AM',
      'Nov 3, 2026 13:20:00 AM',
      'Nov 3, 2026 10:20:00',
      '2026-13-03T10:20:00Z',
    ],
    ...[null, undefined, {}, -1, Number.NaN],
  ]) {
    assert.equal(eventTime(value), undefined, String(value))
  }
})

test('what became of a record is what the event proves of it', () => {
  const outcomes = (call: Partial<Call>, change = (text: string) => text) => {
    const text = JSON.stringify(eventOf({ ...CALL, product: 'prod', ...call }))
    const { call: found } = readEvent(change(text)) as TrailEvent
    return [found?.leftOut, ...(found?.sightings.map(({ outcome, quantity }) => `${outcome} ${quantity}`) ?? [])]
  }
  const said = (...texts: (string | undefined)[]) =>
    texts.map((text, index) => ({ ...RECORD, quantity: index, ...(text !== undefined && { said: text }) }))
  const records = said('Success', 'DuplicateRecord', 'CustomerNotSubscribed', 'unprocessed', undefined, 'Perhaps')
  assert.deepEqual(outcomes({ records }), [
    ...[false, 'success 0', 'duplicate 1', 'not-subscribed 2', 'unprocessed 3', 'unclear 4', 'unclear 5'],
  ])
  const one = said('Success')
  assert.deepEqual(outcomes({ records: one, errorCode: 'ThrottlingException' }), [false, 'refused 0'])
  assert.deepEqual(outcomes({ records: one, errorCode: 'Client.AccessDenied' }), [false, 'refused 0'])
  const odd = (text: string) => text.replace(/"dimension":"tokens",/, '')
  assert.deepEqual(outcomes({ records: one, errorCode: 'ValidationException' }, odd), [false])
  assert.throws(
    () => outcomes({ records: one, errorCode: 'InternalServiceErrorException' }, odd),
    /dimension to be a text/,
  )
  assert.deepEqual(outcomes({ records: one, errorCode: 'InternalServiceErrorException' }), [false, 'unclear 0'])
  assert.deepEqual(outcomes({ records: one, errorCode: 'SomethingNewException' }), [false, 'unclear 0'])
  assert.deepEqual(outcomes({ records: one, leftOut: ['responseElements'] }), [true, 'unclear 0'])
  // The product code, by which AWS tells whose a record is, is in the request alone.
  assert.deepEqual(outcomes({ records: one, leftOut: ['requestParameters'] }), [true])
  const licensed = one.map(record => ({ ...record, licenseArn: LICENCE }))
  assert.deepEqual(outcomes({ records: licensed, leftOut: ['requestParameters'] }), [true, 'success 0'])
  assert.deepEqual(outcomes({ records: licensed, leftOut: ['requestParameters', 'responseElements'] }), [true])
  assert.deepEqual(outcomes({ records: [] }), [false])
  // A quantity that is left out is 0, in request and answer alike; else it is another record's answer.
  const dropped = (text: string) => text.replace(/("usageRecord":[^}]*),"quantity":\d+/, '$1')
  assert.deepEqual(outcomes({ records: one }, dropped), [false, 'success 0'])
  assert.throws(() => outcomes({ records: [{ ...RECORD, said: 'Success' }] }, dropped), /to the records that were sent/)
})

test('events come from files of every kind, each with what cannot be read', async t => {
  const event = (eventID: string) => eventOf({ ...CALL, eventID })
  const bad = { ...event('bad'), requestParameters: { usageRecords: [{ dimension: 7 }] } }
  const insight = { ...event('insight'), eventType: 'AwsCloudTrailInsight', eventCategory: 'Insight' }
  const records = (...events: object[]) => JSON.stringify({ Records: events })
  const trail = 'AWSLogs/999900001111/CloudTrail/eu-central-1/2026/11/03'
  const { ids, problems, others, events } = await read(t, {
    [`${trail}/1.json.gz`]: gzipSync(records(otherEvent(TEN), event('gz'), insight)),
    [`${trail}/2.json`]: `\ufeff${records(event('plain'), bad, event('after'))}`,
    [`${trail}/3.json.gz`]: Buffer.concat([gzipSync(records(event('first'))), gzipSync(records(event('member')))]),
    [`${trail}/4.json.gz`]: gzipSync(records(event('cut'))).subarray(0, 300),
    [`${trail}/5.json`]: `${records(event('whole'))}{"Records":[${JSON.stringify(event('next'))},{"eventName":"Batch`,
    [`${trail}/6.json`]: `{"Records": [42]}`,
    [`${trail}/7.json`]: '',
    [`${trail}/8.json`]: 'not JSON',
    [`${trail}/notes.txt`]: 'x',
    'AWSLogs/999900001111/CloudTrail-Digest/eu-central-1/1.json.gz': 'not read',
    'events.json': `${lookupOutput([event('page 1'), event('page "2\\')])}\n${lookupOutput([event('page 3')])}`,
    'list.json': JSON.stringify([event('listed'), JSON.stringify(event('as text'))]),
    'lines.json': `${JSON.stringify(event('line 1'))}\n${JSON.stringify({ CloudTrailEvent: JSON.stringify(event('line 2')) })}`,
  })
  assert.deepEqual(
    ids.filter(id => id !== undefined),
    [
      ...['gz', 'plain', 'after', 'first', 'member', 'whole', 'next'],
      ...['page 1', 'page "2\\', 'page 3', 'line 1', 'line 2', 'listed', 'as text'],
    ],
  )
  assert.equal(events.length, 15)
  assert.deepEqual(others, [`${trail}/notes.txt`])
  assert.deepEqual(problems, [
    `${trail}/2.json, event 2: Expected a customer in a usage record, got none.`,
    `${trail}/4.json.gz, after event 0: unexpected end of file. What follows in it was not read.`,
    `${trail}/5.json, after event 2: it ends in the middle: it was cut off, or is still written. What follows in it was not read.`,
    `${trail}/6.json, after event 0: unexpected "4" at byte 13. What follows in it was not read.`,
    `${trail}/8.json, after event 0: unexpected "n" at byte 0. What follows in it was not read.`,
  ])
})

test('however it is cut into chunks, and from standard input, it is the same', async t => {
  const events = [eventOf({ ...CALL, eventID: 'o"ne\\' }), eventOf({ ...CALL, eventID: 'zwei ü' })]
  for (const text of [
    lookupOutput(events),
    JSON.stringify({ Records: events }),
    events.map(one => JSON.stringify(one)).join('\t'),
  ]) {
    for (const bytes of [Buffer.from(text), gzipSync(text)]) {
      const single = [...bytes].map(byte => Buffer.from([byte]))
      const { ids, problems } = await read(t, {}, ['-'], single)
      assert.deepEqual([ids, problems], [['o"ne\\', 'zwei ü'], []])
    }
  }
  assert.throws(() => eventFiles(['/nowhere/at/all'], Readable.from([])), /There is no file or folder/)
})
