import assert from 'node:assert/strict'
import { test } from 'node:test'
import { metrics } from '@opentelemetry/api'
import { Gateway } from '../src/gateway/index.ts'
import { billingViews, InferenceMeter, openLedger, SqliteLedger, spooled } from '../src/index.ts'
import { createLedgerTable, DynamoDBLedger } from '../src/ledger/dynamodb/index.ts'
import { PostgresqlLedger } from '../src/ledger/postgresql/index.ts'
import { HttpMeteringClient } from '../src/marketplace/index.ts'
import { startSimulator } from '../src/simulator/index.ts'

/** Wherever options are taken, all that there are not are told at once, and nothing is done. */

const no = 'there is no such option'
const ledger = new SqliteLedger({ path: ':memory:' })
const meter = new InferenceMeter(metrics)
const gateway = { productCode: 'p', region: 'us-east-1', ledger, http: { port: 0 } }
const sender = { name: 'a', token: 'a-token-of-the-tests' }

const WRONG: [what: string, call: () => unknown, ...problems: string[]][] = [
  [
    'SqliteLedger',
    () => new SqliteLedger({ path: ':memory:', readonly: true, busy_timeout: 5 } as never),
    `readonly: ${no} (did you mean readOnly?)`,
    `busy_timeout: ${no} (did you mean busyTimeout?)`,
  ],
  ['SqliteLedger by its path', () => new SqliteLedger('/a' as never), 'expected an object, got a string'],
  [
    'openLedger',
    () => openLedger('ledger.sqlite', { readonly: true } as never),
    `readonly: ${no} (did you mean readOnly?)`,
  ],
  [
    'PostgresqlLedger',
    () => PostgresqlLedger.open({ connectionsString: 'postgresql://u:hunter2@h/d', connections: 0 } as never),
    'connections: expected a whole number from 1, got 0',
    `connectionsString: ${no} (did you mean connectionString?)`,
  ],
  [
    'PostgresqlLedger by its address',
    () => PostgresqlLedger.open('postgresql://u:hunter2@h/d' as never),
    'expected an object, got a string',
  ],
  [
    'PostgresqlLedger.migration',
    () => PostgresqlLedger.migration({ version: 1 } as never),
    `version: ${no} (there are schema, from)`,
  ],
  [
    'DynamoDBLedger',
    () => DynamoDBLedger.open({ table: 'ledger', retry: 5 } as never),
    'tableName: it is required',
    `table: ${no} (did you mean tableName?)`,
    `retry: ${no} (did you mean retryTimeout?)`,
  ],
  [
    'createLedgerTable',
    () => createLedgerTable({ tableName: 'ledger', tags: [] } as never),
    `tags: ${no} (there are tableName, client, region, endpoint)`,
  ],
  ['spooled', () => spooled(ledger, { path: 'spool', size: 5 } as never), `size: ${no} (there are path)`],
  [
    'HttpMeteringClient',
    () => new HttpMeteringClient({ region: 'us-east-1', timeoutMs: 5, endPoint: 'http://h' } as never),
    `timeoutMs: ${no} (did you mean timeout?)`,
    `endPoint: ${no} (did you mean endpoint?)`,
  ],
  [
    'billingViews',
    () =>
      billingViews({ productCode: 'p', dimension: {} } as never, { cardinalityLimits: 5, attributes: 'none' } as never),
    `dimension: ${no} (did you mean dimensions?)`,
    `attributes: expected 'all' or 'needed', got "none"`,
    `cardinalityLimits: ${no} (did you mean cardinalityLimit?)`,
  ],
  ['InferenceMeter', () => new InferenceMeter(metrics, { clock: 5 } as never), `clock: ${no} (there are now)`],
  [
    'Gateway',
    () => Gateway.start({ ...gateway, statuspage: false, dryrun: true } as never),
    `statuspage: ${no} (did you mean statusPage?)`,
    `dryrun: ${no} (did you mean dryRun?)`,
  ],
  [
    'a sender',
    () => Gateway.start({ ...gateway, senders: [{ ...sender, customer: new Set(), dimensions: ['d'] }] } as never),
    `senders.0.customer: ${no} (did you mean customers?)`,
    'senders.0.dimensions: expected a Set, got ["d"]',
  ],
]

for (const [what, call, ...problems] of WRONG) {
  test(`options of ${what}`, async () => {
    // In JavaScript's turn, or in the promise's.
    await assert.rejects(async () => call(), { code: 'ERR_CONFIGURATION', problems })
  })
}

test('options of a call that is measured, before its work is done', () => {
  assert.throws(() => meter.measure({ accountId: '123456789012' }, () => assert.fail(), { gpu: 8 } as never), {
    code: 'ERR_INVALID_USAGE',
    message: `gpu: ${no} (did you mean gpus?)`,
  })
})

test('options of the simulator', async () => {
  await assert.rejects(startSimulator({ prot: 1, sead: 5, catalog: {} } as never), {
    name: 'SimulatorConfigurationError',
    message: [
      `options.prot: ${no} (did you mean port?)`,
      `options.sead: ${no} (did you mean seed?)`,
      `options.catalog: ${no} (did you mean catalogue?)`,
    ].join('\n'),
  })
})
