import assert from 'node:assert/strict'
import { LedgerError } from '../../src/ledger/errors.ts'
import { DAY, HOUR, hourOf, MINUTE, SECOND } from '../../src/ledger/hours.ts'
import type { AgreementNews, CloseOptions, EntitlementNews, Ledger, UsageBatch } from '../../src/ledger/ledger.ts'
import { UNDOABLE } from '../../src/ledger/rules/undo.ts'
import {
  type FaultKind,
  MarketplaceSimulator,
  SimulatedServiceError,
  SimulatorConfigurationError,
  type Undocumented,
} from '../../src/simulator/index.ts'
import { Books } from '../ledger/books.ts'
import { Bill, sum } from './bill.ts'
import { Hours } from './hours.ts'
import { type IncludedByHour, IncludedModel, includedByHour } from './included.ts'
import { CLOSE_DELAY, type Deployment, type LedgerFault, Process, type Surroundings } from './process.ts'
import {
  type Contract,
  type Customer,
  catalogueOf,
  customersOf,
  DIMENSIONS,
  ENTITLEMENT,
  type Identities,
  identityOf,
  SOLD,
  type Sold,
  seriesOf,
} from './usage.ts'

/** Where in a month a sequence begins. */
export const STARTS = [
  Date.UTC(2026, 5, 10, 12, 10),
  // Evening of its last day, and shortly before AWS closes it.
  Date.UTC(2026, 5, 30, 21, 50),
  Date.UTC(2026, 6, 1, 4, 20),
]
export type Use = readonly [customer: number, sold: number, n: number]
/** A step that makes something go wrong. */
export type Mishap = readonly [
  name: 'event' | 'fault' | 'subscription' | 'intrude' | 'endAfter' | 'strand' | 'amend' | 'renew' | 'stale' | 'unread',
  ...given: never[],
]

const BY = { who: 'ops', why: 'a test' }
/** No record of ours has it. */
const FOREIGN_QUANTITY = 1_999_999_999

export interface WorldOptions {
  readonly start: number
  readonly identities: Identities
  readonly undocumented?: Partial<Undocumented>
  readonly zeroQuantityRecords: boolean
  readonly contract?: Contract | undefined
  readonly seed: number
  /** A connection to the one ledger; each process has its own. */
  readonly open: () => Ledger
}

interface Running {
  readonly process: Process
  readonly ledger: Ledger
  readonly deployment: Deployment
}

/**
 * Processes on one machine, their ledger, AWS, and persons. Each method that a sequence may call is a step; after each
 * the books are checked.
 */
export class World {
  readonly simulator: MarketplaceSimulator
  readonly books = new Books()
  readonly bill: Bill
  readonly hours = new Hours()
  readonly #included: IncludedModel
  /** As AWS has it: for whom how many GPU hours, and until when. */
  readonly #entitled = new Map<string, { amount: number; end: number }>()
  /** What the sequence came to meet, so that a harness which meets nothing is not taken for one that finds nothing. */
  readonly met = new Set<string>()
  readonly #options: WorldOptions
  readonly #customers: readonly Customer[]
  readonly #processes: Running[] = []
  readonly #events: { one: Customer; what: AgreementNews['what']; at: number }[] = []
  readonly #underWay: Surroundings['underWay'] = []
  readonly #late: Surroundings['late'] = []
  /** The true time, and how wrong the machine's clock is. */
  #time: number
  #skew = 0

