import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, type TestContext, test } from 'node:test'
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics'
import { AWSMarketplaceMetricExporter, InferenceMeter } from '../../src/index.ts'
import { HOUR, hourOf, MINUTE } from '../../src/ledger/hours.ts'
import type { UsageEntry } from '../../src/ledger/ledger.ts'
import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import { requestFor } from '../../src/metering/answers.ts'
import type { Finding } from '../../src/metering/preflight/finding.ts'
import { diskFinding } from '../../src/metering/preflight/ledger.ts'
import { type ServerOptions, startSimulator } from '../../src/simulator/index.ts'
import { ACME, folder, MILLION, run, TOKENS } from './support.ts'

const TEST_CUSTOMER = '999988887777'
const LICENCE = 'arn:aws:license-manager::294406891311:license:l-0123456789abcdef'
const CONFIG = `
productCode: prod
region: eu-central-1
ledger: ledger.sqlite
dimensions:
  tokens-processed: { unit: '{token}', per: 1000, from: { metric: my.tokens, unit: '1' } }
customer: { accountId: account }
`
/** What `aws marketplace-catalog describe-entity` prints, shortened. */
const LISTING = JSON.stringify({
  EntityType: 'SaaSProduct@1.0',
  EntityIdentifier: 'prod-example12345@1',
  Details: JSON.stringify({
    Description: { ProductTitle: 'Inference' },
    Dimensions: [
      { Key: 'tokens-processed', Name: 'Tokens', Unit: 'Units', Types: ['ExternallyMetered'] },
      { Key: 'seats', Name: 'Seats', Unit: 'Users', Types: ['Entitled'] },
    ],
  }),
})
/** None of the machine that the test runs on. */
const CLEAN = {
  ...{ AWS_REGION: '', AWS_DEFAULT_REGION: '', MARKETPLACE_LEDGER: '', AWS_PROFILE: '', AWS_SESSION_TOKEN: '' },
  ...{ AWS_EC2_METADATA_DISABLED: 'true', AWS_CONFIG_FILE: '/none', AWS_SHARED_CREDENTIALS_FILE: '/none' },
  ...{ AWS_ENDPOINT_URL: '', AWS_ENDPOINT_URL_MARKETPLACE_METERING: '', TZ: 'UTC' },
  AWS_ENDPOINT_URL_MARKETPLACE_ENTITLEMENT_SERVICE: '',
}
const CREDENTIALS = { AWS_ACCESS_KEY_ID: 'AKIAIOSFODNN7EXAMPLE', AWS_SECRET_ACCESS_KEY: 'wJalrXUtnFEMIEXAMPLEKEY' }
const SIGNER = {
  accessKeyId: CREDENTIALS.AWS_ACCESS_KEY_ID,
  secretAccessKey: CREDENTIALS.AWS_SECRET_ACCESS_KEY,
}

const WITHOUT_SDK = `import { registerHooks } from 'node:module'
const name = '@aws-sdk/client-marketplace-metering'
registerHooks({
  resolve(specifier, context, next) {
    if (specifier !== name) return next(specifier, context)
    throw Object.assign(new Error("Cannot find package '" + name + "'"), { code: 'ERR_MODULE_NOT_FOUND' })
  },
})
`

async function simulated(t: TestContext, options: ServerOptions = {}) {
  const running = await startSimulator(options)
  t.after(() => running.close())
  return running
}

/** Runs the command, and says what it found, by name. */
async function doctor(args: string[], env: NodeJS.ProcessEnv = CREDENTIALS) {
  const { stdout, stderr, status } = await run(['doctor', '--format', 'json', ...args], { ...CLEAN, ...env })
  assert.equal(stderr, '')
  assert.ok(!stdout.includes(CREDENTIALS.AWS_SECRET_ACCESS_KEY) && !stdout.includes(CREDENTIALS.AWS_ACCESS_KEY_ID))
  const { findings, exitStatus } = JSON.parse(stdout) as { findings: Finding[]; exitStatus: number }
  assert.equal(status, exitStatus)
  const of = (name: string) =>
    findings
      .filter(finding => finding.name === name)
      .map(({ state, message, advice }) => [state, message, ...(advice === undefined ? [] : [advice])].join(' | '))
      .join('\n')
  return { status, of, names: findings.map(({ name }) => name) }
}

