import type { Entitlement, IncludedDimension } from '../ledger/ledger.ts'
import type { ListedEntitlement } from '../marketplace/entitlement-client.ts'
import { type CustomerAccount, customerAccount, licenceId } from '../usage/account.ts'
import { isWellFormed } from '../usage/customer.ts'
import type { IncludedRule } from '../usage/rules.ts'

/** Whose entitlements they are, in the ledger. */
export interface EntitledProduct {
  /** A product code, or the label of what has licences. */
  readonly name: string
  /** Whether it is the label of what has licences, and whether it is a product code. One may be both. */
  readonly licensed: boolean
  readonly coded: boolean
  /** Whether customers without a licence are of another product of this process. */
  readonly beside: boolean
  /** As the ledger has them, by the end of their licence's ARN. */
  readonly licences: ReadonlyMap<string, readonly CustomerAccount[]>
}

/** What AWS's list says of a product's dimensions. */
export interface ListedNews {
  /** Those of which everything was understood. */
  readonly dimensions: readonly string[]
  readonly entitlements: readonly Entitlement[]
  /** Why the others were not, without a customer's name. */
  readonly problems: readonly string[]
}

/**
 * Makes of AWS's list what it says of a product's customers. Of a dimension of which something is not understood
 * nothing is said: its usage waits, as while AWS does not answer.
 *
 * @param at when it was listed
 */
export function newsOf(
  listed: readonly ListedEntitlement[],
  wanted: readonly Pick<IncludedDimension, 'dimension' | 'entitlement'>[],
  rules: ReadonlyMap<string, IncludedRule | null>,
  product: EntitledProduct,
  at: number,
): ListedNews {
  const [dimensions, entitlements, problems]: [string[], Entitlement[], string[]] = [[], [], []]
  for (const { dimension, entitlement } of wanted) {
    const { size } = rules.get(dimension) as IncludedRule
    const found = new Map<string, Entitlement>()
    let problem: string | undefined
    for (const one of listed) {
      if (one.Dimension !== entitlement) continue
      const read = entitlementsOf(one, dimension, size, product)
      if (typeof read === 'string') problem ??= read
      else {
        for (const said of read) {
          const other = found.get(said.account.key)
          found.set(said.account.key, other === undefined ? said : present(other, said, at))
        }
      }
    }
    if (problem === undefined) {
      dimensions.push(dimension)
      entitlements.push(...found.values())
    } else problems.push(`An entitlement to ${entitlement} is not understood: ${problem}.`)
  }
  return { dimensions, entitlements, problems }
}

/**
 * Of two of one customer the one that is in force: the other begins when that ends, as where a contract is renewed, and one
 * whose date is over is the one before. Of two that end together, as where a list has moved between two of its pages, the larger: nobody pays twice for what is included.
 */
function present(one: Entitlement, other: Entitlement, at: number): Entitlement {
  const [until, otherUntil] = [one.until ?? Number.POSITIVE_INFINITY, other.until ?? Number.POSITIVE_INFINITY]
  const earlier = until < otherUntil ? one : other
  if (until !== otherUntil) return Math.min(until, otherUntil) > at ? earlier : earlier === one ? other : one
  return one.amount > other.amount ? one : other
}

/** What one line of the list is for the product's accounts; or why that cannot be told. */
function entitlementsOf(
  listed: ListedEntitlement,
  dimension: string,
  size: bigint,
  product: EntitledProduct,
): Entitlement[] | string {
  const { Value, ExpirationDate } = listed
  const accounts = accountsOf(listed, product)
  if (typeof accounts === 'string' || accounts.length === 0) return accounts as [] | string
  const amount = amountOf(Value, size)
  if (amount === undefined) return `expected an IntegerValue or DoubleValue of 0 or more, got ${valueText(Value)}`
  const until = ExpirationDate?.getTime?.()
  if (ExpirationDate !== undefined && !(Number.isFinite(until) && (until as number) >= 0))
    return 'its ExpirationDate is no time'
  return accounts.map(account => ({ account, dimension, amount, ...(until !== undefined && { until }) }))
}

/** A customer of a product code may be known by either of its ids: which of them usage comes with is not known here. */
function accountsOf(listed: ListedEntitlement, product: EntitledProduct): readonly CustomerAccount[] | string {
  const { name, licensed, coded, beside, licences } = product
  const { CustomerAWSAccountId: accountId, CustomerIdentifier: customerIdentifier, LicenseArn: licenseArn } = listed
  const licence = licensed && licenseArn !== undefined ? [{ product: name, accountId, licenseArn }] : []
  const ids = [accountId && { product: name, accountId }, customerIdentifier && { product: name, customerIdentifier }]
  const coming = coded ? ids.filter(one => typeof one === 'object') : []
  if (licence.length + coming.length === 0) {
    if (coded) return 'it has no customer'
    // Who has no licence is no customer of these, and keeps none of them waiting.
    const isKnown = [...licences.values()].flat().some(known => known.accountId === accountId)
    return isKnown && !beside ? 'it has no LicenseArn' : []
  }
  if (!licence.every(isWellFormed)) return 'its LicenseArn or CustomerAWSAccountId is none'
  if (!coming.every(isWellFormed)) return 'its customer is none'
  const known = licence.length === 0 ? undefined : licences.get(licenceId(licenseArn as string))
  return [...(known ?? licence.map(customerAccount)), ...coming.map(customerAccount)]
}

/** In millionths of the base unit. */
function amountOf(value: ListedEntitlement['Value'], size: bigint): bigint | undefined {
  const { IntegerValue, DoubleValue } = value ?? {}
  if ((IntegerValue === undefined) === (DoubleValue === undefined)) return undefined
  const units = (IntegerValue ?? DoubleValue) as number
  if (!Number.isFinite(units) || units < 0 || units > MOST) return undefined
  if (Number.isInteger(units)) return BigInt(units) * size
  return IntegerValue === undefined ? (BigInt(Math.round(units * 1e6)) * size) / 1_000_000n : undefined
}

/** More is no quantity, and the product of a double's parts no number. */
const MOST = 1e15

function valueText(value: ListedEntitlement['Value']): string {
  const members = Object.entries(value ?? {}).filter(([, one]) => one !== undefined)
  return members.length === 0 ? 'no value' : members.map(([name, one]) => `${name} ${one}`.slice(0, 60)).join(', ')
}