  constructor(options: WorldOptions) {
    this.#options = options
    this.#time = options.start
    this.#customers = customersOf(options.identities)
    this.simulator = new MarketplaceSimulator({
      ...{ now: () => this.#time, seed: options.seed, quota: null, catalogue: catalogueOf(this.#customers) },
      ...(options.undocumented && { undocumented: options.undocumented }),
    })
    this.bill = new Bill(this.simulator)
    this.#included = new IncludedModel(options.contract)
    const { entitled = 0, hours = 0 } = options.contract ?? {}
    for (const one of this.#customers) this.#entitle(one, entitled, hours, this.#time - DAY)
    for (const what of ['hold', 'roll-forward'] as const) {
      const deployment = { region: 'us-east-1', per: 1000, onConflict: what, onNotSubscribed: what }
      this.#begin(this.#processes.length, deployment)
    }
  }

  /** As whoever looks has it. */
  get #ledger(): Ledger {
    return (this.#processes[0] as Running).ledger
  }

  get #now(): number {
    return this.#time + this.#skew
  }

  #begin(index: number, deployment: Deployment): void {
    const ledger = this.#options.open()
    const { identities, zeroQuantityRecords, contract } = this.#options
    this.#included.sold(deployment.per)
    const process = new Process(ledger, deployment, {
      ...{ identities, zeroQuantityRecords, contract, simulator: this.simulator },
      ...{ underWay: this.#underWay, late: this.#late },
      now: () => this.#now,
      note: (name, given, result) => this.#note(name, given, result),
    })
    this.#processes[index] = { process, ledger, deployment }
  }

  #note(name: string, given: readonly unknown[], result: unknown): void {
    this.books.note(name, given, result)
    if (name === 'append') this.hours.append(given[0] as UsageBatch, CLOSE_DELAY)
    if (name === 'noteEntitlements') this.#included.note(given[1] as EntitlementNews)
    if (name === 'closeHours') this.hours.closed(given[0] as CloseOptions)
  }

  #process(which: number): Process {
    return (this.#processes[which % this.#processes.length] as Running).process
  }

