import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Attributes } from '@opentelemetry/api'
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics'
import { Gateway } from '../../src/gateway/index.ts'
import { type AgreementNews, LedgerError, SqliteLedger } from '../../src/index.ts'
import { customerAccount } from '../../src/usage/account.ts'
import {
  ACCOUNT,
  counted,
  exportTo,
  HOUR,
  LICENCE,
  M,
  MINUTE,
  override,
  START,
  saidDuring,
  tokens,
  world,
} from './support.ts'

const SOLD = { product: 'inference', customer: { tenant: 'app.tenant' } } as const
const ACME = { 'app.tenant': 'acme' }
const licensed = (licenseArn: string) => customerAccount({ product: 'inference', accountId: ACCOUNT, licenseArn })
const OPTIONS = { region: 'us-east-1', closeDelay: 5 * MINUTE, deadlineMargin: 5 * MINUTE }
const tell = (ledger: SqliteLedger, licence: string, what: AgreementNews['what'], at: number) =>
  ledger.noteAgreement(licensed(licence), { what, at, tenant: 'acme' }, { ...OPTIONS, now: at })
const RENEWED = LICENCE.replace(/1$/, '2')

test('usage of a tenant is billed by the agreement that it has, and by the next when it has that', async t => {
  const { exporter, clock, ledger, billed, line } = world(t, SOLD)
  await tell(ledger, LICENCE, 'registered', START)
  await exportTo(exporter, tokens(3, ACME))
  clock.now += HOUR
  await exporter.forceFlush()
  assert.deepEqual(billed(), { [`${ACCOUNT} tokens-processed`]: 3 })
  await tell(ledger, LICENCE, 'ended', clock.now)
  await tell(ledger, RENEWED, 'active', clock.now)
  clock.now += 6 * MINUTE
  // What is known holds for some minutes; what is measured then belongs to the agreement before.
  await exportTo(exporter, tokens(4, ACME))
  await exportTo(exporter, tokens(5, ACME))
  await exporter.forceFlush()
  assert.equal((await line(licensed(LICENCE).key, 'tokens-processed'))?.recorded, 7n * M)
  assert.equal((await line(licensed(RENEWED).key, 'tokens-processed'))?.recorded, 5n * M)
})

test('a tenant that is not known is told, and is a tenant of its own for a person', async t => {
  const { exporter, ledger } = world(t, SOLD)
  const messages = await saidDuring(async () => {
    await exportTo(exporter, tokens(3, ACME))
    await exportTo(exporter, tokens(4, { 'app.tenant': 'bolt' }))
    await exportTo(exporter, tokens(5, {}))
  })
  const lines = await ledger.statement()
  assert.deepEqual(
    lines.map(
      ({ account, recorded }) => account.kind === 'unattributed' && [account.reason, account.evidence, recorded],
    ),
    [
      ['no-customer', '{}', 5n * M],
      ['unknown-tenant', '{"tenant":"acme"}', 3n * M],
      ['unknown-tenant', '{"tenant":"bolt"}', 4n * M],
    ],
  )
  assert.equal(messages.filter(message => message.includes('of whom the ledger knows no agreement')).length, 1)
  // Known from then on.
  await tell(ledger, LICENCE, 'active', START)
  await exportTo(exporter, tokens(6, ACME))
  assert.equal((await ledger.statement({ customer: licensed(LICENCE).key }))[0]?.recorded, 6n * M)
})

test('tenants whose names begin alike, or are of what no text can show, are told apart', async t => {
  const { exporter, ledger } = world(t, SOLD)
  const long = 'https://directory.example.com/organizations/0123456789/workspaces/'
  const names = [`${long}a`, `${long}b`, `${'\u0001'.repeat(63)}a`, `${'\u0001'.repeat(63)}b`]
  const licences = names.map((_, n) => LICENCE.replace(/1$/, `${n + 1}`))
  // Of the first of each two nothing is known yet.
  for (const n of [1, 3]) {
    const news = { what: 'active', at: START, tenant: names[n] as string } as const
    await ledger.noteAgreement(licensed(licences[n] as string), news, { ...OPTIONS, now: START })
  }
  const points = names.map((name, n): [number, Attributes] => [n + 1, { 'app.tenant': name }])
  await exportTo(exporter, counted('marketplace.inference.tokens', ...points))
  await exporter.shutdown()
  const lines = await ledger.statement()
  assert.deepEqual(
    new Map(
      lines.map(({ account, recorded }) => [
        recorded,
        account.kind === 'customer' ? account.licenseArn : account.reason,
      ]),
    ),
    new Map([
      [1n * M, 'unknown-tenant'],
      [2n * M, licences[1]],
      [3n * M, 'unknown-tenant'],
      [4n * M, licences[3]],
    ]),
  )
})

test('while the ledger cannot tell whose it is, usage waits here', async t => {
  let broken = true
  const { exporter, ledger } = world(t, {
    ...SOLD,
    wrap: ledger =>
      override(ledger, {
        agreements: async query => {
          if (broken) throw new LedgerError('ERR_LEDGER_BUSY', 'locked')
          return await ledger.agreements(query)
        },
      }),
  })
  await tell(ledger, LICENCE, 'active', START)
  assert.equal((await exportTo(exporter, tokens(3, ACME))).code, 1)
  assert.deepEqual(await ledger.statement(), [])
  broken = false
  assert.equal((await exportTo(exporter, tokens(4, ACME))).code, 0)
  const [line, ...others] = await ledger.statement()
  assert.deepEqual([line?.account.key, line?.recorded, others], [licensed(LICENCE).key, 7n * M, []])
})

test('a gateway looks tenants up before it takes what is theirs', async t => {
  const ledger = new SqliteLedger({ path: ':memory:' })
  await using gateway = await start(ledger)
  await tell(ledger, LICENCE, 'active', START)
  const { OTLPMetricExporter } = await import('@opentelemetry/exporter-metrics-otlp-proto')
  const exporter = new OTLPMetricExporter({ url: `http://${gateway.addresses.http}/v1/metrics` })
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 })
  const provider = new MeterProvider({ readers: [reader] })
  t.after(() => provider.shutdown())
  provider
    .getMeter('opentelemetry-exporter-aws-marketplace')
    .createCounter('marketplace.requests', { unit: '{request}' })
    .add(3, ACME)
  await provider.forceFlush()
  const lines = await ledger.statement()
  assert.deepEqual(
    lines.map(({ account, recorded }) => [account.key, recorded]),
    [[licensed(LICENCE).key, 3n * M]],
  )
})

async function start(ledger: SqliteLedger) {
  const gateway = await Gateway.start({
    ...SOLD,
    ledger,
    region: 'us-east-1',
    http: { host: '127.0.0.1', port: 0 },
    dryRun: true,
    dimensions: { requests: { unit: '{request}', from: { metric: 'marketplace.requests' } } },
  })
  return { addresses: gateway.addresses, [Symbol.asyncDispose]: () => gateway.close() }
}
