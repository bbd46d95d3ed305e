import { cpSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { spooled } from '../../src/ledger/clients/spool.ts'
import { HOUR, MINUTE } from '../../src/ledger/hours.ts'
import type { UsageEntry } from '../../src/ledger/ledger.ts'
import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import type { MeteringClient } from '../../src/marketplace/client.ts'
import { EndpointGuard } from '../../src/metering/endpoints.ts'
import { taggedAccount } from '../../src/usage/tagged-account.ts'
import { eventOf, lookupOutput } from '../reconcile/trail.ts'
import { ACME, BOLT, folder, GPU, LATEST, MILLION, REQUESTS, seededLedger, TOKENS } from './support.ts'

/** When the commands are run. */
export const PRESENT = '2026-11-21T10:20Z'

/** A folder with all that the examples of the commands' help name, and a ledger on which each of them does something. */
export class World {
  readonly #made: string
  readonly #copies: string
  #count = 0

  private constructor(root: string) {
    this.#made = join(root, 'made')
    this.#copies = root
  }

  /** @param endpoint where records are sent, and AWS is asked */
  static async make(t: Pick<TestContext, 'after'>, endpoint: string): Promise<World> {
    const world = new World(folder(t))
    const at = (name: string) => join(world.#made, name)
    mkdirSync(world.#made)
    await seededLedger(at('ledger.sqlite'))
    await addUsage(at('ledger.sqlite'))
    await addFiles(at, endpoint)
    return world
  }

  /** A copy of it, for one command. */
  copy(): string {
    this.#count += 1
    const path = join(this.#copies, String(this.#count))
    cpSync(this.#made, path, { recursive: true })
    return path
  }
}

async function addUsage(path: string): Promise<void> {
  const ledger = new SqliteLedger({ path })
  let sequence = 0
  const append = (...entries: UsageEntry[]) => {
    sequence += 1
    return ledger.append({ writer: 'c'.repeat(32), sequence, entries })
  }
  const tokens = (account: UsageEntry['account'], amount: bigint, hour: number) => ({
    ...{ account, dimension: TOKENS.name, amount: amount * MILLION, hour },
  })
  const search = taggedAccount(ACME, [['team', 'search']])
  await append(tokens(search, 4000n, LATEST + HOUR), tokens(ACME, 2000n, LATEST + HOUR))
  const now = LATEST + 2 * HOUR + 10 * MINUTE
  const close = { region: 'us-east-1', closeDelay: 5 * MINUTE, deadlineMargin: 10 * MINUTE }
  await ledger.closeHours({ ...close, now })
  await append(tokens(ACME, 9000n, LATEST + 2 * HOUR))
  const by = { who: 'ann', why: 'it was refused by mistake', now, group: 'ab12cd34ef' }
  await ledger.decide('4', 'release', by)
  const unknown = { after: 6 * HOUR, outcome: 'hold' } as const
  const included = {
    [GPU.name]: { per: 'month', quantity: 1, unknown },
    [TOKENS.name]: { per: 'term', quantity: 1, unknown },
    [REQUESTS.name]: { per: 'term', entitlement: 'committed', unit: String(MILLION), unknown },
  } as const
  await ledger.registerIncluded('prod', included, by)
  const news = { at: now, dimensions: [GPU.name], complete: false }
  const entitlement = { account: ACME, dimension: GPU.name, amount: GPU.size * 5n, until: now + 800 * HOUR }
  await ledger.noteEntitlements('prod', { ...news, entitlements: [entitlement] }, by)
  const active = { what: 'active', at: LATEST - 90 * HOUR, tenant: 'acme', productCode: 'prod' } as const
  await ledger.noteAgreement(ACME, active, { ...close, now })
  await ledger.noteSender('plant-a', [ACME, BOLT], now)
  const guard = new EndpointGuard(ledger, () => now)
  for (const endpoint of ['https://metering.marketplace.us-east-1.amazonaws.com', 'http://127.0.0.1:8480']) {
    await guard.look('us-east-1', { endpoint, batchMeterUsage: async () => ({}) } as MeteringClient, true)
  }
  await ledger.close()
}

async function addFiles(at: (name: string) => string, endpoint: string): Promise<void> {
  const ledger = new SqliteLedger({ path: at('ledger.sqlite') })
  await ledger.backup(at('backup.sqlite'))
  const spool = spooled(ledger, { path: at('spool.sqlite') })
  const entry = { account: ACME, dimension: 'misspelt', hour: LATEST, amount: 7n * MILLION }
  await spool.append({ writer: 'b'.repeat(32), sequence: 1, entries: [entry] })
  await spool.close()
  const write = (name: string, content: string | object) =>
    writeFileSync(at(name), typeof content === 'string' ? content : JSON.stringify(content))
  write(
    'gateway.yaml',
    `productCode: prod
region: us-east-1
ledger: ledger.sqlite
dimensions:
  tokens-processed: { unit: '{token}', per: 1000, from: { metric: my.tokens, unit: '1' }, maxQuantity: 5000 }
customer: { accountId: account }
listen: { http: 127.0.0.1:0, grpc: 127.0.0.1:0 }
metering: { endpoint: '${endpoint}' }
`,
  )
  const point = (account: string, asInt: string) => ({
    attributes: [{ key: 'account', value: { stringValue: account } }],
    ...{ startTimeUnixNano: '1795250000000000000', timeUnixNano: '1795251600000000000', asInt },
  })
  const sum = {
    aggregationTemporality: 1,
    isMonotonic: true,
    dataPoints: [point('111122223333', '2500'), point('1', '9')],
  }
  const metrics = [
    { name: 'my.tokens', sum },
    { name: 'my.others', sum },
  ]
  write('captured.json', { resourceMetrics: [{ resource: {}, scopeMetrics: [{ scope: { name: 'app' }, metrics }] }] })
  write('agreements.csv', 'product,account_id,tenant,agreement_since\nprod,444455556666,bolt,2026-10-01\n')
  write('decisions.csv', 'id,decision,why\n7,release,the usage is real\n3,not-billed,\n5,,\n')
  const prices = [REQUESTS, TOKENS].map(({ name }) => ({ dimension: name, price: '0.02' }))
  write('listing.json', { pricing: { currency: 'USD', rateCard: prices } })
  const sent = { product: 'prod', at: LATEST - 24 * HOUR + 10 * MINUTE }
  const billed = { accountId: '111122223333', timestamp: LATEST - 24 * HOUR - 1000, said: 'Success' }
  const records = [
    { ...billed, dimension: TOKENS.name, quantity: 12, meteringRecordId: 'id-1' },
    { ...billed, accountId: '777788889999', dimension: TOKENS.name, quantity: 6, meteringRecordId: 'id-3' },
  ]
  write('events.json', lookupOutput([eventOf({ ...sent, records })]))
  await ledger.close()
}