  /** Lets processes work until they are done or dead; the dead are begun again. */
  async #work(...works: [which: number, work: (process: Process) => Promise<void>][]): Promise<void> {
    await Promise.all(
      works.map(([which, work]) => {
        const process = this.#process(which)
        return Promise.race([work(process).catch(onPurpose), process.ended])
      }),
    )
    for (const [index, { process, ledger, deployment }] of this.#processes.entries()) {
      if (!process.dead) continue
      this.met.add('a process ended in the middle')
      await ledger.close()
      this.#begin(index, deployment)
    }
  }

  // What the application does

  async measure(which: number, customer: number, sold: number, n: number): Promise<void> {
    this.#process(which).measure({ customer, sold: SOLD[sold] as Sold, n })
  }

  async export(which: number): Promise<void> {
    await this.#work([which, process => process.export()])
  }

  async pass(which: number): Promise<void> {
    await this.#work([which, process => process.cycle.pass()])
  }

  async bothPass(): Promise<void> {
    await this.#work([0, process => process.cycle.pass()], [1, process => process.cycle.pass()])
  }

  /** All that a process does in an hour and at its turn, with what goes wrong then. */
  async hour(which: number, uses: readonly Use[], ...mishaps: readonly Mishap[]): Promise<void> {
    const process = this.#process(which)
    for (const [customer, sold, n] of uses) process.measure({ customer, sold: SOLD[sold] as Sold, n })
    await this.export(which)
    for (const [name, ...given] of mishaps)
      await (this[name] as (...given: never[]) => Promise<void>).apply(this, given)
    this.#time = hourOf(this.#time) + HOUR + 6 * MINUTE
    await this.pass(which)
  }

  async wait(minutes: number): Promise<void> {
    this.#time += minutes * MINUTE + 7 * SECOND
  }

  async setClock(hours: number): Promise<void> {
    this.#skew = hours * HOUR
    if (hours !== 0) this.hours.clockWasWrong = true
  }

  async finalize(which: number, customer: number, minutesAgo: number): Promise<void> {
    const one = this.#customers[customer] as Customer
    this.#subscribe(one, false)
    await this.#work([which, process => process.finalize(identityOf(one), this.#now - minutesAgo * MINUTE)])
  }

  /** Somebody tells of a customer's agreement: it may be true. */
  async news(which: number, customer: number, what: AgreementNews['what'], secondsAgo: number): Promise<void> {
    const one = this.#customers[customer] as Customer
    this.hours.moved(one.key)
    this.#included.begin(one.key)
    const at = this.#now - secondsAgo * SECOND
    await this.#work([which, process => process.note(identityOf(one), { what, at })])
  }

  /** An event of AWS's arrives, the first or the last that is on its way, and perhaps again. */
  async event(which: number, last: boolean, again: boolean): Promise<void> {
    const event = this.#events.at(last ? -1 : 0)
    if (event === undefined) return
    if (!again) this.#events.splice(last ? -1 : 0, 1)
    const { one, what, at } = event
    this.hours.moved(one.key)
    await this.#work([which, process => process.note(identityOf(one), { what, at })])
  }

  // What goes wrong

  async fault(kind: FaultKind, next: number, customer: number): Promise<void> {
    const one = this.#customers[customer]
    this.simulator.faults.add({ kind, next, ...(one && { customer: one.accountId ?? one.customerIdentifier }) })
  }

  async ledgerFault(which: number, fault: LedgerFault): Promise<void> {
    this.#process(which).faults.push(fault)
  }

  async strand(which: number): Promise<void> {
    this.#process(which).stranded += 1
  }

  /** A request whose sender has given up arrives. */
  async arrive(): Promise<void> {
    const late = this.#underWay.shift()
    if (late !== undefined)
      this.simulator.answer('BatchMeterUsage', late.request, { ...late, accessKeyId: 'SIMULATED' })
  }

  /** The process ends at one of its next calls, of the ledger or of AWS, before or after it is done. */
  async endAfter(which: number, calls: number): Promise<void> {
    this.#process(which).endAfter(calls)
  }

  /** Another version is deployed; the one before is thrown away as it is. */
  async deploy(which: number, deployment: Deployment): Promise<void> {
    const index = which % this.#processes.length
    const before = this.#processes[index] as Running
    before.process.endNow()
    await before.ledger.close()
    this.#begin(index, deployment)
    if (deployment.per !== 1000) for (const { key } of this.#customers) this.hours.moved(`${key} tokens`)
  }

  /** AWS does not say what customers are entitled to, or what was so some minutes ago. */
  async unread(times: number): Promise<void> {
    for (const { process } of this.#processes) process.unread += times
  }

  async stale(minutes: number, times: number): Promise<void> {
    this.simulator.faults.add({ kind: 'entitlements-stale', next: times, milliseconds: minutes * MINUTE })
  }

  /** What a process has read of entitlements comes to the ledger late, or again. */
  async read(which: number): Promise<void> {
    const reading = this.#late[which % Math.max(this.#late.length, 1)]
    if (reading === undefined) return
    const [product, news] = reading
    await this.#ledger.noteEntitlements(product, news, { ...BY, now: this.#now })
    this.#included.note(news)
    this.met.add('an old reading')
  }

  // What happens at AWS

  /** A customer's entitlement is for another amount, as long as before. */
  async amend(customer: number, amount: number): Promise<void> {
    const one = this.#customers[customer] as Customer
    const known = this.#entitled.get(one.key)
    if (known !== undefined) this.#entitle(one, amount, (known.end - this.#time) / HOUR)
  }

  /** It goes on for so many hours more, for another amount. */
  async renew(customer: number, amount: number, hours: number): Promise<void> {
    const one = this.#customers[customer] as Customer
    const known = this.#entitled.get(one.key)
    if (known !== undefined) this.#entitle(one, amount, Math.max(known.end - this.#time, 0) / HOUR + hours)
  }

  /** AWS's list has it no more, until it is amended or renewed. */
  async vanish(customer: number): Promise<void> {
    const one = this.#customers[customer] as Customer
    if (!this.#entitled.has(one.key)) return
    this.#included.vanish(one.key)
    this.#amend(one, 1, this.#time)
  }

  #entitle(one: Customer, amount: number, hours: number, since = this.#time): void {
    if (hours <= 0 || one.product !== 'prod-a') return
    const end = Math.round(this.#time + hours * HOUR)
    this.#entitled.set(one.key, { amount, end })
    this.#included.entitle(one.key, amount, end)
    this.#amend(one, amount, end, since)
  }

  #amend({ key, ...identity }: Customer, amount: number, expiresAt: number, at = this.#time): void {
    const entitlement = { dimension: ENTITLEMENT, value: { IntegerValue: amount }, expiresAt }
    try {
      this.simulator.catalogue.amend({ ...identity, at, entitlements: [entitlement] })
    } catch (error) {
      // It is not in force.
      if (!(error instanceof SimulatorConfigurationError)) throw error
    }
  }

  async subscription(customer: number, subscribed: boolean): Promise<void> {
    this.#subscribe(this.#customers[customer] as Customer, subscribed)
  }

  #subscribe(one: Customer, subscribed: boolean): void {
    const { key, ...identity } = one
    if (!subscribed) {
      this.hours.moved(key)
      this.#included.vanish(key)
    }
    this.#events.push({ one, what: subscribed ? 'active' : 'ended', at: Math.floor(this.#time / SECOND) * SECOND })
    try {
      this.simulator.catalogue[subscribed ? 'subscribe' : 'unsubscribe'](identity)
    } catch {
      // It is in force.
      return
    }
    const known = this.#entitled.get(key)
    if (!subscribed || known === undefined || known.end <= this.#time) return
    this.#included.begin(key)
    this.#amend(one, known.amount, known.end)
  }

  async define(product: number, dimensions: readonly number[]): Promise<void> {
    const code = product === 0 ? 'prod-a' : 'prod-b'
    this.simulator.catalogue.declareProduct({ code, dimensions: DIMENSIONS.filter((_, at) => dimensions.includes(at)) })
  }

  /** Somebody else meters an hour of a customer's. */
  async intrude(customer: number, sold: number, hoursAgo: number): Promise<void> {
    const { accountId, customerIdentifier, licenseArn, product } = this.#customers[customer] as Customer
    const record = {
      Timestamp: new Date(Math.max(this.#time - hoursAgo * HOUR, 0)),
      Dimension: DIMENSIONS[sold] as string,
      Quantity: FOREIGN_QUANTITY,
      ...(accountId && { CustomerAWSAccountId: accountId }),
      ...(customerIdentifier && { CustomerIdentifier: customerIdentifier }),
      ...(licenseArn && { LicenseArn: licenseArn }),
    }
    try {
      this.simulator.meterForeign({ ...(!licenseArn && { ProductCode: product }), UsageRecords: [record] })
    } catch (error) {
      if (!(error instanceof SimulatedServiceError)) throw error
    }
  }

  // What persons do

  /** Settles a record that is held, by what AWS has billed. */
  async judge(which: number): Promise<void> {
    const held = await this.#ledger.records({ state: 'held' })
    const record = held[which % Math.max(held.length, 1)]
    // What is still on its way CloudTrail does not show.
    if (record === undefined || this.#underWay.length > 0) return
    const by = { ...BY, now: this.#now }
    if (record.reason === 'conflict') return this.#ledger.decide(record.id, 'not-billed', by)
    if (record.reason === 'two-identities') {
      const name = `${record.account.key} ${record.dimension}`
      this.bill.passed.set(name, (this.bill.passed.get(name) ?? 0n) + BigInt(record.quantity) * record.size)
    }
    if (record.reason === 'over-maximum' || record.reason === 'two-identities') {
      this.bill.judged.add(`${record.account.key} ${record.dimension}`)
    }
    if (record.reason !== 'in-doubt') return this.#ledger.decide(record.id, 'release', by)
    await this.#ledger.decide(record.id, this.bill.has(record) ? 'billed' : 'not-billed', by)
  }

  async attribute(customer: number, sold: number): Promise<void> {
    const { key, ...identity } = this.#customers[customer] as Customer
    const dimension = DIMENSIONS[sold] as string
    const lines = await this.#ledger.statement({ dimension })
    const nobody = lines.find(({ account, balance }) => account.kind === 'unattributed' && balance > 0n)
    if (nobody === undefined) return
    const to = { kind: 'customer', key, ...identity } as Parameters<Ledger['attribute']>[2]
    const given = [nobody.account.key, dimension, to, { ...BY, now: this.#now }] as const
    this.#note('attribute', given, await this.#ledger.attribute(...given))
    this.hours.given(`nobody ${dimension}`, `${key} ${dimension}`)
  }

  /** What one identity of an account has is another's. */
  async give(from: number, to: number, sold: number): Promise<void> {
    const [one, other] = [this.#customers[from] as Customer, this.#customers[to] as Customer]
    const dimension = DIMENSIONS[sold] as string
    if (one.accountId === undefined || one.accountId !== other.accountId || one.key === other.key) return
    const [line] = await this.#ledger.statement({ customer: one.key, dimension })
    if (line === undefined) return
    const { key, ...identity } = other
    const account = { kind: 'customer', key, ...identity } as Parameters<Ledger['attribute']>[2]
    const given = [one.key, dimension, account, { ...BY, now: this.#now }] as const
    try {
      this.#note('attribute', given, await this.#ledger.attribute(...given))
    } catch (error) {
      if (!(error instanceof LedgerError && error.code === 'ERR_LEDGER_STATE')) throw error
      return
    }
    this.met.add('given to another licence')
    this.hours.copied(`${one.key} ${dimension}`, `${key} ${dimension}`)
  }

  /** Ends what AWS surely has not billed: nobody is to be billed for it. */
  async writeOff(which: number): Promise<void> {
    const held = (await this.#ledger.records({ state: 'held' })).filter(
      ({ reason }) => reason !== 'in-doubt' && reason !== 'conflict',
    )
    const record = held[which % Math.max(held.length, 1)]
    if (record === undefined || this.#underWay.length > 0) return
    await this.#ledger.decide(record.id, 'write-off', { ...BY, now: this.#now })
    this.books.expect(record.account, record.dimension, -BigInt(record.quantity) * record.size)
    this.met.add('written off')
  }

  /** Takes back what was decided last, or before, once, while nothing of it is frozen. */
  async undo(which: number): Promise<void> {
    const entry = (await this.#ledger.audit({ actions: UNDOABLE }))[which]
    if (entry === undefined) return
    const given = [[entry], { ...BY, now: this.#now }] as const
    const [result] = await this.#ledger.undo(...given)
    this.#note('undo', given, [result])
    if (result?.error !== undefined) {
      assert.equal(result.error.code, 'ERR_LEDGER_STATE')
      return
    }
    this.met.add(`undone: ${entry.action}`)
    const { account, dimension = '', detail = '' } = entry
    if (entry.action === 'attribute' && account !== undefined) {
      this.hours.copied(`${detail} ${dimension}`, seriesOf(account, dimension))
    } else this.hours.moved(account?.key ?? '')
  }

  // What has to hold

  async check(): Promise<ReadonlyMap<string, ReadonlyMap<number, bigint>>> {
    await this.books.check(this.#ledger)
    const { lines, records } = this.books.latest
    for (const { process } of this.#processes) process.check()
    const billed = this.bill.check(lines, records)
    this.#included.check(await this.#includedByHour())
    for (const { state, reason, inDoubt } of records) {
      this.met.add(
        `${state}${reason === undefined || state === 'metered' ? '' : ` ${reason}`}${inDoubt ? ', in doubt' : ''}`,
      )
    }
    const frozen = this.#frozen(billed)
    this.hours.check(frozen, records)
    return frozen
  }

  /** What contracts include is read again when there is more of it. */
  #read: { total: bigint; hours: IncludedByHour } = { total: 0n, hours: new Map() }

  async #includedByHour(): Promise<IncludedByHour> {
    const total = this.books.latest.lines.reduce((sum, { included }) => sum + included, 0n)
    if (total !== this.#read.total) {
      this.#read = { total, hours: includedByHour(await this.#ledger.statement({ by: 'hour' })) }
      const all = [...this.#read.hours.values()].flatMap(hours => [...hours.values()])
      assert.equal(sum(all), total, 'what is included, by hours')
      this.met.add('included')
    }
    return this.#read.hours
  }

  /** What is billed or included of each series, by hour. */
  #frozen(billed: ReadonlyMap<string, ReadonlyMap<number, bigint>>): ReadonlyMap<string, ReadonlyMap<number, bigint>> {
    const frozen = new Map(billed)
    for (const [series, hours] of this.#read.hours) {
      const both = new Map(billed.get(series))
      for (const [hour, amount] of hours) both.set(hour, (both.get(hour) ?? 0n) + amount)
      frozen.set(series, both)
    }
    return frozen
  }

  /** Faults stop, the clock is right, everybody is subscribed, and hours pass until nothing more is to be billed. */
  async calm(): Promise<void> {
    this.#skew = 0
    this.simulator.faults.clear()
    for (const [index, { process, deployment }] of this.#processes.entries()) {
      process.faults.length = 0
      process.stranded = 0
      process.unread = 0
      process.endAfter(Number.POSITIVE_INFINITY)
      // Who is where all records are and sells what was sold goes on, with what it keeps in memory.
      if (deployment.region === 'us-east-1' && deployment.per === 1000) continue
      await this.deploy(index, { ...deployment, region: 'us-east-1', per: 1000 })
    }
    await this.define(0, [0, 1, 2, 3])
    await this.define(1, [0, 1, 2, 3])
    for (const customer of this.#customers) this.#subscribe(customer, true)
    while (this.#underWay.length > 0) await this.arrive()
    for (let hours = 0; hours < 60 && (hours < 2 || this.#owing().length > 0); hours += 1) {
      await this.hour(hours, [])
      await this.export(hours)
      await this.bothPass()
      await this.check()
    }
    const frozen = await this.check()
    assert.deepEqual(this.#owing(), [], 'what is still not billed when faults have stopped')
    const waited = this.#options.contract !== undefined
    for (const line of this.hours.checkInTheirHours(frozen, this.books.latest.lines, waited)) {
      this.met.add('billed in its own hour')
      const whole = frozen.get(seriesOf(line.account, line.dimension.name)) ?? new Map<number, bigint>()
      if (this.#included.checkUsed(line, whole))
        this.met.add(`included of ${line.dimension.name}, and the rest metered`)
    }
    for (const { entitlement, knownUntil = 0 } of await this.#ledger.included()) {
      const late = this.#time - knownUntil
      if (entitlement !== undefined) assert.ok(late >= 0 && late <= 2 * HOUR, `entitlements are known ${late} ms ago`)
    }
  }

  /** What should be billed and is not. */
  #owing(): string[] {
    const { lines, records } = this.books.latest
    const pending = records
      // One that may have been taken under a clock that was ahead is sent again when its time has come.
      .filter(({ state, inDoubt, timestamp }) => state === 'pending' && !(inDoubt && timestamp > this.#time))
      .map(({ id, account, dimension }) => `record ${id} of ${account.key} ${dimension}`)
    const whole = lines
      .filter(({ account, dimension, balance }) => account.kind === 'customer' && balance >= dimension.size)
      .map(({ account, dimension, balance }) => `${balance} of ${account.key} ${dimension.name}`)
    const negative = lines
      .filter(({ balance }) => balance < 0n)
      .map(({ account, dimension, balance }) => `${balance} of ${account.key} ${dimension.name}`)
    return [...pending, ...whole, ...negative]
  }

  async close(): Promise<void> {
    for (const { process, ledger } of this.#processes) {
      process.endNow()
      await ledger.close()
    }
  }
}

function onPurpose(error: unknown): void {
  if (!(error instanceof LedgerError && error.message === 'a fault on purpose')) throw error
}
