import type { RecordEntry } from '../../../src/ledger/ledger.ts'
import { breaches } from '../../../src/ledger/rules/equation.ts'
import type { CustomerAccount } from '../../../src/usage/account.ts'
import { type Expected, isTwin, PayerOracle } from './oracle.ts'
import { type Act, type DimensionName, SIZES } from './script.ts'
import type { World } from './world.ts'

export interface Verdict {
  /** What is otherwise than it should be, a line each. */
  readonly faults: string[]
  /** How many records are billed, or held for which reason. */
  readonly fates: Record<string, number>
}

const DIMENSIONS = Object.keys(SIZES) as DimensionName[]

/** Holds the bill and the ledger against the oracle, record by record. */
export async function judge(acts: readonly Act[], { ledger, simulator }: World): Promise<Verdict> {
  const verdict: Verdict = { faults: [], fates: {} }
  const say = (place: string, text: string) => verdict.faults.push(`${place}: ${text}`)
  const payers = new Map<string, CustomerAccount>()
  for (const act of acts) {
    payers.set(act.payer.key, act.payer)
    if (act.type === 'renew') payers.set(act.as.key, act.as)
  }
  const wanted = new Map<string, Expected>()
  const rests = new Map<string, number>()
  for (const payer of payers.values()) {
    const oracle = new PayerOracle(payer, acts)
    for (const dimension of DIMENSIONS) {
      const { records, rest } = oracle.records(dimension)
      for (const record of records) wanted.set(placeOf(payer.key, dimension, record.hour), record)
      rests.set(`${payer.key} ${dimension}`, rest)
    }
  }
  const billed = new Map<string, number>()
  for (const { licenseArn, product, accountId, customerIdentifier, dimension, hour, quantity } of simulator.billed()) {
    const payer = [...payers.values()].find(one => {
      const same =
        one.accountId === undefined ? one.customerIdentifier === customerIdentifier : one.accountId === accountId
      return same && one.licenseArn === licenseArn && (licenseArn !== undefined || one.product === product)
    })
    const place = placeOf(payer?.key ?? 'a stranger', dimension, Date.parse(hour))
    if (billed.has(place)) say(place, 'is billed twice')
    billed.set(place, quantity)
  }
  const records = new Map<string, RecordEntry>()
  for (const record of await ledger.records({ limit: 100_000 })) {
    if (record.state === 'returned') continue
    records.set(placeOf(record.account.key, record.dimension, record.hour), record)
  }
  const twinOf = ({ account, dimension, hour }: RecordEntry): string | undefined =>
    [...payers.values()]
      .filter(payer => isTwin(payer, account))
      .map(({ key }) => placeOf(key, dimension, hour))
      .find(place => (billed.get(place) ?? 0) > 0)
  for (const [place, record] of records) {
    if (billed.has(place) && twinOf(record) !== undefined) say(place, 'is billed under two identities')
  }
  for (const place of new Set([...wanted.keys(), ...records.keys(), ...billed.keys()])) {
    const [expected, record, quantity] = [wanted.get(place), records.get(place), billed.get(place)]
    const fate =
      record?.state === 'metered' ? 'billed' : record?.state === 'held' ? `held ${record.reason}` : record?.state
    const is = `${record?.quantity ?? 0} ${fate ?? 'nothing'}${quantity === undefined ? '' : `, by AWS ${quantity}`}`
    if (fate !== undefined) verdict.fates[fate] = (verdict.fates[fate] ?? 0) + 1
    if (expected === undefined) {
      say(place, `expected nothing, got ${is}`)
      continue
    }
    const should = `${expected.quantity} ${expected.fate} ${expected.reasons}${expected.takeable ? ', takeable' : ''}`
    const right =
      record?.quantity === expected.quantity &&
      (quantity ?? expected.quantity) === expected.quantity &&
      (expected.fate === 'billed'
        ? record.state === 'metered' && quantity !== undefined
        : record.state === 'held' && quantity === undefined && expected.reasons.includes(record.reason as string))
    // Of two identities in one hour one is billed.
    const twin = record?.reason === 'two-identities' && twinOf(record) !== undefined
    if (!right && !(twin && expected.fate === 'billed')) say(place, `expected ${should}, got ${is}`)
  }
  const lines = await ledger.statement()
  for (const line of breaches(lines)) say(line.account.key, 'the equation does not hold')
  for (const line of lines) {
    const name = `${line.account.key} ${line.dimension.name}`
    if (line.pending !== 0n) say(name, `${line.pending} pending`)
    const rest = BigInt(rests.get(name) ?? 0) * 1_000_000n
    if (line.balance !== rest) say(name, `expected ${rest} in the balance, got ${line.balance}`)
  }
  return verdict
}

const placeOf = (key: string, dimension: string, hour: number) => `${key} ${dimension} ${new Date(hour).toISOString()}`