const close = (ledger: SqliteLedger, now: number) =>
  ledger.closeHours({ now, region: 'eu-central-1', closeDelay: 0, deadlineMargin: 5 * MINUTE })

describe('doctor', () => {
  test('asks AWS for an entitlement where contracts include something', async t => {
    const directory = folder(t)
    const config = join(directory, 'gateway.yaml')
    const included = 'included: { entitlement: committed, per: term }'
    writeFileSync(config, CONFIG.replace("unit: '{token}',", `unit: '{token}', ${included},`))
    const { url, simulator } = await simulated(t)
    const ask = async () => (await doctor(['--config', config, '--endpoint', url])).of('entitlements')
    assert.equal(await ask(), 'ok | AWS tells what contracts of prod include (GetEntitlements, us-east-1).')
    simulator.faults.add({ kind: 'access-denied', operation: 'GetEntitlements', rate: 1 })
    assert.match(
      await ask(),
      /^fault \| AWS knows these credentials, and does not let them read entitlements\. AWS said: AccessDenied.* \| Allow the action aws-marketplace:GetEntitlements to their role or user\.$/,
    )
    const asked = simulator.requests().filter(({ operation }) => operation === 'GetEntitlements')
    assert.equal(asked.length, 2)
    writeFileSync(config, CONFIG)
    assert.equal(await ask(), '')
  })

  test('says what contracts include is not known to the ledger, though AWS answers now', async t => {
    const path = join(folder(t), 'ledger.sqlite')
    const { url } = await simulated(t)
    const ledger = new SqliteLedger({ path })
    t.after(() => ledger.close())
    await ledger.register([TOKENS])
    const unknown = { after: 6 * HOUR, outcome: 'hold' } as const
    const terms = { [TOKENS.name]: { entitlement: 'committed', per: 'term', unknown } } as const
    const now = Date.now()
    const args = ['--ledger', path, '--region', 'us-east-1', '--product-code', 'prod', '--endpoint', url]
    const said = async () => (await doctor(args)).of('entitlements').split('\n')
    const by = { who: 'a test', why: 'to see', now: now - 7 * HOUR }
    await ledger.registerIncluded('prod', terms, by)
    const [answers, waits] = await said()
    assert.match(answers ?? '', /^ok \| AWS tells what contracts of prod include/)
    assert.match(
      waits ?? '',
      /^warning \| What contracts of prod include of tokens-processed is not known since .*Z: usage waits; since .*Z it is held\. \| Mend what AWS refuses\. Where it answers, the log of the process that meters says what/,
    )
    const news = { at: now, dimensions: [TOKENS.name], entitlements: [], complete: true }
    await ledger.noteEntitlements('prod', news, { ...by, now })
    assert.equal((await said()).length, 1)
  })

  test('promises no bill for usage that has no customer, nor for what is in a record already', async t => {
    const path = join(folder(t), 'ledger.sqlite')
    const { url } = await simulated(t)
    // As a newcomer meters: a customer without the licence that a product asks for.
    const client = { batchMeterUsage: () => Promise.reject(new Error('not now')) }
    const exporter = new AWSMarketplaceMetricExporter({ product: 'chat', region: 'us-east-1', client, ledger: path })
    const provider = new MeterProvider({ readers: [new PeriodicExportingMetricReader({ exporter })] })
    new InferenceMeter(provider).recordTokensProcessed({ accountId: '123456789012' }, 24)
    await provider.shutdown()
    const ledger = new SqliteLedger({ path })
    t.after(() => ledger.close())
    const now = Date.now()
    const entries = [{ account: ACME, dimension: TOKENS.name, hour: hourOf(now), amount: 3000n * MILLION }]
    await ledger.append({ writer: 'a'.repeat(32), sequence: 1, entries })
    const close = { region: 'us-east-1', closeDelay: 0, deadlineMargin: 0, now, endedAt: now, who: 'a test' }
    await ledger.finalize(ACME, close)
    const { status, of } = await doctor([
      '--ledger',
      path,
      '--region',
      'us-east-1',
      '--product',
      'chat',
      '--endpoint',
      url,
    ])
    assert.equal(status, 1)
    assert.match(
      of('customers'),
      /^warning \| Of the hour \S+Z has no customer, and is billed to nobody: 24 token of tokens-processed\. \| "marketplace-meter statement" shows why/,
    )
    assert.match(of('timetable'), /^ok \| Nothing of the hour \S+Z waits to be billed yet\./)
    const { stdout } = await run(['statement', '--ledger', path])
    assert.match(stdout, /has no licence where only product is configured: mend what records it/)
  })

  test('sees that all is well, and what becomes of what was just recorded', async t => {
    const directory = folder(t)
    const path = join(directory, 'ledger.sqlite')
    const config = join(directory, 'gateway.yaml')
    const listing = join(directory, 'listing.json')
    writeFileSync(config, CONFIG)
    writeFileSync(listing, LISTING)
    const { url, simulator } = await simulated(t, { verifySignatures: [SIGNER] })
    const now = Date.now()
    const ledger = new SqliteLedger({ path })
    t.after(() => ledger.close())
    await ledger.register([TOKENS])
    await close(ledger, now)
    const usage = (account: UsageEntry['account'], hour: number) => ({
      ...{ account, dimension: TOKENS.name, hour, amount: 4500n * MILLION },
    })
    await ledger.append({ writer: 'a'.repeat(32), sequence: 1, entries: [usage(ACME, hourOf(now))] })
    const before = [await ledger.statement(), await ledger.status(), await ledger.audit()]
    const args = ['--config', config, '--endpoint', url, '--listing', listing]
    const { status, of, names } = await doctor([...args, '--test-customer', TEST_CUSTOMER])
    const { bavail, bsize, type } = await statfs(directory)
    assert.equal(status, diskFinding(bavail * bsize, type).state === 'ok' ? 0 : 1)
    assert.deepEqual(names, [
      ...['node', 'ledger', 'disk', 'region', 'credentials', 'clock', 'permission', 'test customer', 'listing'],
      ...['timetable', 'timetable'],
    ])
    assert.match(of('node'), /^ok \| Node\.js [\d.]+ with SQLite [\d.]+\.$/)
    assert.equal(of('ledger'), `ok | ${path} is a ledger, and its schema is this version's.`)
    assert.equal(of('region'), 'ok | AWS takes usage records in eu-central-1.')
    assert.equal(of('credentials'), 'ok | Access key AKIA… of the environment (AWS_ACCESS_KEY_ID).')
    assert.equal(of('clock'), "ok | This machine's clock and AWS's agree within a minute.")
    assert.match(
      of('permission'),
      /^ok \| AWS takes requests in eu-central-1 for product code prod: one without records/,
    )
    assert.equal(
      of('listing'),
      'ok | The listing has every dimension that is metered. Of what it has, "seats" is not metered here.',
    )
    const [recorded, sent] = of('timetable').split('\n')
    assert.match(
      recorded ?? '',
      /^ok \| Of the hour \S+Z waits to be billed: 4\.5 × 1,000 token of tokens-processed\. The hour is over at /,
    )
    assert.match(
      sent ?? '',
      /^ok \| Its whole units are frozen into records at \S+:05Z and sent within a minute; .* AWS takes them until \S+Z\.$/,
    )
    assert.match(
      of('test customer'),
      /^ok \| A record of quantity 0 for 999988887777, tokens-processed and the hour \S+Z was taken/,
    )

    // The ledger is as it was, and the hour is one that no usage can go into any more.
    assert.deepEqual([await ledger.statement(), await ledger.status(), await ledger.audit()], before)
    const [taken, ...others] = simulator.billed()
    assert.deepEqual(others, [])
    assert.deepEqual([taken?.quantity, taken?.accountId, taken?.region], [0, TEST_CUSTOMER, 'eu-central-1'])
    assert.equal(
      hourOf(Date.parse(taken?.timestamp ?? '')),
      before[1] && (before[1] as { closedThrough?: number }).closedThrough,
    )

    // So what the same customer uses from now on, in late batches too, is billed.
    const customer = { ...ACME, key: `prod,${TEST_CUSTOMER}`, accountId: TEST_CUSTOMER }
    const late = hourOf(Date.parse(taken?.timestamp ?? ''))
    await ledger.append({ writer: 'a'.repeat(32), sequence: 2, entries: [usage(customer, late)] })
    const later = hourOf(now) + HOUR + 10 * MINUTE
    await close(ledger, later)
    simulator.clock.set(later)
    const lane = (await ledger.due(later)).lanes[0]
    assert.ok(lane)
    const records = await ledger.claim(lane, { now: later, limit: 25, claimedUntil: later + MINUTE })
    const { Results } = simulator.batchMeterUsage(requestFor(lane, records), { region: lane.region })
    assert.deepEqual(
      Results.map(({ Status }) => Status),
      ['Success', 'Success'],
    )

    // What is asked here is not where the ledger's records go.
    await ledger.note({ action: 'endpoint', who: 'metering', why: 'a test', detail: 'eu-central-1 aws' })
    const elsewhere = await doctor([...args, '--test-customer', '999988886666'])
    assert.match(
      elsewhere.of('endpoint'),
      /^fault \| This ledger's records of eu-central-1 go to AWS .* sends to localhost: /,
    )
    assert.match(elsewhere.of('test customer'), /^warning \| No record was sent, because of the faults above/)
    const decided = { action: 'endpoint', who: 'pat', why: 'a test', detail: '* localhost decided' } as const
    await ledger.note(decided)

    // A customer with usage is none for tests.
    const again = await doctor([...args, '--test-customer', TEST_CUSTOMER])
    assert.match(again.of('test customer'), /^warning \| No record was sent: 999988887777 has usage in this ledger, /)
    assert.equal(simulator.billed().length, 3)
  })

  test('prints a line for each thing, in words of this place', async t => {
    const { url } = await simulated(t)
    const args = [
      'doctor',
      '--product-code',
      'p',
      '--dimension',
      'a',
      '--endpoint',
      url,
      '--ledger',
      join(folder(t), 'no.sqlite'),
    ]
    const env = { ...CLEAN, ...CREDENTIALS, AWS_REGION: 'eu-central-1', TZ: 'Asia/Tokyo' }
    const { stdout, status } = await run([...args, '--test-customer', TEST_CUSTOMER], env)
    assert.equal(status, 1)
    // Where the AWS SDK is not installed, this package's own client asks.
    const hooks = join(folder(t), 'hooks.mjs')
    writeFileSync(hooks, WITHOUT_SDK)
    const own = await run([...args, '--format', 'json'], { ...env, NODE_OPTIONS: `--import=${hooks}` })
    const { findings } = JSON.parse(own.stdout) as { findings: Finding[] }
    const states = findings.flatMap(({ name, state }) =>
      ['credentials', 'clock', 'permission'].includes(name) ? [`${name} ${state}`] : [],
    )
    assert.deepEqual(states, ['credentials ok', 'clock ok', 'permission ok'])
    assert.match(stdout, /^ok {7}node {11}Node\.js /m)
    assert.match(stdout, /^warning {2}ledger {9}There is no ledger at \S+no\.sqlite yet\. → It is made when /m)
    assert.match(
      stdout,
      /^warning {2}test customer {2}No record was sent: without its ledger it is not known whether /m,
    )
    assert.match(
      stdout,
      /^ok {7}timetable {6}The hour \S+Z is over at \S+Z \([A-Z][a-z]{2} \d\d:00 GMT\+9 here\), in /m,
    )
  })

  test('names what keeps AWS from taking usage, and shows no secret', async t => {
    const ahead = () => Date.now() + 10 * MINUTE
    const [good, strict, denied, off, far, down, stale, busy] = await Promise.all([
      simulated(t),
      simulated(t, { verifySignatures: [{ ...SIGNER, secretAccessKey: 'another' }] }),
      simulated(t, { faults: [{ kind: 'access-denied', rate: 1 }] }),
      simulated(t, { wallClock: ahead }),
      simulated(t, { wallClock: () => Date.now() - HOUR, verifySignatures: [SIGNER] }),
      simulated(t, { faults: [{ kind: 'region-disabled', rate: 1 }] }),
      simulated(t, { faults: [{ kind: 'expired-credentials', rate: 1 }] }),
      simulated(t, { faults: [{ kind: 'throttling', rate: 1 }] }),
    ])
    good.simulator.catalogue.declareProduct({ code: 'prod', dimensions: ['tokens'] })
    const ledger = join(folder(t), 'none.sqlite')
    const ask = (url: string, env: NodeJS.ProcessEnv = {}, ...args: string[]) =>
      doctor(['--ledger', ledger, '--product-code', 'prod', '--endpoint', url, ...args], {
        ...CREDENTIALS,
        ...{ AWS_REGION: 'us-east-1', ...env },
      })
    const none = { AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '' }
    const [nobody, stranger, forbidden, slow, early, disabled, gov, moon, code, closed, expired, throttled] =
      await Promise.all([
        ask(good.url, none),
        ask(strict.url),
        ask(denied.url),
        ask(off.url),
        ask(far.url),
        ask(down.url),
        ask(good.url, { AWS_REGION: 'us-gov-west-1' }),
        ask(good.url, { AWS_REGION: 'xx-moon-1' }),
        ask(good.url, {}, '--product-code', 'other'),
        ask('http://127.0.0.1:1'),
        ask(stale.url),
        ask(busy.url),
      ])
    assert.match(expired.of('permission'), /^fault \| The credentials have expired\. /)
    assert.match(
      throttled.of('permission'),
      /^warning \| AWS throttles: this ledger's processes, or something else, use up AWS's 10 requests a second\. /,
    )
    assert.match(nobody.of('credentials'), /^fault \| There are no AWS credentials: .+ \| Give the process a role/)
    assert.deepEqual(nobody.of('permission'), '')
    assert.match(
      stranger.of('permission'),
      /^fault \| AWS does not know these credentials\. AWS or the network said: Invalid/,
    )
    assert.match(
      forbidden.of('permission'),
      /^fault \| AWS knows these credentials, and does not let them meter\. .*BatchMeterUsage/,
    )
    assert.match(
      slow.of('clock'),
      /^fault \| This machine's clock is (9 min 5\d s|10 min) behind AWS's: set it\. \| Let a time service/,
    )
    assert.match(slow.of('permission'), /^ok/)
    assert.match(early.of('clock'), /^fault \| This machine's clock is (59 min 5\d s|1 h) ahead of AWS's: set it\./)
    assert.match(
      early.of('permission'),
      /^fault \| This machine's clock is .* ahead of AWS's: set it\. AWS or the network said: /,
    )
    assert.match(disabled.of('permission'), /^fault \| AWS takes no usage records in this region\. /)
    assert.match(
      gov.of('region'),
      /^fault \| AWS takes no usage records in us-gov-west-1: GovCloud has no BatchMeterUsage\. \| Meter in/,
    )
    assert.match(moon.of('region'), /^warning \| It is not known here that AWS takes usage records in xx-moon-1/)
    assert.match(code.of('permission'), /^fault \| AWS does not know the product code for these credentials\. /)
    assert.match(closed.of('permission'), /^fault \| AWS cannot be reached from here\. .*ECONNREFUSED/)
    for (const { status } of [nobody, stranger, forbidden, slow, early, disabled, gov, code, closed])
      assert.equal(status, 2)
    assert.equal(moon.status, 1)
    // A ledger that was not there is not made.
    assert.throws(() => readFileSync(ledger), /ENOENT/)
  })

  test('names what is wrong with a test customer and with a dimension', async t => {
    const { url, simulator } = await simulated(t)
    simulator.catalogue.declareProduct({ code: 'prod', dimensions: ['tokens-processed', 'seats'] })
    simulator.catalogue.declareCustomer({
      accountId: TEST_CUSTOMER,
      subscriptions: [{ product: 'prod', from: '2026-01-01' }],
    })
    const directory = folder(t)
    const path = join(directory, 'ledger.sqlite')
    const listing = join(directory, 'names.txt')
    writeFileSync(listing, 'tokens-processed\r\nseats\n')
    const ledger = new SqliteLedger({ path })
    await close(ledger, Date.now())
    await ledger.close()
    const args = ['--ledger', path, '--region', 'us-east-1', '--product-code', 'prod', '--endpoint', url]
    const dimensions = ['--dimension', 'tokens-procesed', 'seats', '--listing', listing]
    const [unsold, nobody] = await Promise.all([
      doctor([...args, ...dimensions, '--test-customer', TEST_CUSTOMER]),
      doctor([...args, '--dimension', 'seats', '--test-customer', '123456789012']),
    ])
    const [misspelt, seats] = unsold.of('test customer').split('\n')
    assert.match(
      misspelt ?? '',
      /^fault \| 999988887777, tokens-procesed: The product has no such dimension\. .*InvalidUsageDimension/,
    )
    assert.match(seats ?? '', /^ok \| A record of quantity 0 for 999988887777, seats /)
    assert.match(
      unsold.of('listing'),
      /^fault \| The listing has no dimension "tokens-procesed" \(did you mean "tokens-processed"\?\): AWS refuses/,
    )
    assert.match(
      nobody.of('test customer'),
      /^fault \| .* was refused as CustomerNotSubscribed\. \| Compare account id/,
    )
    assert.deepEqual([unsold.status, nobody.status], [2, 2])
    const [noList, noProduct] = await Promise.all([
      doctor([...args, '--listing', join(directory, 'none.json')]),
      run(['doctor', '--test-customer', TEST_CUSTOMER], { ...CLEAN, ...CREDENTIALS }),
    ])
    assert.equal(noProduct.status, 2)
    assert.match(noProduct.stderr, /^error: Expected --product-code, --product or --config with --test-customer/)
    // The rest is looked at all the same.
    assert.match(
      noList.of('listing'),
      /^fault \| Expected --listing to be a file, got \S+none\.json: the system says ENOENT/,
    )
    assert.match(noList.of('permission'), /^ok \| /)
    assert.equal(noList.status, 2)
  })

  test('tries a customer as it is metered, while customers move from a product code to licences', async t => {
    const { url, simulator } = await simulated(t)
    const path = join(folder(t), 'ledger.sqlite')
    const ledger = new SqliteLedger({ path })
    await ledger.register([TOKENS])
    const entries = [{ account: ACME, dimension: TOKENS.name, hour: hourOf(Date.now()), amount: MILLION }]
    await ledger.append({ writer: 'a'.repeat(32), sequence: 1, entries })
    await close(ledger, Date.now())
    await ledger.close()
    const args = [
      'doctor',
      '--ledger',
      path,
      '--region',
      'us-east-1',
      '--endpoint',
      url,
      '--test-customer',
      TEST_CUSTOMER,
    ]
    const licence = ['--license-arn', LICENCE]
    const tried = (...more: string[]) => run([...args, ...more], { ...CLEAN, ...CREDENTIALS })
    // A label is no product code: AWS would be told it as one.
    const labelled = await tried('--product', 'label')
    assert.match(labelled.stderr, /^error: Expected --license-arn with --test-customer: /)
    const coded = await tried('--product-code', 'prod', ...licence)
    assert.match(coded.stderr, /^error: Expected --product with --license-arn: /)
    assert.deepEqual([labelled.status, coded.status, simulator.billed().length], [2, 2, 0])
    const both = ['--product-code', 'prod', '--product', 'label']
    for (const more of [both, [...both, ...licence]]) {
      const { stdout } = await tried(...more)
      assert.doesNotMatch(stdout, /none of/)
      assert.match(stdout, /^ok +test customer +A record of quantity 0 for 999988887777.* was taken/m)
    }
    assert.deepEqual(
      simulator.billed().map(({ product, licenseArn }) => [product, licenseArn]),
      [
        ['prod', undefined],
        [undefined, LICENCE],
      ],
    )
  })

  test('names what is wrong with a ledger or a configuration', async t => {
    const { url } = await simulated(t)
    const directory = folder(t)
    const at = (name: string) => join(directory, name)
    const foreign = new DatabaseSync(at('foreign.sqlite'))
    foreign.exec('CREATE TABLE t (a)')
    foreign.close()
    for (const name of ['newer.sqlite', 'other.sqlite']) {
      const ledger = new SqliteLedger({ path: at(name) })
      await ledger.register([{ ...TOKENS, baseUnit: 's', unit: 's' }])
      const entries = [{ account: ACME, dimension: TOKENS.name, hour: hourOf(Date.now()), amount: MILLION }]
      await ledger.append({ writer: 'a'.repeat(32), sequence: 1, entries })
      await close(ledger, Date.now() + 3 * HOUR)
      await ledger.close()
    }
    const newer = new DatabaseSync(at('newer.sqlite'))
    newer.exec('PRAGMA user_version = 99')
    newer.close()
    writeFileSync(
      at('other.yaml'),
      CONFIG.replace('productCode: prod', 'productCode: new-prod').replace('ledger.s', 'other.s'),
    )
    // Its customers have licences by now.
    writeFileSync(
      at('both.yaml'),
      readFileSync(at('other.yaml'), 'utf8').replace('new-prod', 'new-prod\nproduct: prod'),
    )
    writeFileSync(at('wrong.yaml'), CONFIG.replace('per: 1000', 'pre: 1000'))
    writeFileSync(at('secret.yaml'), CONFIG.replace('ledger.sqlite', `'\${env:NO_SUCH_ADDRESS}'`))
    const from = (name: string) => doctor(['--config', at(name), '--endpoint', url])
    const ledgerAt = (name: string) =>
      doctor(['--ledger', at(name), '--product-code', 'prod', '--region', 'us-east-1', '--endpoint', url])
    const [strange, young, lost, other, both, wrong, secret] = await Promise.all([
      ledgerAt('foreign.sqlite'),
      ledgerAt('newer.sqlite'),
      ledgerAt('none/ledger.sqlite'),
      from('other.yaml'),
      from('both.yaml'),
      from('wrong.yaml'),
      from('secret.yaml'),
    ])
    assert.match(strange.of('ledger'), /^fault \| .*is a SQLite database of another application, not a ledger\./)
    assert.match(young.of('ledger'), /^fault \| .*has schema version 99; this version of the package knows up to /)
    assert.match(lost.of('ledger'), /^fault \| There is no ledger at \S+, and no folder \S+none to make it in\./)
    assert.match(other.of('ledger'), /^warning \| The ledger has usage of prod, and none of new-prod\./m)
    assert.doesNotMatch(both.of('ledger'), /none of/)
    assert.match(
      other.of('ledger'),
      /^fault \| dimensions\.tokens-processed\.unit: expected one that converts to "s", in which/m,
    )
    assert.match(other.of('clock'), /^warning \| The ledger's last closed hour, \S+Z, is to come: a clock was ahead\./)
    // What it says nothing of, since it is wrong, is not said to be missing.
    for (const name of ['region', 'product', 'timetable']) assert.equal(wrong.of(name), '')
    assert.match(wrong.of('configuration'), /^fault \| \S+wrong\.yaml:6:\d+: .*pre: there is no such option/)
    assert.match(secret.of('configuration'), /^fault \| \S+secret\.yaml:\d+:\d+: ledger: .*NO_SUCH_ADDRESS/)
    for (const { status } of [strange, young, lost, other, wrong, secret]) assert.equal(status, 2)
  })
})
